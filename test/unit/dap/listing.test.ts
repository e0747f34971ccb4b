import assert from 'node:assert/strict';
import { Listing } from '../../../src/dap/listings';

describe('a listing', () => {
    it('has the lines that it counts, whatever is in names and paths', () => {
        const content = [
            { text: '; main.c\n:1\r\n\u2028x', length: 0 },
            { text: '1000  nop', address: 0x1000n, length: 1 },
        ];
        const listing = new Listing(
            1,
            'code',
            { start: 0x1000n, end: 0x1001n, codeSize: 64 } as const,
            Uint8Array.of(0x90),
            content,
        );
        assert.deepEqual(listing.text.split(/[\r\n\u2028]/), ['; main.c?:1???x', '1000  nop', '']);
        assert.equal(listing.lineCount, 2);
    });
});

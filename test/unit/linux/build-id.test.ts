import assert from 'node:assert/strict';
import { buildIdIn } from '../../../src/linux/build-id';

function note(owner: string, type: number, descriptor: readonly number[]): number[] {
    const name = [...new TextEncoder().encode(`${owner}\0`)];
    const pad = (bytes: readonly number[]): number[] => [
        ...bytes,
        ...Array<number>((4 - (bytes.length % 4)) % 4).fill(0),
    ];
    return [
        ...new Uint8Array(new Uint32Array([name.length, descriptor.length, type]).buffer),
        ...pad(name),
        ...pad(descriptor),
    ];
}

describe('the build-id in a kernel’s notes', () => {
    const id = note('GNU', 3, [0xde, 0xad, 0xbe, 0xef, 0x01]);

    it('is found among others', () => {
        assert.equal(
            buildIdIn(Uint8Array.from([...note('Xen', 6, [1, 2]), ...note('GNU', 1, [9]), ...id])),
            'deadbeef01',
        );
    });

    it('is none where there is none, and where notes are cut off', () => {
        assert.equal(buildIdIn(Uint8Array.from(note('Xen', 3, [1, 2, 3, 4]))), undefined);
        assert.equal(buildIdIn(Uint8Array.from(id.slice(0, -4))), undefined);
        assert.equal(buildIdIn(new Uint8Array(64).fill(0xff)), undefined);
        assert.equal(buildIdIn(new Uint8Array(0)), undefined);
    });
});

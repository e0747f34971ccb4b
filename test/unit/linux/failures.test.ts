import assert from 'node:assert/strict';
import { printf } from '../../../src/linux/printf';

describe("the kernel's printf", () => {
    const strings = new Map([
        [0x100n, 'init'],
        [0x200n, '/sbin/init'],
    ]);
    const print = (format: string, ...values: bigint[]): string => {
        let index = 0;
        return printf(format, {
            next: () => values[index++] ?? 0n,
            string: address => strings.get(address) ?? '',
            symbol: address => (address === 0x300n ? 'do_exit+0x10' : undefined),
        });
    };

    it('puts numbers and strings where the format wants them', () => {
        assert.equal(
            print('Attempted to kill %s! exitcode=0x%08x\n', 0x100n, 0x100n),
            'Attempted to kill init! exitcode=0x00000100\n',
        );
        assert.equal(
            print('%d %i %u %ld', 0xffffffffn, 5n, 0xffffffffffffffffn, 0xffffffffffffffffn),
            '-1 5 4294967295 -1',
        );
        assert.equal(print('[%5d|%-5d|%05d|%+d]', 42n, 42n, 0xfffffffen, 3n), '[   42|42   |-0002|3]');
        assert.equal(
            print('%#x %X %llx %hhx %o %c%%', 255n, 255n, 0xffffffff81000000n, 0x1ffn, 8n, 0x41n),
            '0xff FF ffffffff81000000 ff 10 A%',
        );
        assert.equal(print('%.3s|%-8s|%s|%8s', 0x200n, 0x100n, 0n, 0x100n), '/sb|init    |(null)|    init');
        assert.equal(print('%*d %.*s', 4n, 7n, 2n, 0x100n), '   7 in');
        assert.equal(print('%pS %px', 0x300n, 0xabcn), 'do_exit+0x10 0000000000000abc');
        assert.equal(print('100%! %'), '100%! %', 'what is no conversion stays');
        assert.ok(print('%99999999d', 1n).length <= 256, 'a corrupt format takes no memory');
    });
});

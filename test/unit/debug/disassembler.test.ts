import assert from 'node:assert/strict';
import { Disassembler } from '../../../src/debug/disassembler';

const START = 0x1000n;
const VIEW = { codeSize: 64, base: 0n } as const;

/** A stretch of code as its instructions, in hexadecimal. */
const CODE = [
    '55', // push rbp
    '48 89 e5', // mov rbp, rsp
    '48 83 ec 20', // sub rsp, 0x20
    '48 b8 11 22 33 44 55 66 77 88', // mov rax, imm64
    'c7 45 fc 00 00 00 00', // mov dword ptr [rbp-4], 0
    'eb 05', // jmp
    '83 45 fc 01', // add dword ptr [rbp-4], 1
    '90', // nop
    '0f b6 c0', // movzx eax, al
    'e8 f0 ff ff ff', // call
    'c9', // leave
    'c3', // ret
];

const bytes = CODE.flatMap(line => line.split(' ').map(byte => parseInt(byte, 16)));
/** Address of each instruction, and of the end. */
const starts = CODE.reduce<bigint[]>(
    (all, line) => [...all, all[all.length - 1] + BigInt(line.split(' ').length)],
    [START],
);

function disassembler(memory: Uint8Array = Uint8Array.from(bytes), symbols: readonly bigint[] = []): Disassembler {
    return new Disassembler({
        read: (address, length) => {
            const at = Number(address - START);
            return at < 0 || at > memory.length ? new Uint8Array(0) : memory.subarray(at, at + length);
        },
        symbol: address => (symbols.includes(address) ? `symbol_${address.toString(16)}` : undefined),
        isSymbol: address => symbols.includes(address),
    });
}

const addresses = (listing: readonly { address: bigint }[]): bigint[] => listing.map(({ address }) => address);

describe('disassembler', () => {
    it('lists forwards from an address', () => {
        assert.deepEqual(addresses(disassembler().around(START, 0, CODE.length, VIEW)), starts.slice(0, -1));
    });

    it('finds the instructions before an address', () => {
        const end = starts[starts.length - 1];
        const listing = disassembler().around(end, -CODE.length, CODE.length, VIEW);
        // The first few bytes of memory leave several readings; further on there is one.
        assert.deepEqual(addresses(listing).slice(-8), starts.slice(-9, -1));
    });

    it('reads it as it was read before', () => {
        const listing = disassembler();
        const forwards = listing.around(START, 0, CODE.length, VIEW);
        const backwards = listing.around(starts[starts.length - 1], -CODE.length, CODE.length, VIEW);
        assert.deepEqual(addresses(backwards), addresses(forwards));
    });

    it('takes a symbol for the start of an instruction', () => {
        // 0x48 before it would make `rex mov rbp, rsp`'s prefix the end of something else.
        const memory = Uint8Array.from([0xb8, 0x90, 0x90, 0x90, 0x90, 0x48, 0x89, 0xe5]);
        const at = (symbols: readonly bigint[]): bigint[] =>
            addresses(disassembler(memory, symbols).around(START + 5n, -2, 2, VIEW));
        assert.deepEqual(at([START + 3n]), [START + 3n, START + 4n]);
        assert.deepEqual(at([START]).at(-1), START);
    });

    it('always gives as many entries as were asked for', () => {
        const { length } = bytes;
        for (const offset of [-100, -50, -3, 0, 3, 50]) {
            for (const count of [0, 1, 7, 100]) {
                const listing = disassembler().around(START + 4n, offset, count, VIEW);
                assert.equal(listing.length, count, `${offset}, ${count}`);
            }
        }
        const beyond = disassembler().around(START + BigInt(length), 0, 3, VIEW);
        assert.deepEqual(
            beyond.map(({ text, bytes: none }) => [text, none.length]),
            [
                ['??', 0],
                ['??', 0],
                ['??', 0],
            ],
        );
        const atZero = disassembler().around(0n, -2, 4, VIEW);
        assert.deepEqual(addresses(atZero), [0xfffffffffffffffen, 0xffffffffffffffffn, 0n, 1n]);
    });

    it('places the instruction at the address where the offset says', () => {
        for (const offset of [-5, -1, 0]) {
            const listing = disassembler().around(starts[6], offset, 8, VIEW);
            assert.equal(listing[-offset].address, starts[6]);
        }
        assert.equal(disassembler().around(starts[6], 2, 1, VIEW)[0].address, starts[8]);
    });

    it('computes targets within the code segment and names them by linear address', () => {
        const memory = Uint8Array.from([0xe8, 0x03, 0x00]);
        const [entry] = disassembler(memory, [0x1006n]).around(START, 0, 1, { codeSize: 16, base: 0xf00n });
        assert.equal(entry.text, 'call 0x106 <symbol_1006>');
    });
});

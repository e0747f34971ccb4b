import assert from 'node:assert/strict';
import { callerInUserCode, type UserCaller, type UserMemory } from '../../../src/debug/source/user-stack';
import { AMD64, type FrameState } from '../../../src/symbols/unwind';

const CODE = 0x401000n;
const STACK = 0x7ffc00000000n;
/** Behind a call, and behind none. */
const RETURN = 0x402005n;
const NO_RETURN = 0x402100n;

class Memory implements UserMemory {
    readonly code = new Uint8Array(0x2000).fill(0x90);
    readonly stack = new Uint8Array(0x1000);

    constructor(at: readonly number[], words: readonly bigint[]) {
        this.code.set(at);
        // CALL rel32
        this.code.set([0xe8, 1, 2, 3, 4], Number(RETURN - CODE) - 5);
        words.forEach((word, index) => new DataView(this.stack.buffer).setBigUint64(index * 8, word, true));
    }

    readMemory(address: bigint, size: number): Uint8Array | undefined {
        for (const [start, bytes] of [[CODE, this.code] as const, [STACK, this.stack] as const]) {
            const offset = Number(address - start);
            if (offset >= 0 && offset + size <= bytes.length) return bytes.subarray(offset, offset + size);
        }
        return undefined;
    }

    isUserCode(address: bigint): boolean {
        return address >= CODE && address < CODE + BigInt(this.code.length);
    }
}

function state(registers: Readonly<Record<string, bigint>> = {}): FrameState {
    const all: Readonly<Record<string, bigint>> = { rsp: STACK, rip: CODE, rbx: 3n, ...registers };
    return { pc: CODE, registers: AMD64.names.map(name => all[name]), isReturn: false, user: 64 };
}

/** Address, stack pointer, RBX and RBP of the caller. */
function caller(code: readonly number[], words: readonly bigint[], registers?: Readonly<Record<string, bigint>>) {
    const found = callerInUserCode(state(registers), new Memory(code, words));
    if (found === undefined) return undefined;
    const { pc, registers: values, isReturn, user } = found.state;
    assert.deepEqual([isReturn, user, values[AMD64.programCounter]], [true, 64, pc]);
    const value = (name: string): bigint | undefined => values[AMD64.names.indexOf(name)];
    return [found.origin, pc, value('rsp')! - STACK, value('rbx'), value('rbp')];
}

const RET = 0xc3;

describe('callers in user code that nothing is known of', () => {
    it('are found by a return that follows the system call', () => {
        // CMP RAX,-4095; JAE +0x10; RET: a stub of a C library
        const stub = [0x48, 0x3d, 0x01, 0xf0, 0xff, 0xff, 0x73, 0x10, RET];
        assert.deepEqual(caller(stub, [RETURN]), ['return', RETURN, 8n, 3n, undefined]);
        assert.equal(caller(stub, [NO_RETURN]), undefined, 'no call leads there');
        assert.equal(caller(stub, [STACK]), undefined, 'no code');
        assert.equal(caller([RET], [RETURN], { rsp: 0x1000n }), undefined, 'no stack');
    });

    it('have the registers that are taken from the stack on the way', () => {
        // ADD RSP,16; POP RBX; POP RBP; JMP +1; INT3; RET
        const epilogue = [0x48, 0x83, 0xc4, 16, 0x5b, 0x5d, 0xeb, 1, 0xcc, RET];
        assert.deepEqual(caller(epilogue, [1n, 2n, 0x33n, 0x55n, RETURN]), ['return', RETURN, 40n, 0x33n, 0x55n]);
        // LEAVE; RET
        assert.deepEqual(caller([0xc9, RET], [7n, 7n, 0x55n, RETURN], { rbp: STACK + 16n }), [
            ...['return', RETURN, 32n],
            ...[3n, 0x55n],
        ]);
        // MOV RBX,RAX; RET: what it was is lost.
        assert.deepEqual(caller([0x48, 0x89, 0xc3, RET], [RETURN]), ['return', RETURN, 8n, undefined, undefined]);
    });

    it('are not made up where nobody knows what the code does to its stack', () => {
        const unclear = [
            [0xe8, 0, 0, 0, 0, RET], // CALL: may never return
            [0x50, RET], // PUSH RAX
            [0x48, 0x89, 0xc4, RET], // MOV RSP,RAX
            [0x48, 0x01, 0xc4, RET], // ADD RSP,RAX
            [0x5c, RET], // POP RSP
            [0xff, 0xe0, RET], // JMP RAX
            [0xeb, 0xfe], // JMP to itself
            [0x0f, 0x05, RET], // SYSCALL
            [0x0f, 0x0b, RET], // UD2
            [0x06], // no instruction
            Array.from({ length: 64 }, () => 0x90),
        ];
        for (const code of unclear) assert.equal(caller(code, [RETURN, RETURN]), undefined, String(code));
    });

    it('are found by frame pointers, if a call leads to where they return', () => {
        const unclear = [0xe8, 0, 0, 0, 0];
        const words = [0n, 0n, STACK + 64n, RETURN];
        assert.deepEqual(caller(unclear, words, { rbp: STACK + 16n }), [
            ...['framePointer', RETURN, 32n],
            ...[undefined, STACK + 64n],
        ]);
        assert.equal(caller(unclear, [0n, 0n, 0n, NO_RETURN], { rbp: STACK + 16n }), undefined);
        assert.equal(caller(unclear, words, { rbp: STACK + 17n }), undefined, 'not aligned');
        assert.equal(caller(unclear, words, { rbp: STACK + 16n, rsp: STACK + 24n }), undefined, 'below the stack');
        assert.equal(caller(unclear, words, { rbp: STACK + 0x200000n }), undefined, 'too far');
    });

    it('of 32-bit code under a 64-bit kernel have stacks of 32-bit words', () => {
        const STACK32 = 0xffffd000n;
        const memory = new Memory([], []);
        const words = new Uint32Array([0x55, 0x22, 0x11, Number(RETURN), 0, Number(STACK32) + 64, Number(RETURN)]);
        const of32 = (code: readonly number[], registers: Readonly<Record<string, bigint>>): UserCaller | undefined => {
            memory.code.set(code);
            const all: Readonly<Record<string, bigint>> = { rsp: STACK32, rsi: 6n, rbx: 3n, rax: 1n, ...registers };
            const read = memory.readMemory.bind(memory);
            const stack = new Uint8Array(words.buffer);
            const wide: UserMemory = {
                readMemory: (address, size) =>
                    address >= STACK32 && address + BigInt(size) <= STACK32 + BigInt(stack.length)
                        ? stack.subarray(Number(address - STACK32), Number(address - STACK32) + size)
                        : read(address, size),
                isUserCode: address => memory.isUserCode(address),
            };
            const values = AMD64.names.map(name => all[name]);
            return callerInUserCode({ pc: CODE, registers: values, isReturn: false, user: 32 }, wide);
        };
        const value = (found: UserCaller | undefined, name: string): bigint | undefined =>
            found?.state.registers[AMD64.names.indexOf(name)];

        // POP EBP; POP EDX; POP ECX; RET: what the vdso goes on with behind a system call.
        const landing = of32([0x5d, 0x5a, 0x59, RET], {});
        assert.deepEqual([landing?.origin, landing?.state.pc, landing?.state.user], ['return', RETURN, 32]);
        assert.equal(value(landing, 'rsp'), STACK32 + 16n);
        assert.deepEqual(
            ['rbp', 'rbx', 'rsi', 'rax', 'rcx'].map(name => value(landing, name)),
            [...[0x55n, 3n, 6n], ...[undefined, undefined]],
        );
        // CALL: by the frame pointer then.
        const framed = of32([0xe8, 0, 0, 0, 0], { rbp: STACK32 + 20n });
        assert.deepEqual([framed?.origin, framed?.state.pc], ['framePointer', RETURN]);
        assert.deepEqual([value(framed, 'rsp'), value(framed, 'rbp')], [STACK32 + 28n, STACK32 + 64n]);
    });
});

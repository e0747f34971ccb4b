import assert from 'node:assert/strict';
import { SourceStack, type StackMemory } from '../../../src/debug/source/source-stack';
import { ProgramSet } from '../../../src/symbols/program';
import { AMD64, I386, type RegisterNumbering, type UnwindSource } from '../../../src/symbols/unwind';

const CODE = 0x40_1000n;
const STUB = CODE + 0x100n;
const INTERRUPTED = CODE + 0x200n;
/** Behind a call. */
const RETURN = CODE + 0x305n;
const USER = 0x1000_0000n;
const STACK = 0x2000n;
const FLAGS = 0x10246n;

/** What a stub's stack holds, from the stack pointer up. */
function memoryWith(words: readonly bigint[], { addressSize }: RegisterNumbering): StackMemory {
    const stack = new DataView(new ArrayBuffer(0x400));
    words.forEach((word, index) => {
        if (addressSize === 8) stack.setBigUint64(index * 8, word, true);
        else stack.setUint32(index * 4, Number(word), true);
    });
    const code = new Uint8Array(0x1000).fill(0x90);
    code.set([0xe8, 1, 2, 3, 4], Number(RETURN - CODE) - 5);
    const read = (bytes: Uint8Array, offset: number, size: number): Uint8Array | undefined =>
        offset >= 0 && offset + size <= bytes.length ? bytes.subarray(offset, offset + size) : undefined;
    return {
        readMemory: (address, size) =>
            read(new Uint8Array(stack.buffer), Number(address - STACK), size) ??
            read(code, Number(address - CODE), size),
        isExecutable: address => address >= CODE && address < CODE + 0x1000n,
        isUserCode: address => address >= USER && address < USER + 0x1000n,
    };
}

interface Caller {
    readonly pc: bigint;
    readonly sp?: bigint;
    readonly fp?: bigint;
    readonly user?: number;
}

/** The caller of a stub. */
function callerOf(
    words: readonly bigint[],
    numbering: RegisterNumbering,
    framePointer = 0n,
    describesCompiledCode = true,
): Caller | undefined {
    const { stackPointer, framePointer: fp } = numbering;
    const registers = numbering.names.map((_, number) =>
        number === stackPointer ? STACK : number === fp ? framePointer : 0n,
    );
    const source: UnwindSource = {
        ...{ method: 'cfi', describesCompiledCode },
        step: () => undefined,
        cfa: () => undefined,
    };
    const frame = new SourceStack(new ProgramSet(), () => [source]).callerOf(
        { state: { pc: STUB, registers, isReturn: false }, numbering },
        memoryWith(words, numbering),
    );
    if (frame === undefined) return undefined;
    const { pc, user, isReturn, registers: outer } = frame.state;
    assert.equal(isReturn, frame.origin !== 'interrupt');
    return { pc, sp: outer[stackPointer], fp: outer[fp], ...(user === undefined ? {} : { user }) };
}

describe('stacks of assembler code that the processor has called', () => {
    // The stack was where the frame ends, rounded down to 16 bytes.
    const SP = STACK + 0x68n;
    const frame = [INTERRUPTED, 0x8n, FLAGS, SP, 0x10n];

    it('go on with what was interrupted, behind what a stub has pushed', () => {
        const pushed = [0n, 7n, 0xffff_ffff_ffff_ffffn, 14n, 2n];
        const { pc, sp, fp } = callerOf([0n, 0n, ...pushed, ...frame], AMD64, 0x9000n)!;
        assert.deepEqual({ pc, sp, fp }, { pc: INTERRUPTED, sp: SP, fp: 0x9000n });
    });

    it('take no frame pointer from a stub that has its own', () => {
        const words = [0n, 0n, 0n, 0n, 0n, 14n, 2n, ...frame];
        assert.equal(callerOf(words, AMD64, STACK + 0x10n)!.fp, undefined);
        // The frame pointer of what was interrupted leads past it.
        assert.equal(callerOf(words, AMD64, STACK + 0x100n)!.pc, INTERRUPTED);
    });

    it('stop at what a call has left', () => {
        assert.equal(callerOf([0n, RETURN, ...new Array<bigint>(5).fill(0n), ...frame], AMD64), undefined);
    });

    it('take nothing for an interrupt that is none', () => {
        const at = (index: number, value: bigint): bigint[] => [
            ...new Array<bigint>(7).fill(0n),
            ...frame.map((word, number) => (number === index ? value : word)),
        ];
        assert.equal(callerOf(at(0, INTERRUPTED), AMD64)!.pc, INTERRUPTED);
        for (const [index, value] of [
            [0, CODE + 0x1000n],
            [1, 0n],
            [1, 0x10008n],
            [2, 0x244n],
            [2, 0x400246n],
            [3, SP + 0x10n],
            [4, 0x13n],
        ] as const) {
            assert.equal(callerOf(at(index, value), AMD64), undefined, `${index}`);
        }
        assert.equal(callerOf(at(0, INTERRUPTED), AMD64, 0n, false), undefined, 'no tables');
    });

    it('lead to user code, and to other stacks', () => {
        const words = (cs: bigint, ss: bigint, pc: bigint): bigint[] => [0n, pc, cs, FLAGS, 0x7000_0000n, ss];
        assert.deepEqual(callerOf(words(0x33n, 0x2bn, USER + 5n), AMD64), {
            ...{ pc: USER + 5n, sp: 0x7000_0000n, fp: 0n, user: 64 },
        });
        assert.equal(callerOf(words(0x33n, 0x2bn, INTERRUPTED), AMD64), undefined);
        assert.equal(callerOf(words(0x8n, 0n, INTERRUPTED), AMD64)!.sp, 0x7000_0000n);
    });

    it('know what 32-bit processors push', () => {
        const { pc, sp } = callerOf([0n, 14n, 0n, INTERRUPTED, 0x10n, FLAGS], I386)!;
        assert.deepEqual({ pc, sp }, { pc: INTERRUPTED, sp: STACK + 24n });
        const user = callerOf([0n, USER, 0x1bn, FLAGS, 0x5000n, 0x23n], I386)!;
        assert.deepEqual([user.pc, user.sp, user.user], [USER, 0x5000n, 32]);
    });
});

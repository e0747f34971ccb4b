import assert from 'node:assert/strict';
import { SourceStack, type StackMemory } from '../../../src/debug/source/source-stack';
import { ProgramSet } from '../../../src/symbols/program';
import { AMD64, type FrameState, type UnwindSource, type UnwindStep } from '../../../src/symbols/unwind';

const CODE = 0x401000n;
/** Behind a call, and behind none. */
const RETURN = 0x401105n;
const OTHER = 0x401200n;
/** Outside of what tables describe. */
const SIDE = 0x401300n;
const PUSHING = 0x401400n;

const memory: StackMemory = {
    readMemory(address, size) {
        const code = new Uint8Array(0x1000).fill(0x90);
        // CALL rel32
        code.set([0xe8, 1, 2, 3, 4], Number(RETURN - CODE) - 5);
        // TEST BYTE PTR [RIP],1; JNE; JMP CODE: and the same behind a PUSH
        const side = [0xf6, 0x05, 0, 0, 0, 0, 1, 0x0f, 0x85, 0, 1, 0, 0, 0xe9];
        const distance = new Uint8Array(Int32Array.of(Number(CODE - SIDE) - side.length - 4).buffer);
        code.set([...side, ...distance], Number(SIDE - CODE));
        code.set(
            [0x50, 0xe9, ...new Uint8Array(Int32Array.of(Number(CODE - PUSHING) - 6).buffer)],
            Number(PUSHING - CODE),
        );
        const offset = Number(address - CODE);
        return offset >= 0 && offset + size <= code.length ? code.subarray(offset, offset + size) : undefined;
    },
    isExecutable: address => address >= CODE && address < CODE + 0x1000n,
    isUserCode: () => false,
};

/** Tells of the innermost frame alone. */
function tells(method: 'cfi' | 'orc', of: 'end' | bigint, isReturn = true): UnwindSource {
    const step = (pc: bigint): UnwindStep => ({
        ...{ kind: 'caller', cfa: 0x2000n },
        frame: { pc, registers: AMD64.names.map((_, number) => (number === 7 ? 0x2000n : undefined)), isReturn },
    });
    return {
        method,
        step: ({ pc }) => (pc !== CODE ? undefined : of === 'end' ? { kind: 'end' } : step(of)),
        cfa: () => undefined,
    };
}

function caller(...sources: readonly UnwindSource[]): unknown {
    return callerOf(CODE, ...sources);
}

function callerOf(pc: bigint, ...sources: readonly UnwindSource[]): unknown {
    const state: FrameState = { pc, registers: AMD64.names.map(() => 0x1000n), isReturn: false };
    const frames = new SourceStack(new ProgramSet(), () => sources).walk(state, AMD64, memory);
    return frames?.slice(1).map(frame => [frame.state.pc, frame.origin]);
}

describe('stacks by several tables', () => {
    it('take the first that tells, if a call leads to the caller', () => {
        assert.deepEqual(caller(tells('cfi', RETURN), tells('orc', OTHER)), [[RETURN, 'cfi']]);
        assert.deepEqual(caller(tells('cfi', OTHER), tells('orc', RETURN)), [[RETURN, 'orc']]);
    });

    it('take the first where no call leads to any of them', () => {
        assert.deepEqual(caller(tells('cfi', OTHER), tells('orc', OTHER + 8n)), [[OTHER, 'cfi']]);
        assert.deepEqual(caller(tells('cfi', OTHER), tells('orc', 'end')), [[OTHER, 'cfi']]);
        assert.deepEqual(caller(tells('cfi', OTHER)), [[OTHER, 'cfi']]);
    });

    it('ask for no call where code was interrupted', () => {
        assert.deepEqual(caller(tells('cfi', OTHER, false), tells('orc', RETURN)), [[OTHER, 'cfi']]);
    });

    it('go by where code outside of all functions jumps back to, if it leaves the stack alone', () => {
        assert.deepEqual(callerOf(SIDE, tells('cfi', RETURN)), [[RETURN, 'cfi']]);
        assert.equal(callerOf(PUSHING, tells('cfi', RETURN)), undefined);
        assert.equal(callerOf(OTHER, tells('cfi', RETURN)), undefined);
    });

    it('go by the registers that kernels with frame pointers have saved, and point to one too high', () => {
        const STACK = 0x2000n;
        const REGS = STACK + 0x40n;
        // struct pt_regs: r15…, then orig_ax, ip, cs, flags, sp, ss.
        const words: Readonly<Record<number, bigint>> = {
            4: 0x2100n,
            5: 0xbbn,
            16: OTHER,
            17: 0x10n,
            19: 0x20f0n,
            20: 0x18n,
        };
        const walk = (cs: bigint, fp: bigint): unknown => {
            const withStack: StackMemory = {
                ...memory,
                readMemory: (address, size) => {
                    if (address < REGS || address + BigInt(size) > REGS + 168n) return memory.readMemory(address, size);
                    const bytes = new DataView(new ArrayBuffer(168));
                    for (const [index, word] of Object.entries(words)) {
                        bytes.setBigUint64(Number(index) * 8, index === '17' ? cs : word, true);
                    }
                    return new Uint8Array(bytes.buffer, Number(address - REGS), size);
                },
                isUserCode: () => true,
            };
            const registers = AMD64.names.map(name => (name === 'rbp' ? fp : name === 'rsp' ? STACK : 0n));
            const source: UnwindSource = { method: 'cfi', step: () => undefined, cfa: () => undefined };
            const frame = new SourceStack(new ProgramSet(), () => [source]).callerOf(
                { state: { pc: CODE, registers, isReturn: false }, numbering: AMD64 },
                withStack,
            );
            const { pc, registers: values, isReturn, user } = frame?.state ?? {};
            return frame && [pc, values![6], values![7], values![3], isReturn, user, frame.origin];
        };
        assert.deepEqual(walk(0x10n, REGS + 1n), [OTHER, 0x2100n, 0x20f0n, 0xbbn, false, undefined, 'framePointer']);
        assert.deepEqual((walk(0x33n, REGS + 1n) as unknown[])[5], 64, 'user code');
        assert.equal(walk(0x77n, REGS + 1n), undefined, 'no selector of Linux');
        assert.equal(walk(0x10n, REGS + 3n), undefined, 'no pointer of any kind');
    });
});

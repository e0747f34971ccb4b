/**
 * Callers of assembler code that no table describes, such as the stubs that a kernel's IDT leads to: what the processor
 * has pushed there (SDM volume 3, 7.12.1 and 7.14.2) tells what was interrupted.
 */
import { AMD64, type FrameState, readUnsigned, type RegisterNumbering, USER32_CS } from '../../symbols/unwind';
import type { StackMemory } from './source-stack';

/** Stubs push an error code, a vector, and registers: with segments 22 words. */
const MOST_WORDS = 64;
/** RFLAGS bits: bit 1 is one; 3, 5, 15 and from 22 on are zero. */
const FLAGS_ONE = 1n << 1n;
const FLAGS_ZERO = ~0x3f7fd7n;

/**
 * The code that was interrupted, if the stack leads to it before it leads to where a call returns.
 * @param isReturnAddress whether a word addresses code behind a call
 */
export function interruptedCode(
    state: FrameState,
    numbering: RegisterNumbering,
    memory: StackMemory,
    isReturnAddress: (word: bigint) => boolean,
): FrameState | undefined {
    const { stackPointer, addressSize } = numbering;
    const sp = state.registers[stackPointer];
    if (sp === undefined) return undefined;
    const size = BigInt(addressSize);
    const word = (at: bigint): bigint | undefined => readUnsigned(memory, at, addressSize);
    for (let index = 0; index < MOST_WORDS; index++) {
        const at = sp + BigInt(index) * size;
        const pc = word(at);
        if (pc === undefined) return undefined;
        if (pc < 0x1000n) continue;
        const frame = readFrame(at, size, word);
        if (frame !== undefined && (frame.fromUser ? memory.isUserCode(pc) : memory.isExecutable(pc))) {
            return outerState(pc, frame, sp, at, state, numbering);
        }
        if (isReturnAddress(pc)) return undefined;
    }
    return undefined;
}

interface PushedFrame {
    readonly cs: bigint;
    readonly fromUser: boolean;
    readonly stackPointer: bigint;
}

/** What the processor pushes: the address, CS, the flags; the stack as well where it switches it, and always in 64 bits. */
function readFrame(at: bigint, size: bigint, word: (at: bigint) => bigint | undefined): PushedFrame | undefined {
    const cs = word(at + size);
    const flags = word(at + 2n * size);
    if (cs === undefined || flags === undefined || !isFlags(flags) || cs > 0xffffn || cs < 8n) return undefined;
    const ring = cs & 3n;
    const fromUser = ring === 3n;
    if (size === 4n && !fromUser) return { cs, fromUser, stackPointer: at + 3n * size };
    const stackPointer = word(at + 3n * size);
    const ss = word(at + 4n * size);
    if (stackPointer === undefined || ss === undefined || ss > 0xffffn) return undefined;
    // 64-bit code of ring 0 may run with a null SS.
    const isStack = (ss & 3n) === ring && (ss >= 8n || (size === 8n && ring === 0n));
    // In 64 bits the frame lies below an aligned address: of the stack that was interrupted, or the top of another one.
    const isAligned = size === 4n || (at + 5n * size) % 16n === 0n;
    const isThisStack = stackPointer >= at && stackPointer < at + 0x1000n;
    const isBelow = fromUser || size === 4n || !isThisStack || at + 5n * size === (stackPointer & ~15n);
    return isStack && isAligned && isBelow ? { cs, fromUser, stackPointer } : undefined;
}

function isFlags(flags: bigint): boolean {
    return (flags & FLAGS_ONE) !== 0n && (flags & FLAGS_ZERO) === 0n;
}

/** Of the other registers those are taken as they are that C code preserves: stubs save the rest, and use them. */
function outerState(
    pc: bigint,
    { cs, fromUser, stackPointer }: PushedFrame,
    sp: bigint,
    at: bigint,
    { registers }: FrameState,
    numbering: RegisterNumbering,
): FrameState {
    const outer: (bigint | undefined)[] = registers.map(() => undefined);
    for (const number of numbering.preserved) {
        const value = registers[number];
        // One that points into the stub's own stack is the stub's.
        if (value !== undefined && (value < sp || value > at)) outer[number] = value;
    }
    outer[numbering.stackPointer] = stackPointer;
    outer[numbering.programCounter] = pc;
    const width = numbering === AMD64 && cs !== USER32_CS ? 64 : 32;
    return { pc, registers: outer, isReturn: false, ...(fromUser ? { user: width } : {}) };
}

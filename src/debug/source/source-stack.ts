/**
 * The call stack as debugging information tells it: physical frames by call frame information, ORC tables and frame
 * pointers, in this order of trust, and the functions that were inlined into them.
 */
import type { Block } from '../../symbols/dwarf/blocks';
import { savedFrame } from '../../symbols/orc';
import type { Program, ProgramSet } from '../../symbols/program';
import {
    AMD64,
    type FrameState,
    I386,
    lookupAddress,
    readUnsigned,
    type RegisterNumbering,
    type UnwindSource,
    USER_END,
} from '../../symbols/unwind';
import type { FrameOrigin } from '../stack';
import { followsCall } from '../stack-scan';
import { whatIsReadable } from './program-lines';
import { jumpTarget } from './side-code';
import { interruptedCode } from './interrupt-frame';
import { callerInUserCode, type UserMemory } from './user-stack';

/** Deeper stacks are loops. */
const DEEPEST = 512;

/** A frame with a stack of its own, before inlined functions are told apart. */
export interface PhysicalFrame {
    readonly state: FrameState;
    readonly numbering: RegisterNumbering;
    /** How it was found; absent for the innermost. */
    readonly origin?: FrameOrigin;
    /** It has left the stack by a tail call. */
    readonly isTailCall?: boolean;
    /** The next outer frame; null if there is none, absent until somebody has looked. */
    caller?: PhysicalFrame | null;
}

/** A frame as users think of it. */
export interface SourceFrame {
    readonly physical: PhysicalFrame;
    /** The program that the code is of; absent where nothing is known. */
    readonly program?: Program;
    /** The function or inlined call, and the lexical blocks in it that the code is in, from outside in. */
    readonly blocks: readonly Block[];
    /** A frame inside of `physical` that the compiler made of a call. */
    readonly isInlined: boolean;
    readonly name?: string;
    /** As the debugging information names it. */
    readonly path?: string;
    readonly line?: number;
    readonly column?: number;
}

export interface StackMemory extends UserMemory {
    /** Whether code could be executed at a linear address. */
    isExecutable(address: bigint): boolean;
}

/** Unwinds from a vCPU's registers. */
export class SourceStack {
    constructor(
        private readonly programs: ProgramSet,
        /** Ways to unwind code of no program: the tables of a kernel without symbols. */
        private readonly others: () => readonly UnwindSource[] = () => [],
    ) {}

    /**
     * The physical frames, innermost first.
     * @returns undefined if nothing is known of the innermost frame: then other means have to do
     */
    walk(innermost: FrameState, numbering: RegisterNumbering, memory: StackMemory): PhysicalFrame[] | undefined {
        const frames: PhysicalFrame[] = [{ state: innermost, numbering }];
        const seen = new Set<string>([keyOf(innermost, numbering)]);
        let trusted = innermost.user !== undefined;
        while (frames.length < DEEPEST) {
            const last = frames[frames.length - 1];
            const next = this.step(last, memory, trusted);
            if (next === 'end') {
                trusted = true;
                break;
            }
            if (next === undefined) break;
            const key = keyOf(next.state, numbering);
            if (seen.has(key)) break;
            seen.add(key);
            if (next.origin !== 'framePointer') trusted = true;
            last.caller = next;
            frames.push(next);
        }
        return trusted ? frames : undefined;
    }

    /** The frame that a frame was called from. */
    callerOf(frame: PhysicalFrame, memory: StackMemory): PhysicalFrame | undefined {
        if (frame.caller === undefined) {
            const next = this.step(frame, memory, true);
            frame.caller = next === 'end' || next === undefined ? null : next;
        }
        return frame.caller ?? undefined;
    }

    /** The canonical frame address: the stack pointer before the call. */
    cfaOf({ state, numbering }: PhysicalFrame, memory: StackMemory): bigint | undefined {
        for (const source of this.sourcesFor(state, numbering)) {
            const cfa = whatIsReadable(() => source.cfa(state, memory));
            if (cfa !== undefined) return cfa;
        }
        return undefined;
    }

    private sourcesFor(state: FrameState, numbering: RegisterNumbering): readonly UnwindSource[] {
        const program = this.programs.at(lookupAddress(state));
        return [...(program?.numbering === numbering ? program.unwinders : []), ...this.others()];
    }

    /**
     * @param afterTrusted whether frame pointers may carry on where the tables end
     * @param isSide the frame is where code that no table describes has jumped to
     */
    private step(
        { state, numbering }: PhysicalFrame,
        memory: StackMemory,
        afterTrusted: boolean,
        isSide = false,
    ): PhysicalFrame | 'end' | undefined {
        const { pc, isReturn, user } = state;
        const program = this.programs.at(lookupAddress(state));
        let doubtful: PhysicalFrame | undefined;
        const sources = this.sourcesFor(state, numbering);
        for (const source of sources) {
            const step = whatIsReadable(() => source.step(state, memory));
            if (step === undefined) continue;
            if (step.kind === 'end') {
                if (doubtful !== undefined) break;
                return source.method === 'orc' ? (this.outOfThunk(state, numbering, memory) ?? 'end') : 'end';
            }
            const outer = user === undefined ? step.frame : { ...step.frame, user };
            // An address that is no code comes from a frame that was misread, or is not set up yet.
            if (!isCode(outer, memory)) {
                if (outer.pc < 0x1000n) return 'end';
                continue;
            }
            const found: PhysicalFrame = { state: outer, numbering, origin: source.method };
            // Compilers do not know what assembly code inside of a function pushes: a kernel's own tables do.
            const isCertain = user !== undefined || !outer.isReturn || isBehindCall(outer.pc, numbering, memory);
            if (isCertain) return found;
            doubtful ??= found;
        }
        if (doubtful !== undefined) {
            return doubtful;
        }
        if (user !== undefined) {
            const caller = callerInUserCode(state, memory);
            return caller && { ...caller, numbering };
        }
        const target = isReturn ? undefined : jumpTarget(pc, numbering.addressSize === 8 ? 64 : 32, memory);
        if (target !== undefined && !isSide) {
            const caller = this.step({ state: { ...state, pc: target }, numbering }, memory, afterTrusted, true);
            if (caller !== undefined) return caller;
        }
        // A frame pointer need not be that of assembler code.
        const interrupted = sources.some(({ describesCompiledCode }) => describesCompiledCode)
            ? interruptedCode(state, numbering, memory, word => isReturnAddress(word, numbering, memory))
            : undefined;
        if (interrupted !== undefined) return { state: interrupted, numbering, origin: 'interrupt' };
        return afterTrusted || program !== undefined ? byFramePointer(state, numbering, memory) : undefined;
    }

    /**
     * ORC calls code that keeps no stack of its own an end: what a kernel begins with, but also the thunks that stand in
     * for indirect jumps, whose return address is where the stack pointer points.
     */
    private outOfThunk(
        { pc, registers, isReturn }: FrameState,
        numbering: RegisterNumbering,
        memory: StackMemory,
    ): PhysicalFrame | undefined {
        const { stackPointer, programCounter, addressSize } = numbering;
        const sp = registers[stackPointer];
        const saved = sp === undefined ? undefined : readUnsigned(memory, sp, addressSize);
        const isCall = saved !== undefined && this.isKnown(saved - 1n) && memory.isExecutable(saved);
        // Behind a call in the thunk itself, or in its first instructions: deeper it would be a guess.
        if (!isCall || (isReturn && !this.isKnown(pc))) {
            return undefined;
        }
        const outer = [...registers];
        outer[stackPointer] = sp! + BigInt(addressSize);
        outer[programCounter] = saved;
        return { state: { pc: saved, registers: outer, isReturn: true }, numbering, origin: 'orc' };
    }

    private isKnown(address: bigint): boolean {
        return (
            this.programs.at(address) !== undefined || this.others().some(source => source.isAbout?.(address) === true)
        );
    }

    /** The frames that users think of, innermost first. */
    *expand(frames: readonly PhysicalFrame[]): Generator<SourceFrame> {
        for (const physical of frames) {
            const address = lookupAddress(physical.state);
            const program = this.programs.at(address);
            const linked = program?.linked(address);
            const chain = program === undefined ? [] : (whatIsReadable(() => program.info.blocksAt(linked!)) ?? []);
            if (program === undefined || linked === undefined || chain.length === 0) {
                const position = program && whatIsReadable(() => program.info.positionAt(linked!));
                yield { physical, program, blocks: [], isInlined: false, ...position };
                continue;
            }
            const { info } = program;
            let position = whatIsReadable(() => info.positionAt(linked));
            for (let end = chain.length; end > 0;) {
                let start = end - 1;
                while (start > 0 && chain[start].kind === 'lexical') start--;
                const head = chain[start];
                yield {
                    ...{ physical, program, blocks: chain.slice(start, end), isInlined: head.kind === 'inlined' },
                    name: whatIsReadable(() => info.nameOf(head)),
                    ...position,
                };
                position = head.kind === 'inlined' ? whatIsReadable(() => info.callSiteOf(head)) : undefined;
                end = start;
            }
        }
    }
}

/** Whether a frame can be where it says. */
function isCode(frame: FrameState, memory: StackMemory): boolean {
    const { pc, user, isReturn } = frame;
    if (user === undefined) {
        return memory.isExecutable(lookupAddress(frame));
    }
    // What a kernel was entered from is what the processor has saved: the page may be gone, or may never have been there.
    return isReturn ? memory.isUserCode(pc - 1n) : pc < USER_END;
}

function isBehindCall(pc: bigint, { addressSize }: RegisterNumbering, memory: StackMemory): boolean {
    const codeBefore = (end: bigint, length: number): Uint8Array =>
        memory.readMemory(end - BigInt(length), length) ?? new Uint8Array(0);
    return followsCall(addressSize === 8 ? 64 : 32, pc, codeBefore);
}

function isReturnAddress(word: bigint, numbering: RegisterNumbering, memory: StackMemory): boolean {
    return memory.isExecutable(word - 1n) && isBehindCall(word, numbering, memory);
}

function keyOf({ pc, registers }: FrameState, { stackPointer }: RegisterNumbering): string {
    return `${pc}/${registers[stackPointer] ?? ''}`;
}

/** As functions that keep a frame pointer leave their stack. */
function byFramePointer(
    state: FrameState,
    numbering: RegisterNumbering,
    memory: StackMemory,
): PhysicalFrame | undefined {
    const { registers } = state;
    const { framePointer, stackPointer, programCounter, addressSize } = numbering;
    const fp = registers[framePointer];
    const sp = registers[stackPointer];
    const size = BigInt(addressSize);
    // Linux kernels with frame pointers leave there, one too high, where they have saved what an entry interrupted.
    if (numbering === AMD64 && fp !== undefined && sp !== undefined && fp > sp && fp % 8n === 1n) {
        const saved = savedFrame(fp - 1n, state, memory);
        return saved !== undefined && isCode(saved, memory)
            ? { state: saved, numbering, origin: 'framePointer' }
            : undefined;
    }
    if (fp === undefined || sp === undefined || fp < sp || fp % size !== 0n) {
        return undefined;
    }
    const saved = readUnsigned(memory, fp, addressSize);
    const pc = readUnsigned(memory, fp + size, addressSize);
    if (saved === undefined || pc === undefined || pc < 0x1000n || !memory.isExecutable(pc - 1n)) {
        return undefined;
    }
    const outer: (bigint | undefined)[] = registers.map(() => undefined);
    outer[framePointer] = saved;
    outer[stackPointer] = fp + 2n * size;
    outer[programCounter] = pc;
    return { state: { pc, registers: outer, isReturn: true }, numbering, origin: 'framePointer' };
}

/** The numbering of the registers by the width of the code; none for 16 bits. */
export function numberingFor(codeSize: number): RegisterNumbering | undefined {
    return codeSize === 64 ? AMD64 : codeSize === 32 ? I386 : undefined;
}

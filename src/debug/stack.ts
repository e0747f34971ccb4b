/** The call stack: as frame pointers tell it and, where there are none, as return addresses on the stack suggest. */
import type { Cpu } from '../machine/cpu/cpu';
import { Gpr, OperandKind, Segment } from '../isa/x86/instruction';
import { codeSize, segmentLinear, stackSize } from './address';
import { scanForReturns, SCANNED_WORDS } from './stack-scan';
import type { CodeView, Disassembler } from './disassembler';
import type { MemoryView } from './memory-access';

/**
 * What told of a frame: call frame information, a kernel's ORC tables, frame pointers, a RET that the code goes straight
 * on to, or what the processor pushed when it interrupted the frame's code.
 */
export type FrameOrigin = 'cfi' | 'orc' | 'framePointer' | 'return' | 'interrupt';

export interface Frame {
    /** Linear address of the instruction: the next one to execute, or the one that is returned to. */
    readonly pc: bigint;
    /** Stack pointer (offset in SS) on return to this frame; for the innermost one, as it is. */
    readonly stackPointer: bigint;
    /** Found by looking through the stack: it may be left over from an earlier call. */
    readonly guessed?: boolean;
    /** How it was found, where that is known; absent for the innermost. */
    readonly origin?: FrameOrigin;
    /** The compiler has put this function's code into its caller: the frame has no stack of its own. */
    readonly inlined?: boolean;
}

/** Deeper stacks are loops of corrupt frame pointers. */
const DEEPEST = 256;

export function codeView(cpu: Cpu): CodeView {
    return { codeSize: codeSize(cpu), base: segmentLinear(cpu, Segment.Cs, 0n) };
}

/** Linear address of the next instruction. */
export function programCounter(cpu: Cpu): bigint {
    return segmentLinear(cpu, Segment.Cs, (BigInt(cpu.ripHi) << 32n) | BigInt(cpu.ripLo));
}

/** RSP, as wide as the stack is. */
export function stackPointer(cpu: Cpu): bigint {
    return BigInt.asUintN(stackSize(cpu), cpu.gpr64(Gpr.Rsp));
}

export function walkStack(cpu: Cpu, memory: MemoryView, disassembler: Disassembler): Frame[] {
    const walker = new StackWalker(cpu, memory, disassembler);
    return walker.walk();
}

class StackWalker {
    /** Bytes of a return address and of a saved frame pointer. */
    private readonly width: number;
    private readonly view: CodeView;

    constructor(
        private readonly cpu: Cpu,
        private readonly memory: MemoryView,
        private readonly disassembler: Disassembler,
    ) {
        this.view = codeView(cpu);
        this.width = this.view.codeSize / 8;
    }

    walk(): Frame[] {
        const { cpu } = this;
        const innermost: Frame = { pc: programCounter(cpu), stackPointer: stackPointer(cpu) };
        const frames = [innermost];
        let framePointer = BigInt.asUintN(stackSize(cpu), cpu.gpr64(Gpr.Rbp));
        const pushed = this.pushedSinceCall(innermost.pc);
        if (pushed !== undefined) {
            const caller = this.returnAt(innermost.stackPointer + BigInt(pushed * this.width));
            if (caller !== undefined) {
                frames.push(caller);
            }
        }
        while (frames.length < DEEPEST) {
            const last = frames[frames.length - 1];
            const caller =
                framePointer >= last.stackPointer && framePointer % BigInt(Math.min(this.width, 8)) === 0n
                    ? this.returnAt(framePointer + BigInt(this.width))
                    : undefined;
            const saved = caller && this.stackWord(framePointer);
            if (caller === undefined || saved === undefined) {
                return [...frames, ...this.scan(last)];
            }
            frames.push(caller);
            framePointer = saved;
        }
        return frames;
    }

    /**
     * How many words lie above the return address in a function that has not set up its frame, or has taken it down:
     * undefined where RBP belongs to the function already.
     */
    private pushedSinceCall(pc: bigint): number | undefined {
        let { instruction } = this.disassembler.at(pc, this.view);
        if (instruction?.row.mnemonic.startsWith('ENDBR') === true) {
            instruction = this.disassembler.at(pc + BigInt(instruction.length), this.view).instruction;
        }
        const [first, second] = instruction?.operands ?? [];
        const isFramePointer = first?.kind === OperandKind.Gpr && first.register === (Gpr.Rbp as number);
        switch (instruction?.row.mnemonic) {
            case 'PUSH':
                return isFramePointer ? 0 : undefined;
            case 'MOV':
                return isFramePointer && second.kind === OperandKind.Gpr && second.register === (Gpr.Rsp as number)
                    ? 1
                    : undefined;
            case 'RET':
                return 0;
            default:
                return undefined;
        }
    }

    /** The frame that the return address at an offset in the stack leads to, if it can be one. */
    private returnAt(offset: bigint): Frame | undefined {
        const address = this.stackWord(offset);
        if (address === undefined || address === 0n) {
            return undefined;
        }
        const pc = segmentLinear(this.cpu, Segment.Cs, address);
        const isCode = this.memory.read({ space: 'linear', offset: pc }, 1).length === 1;
        return isCode ? { pc, stackPointer: offset + BigInt(this.width) } : undefined;
    }

    /** Callers of the outermost frame that is known for sure. */
    private scan({ stackPointer }: Frame): Frame[] {
        const { memory, view, width } = this;
        const bytes = memory.read(
            { space: 'linear', offset: segmentLinear(this.cpu, Segment.Ss, stackPointer) },
            SCANNED_WORDS * width,
        );
        const linear = (address: bigint): bigint => segmentLinear(this.cpu, Segment.Cs, address);
        return scanForReturns({
            bytes,
            width,
            codeSize: view.codeSize,
            codeBefore: (address, length) => {
                const end = linear(address);
                return memory.isExecutable(end)
                    ? memory.read({ space: 'linear', offset: end - BigInt(length) }, length)
                    : new Uint8Array(0);
            },
        }).map(({ address, offset }) => ({
            pc: linear(address),
            stackPointer: stackPointer + BigInt(offset + width),
            guessed: true,
        }));
    }

    private stackWord(offset: bigint): bigint | undefined {
        return this.memory.readNumber(
            { space: 'linear', offset: segmentLinear(this.cpu, Segment.Ss, offset) },
            this.width,
        );
    }
}

/** What a vCPU does in terms of source code. */
import type { ProgramSet } from '../../symbols/program';
import type { FrameState, RegisterNumbering, UnwindSource } from '../../symbols/unwind';
import { codeSize } from '../address';
import { translateAddress } from '../memory-access';
import { programCounter } from '../stack';
import type { VcpuView } from '../vcpu-view';
import { numberingFor, type SourceFrame, SourceStack, type StackMemory } from './source-stack';

/** The general registers in DWARF's order, as `Gpr` numbers them. */
const AMD64_GPRS = [0, 2, 1, 3, 6, 7, 5, 4, 8, 9, 10, 11, 12, 13, 14, 15];
const I386_GPRS = [0, 1, 2, 3, 4, 5, 6, 7];

export class SourceView {
    private readonly sourceStack: SourceStack;
    private cached: { readonly key: string; readonly frames: readonly SourceFrame[] | undefined } | undefined;

    constructor(
        private readonly view: VcpuView,
        programs: ProgramSet,
        others: readonly UnwindSource[] = [],
    ) {
        this.sourceStack = new SourceStack(programs, others);
    }

    /** Something was changed by hand. */
    invalidate(): void {
        this.cached = undefined;
    }

    /** The frames, innermost first; undefined if debugging information tells nothing of where the vCPU is. */
    get frames(): readonly SourceFrame[] | undefined {
        const { cpu } = this.view;
        const key = `${cpu.hooks.retired()}/${programCounter(cpu)}/${cpu.gpr64(4)}`;
        if (this.cached?.key !== key) {
            this.cached = { key, frames: this.readFrames() };
        }
        return this.cached.frames;
    }

    get memory(): StackMemory {
        const { cpu, memory } = this.view;
        return {
            readMemory: (offset, size) => {
                const bytes = memory.read({ space: 'linear', offset: BigInt.asUintN(64, offset) }, size);
                return bytes.length === size ? bytes : undefined;
            },
            isExecutable: address =>
                translateAddress(cpu, BigInt.asUintN(64, address)).walk?.mapping?.executable === true,
        };
    }

    private readFrames(): readonly SourceFrame[] | undefined {
        const numbering = numberingFor(codeSize(this.view.cpu));
        const frames = numbering && this.sourceStack.walk(this.innermost(numbering), numbering, this.memory);
        return frames && [...this.sourceStack.expand(frames)];
    }

    private innermost({ addressSize }: RegisterNumbering): FrameState {
        const { cpu } = this.view;
        const pc = programCounter(cpu);
        const numbers = addressSize === 8 ? AMD64_GPRS : I386_GPRS;
        const registers = numbers.map(register => BigInt.asUintN(addressSize * 8, cpu.gpr64(register)));
        return { pc, registers: [...registers, pc], isReturn: false };
    }
}

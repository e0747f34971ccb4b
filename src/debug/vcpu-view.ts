import type { Cpu } from '../machine/cpu/cpu';
import { ActivityState } from '../machine/state';
import type { SymbolTable } from '../symbols/symbol-table';
import { CpuContext } from './cpu-context';
import { Disassembler } from './disassembler';
import type { EvaluationContext } from './expression/context';
import type { MemoryView } from './memory-access';
import { programCounter } from './stack';

/** One vCPU with everything the debugger looks at it through. */
export class VcpuView {
    readonly context: EvaluationContext;
    /** What conditions and log messages see: with debugging information, the variables of the innermost frame too. */
    expressions: EvaluationContext;
    readonly disassembler: Disassembler;
    private resumedAt = { retired: -1, pc: -1n };

    /** @param changed registers were written */
    constructor(
        readonly cpu: Cpu,
        readonly memory: MemoryView,
        private readonly symbols: SymbolTable,
        changed: () => void,
        /** Why the value of a register is not known, if so. */
        unknown?: (register: string) => string | undefined,
    ) {
        this.context = new CpuContext(cpu, memory, symbols, changed, unknown);
        this.expressions = this.context;
        this.disassembler = new Disassembler({
            read: (offset, length) => memory.read({ space: 'linear', offset }, length),
            symbol: address => symbols.format(address),
            isSymbol: address => symbols.at(address)?.offset === 0n,
        });
    }

    /** A linear address with its symbol's name, or alone. */
    placeName(address: bigint): string {
        return this.symbols.format(address) ?? `0x${address.toString(16)}`;
    }

    get isActive(): boolean {
        return this.cpu.activity === ActivityState.Active;
    }

    /** The vCPU goes on from here: what stopped it here must not stop it again. */
    markResumed(): void {
        this.resumedAt = { retired: this.cpu.hooks.retired(), pc: programCounter(this.cpu) };
    }

    /** Whether the vCPU is still at the instruction that it went on from. */
    get isWhereResumed(): boolean {
        const { retired, pc } = this.resumedAt;
        return this.cpu.hooks.retired() === retired && programCounter(this.cpu) === pc;
    }
}

import type { Cpu } from '../machine/cpu/cpu';
import type { GuestMemory } from '../machine/memory';
import { ActivityState } from '../machine/state';
import type { SymbolTable } from '../symbols/symbol-table';
import { CpuContext } from './cpu-context';
import { Disassembler } from './disassembler';
import type { EvaluationContext } from './expression/evaluator';
import { MemoryAccess } from './memory-access';
import { programCounter } from './stack';

/** One vCPU with everything the debugger looks at it through. */
export class VcpuView {
    readonly memory: MemoryAccess;
    readonly context: EvaluationContext;
    /** What conditions and log messages see: with debugging information, the variables of the innermost frame too. */
    expressions: EvaluationContext;
    readonly disassembler: Disassembler;
    private resumedAt = { retired: -1, pc: -1n };

    /** @param changed registers were written */
    constructor(
        readonly cpu: Cpu,
        memory: GuestMemory,
        private readonly symbols: SymbolTable,
        changed: () => void,
    ) {
        this.memory = new MemoryAccess(cpu, memory);
        this.context = new CpuContext(cpu, this.memory, symbols, changed);
        this.expressions = this.context;
        this.disassembler = new Disassembler({
            read: (offset, length) => this.memory.read({ space: 'linear', offset }, length),
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

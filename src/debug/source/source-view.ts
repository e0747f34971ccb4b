/** What a vCPU does in terms of source code: frames, variables, and expressions over them. */
import { HyperscopeError } from '../../common/errors';
import type { Unit } from '../../symbols/dwarf/unit';
import type { GlobalName, Program, ProgramSet, TypeSource } from '../../symbols/program';
import type { SymbolTable } from '../../symbols/symbol-table';
import type { CType } from '../../symbols/types';
import { AMD64, type FrameState, lookupAddress, numberOf, type RegisterNumbering } from '../../symbols/unwind';
import { GPR_NAMES, HIGH_BYTE_NAMES } from '../../isa/x86';
import { codeSize } from '../address';
import type { EvaluationContext } from '../expression/context';
import { EvaluationProblem } from '../expression/error';
import { loadValue, UNREAD } from '../expression/memory';
import { makeValue, readsAsTyped, type Value } from '../expression/value';
import { findRegister } from '../registers/register-file';
import { programCounter } from '../stack';
import type { VcpuView } from '../vcpu-view';
import type { DiscoveredKernel } from './discovered-kernel';
import { type FrameHost, FrameReader, type FrameVariable, variablesOf } from './frame-variables';
import { whatIsReadable } from './program-lines';
import { numberingFor, type PhysicalFrame, type SourceFrame, SourceStack, type StackMemory } from './source-stack';
import { tailCallsBetween } from './tail-calls';
import { ValuePresenter } from './value-text';
import type { VariableScope, VariableView } from './variable-view';

/** The general registers in DWARF's order, as `Gpr` numbers them. */
const AMD64_GPRS = [0, 2, 1, 3, 6, 7, 5, 4, 8, 9, 10, 11, 12, 13, 14, 15];
const I386_GPRS = [0, 1, 2, 3, 4, 5, 6, 7];

/** Names of the instruction pointer, by their width in bytes. */
const POINTER_NAMES: Readonly<Record<number, string>> = { 8: 'rip', 4: 'eip', 2: 'ip' };

/** The bits of a general register, or of the instruction pointer, that a name stands for; `of`: names of the whole one. */
function partOf(name: string): { readonly of: readonly string[]; shift: bigint; width: number } | undefined {
    const high = HIGH_BYTE_NAMES.indexOf(name);
    if (high >= 0) {
        return { of: [GPR_NAMES[8][high], GPR_NAMES[4][high]], shift: 8n, width: 8 };
    }
    for (const bytes of [8, 4, 2, 1]) {
        const index = GPR_NAMES[bytes].indexOf(name);
        const width = 8 * bytes;
        if (index >= 0) return { of: [GPR_NAMES[8][index], GPR_NAMES[4][index]], shift: 0n, width };
        if (POINTER_NAMES[bytes] === name) return { of: ['rip', 'eip'], shift: 0n, width };
    }
    return undefined;
}

export class SourceView {
    readonly presenter: ValuePresenter;
    private readonly sourceStack: SourceStack;
    private cached: { readonly key: string; readonly frames: readonly SourceFrame[] | undefined } | undefined;
    private cachedInnermost: { readonly key: string; readonly frame: SourceFrame | undefined } | undefined;

    constructor(
        private readonly view: VcpuView,
        private readonly programs: ProgramSet,
        symbols: SymbolTable,
        /** What the kernel tells of itself, where no symbol file does. */
        private readonly kernel: () => DiscoveredKernel | undefined = () => undefined,
        /** Number of the vCPU, which a kernel calls CPU by the same number. */
        private readonly vcpu = 0,
    ) {
        this.sourceStack = new SourceStack(programs, () => [
            ...(this.kernel()?.unwinders ?? []),
            ...programs.unwinders,
        ]);
        this.presenter = new ValuePresenter({ context: view.context, symbol: address => symbols.format(address) });
    }

    /** Something was changed by hand. */
    invalidate(): void {
        this.cached = undefined;
        this.cachedInnermost = undefined;
    }

    /** The frames, innermost first; undefined if debugging information tells nothing of where the vCPU is. */
    get frames(): readonly SourceFrame[] | undefined {
        const { key } = this;
        if (this.cached?.key !== key) {
            this.cached = { key, frames: this.readFrames() };
        }
        return this.cached.frames;
    }

    /** The innermost frame alone: for conditions, which cannot wait for a whole stack. */
    get innermost(): SourceFrame | undefined {
        const { key } = this;
        if (this.cachedInnermost?.key !== key) {
            const numbering = numberingFor(codeSize(this.view.cpu));
            const physical = numbering && { state: this.registers(numbering), numbering };
            const [frame] = physical === undefined ? [] : this.sourceStack.expand([physical]);
            this.cachedInnermost = { key, frame };
        }
        return this.cachedInnermost.frame;
    }

    /** The frame that the innermost one with a stack of its own was called from, if that is known for sure. */
    get caller(): { pc: bigint; stackPointer: bigint } | undefined {
        const physical = this.frames?.at(0)?.physical.caller;
        const sp = physical?.state.registers[physical.numbering.stackPointer];
        return physical === undefined || physical === null || sp === undefined
            ? undefined
            : { pc: physical.state.pc, stackPointer: sp };
    }

    /** What expressions see in a frame. */
    contextAt(depth: number): EvaluationContext {
        const { context } = this.view;
        if (!this.programs.programs.some(({ info }) => info.isPresent) && this.kernel() === undefined) {
            return context;
        }
        const frame = (): SourceFrame | undefined => (depth === 0 ? this.innermost : this.frames?.at(depth));
        return {
            readRegister: name => this.frameRegister(depth, name) ?? context.readRegister(name),
            writeRegister: (name, value) => context.writeRegister(name, value),
            readMemory: (space, address, size) => context.readMemory(space, address, size),
            writeMemory: (space, address, bytes) => context.writeMemory(space, address, bytes),
            symbol: name => context.symbol(name),
            segmentLinear: (segment, offset) => context.segmentLinear(segment, offset),
            local: (name, isRead) => {
                const found = frame();
                return found && this.localNamed(found, name, isRead);
            },
            global: (name, isRead) => this.globalNamed(frame(), name, isRead),
            perCpu: (name, cpu, isRead) => this.globalNamed(frame(), name, isRead, cpu),
            type: (name, keyword) => this.typeNamed(frame(), name, keyword),
            describe: value => (readsAsTyped(value.type) ? this.presenter.text(value) : undefined),
        };
    }

    /** Whether code at an address sees a variable, or an enumerator, of that name. */
    isVariable(name: string, address: bigint): boolean {
        const program = this.programs.at(address);
        const blocks = program && whatIsReadable(() => program.info.blocksAt(program.linked(address)));
        if (blocks?.some(block => block.variables.some(die => whatIsReadable(() => die.effectiveName) === name))) {
            return true;
        }
        const unit = blocks?.at(0)?.die.unit;
        return (
            this.programs.programs.some(other => {
                // While names are still being read nobody can say that it is none.
                if (other.isIndexing) return true;
                const found = whatIsReadable(() => other.findGlobal(name, other === program ? unit : undefined));
                return found !== undefined && found.type.kind !== 'function';
            }) || this.typeSources().some(source => source.findGlobal(name)?.kind === 'constant')
        );
    }

    scopes(depth: number): { scope: VariableScope; count: number }[] {
        const all = this.variables(depth);
        return (['arguments', 'locals', 'statics'] as const)
            .map(scope => ({ scope, count: all.filter(variable => scopeOf(variable) === scope).length }))
            .filter(({ count }) => count > 0);
    }

    list(depth: number, scope: VariableScope): VariableView[] {
        const frame = this.frames?.at(depth);
        if (frame === undefined) {
            return [];
        }
        return this.variables(depth)
            .filter(variable => scopeOf(variable) === scope)
            .map(variable => {
                const name = variable.isHidden ? undefined : variable.name;
                try {
                    return this.presenter.view(variable.name, this.read(frame, variable), name);
                } catch (error) {
                    if (!(error instanceof HyperscopeError)) throw error;
                    return { name: variable.name, value: `<${error.message}>`, type: '', readOnly: true };
                }
            });
    }

    /** The numbering and value of a caller's registers: those that it will have again. */
    private frameRegister(depth: number, name: string): { value: bigint; width: number } | undefined {
        const physical = depth === 0 ? undefined : this.frames?.at(depth)?.physical;
        if (physical?.origin === undefined) {
            return undefined;
        }
        const { numbering, state } = physical;
        const { names, programCounter: pc, addressSize } = numbering;
        const part = partOf(name);
        const number =
            name === 'pc'
                ? pc
                : part === undefined
                  ? names.indexOf(name)
                  : names.findIndex(one => part.of.includes(one));
        const value = number < 0 ? undefined : state.registers[number];
        if (value === undefined) {
            return undefined;
        }
        return part === undefined
            ? { value, width: addressSize * 8 }
            : { value: BigInt.asUintN(part.width, value >> part.shift), width: part.width };
    }

    private variables(depth: number): FrameVariable[] {
        const frame = this.frames?.at(depth);
        return frame === undefined ? [] : variablesOf(frame);
    }

    private localNamed(frame: SourceFrame, name: string, isRead?: boolean): Value | undefined {
        const variable = variablesOf(frame).find(other => other.name === name && !other.isHidden);
        return variable && this.read(frame, variable, isRead);
    }

    /** @throws HyperscopeError */
    private read(frame: SourceFrame, { die }: FrameVariable, isRead?: boolean): Value {
        const program = frame.program!;
        const address = lookupAddress(frame.physical.state);
        const chain = program.info.blocksAt(program.linked(address));
        return new FrameReader(program, frame.physical, chain, this.host).value(die, isRead);
    }

    private get host(): FrameHost {
        const { memory } = this;
        return {
            memory,
            context: this.view.context,
            callerOf: frame => this.sourceStack.callerOf(frame, memory),
            cfaOf: frame => this.sourceStack.cfaOf(frame, memory),
            wideRegister: name => findRegister(name)?.read(this.view.cpu),
            threadPointer: numbering => this.view.context.segmentLinear(numbering === AMD64 ? 'fs' : 'gs', 0n),
            programAt: address => this.programs.at(address),
        };
    }

    /** @param cpu a CPU whose own variable it has to be */
    private globalNamed(frame: SourceFrame | undefined, name: string, isRead = true, cpu?: number): Value | undefined {
        for (const { found, program } of this.globalsNamed(frame, name)) {
            if (found.kind === 'constant') {
                if (cpu !== undefined) continue;
                return makeValue(found.value, found.type);
            }
            const linked = found.address ?? this.threadLocal(frame, program, found) ?? this.view.context.symbol(name);
            const address = linked === undefined ? undefined : this.onCpu(linked, cpu);
            if (address === undefined) continue;
            const place = { kind: 'memory', space: 'linear', address } as const;
            const whole: Value = { ...makeValue(address, found.type), place };
            try {
                return loadValue(isRead ? this.view.context : UNREAD, whole, { type: found.type, offset: 0 });
            } catch (error) {
                if (!(error instanceof EvaluationProblem)) throw error;
                // It has an address and a size all the same.
                return { ...makeValue(0n, found.type), place, unavailable: error.message };
            }
        }
        return undefined;
    }

    /** Of the frame's own program only: where a thread has the block of another one, only its loader knows. */
    private threadLocal(
        frame: SourceFrame | undefined,
        program: Program | undefined,
        { threadOffset }: Extract<GlobalName, { kind: 'object' }>,
    ): bigint | undefined {
        if (threadOffset === undefined || program === undefined || program !== frame?.program) {
            return undefined;
        }
        return program.threadLocal(threadOffset, this.host.threadPointer(program.numbering));
    }

    /**
     * Where a CPU has a variable: this one unless told otherwise. A kernel links per-CPU variables once, and keeps how
     * far each CPU's own are from there (`__per_cpu_offset`).
     * @returns undefined if a CPU was named, and the variable is no per-CPU one, or there is no such CPU
     */
    private onCpu(address: bigint, cpu: number | undefined): bigint | undefined {
        if (!this.programs.programs.some(program => program.isPerCpu(address))) {
            return cpu === undefined ? address : undefined;
        }
        const { context } = this.view;
        const table = context.symbol('__per_cpu_offset');
        const entry = table && context.readMemory('linear', table + BigInt(8 * (cpu ?? this.vcpu)), 8);
        // CPUs that there are not have what the variables were linked to.
        return entry && BigInt.asUintN(64, address + numberOf(entry));
    }

    /** What the programs say of a name, the frame's own first. */
    private *globalsNamed(
        frame: SourceFrame | undefined,
        name: string,
    ): Generator<{ readonly found: GlobalName; readonly program?: Program }> {
        for (const program of this.inOrder(frame)) {
            const found = whatIsReadable(() => program.findGlobal(name, unitIn(program, frame)));
            if (found !== undefined) yield { found, program };
        }
        for (const source of this.typeSources()) {
            const found = source.findGlobal(name);
            if (found !== undefined) yield { found };
        }
    }

    /** What is known of types besides files: the kernel's, and those of its modules. */
    private typeSources(): TypeSource[] {
        const kernel = this.kernel();
        return [...(kernel === undefined ? [] : [kernel]), ...this.programs.types];
    }

    private typeNamed(
        frame: SourceFrame | undefined,
        name: string,
        keyword?: 'struct' | 'union' | 'enum' | 'class',
    ): CType | undefined {
        for (const program of this.inOrder(frame)) {
            const found = whatIsReadable(() => program.findType(name, keyword, unitIn(program, frame)));
            if (found !== undefined) return found;
        }
        for (const source of this.typeSources()) {
            const found = source.findType(name, keyword);
            if (found !== undefined) return found;
        }
        return undefined;
    }

    /** The frame's own program first. */
    private inOrder(frame: SourceFrame | undefined): Program[] {
        const { programs } = this.programs;
        return frame?.program === undefined ? programs : [frame.program, ...programs.filter(p => p !== frame.program)];
    }

    private get memory(): StackMemory {
        const { memory } = this.view;
        return {
            readMemory: (offset, size) => {
                const bytes = memory.read({ space: 'linear', offset: BigInt.asUintN(64, offset) }, size);
                return bytes.length === size ? bytes : undefined;
            },
            isExecutable: address => memory.isExecutable(BigInt.asUintN(64, address)),
            isUserCode: address => memory.isUserCode(BigInt.asUintN(64, address)),
        };
    }

    /** What the frames depend on, but for memory. */
    private get key(): string {
        const { cpu } = this.view;
        return `${cpu.hooks.retired()}/${programCounter(cpu)}/${cpu.gpr64(4)}`;
    }

    private readFrames(): readonly SourceFrame[] | undefined {
        const numbering = numberingFor(codeSize(this.view.cpu));
        const frames: PhysicalFrame[] | undefined =
            numbering && this.sourceStack.walk(this.registers(numbering), numbering, this.memory);
        return frames && [...this.sourceStack.expand(this.withTailCalls(frames))];
    }

    private withTailCalls(frames: readonly PhysicalFrame[]): PhysicalFrame[] {
        const { programs, host } = this;
        return frames.flatMap((frame, index) => {
            const caller = frames.at(index + 1);
            const between =
                caller &&
                whatIsReadable(() =>
                    tailCallsBetween(frame, caller, {
                        programs,
                        symbol: name => this.view.context.symbol(name),
                        indirectTarget: (of, site) => {
                            const program = programs.at(lookupAddress(of.state));
                            return program && new FrameReader(program, of, [], host).indirectTarget(site);
                        },
                    }),
                );
            return [frame, ...(between ?? [])];
        });
    }

    private registers({ addressSize }: RegisterNumbering): FrameState {
        const { cpu } = this.view;
        const pc = programCounter(cpu);
        const numbers = addressSize === 8 ? AMD64_GPRS : I386_GPRS;
        const registers = numbers.map(register => BigInt.asUintN(addressSize * 8, cpu.gpr64(register)));
        return { pc, registers: [...registers, pc], isReturn: false };
    }
}

function scopeOf({ isParameter, isStatic }: FrameVariable): VariableScope {
    return isParameter ? 'arguments' : isStatic ? 'statics' : 'locals';
}

/** The unit that a frame's code is of, if the program is the frame's own. */
function unitIn(program: Program, frame: SourceFrame | undefined): Unit | undefined {
    return program === frame?.program ? frame.blocks.at(0)?.die.unit : undefined;
}

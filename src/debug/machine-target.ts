/** The debugger's view of a machine that runs in this process. */
import { type Engine, type EngineName, type EngineStatistics, isSwitchable } from '../machine/engine';
import type { Machine } from '../machine/machine';
import { ActivityState } from '../machine/state';
import { Segment } from '../isa/x86/instruction';
import { ProgramSet } from '../symbols/program';
import { type LoadSegment, readMovedSegments } from '../symbols/load-segments';
import type { SymbolTable } from '../symbols/symbol-table';
import { type Address, codeSize, halves, segmentLinear } from './address';
import type { BreakpointRequest } from './breakpoints';
import { type CodeRegion, codeRegion } from './code-region';
import type { DisassembledInstruction } from './disassembler';
import { TargetError } from './errors';
import { type DebugEngine, Execution } from './execution';
import { MachineEvents } from './events/target-events';
import { Expression } from './expression/evaluator';
import { pattern } from './expression/value';
import type { Look } from './inspection-source';
import { MachineInspection } from './machine-inspection';
import type { TargetHost } from './machine-runner';
import { type AddressTranslation, translateAddress } from './memory-access';
import {
    findRegister,
    type RegisterGroupView,
    registerNames,
    type RegisterView,
    viewRegister,
    viewRegisters,
} from './registers/register-file';
import { codeView, programCounter, walkStack } from './stack';
import { KernelLocator, type KernelPlace } from './source/kernel-locator';
import { type PathMapping, ProgramLines } from './source/program-lines';
import type { SourceFrame } from './source/source-stack';
import { SourceView } from './source/source-view';
import { stepPlace } from './source/step-place';
import { isTyped } from './source/value-text';
import type { FrameVariables } from './source/variable-view';
import type { SourceLines } from './source-lines';
import type {
    BreakpointStatus,
    Completion,
    DebugTarget,
    EngineOption,
    EvaluationResult,
    NamedFrame,
    StepKind,
    StepOptions,
    TargetListener,
    TargetState,
} from './target';
import { VcpuView } from './vcpu-view';
import type { WatchpointRequest } from './watchpoints';

const MOST_COMPLETIONS = 200;

/** What is known of the guest's programs besides their symbols. */
export interface DebugInformation {
    readonly programs: ProgramSet;
    readonly mapping?: PathMapping;
}

const NO_DEBUG_INFORMATION: DebugInformation = { programs: new ProgramSet() };

const NO_PHYSICAL_BREAKPOINTS =
    'this engine has breakpoints at linear addresses only: the translator has physical ones';

export class MachineTarget implements DebugTarget {
    private readonly engine: DebugEngine;
    private readonly views: readonly VcpuView[];
    private readonly execution: Execution;
    private readonly lines: ProgramLines;
    private readonly mapping: PathMapping | undefined;
    private readonly locator: KernelLocator;
    /** Found, but not told yet. */
    private moves: KernelPlace[] = [];
    private readonly movedSegments: readonly LoadSegment[];
    private readonly sourceViews: readonly SourceView[];
    readonly sourceLines: SourceLines | undefined;
    readonly events: MachineEvents;

    /**
     * @param machine with an engine that takes breakpoints, such as the translator
     * @throws TargetError for another engine
     */
    constructor(
        private readonly machine: Machine,
        private readonly symbols: SymbolTable,
        host: TargetHost,
        debugInformation: DebugInformation = NO_DEBUG_INFORMATION,
    ) {
        this.engine = debugEngine(machine.engine);
        this.movedSegments = readMovedSegments(machine.options.kernel?.kernel.data ?? new Uint8Array(0));
        this.views = machine.processors.map(
            ({ cpu, index }) =>
                new VcpuView(cpu, machine.memory, symbols, () => {
                    cpu.stateReplaced();
                    this.engine.stateChanged(index);
                }),
        );
        this.execution = new Execution(machine, this.engine, this.views, host);
        const { programs, mapping } = debugInformation;
        this.lines = new ProgramLines(programs, mapping);
        this.mapping = mapping;
        this.sourceViews = this.views.map(view => new SourceView(view, programs, symbols));
        this.views.forEach((view, index) => {
            view.expressions = this.sourceViews[index].contextAt(0);
        });
        this.locator = new KernelLocator(programs, (offset, length) =>
            this.views[0].memory.read({ space: 'linear', offset }, length),
        );
        this.execution.relocation = {
            isSearching: () => this.locator.isSearching,
            find: () => this.findKernels(),
            apply: () => this.applyMoves(),
            mismatch: pc => this.locator.mismatch(pc),
        };
        this.execution.eventStopsChanged();
        this.execution.source = {
            placeOf: vcpu => {
                const pc = programCounter(this.views[vcpu].cpu);
                const program = programs.at(pc);
                return program && stepPlace(program, pc);
            },
            callerOf: vcpu => this.sourceViews[vcpu].caller,
        };
        this.execution.isVariable = (name, address) => this.sourceViews[0].isVariable(name, address);
        this.sourceLines = programs.programs.some(({ info }) => info.isPresent) ? this.lines : undefined;
        this.events = new MachineEvents(machine, symbols, this.execution);
    }

    get vcpus(): number {
        return this.views.length;
    }

    get state(): TargetState {
        return this.execution.state;
    }

    get listener(): TargetListener | undefined {
        return this.execution.listener;
    }

    set listener(listener: TargetListener | undefined) {
        this.execution.listener = listener;
    }

    // ---- execution -----------------------------------------------------------------------------------------------

    async resume(): Promise<void> {
        this.execution.resume();
    }

    async pause(vcpu: number): Promise<void> {
        this.view(vcpu);
        this.execution.pause(vcpu);
    }

    async step(vcpu: number, kind: StepKind, options: StepOptions = {}): Promise<void> {
        this.view(vcpu);
        this.execution.step(vcpu, kind, options);
    }

    async setProgramCounter(vcpu: number, linear: bigint): Promise<void> {
        const { cpu } = this.view(vcpu);
        this.execution.requireStopped();
        const offset = linear - segmentLinear(cpu, Segment.Cs, 0n);
        cpu.setRip(...halves(BigInt.asUintN(codeSize(cpu), offset)));
        if (cpu.activity === ActivityState.Halted) {
            cpu.activity = ActivityState.Active;
        }
        this.engine.stateChanged(vcpu);
    }

    /** Whether a kernel has turned up whose place was not known. */
    private findKernels(): boolean {
        if (this.views.some(({ cpu }) => cpu.longMode)) {
            this.moves.push(...this.locator.find());
        }
        return this.moves.length > 0;
    }

    private applyMoves(): void {
        const moved = this.moves.splice(0).filter(({ program, slide }) => program.slide !== slide);
        for (const { program, slide } of moved) {
            this.execution.breakpoints.move(address => program.hasCode(address), slide - program.slide);
            const before = program.loadedSymbols;
            program.slide = slide;
            this.symbols.replace(before, program.symbols());
        }
        this.sourceViews.forEach(view => view.invalidate());
        if (moved.length > 0) {
            this.listener?.relocated?.();
        }
    }

    reset(): Promise<void> {
        return this.execution.restart(() => {
            // The next boot may choose another place.
            this.moves = this.locator.restart();
            this.applyMoves();
            this.execution.eventStopsChanged();
            this.machine.reset();
            this.views.forEach((_, vcpu) => this.engine.stateChanged(vcpu));
        });
    }

    async dispose(): Promise<void> {
        await this.execution.dispose();
        this.machine.engine.dispose?.();
    }

    async setBreakpoints(requests: readonly BreakpointRequest[]): Promise<BreakpointStatus[]> {
        const problems = this.execution.breakpoints.replace(requests);
        const cannot = this.engine.physicalBreakpoints === true ? undefined : NO_PHYSICAL_BREAKPOINTS;
        return requests.map(({ id, space }) => ({
            id,
            problem: problems.get(id) ?? (space === 'physical' ? cannot : undefined),
        }));
    }

    async setWatchpoints(requests: readonly WatchpointRequest[]): Promise<BreakpointStatus[]> {
        if (this.engine.setWatchpoints === undefined) {
            return requests.map(({ id }) => ({ id, problem: 'this engine cannot watch memory: use the translator' }));
        }
        const problems = this.execution.watchpoints.replace(requests);
        return requests.map(({ id }) => ({ id, problem: problems.get(id) }));
    }

    async engines(): Promise<EngineOption[]> {
        const { engine } = this.machine;
        if (!isSwitchable(engine)) {
            return [{ name: 'translator', active: true }];
        }
        return (['translator', 'kvm'] as const).map(name => ({
            name,
            active: name === engine.active,
            problem: name === engine.active ? undefined : engine.switchProblem(name),
        }));
    }

    async engineStatistics(): Promise<EngineStatistics> {
        return this.machine.engine.statistics();
    }

    async switchEngine(name: EngineName): Promise<string | undefined> {
        this.execution.requireStopped();
        const { engine } = this.machine;
        if (!isSwitchable(engine)) {
            throw new TargetError('this machine has one engine only');
        }
        const note = engine.switchTo(name);
        this.execution.engineSwitched();
        return note;
    }

    async sendSerial(port: number, bytes: Uint8Array): Promise<void> {
        if (port >= this.machine.board.uarts.length) {
            throw new TargetError(`the machine has no serial port ${port}`);
        }
        this.machine.sendSerial(port, bytes);
    }

    // ---- inspection ----------------------------------------------------------------------------------------------

    async inspect<T>(vcpu: number, look: Look<T>): Promise<T> {
        this.view(vcpu);
        return look(new MachineInspection(this.machine, this.symbols, vcpu));
    }

    async registers(vcpu: number): Promise<RegisterGroupView[]> {
        return viewRegisters(this.view(vcpu).cpu);
    }

    async registerValues(vcpu: number, names: readonly string[]): Promise<(bigint | undefined)[]> {
        const { cpu } = this.view(vcpu);
        return names.map(name => findRegister(name)?.read(cpu));
    }

    async writeRegister(vcpu: number, name: string, value: bigint): Promise<RegisterView> {
        const { cpu, context } = this.view(vcpu);
        context.writeRegister(name, value);
        return viewRegister(cpu, findRegister(name)!);
    }

    async readMemory(vcpu: number, address: Address, length: number): Promise<Uint8Array> {
        return this.view(vcpu).memory.read(address, length);
    }

    async writeMemory(vcpu: number, address: Address, bytes: Uint8Array): Promise<number> {
        return this.view(vcpu).memory.write(address, bytes);
    }

    async translate(vcpu: number, linear: bigint): Promise<AddressTranslation> {
        return translateAddress(this.view(vcpu).cpu, linear);
    }

    async disassemble(
        vcpu: number,
        address: bigint,
        offset: number,
        count: number,
    ): Promise<DisassembledInstruction[]> {
        const { cpu, disassembler } = this.view(vcpu);
        return disassembler.around(address, offset, count, codeView(cpu));
    }

    async codeRegion(vcpu: number, address: bigint): Promise<CodeRegion> {
        return codeRegion(this.symbols, address, codeSize(this.view(vcpu).cpu));
    }

    async stack(vcpu: number): Promise<NamedFrame[]> {
        const { cpu, memory, disassembler } = this.view(vcpu);
        const frames = this.sourceViews[vcpu].frames;
        if (frames !== undefined) {
            return frames.map(frame => this.nameFrame(frame));
        }
        return walkStack(cpu, memory, disassembler).map((frame, depth) => ({
            ...frame,
            symbol: depth === 0 ? this.symbols.format(frame.pc) : this.symbols.formatReturn(frame.pc),
            source: this.lines.lineOf(depth === 0 ? frame.pc : frame.pc - 1n),
        }));
    }

    private nameFrame({ physical, isInlined, name, path, line, column }: SourceFrame): NamedFrame {
        const { state, numbering, origin } = physical;
        const { pc, isReturn } = state;
        const source = path === undefined || !line ? undefined : { path, line, column };
        return {
            pc,
            stackPointer: state.registers[numbering.stackPointer] ?? 0n,
            symbol: name ?? (isReturn ? this.symbols.formatReturn(pc) : this.symbols.format(pc)),
            origin,
            inlined: isInlined || undefined,
            source: source && {
                path: this.mapping?.toLocal(source.path) ?? source.path,
                line: source.line,
                column: source.column || undefined,
                start: pc,
                end: pc + 1n,
                isStatement: true,
            },
        };
    }

    loadedAt(linear: bigint): bigint | undefined {
        const segment = this.movedSegments.find(({ virtual, size }) => linear >= virtual && linear < virtual + size);
        return segment && segment.physical + (linear - segment.virtual);
    }

    async isHalted(vcpu: number): Promise<boolean> {
        return this.view(vcpu).cpu.activity !== ActivityState.Active;
    }

    readonly variables: FrameVariables = {
        scopes: async (vcpu, depth) => this.sourceView(vcpu).scopes(depth),
        list: async (vcpu, depth, scope) => this.sourceView(vcpu).list(depth, scope),
        children: async (vcpu, depth, expression, start, count) => {
            const source = this.sourceView(vcpu);
            const value = new Expression(expression).evaluate(source.contextAt(depth));
            return source.presenter.children(value, expression, start, count);
        },
    };

    async evaluate(vcpu: number, expression: string, assignments: boolean, depth = 0): Promise<EvaluationResult> {
        const source = this.sourceView(vcpu);
        const value = new Expression(expression).evaluate(source.contextAt(depth), { assignments });
        if (assignments) {
            this.sourceViews.forEach(view => view.invalidate());
        }
        if (isTyped(value.type)) {
            return { value, view: source.presenter.view(expression, value, expression) };
        }
        return { value, symbol: value.space === 'linear' ? this.symbols.format(pattern(value)) : undefined };
    }

    async complete(prefix: string): Promise<Completion[]> {
        const found: Completion[] = [];
        for (const name of registerNames()) {
            if (name.startsWith(prefix.toLowerCase())) found.push({ text: name, kind: 'register' });
        }
        for (const { name } of this.symbols.startingWith(prefix)) {
            if (found.length >= MOST_COMPLETIONS) break;
            found.push({ text: name, kind: 'symbol' });
        }
        return found.slice(0, MOST_COMPLETIONS);
    }

    private sourceView(vcpu: number): SourceView {
        this.view(vcpu);
        return this.sourceViews[vcpu];
    }

    private view(vcpu: number): VcpuView {
        const view = this.views[vcpu] as VcpuView | undefined;
        if (view === undefined) {
            throw new TargetError(`there is no vCPU ${vcpu}: the machine has 0 to ${this.views.length - 1}`);
        }
        return view;
    }
}

function debugEngine(engine: Engine): DebugEngine {
    if (!('setBreakpoints' in engine)) {
        throw new TargetError('this engine takes no breakpoints');
    }
    return engine as DebugEngine;
}

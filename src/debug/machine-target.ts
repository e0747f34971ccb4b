/** The debugger's view of a machine that runs in this process. */
import {
    type DirtyLogAction,
    type Engine,
    type EngineName,
    type EngineStatistics,
    isSwitchable,
} from '../machine/engine';
import type { Machine } from '../machine/machine';
import { ActivityState } from '../machine/state';
import { type LoadSegment, readMovedSegments } from '../symbols/load-segments';
import type { SymbolTable } from '../symbols/symbol-table';
import { type Address, codeOffset, halves } from './address';
import type { BreakpointRequest } from './breakpoints';
import type { CodeRegion } from './code-region';
import type { DisassembledInstruction } from './disassembler';
import { TargetError } from './errors';
import { type DebugEngine, Execution } from './execution';
import { MachineEvents } from './events/target-events';
import { type DebugInformation, GuestPrograms, NO_DEBUG_INFORMATION } from './guest-programs';
import type { Look } from './inspection-source';
import { MachineInspection } from './machine-inspection';
import type { TargetHost } from './machine-runner';
import { type AddressTranslation, MemoryAccess, translateAddress } from './memory-access';
import {
    findRegister,
    type RegisterGroupView,
    type RegisterView,
    viewRegister,
    viewRegisters,
} from './registers/register-file';
import { codeView } from './stack';
import type { FrameVariables } from './source/variable-view';
import type { SourceLines } from './source-lines';
import type {
    BreakpointStatus,
    Completion,
    DebugTarget,
    EngineOption,
    EvaluationResult,
    NamedFrame,
    ResumeOptions,
    StepKind,
    StepOptions,
    TargetListener,
    TargetState,
} from './target';
import { VcpuView } from './vcpu-view';
import { WrittenPages } from './written-pages';
import type { WatchpointRequest } from './watchpoints';

export type { DebugInformation };

export class MachineTarget implements DebugTarget {
    private readonly engine: DebugEngine;
    private readonly views: readonly VcpuView[];
    private readonly execution: Execution;
    private readonly programs: GuestPrograms;
    private readonly movedSegments: readonly LoadSegment[];
    readonly events: MachineEvents;
    private readonly written: WrittenPages | undefined;

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
                new VcpuView(cpu, new MemoryAccess(cpu, machine.memory), symbols, () => {
                    cpu.stateReplaced();
                    this.engine.stateChanged(index);
                    this.execution.movedByHand(index);
                }),
        );
        this.execution = new Execution(machine, this.engine, this.views, host);
        this.written = isSwitchable(machine.engine) ? new WrittenPages(machine.engine) : undefined;
        this.execution.hasStopped = () => this.written?.stopped();
        this.programs = new GuestPrograms(this.views, symbols, debugInformation, {
            move: (isMoved, by) => this.execution.breakpoints.move(isMoved, by),
            relocated: async () => this.listener?.relocated?.(),
            logged: text => this.listener?.logged(text),
            inspection: vcpu => new MachineInspection(machine, symbols, vcpu),
        });
        this.execution.relocation = this.programs.relocation;
        this.execution.source = this.programs.source;
        this.execution.isVariable = (name, address) => this.programs.isVariable(name, address);
        this.execution.eventStopsChanged();
        this.execution.watchLoading(this.programs.loading);
        this.events = new MachineEvents(machine, symbols, this.execution);
    }

    get sourceLines(): SourceLines | undefined {
        return this.programs.sourceLines;
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

    async resume(vcpus?: readonly number[], options: ResumeOptions = {}): Promise<void> {
        this.execution.resume(vcpus, options);
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
        cpu.setRip(...halves(codeOffset(cpu, linear)));
        if (cpu.activity === ActivityState.Halted) {
            cpu.activity = ActivityState.Active;
        }
        this.engine.stateChanged(vcpu);
        this.execution.movedByHand(vcpu);
    }

    reset(): Promise<void> {
        return this.execution.restart(() => {
            void this.programs.restart();
            this.execution.eventStopsChanged();
            this.machine.reset();
            // What was written in the run before says nothing of this one.
            this.written?.stopped();
        });
    }

    async dispose(): Promise<void> {
        await this.execution.dispose();
        this.machine.engine.dispose?.();
    }

    async setBreakpoints(requests: readonly BreakpointRequest[]): Promise<BreakpointStatus[]> {
        const problems = this.execution.breakpoints.replace(requests);
        return requests.map(({ id }) => ({ id, problem: problems.get(id) }));
    }

    async setWatchpoints(requests: readonly WatchpointRequest[]): Promise<BreakpointStatus[]> {
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
            standIn: name === engine.active ? engine.standIn : undefined,
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

    async dirtyPages(action: DirtyLogAction): Promise<readonly number[]> {
        this.execution.requireStopped();
        if (this.written === undefined) {
            throw new TargetError('this machine does not run on KVM');
        }
        return this.written.do(action);
    }

    async writtenPages(): Promise<ReadonlySet<number> | undefined> {
        return this.written?.sinceLastStop;
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
        this.programs.invalidate();
        return viewRegister(cpu, findRegister(name)!);
    }

    async readMemory(vcpu: number, address: Address, length: number): Promise<Uint8Array> {
        return this.view(vcpu).memory.read(address, length);
    }

    async writeMemory(vcpu: number, address: Address, bytes: Uint8Array): Promise<number> {
        const written = this.view(vcpu).memory.write(address, bytes);
        this.programs.invalidate();
        return written;
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
        return this.programsFor(vcpu).codeRegion(vcpu, address);
    }

    async stack(vcpu: number): Promise<NamedFrame[]> {
        return this.programsFor(vcpu).stack(vcpu);
    }

    loadedAt(linear: bigint): bigint | undefined {
        const segment = this.movedSegments.find(({ virtual, size }) => linear >= virtual && linear < virtual + size);
        return segment && segment.physical + (linear - segment.virtual);
    }

    async isHalted(vcpu: number): Promise<boolean> {
        return this.view(vcpu).cpu.activity !== ActivityState.Active;
    }

    readonly variables: FrameVariables = {
        scopes: async (vcpu, depth) => this.programsFor(vcpu).scopes(vcpu, depth),
        list: async (vcpu, depth, scope) => this.programsFor(vcpu).list(vcpu, depth, scope),
        children: async (vcpu, ...rest) => this.programsFor(vcpu).children(vcpu, ...rest),
    };

    async evaluate(vcpu: number, expression: string, assignments: boolean, depth = 0): Promise<EvaluationResult> {
        return this.programsFor(vcpu).evaluate(vcpu, expression, assignments, depth);
    }

    async complete(prefix: string): Promise<Completion[]> {
        return this.programs.complete(prefix);
    }

    private programsFor(vcpu: number): GuestPrograms {
        this.view(vcpu);
        return this.programs;
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

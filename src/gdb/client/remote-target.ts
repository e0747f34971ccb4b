/** A guest behind a gdb stub, such as QEMU's, as the debugger sees it. */
import type { Endpoint } from '../../common/endpoint';
import { type Address, codeSize, halves, segmentLinear } from '../../debug/address';
import type { BreakpointRequest } from '../../debug/breakpoints';
import type { CodeRegion } from '../../debug/code-region';
import type { DisassembledInstruction } from '../../debug/disassembler';
import { TargetError } from '../../debug/errors';
import { type DebugInformation, GuestPrograms, NO_DEBUG_INFORMATION } from '../../debug/guest-programs';
import type { InspectionSource, Look, PhysicalRegion } from '../../debug/inspection-source';
import type { TargetHost } from '../../debug/machine-runner';
import { type AddressTranslation, littleEndian, translateAddress } from '../../debug/memory-access';
import {
    findRegister,
    type RegisterGroupView,
    type RegisterView,
    viewRegister,
    viewRegisters,
} from '../../debug/registers/register-file';
import type { FrameVariables } from '../../debug/source/variable-view';
import type { SourceLines } from '../../debug/source-lines';
import { codeView } from '../../debug/stack';
import type {
    BreakpointStatus,
    Completion,
    DebugTarget,
    EvaluationResult,
    NamedFrame,
    StepKind,
    StepOptions,
    TargetListener,
    TargetState,
} from '../../debug/target';
import { VcpuView } from '../../debug/vcpu-view';
import type { WatchpointRequest } from '../../debug/watchpoints';
import { Segment } from '../../isa/x86/instruction';
import { ActivityState, StateOffset } from '../../machine/state';
import type { SymbolTable } from '../../symbols/symbol-table';
import type { ConnectionTimes } from './connection';
import { MirroredCpu } from './mirrored-cpu';
import { type MonitorState, parseMemoryMap, parseRegisters } from './monitor-state';
import { PhysicalMemory } from './physical-memory';
import { RemoteExecution } from './remote-execution';
import { RemoteInspection } from './remote-inspection';
import { RemoteMemory, RemoteMemoryView } from './remote-memory';
import { WirePoints } from './remote-points';
import { Stub, StubPoint } from './stub';

const PAGE = 0x1000;
/** Registers of our own stub: its instruction pointer is linear. */
const OWN_FEATURE = 'org.hyperscope.system';
const UNKNOWN = 'the gdb stub does not tell it';
/** Registers that only a monitor tells, as expressions name them. */
const MONITORED = /\b(?:[gi]dtr|ldtr|tr|dr[0-7]|[c-g]s\.)/;

export class RemoteTarget implements DebugTarget {
    private readonly mirrors: readonly MirroredCpu[];
    private readonly views: readonly VcpuView[];
    private readonly memories: readonly RemoteMemoryView[];
    private readonly memory: RemoteMemory;
    private readonly physical: PhysicalMemory;
    private readonly points: WirePoints;
    private readonly programs: GuestPrograms;
    private readonly execution: RemoteExecution;
    /** Counts the times that the guest has gone on; by vCPU, when its registers, and what the monitor says, were read. */
    private epoch = 1;
    private readonly registersOf: number[];
    private monitorOf = 0;
    private monitor: readonly MonitorState[] | undefined;
    private hasMonitor = true;
    private regions: readonly PhysicalRegion[] | undefined | null = null;
    /** Which of QEMU's bits of single-stepping are set now. */
    private steppingBits: number | undefined;

    private constructor(
        private readonly stub: Stub,
        private readonly symbols: SymbolTable,
        host: TargetHost,
        debugInformation: DebugInformation,
        private readonly isQemu: boolean,
    ) {
        const { threads, layout } = stub;
        this.physical = new PhysicalMemory(
            stub,
            () => threads[0],
            () => this.toldDirectMap(),
        );
        this.memory = new RemoteMemory({
            linear: (vcpu, address) => this.fetchLinear(vcpu, address),
            physical: address => this.fetchPhysical(address),
        });
        this.memories = threads.map((_, vcpu) => new RemoteMemoryView(this.memory, vcpu));
        const isLinear = layout.features.includes(OWN_FEATURE);
        this.mirrors = threads.map(
            (_, vcpu) =>
                new MirroredCpu(layout, { isLinear, physicalX87: isQemu }, vcpu, threads.length, address =>
                    this.memory.physicalPage(address),
                ),
        );
        this.memories.forEach((view, vcpu) => (view.mirror = this.mirrors[vcpu]));
        this.views = this.mirrors.map(
            (mirror, vcpu) =>
                new VcpuView(
                    mirror.cpu,
                    this.memories[vcpu],
                    symbols,
                    () => mirror.cpu.stateReplaced(),
                    name => (mirror.isKnown(name) ? undefined : UNKNOWN),
                ),
        );
        this.registersOf = threads.map(() => 0);
        this.points = new WirePoints(stub);
        this.programs = new GuestPrograms(this.views, symbols, debugInformation, {
            move: (isMoved, by) => this.execution.breakpoints.move(isMoved, by),
            relocated: async () => this.listener?.relocated?.(),
            logged: text => this.listener?.logged(text),
        });
        this.execution = new RemoteExecution(stub, {
            views: this.views,
            source: this.programs.source,
            relocation: this.programs.relocation,
            refresh: vcpu => this.refresh(vcpu),
            gather: look => this.gather(look),
            readNumber: (vcpu, address, length) => this.readNumber(vcpu, address, length),
            goesOn: () => this.forget(),
            applyPoints: except => this.applyPoints(except),
            allowInterrupts: allowed => this.allowInterrupts(allowed),
            yield: () => host.yield(),
            sleep: milliseconds => host.sleep(milliseconds),
        });
    }

    /**
     * Connects to a stub. The guest stands still from then on.
     * @throws StubError
     */
    static async connect(
        endpoint: Endpoint,
        symbols: SymbolTable,
        host: TargetHost,
        debugInformation: DebugInformation = NO_DEBUG_INFORMATION,
        times?: ConnectionTimes,
    ): Promise<RemoteTarget> {
        const stub = await Stub.connect(endpoint, times);
        try {
            const isQemu = (await stub.query('qqemu.sstepbits')) !== '';
            const target = new RemoteTarget(stub, symbols, host, debugInformation, isQemu);
            for (let vcpu = 0; vcpu < target.vcpus; vcpu++) await target.refresh(vcpu);
            await target.execution.begin();
            return target;
        } catch (error) {
            stub.connection.close('the stub was left');
            throw error;
        }
    }

    /** What was found at the other end, in a line. */
    get description(): string {
        const { stub } = this;
        const what = this.isQemu ? 'QEMU' : 'a gdb stub';
        const problem =
            stub.layoutProblem === undefined ? '' : `; its own description was not used: ${stub.layoutProblem}`;
        return `attached to ${what} at ${stub.name}: ${this.vcpus} vCPU${this.vcpus === 1 ? '' : 's'}${problem}`;
    }

    get vcpus(): number {
        return this.stub.threads.length;
    }

    get state(): TargetState {
        return this.execution.state;
    }

    /** Why nothing can be done any more: the connection has ended. */
    get lost(): string | undefined {
        return this.execution.lost;
    }

    get listener(): TargetListener | undefined {
        return this.execution.listener;
    }

    set listener(listener: TargetListener | undefined) {
        this.execution.listener = listener;
    }

    get sourceLines(): SourceLines | undefined {
        return this.programs.sourceLines;
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
        await this.execution.step(vcpu, kind, options);
    }

    async setProgramCounter(vcpu: number, linear: bigint): Promise<void> {
        const { cpu } = this.view(vcpu);
        this.execution.requireStopped();
        await this.exclusive(vcpu, () =>
            this.changing(vcpu, () => {
                const offset = linear - segmentLinear(cpu, Segment.Cs, 0n);
                cpu.setRip(...halves(BigInt.asUintN(codeSize(cpu), offset)));
            }),
        );
    }

    async reset(): Promise<void> {
        await this.execution.halt();
        const command = this.isQemu ? 'system_reset' : 'reset';
        const answer = await this.execution.wire.exclusive(() => this.stub.monitor(command));
        if (answer === undefined) {
            throw new TargetError('the gdb stub knows no monitor command that resets the guest');
        }
        this.forget();
        this.execution.state = 'stopped';
        await this.programs.restart();
    }

    /** Lets the guest go on without us. */
    dispose(): Promise<void> {
        return this.leave(true);
    }

    async leave(runs: boolean): Promise<void> {
        await this.execution.dispose();
        if (this.lost !== undefined) return;
        await this.execution.wire
            .exclusive(async () => {
                await this.physical.leave();
                await this.points.apply([]);
                await (runs ? this.stub.detach() : this.stub.connection.end());
            })
            .catch(() => undefined);
    }

    async end(): Promise<void> {
        await this.execution.dispose();
        if (this.lost === undefined) await this.stub.kill();
    }

    async setBreakpoints(requests: readonly BreakpointRequest[]): Promise<BreakpointStatus[]> {
        const { breakpoints } = this.execution;
        const problems = breakpoints.replace(requests);
        await this.setPoints();
        return requests.map(({ id, address }) => ({
            id,
            problem: problems.get(id) ?? this.points.problem({ kind: StubPoint.Software, address, length: 1 }),
        }));
    }

    async setWatchpoints(requests: readonly WatchpointRequest[]): Promise<BreakpointStatus[]> {
        const { watchpoints } = this.execution;
        const problems = watchpoints.replace(requests);
        await this.setPoints();
        return requests.map(request => ({
            id: request.id,
            problem: problems.get(request.id) ?? this.points.problem(watchpoints.wireOf(request)),
        }));
    }

    private async setPoints(): Promise<void> {
        if (this.lost !== undefined || this.state === 'ended') return;
        await this.execution.wire.exclusive(() => this.applyPoints());
    }

    private async applyPoints(except?: bigint): Promise<void> {
        await this.physical.leave();
        const { breakpoints, watchpoints } = this.execution;
        await this.points.apply([...breakpoints.wanted(), ...watchpoints.wanted()], except);
    }

    /** QEMU holds interrupts and timers off while it steps, unless told otherwise. */
    private async allowInterrupts(allowed: boolean): Promise<void> {
        const bits = allowed ? 1 : 7;
        if (!this.isQemu || this.steppingBits === bits || (this.steppingBits === undefined && !allowed)) return;
        await this.stub.query(`Qqemu.sstep=0x${bits.toString(16)}`);
        this.steppingBits = bits;
    }

    async sendSerial(): Promise<void> {
        throw new TargetError('a gdb stub has no serial ports: they belong to the program that runs the guest');
    }

    // ---- what is known of the guest --------------------------------------------------------------------------------

    /** The guest goes on, or was changed: nothing that was read holds any more. */
    private forget(): void {
        this.epoch++;
        this.memory.forget();
        this.physical.forget();
    }

    /** Reads the registers of a vCPU if they may have changed. Only while the guest stands still. */
    private async refresh(vcpu: number, wholly = false): Promise<void> {
        const { stub } = this;
        const mirror = this.mirrors[vcpu];
        const isFresh = this.registersOf[vcpu] === this.epoch;
        if (isFresh && (!wholly || this.monitorOf === this.epoch || !this.hasMonitor)) return;
        const thread = stub.threads[vcpu];
        const values = await stub.readRegisters(thread);
        if (this.hasMonitor && this.monitorOf !== this.epoch && (wholly || mirror.hasNewSegments(values))) {
            this.monitor = parseRegisters((await stub.monitor('info registers -a')) ?? '');
            this.hasMonitor = this.monitor !== undefined;
            this.monitorOf = this.epoch;
        }
        const halted = / \[halted *\]/i.test(await stub.describeThread(thread));
        mirror.update(values, this.monitor?.[vcpu], this.monitorOf === this.epoch, halted);
        this.registersOf[vcpu] = this.epoch;
    }

    private view(vcpu: number): VcpuView {
        const view = this.views[vcpu] as VcpuView | undefined;
        if (view === undefined) {
            throw new TargetError(`there is no vCPU ${vcpu}: the guest has 0 to ${this.views.length - 1}`);
        }
        return view;
    }

    /** Does something about a vCPU whose registers are at hand; stops the guest for a moment if it runs. */
    private async exclusive<T>(vcpu: number, task: () => Promise<T>): Promise<T> {
        this.view(vcpu);
        if (this.lost !== undefined) throw new TargetError(this.lost);
        if (this.state === 'ended') throw new TargetError('the guest has ended: restart it');
        return this.execution.wire.exclusive(async () => {
            await this.refresh(vcpu);
            return task();
        });
    }

    /** A look, repeated until all memory that it asks for is at hand. Only while the guest stands still. */
    private async gather<T>(look: () => T): Promise<T> {
        await this.preparePhysical();
        const { result } = await this.memory.gather(look, () => this.mirrors.forEach(mirror => mirror.forgetPages()));
        return result;
    }

    /** Finds out whether page tables can be looked at. */
    private async preparePhysical(vcpu = 0): Promise<string | undefined> {
        const { cpu } = this.mirrors[vcpu];
        const of = (name: string): bigint | undefined =>
            this.mirrors[vcpu].isKnown(name) ? findRegister(name)!.read(cpu) : undefined;
        const problem = await this.physical.problem({
            cr0: of('cr0'),
            cr3: of('cr3'),
            cr4: of('cr4'),
            is64: cpu.code64 || cpu.longMode,
        });
        this.memories.forEach(
            (view, index) => (view.hasPhysical = problem === undefined && this.mirrors[index].isKnown('cr3')),
        );
        return problem;
    }

    private look<T>(vcpu: number, look: () => T): Promise<T> {
        return this.exclusive(vcpu, () => this.gather(look));
    }

    /** A look that may change registers and memory: what it has changed is told to the stub afterwards. */
    private async changing<T>(vcpu: number, look: () => T): Promise<T> {
        await this.preparePhysical();
        const mirror = this.mirrors[vcpu];
        const before = mirror.save();
        try {
            const { result, writes } = await this.memory.gather(look, () => {
                mirror.restore(before);
                mirror.forgetPages();
            });
            for (const { name, value } of mirror.changesSince(before)) {
                await this.physical.leave();
                await this.stub.writeRegister(this.stub.threads[vcpu], name, value);
            }
            for (const { address, bytes } of writes) {
                const written = await this.store(vcpu, address, bytes);
                if (written < bytes.length) throw new TargetError('the gdb stub does not write this memory');
            }
            return result;
        } finally {
            this.forget();
            await this.refresh(vcpu);
        }
    }

    // ---- memory ----------------------------------------------------------------------------------------------------

    private async fetchLinear(vcpu: number, address: bigint): Promise<Uint8Array | undefined> {
        await this.physical.leave();
        const page = await this.stub.readMemory(this.stub.threads[vcpu], address, PAGE);
        return page.length === PAGE ? page : undefined;
    }

    private async fetchPhysical(address: bigint): Promise<Uint8Array | undefined> {
        if (this.deviceAt(Number(address))) return undefined;
        const page = await this.physical.read(address, PAGE);
        return page.length === PAGE ? page : undefined;
    }

    /** Reads of devices have effects: what is known to be one is left alone. */
    private deviceAt(address: number): boolean {
        const regions = this.regions ?? undefined;
        return (
            regions !== undefined &&
            !regions.some(({ first, last, kind }) => first <= address && last >= address && kind !== 'device')
        );
    }

    private async readNumber(vcpu: number, address: bigint, length: number): Promise<bigint | undefined> {
        await this.physical.leave();
        const bytes = await this.stub.readMemory(this.stub.threads[vcpu], address, length);
        return bytes.length === length ? littleEndian(bytes) : undefined;
    }

    private async store(vcpu: number, { space, offset }: Address, bytes: Uint8Array): Promise<number> {
        if (space === 'linear') {
            await this.physical.leave();
            return this.stub.writeMemory(this.stub.threads[vcpu], offset, bytes);
        }
        const problem = await this.preparePhysical();
        if (problem !== undefined) throw new TargetError(problem);
        return this.physical.write(offset, bytes);
    }

    /** The kernel's own word on where it has mapped all memory. */
    private async toldDirectMap(): Promise<bigint | undefined> {
        const variable = this.symbols.named('page_offset_base')[0]?.address;
        return variable === undefined ? undefined : this.readNumber(0, variable, 8);
    }

    // ---- inspection ------------------------------------------------------------------------------------------------

    async inspect<T>(vcpu: number, look: Look<T>): Promise<T> {
        return this.exclusive(vcpu, async () => {
            await this.refresh(vcpu, true);
            const problem = await this.preparePhysical(vcpu);
            if (this.regions === null) {
                this.regions = this.hasMonitor
                    ? parseMemoryMap((await this.stub.monitor('info mtree -f')) ?? '')
                    : undefined;
            }
            const source: InspectionSource = new RemoteInspection(
                this.mirrors[vcpu],
                { vcpu, vcpus: this.vcpus },
                this.regions,
                problem,
                address => this.memory.physicalPage(address),
                linear => this.symbols.format(linear),
            );
            return this.gather(() => look(source));
        });
    }

    async registers(vcpu: number): Promise<RegisterGroupView[]> {
        return this.exclusive(vcpu, async () => {
            await this.refresh(vcpu, true);
            const groups = await this.gather(() => viewRegisters(this.view(vcpu).cpu));
            return groups.map(({ name, registers }) => ({
                name,
                registers: registers.map(register => this.known(vcpu, register)),
            }));
        });
    }

    /** Leaves out what is not the guest's. */
    private known(vcpu: number, view: RegisterView): RegisterView {
        const mirror = this.mirrors[vcpu];
        const { name, width, parts } = view;
        if (!mirror.isKnown(name)) {
            return { name, width, value: 0n, text: '?', writable: false, problem: UNKNOWN };
        }
        return {
            ...view,
            writable: view.writable && mirror.isWritable(name),
            parts: parts?.map(part => this.known(vcpu, part)),
        };
    }

    async registerValues(vcpu: number, names: readonly string[]): Promise<(bigint | undefined)[]> {
        return this.exclusive(vcpu, async () => {
            await this.refresh(
                vcpu,
                names.some(name => MONITORED.test(name)),
            );
            return names.map(name =>
                this.mirrors[vcpu].isKnown(name) ? findRegister(name)?.read(this.views[vcpu].cpu) : undefined,
            );
        });
    }

    async writeRegister(vcpu: number, name: string, value: bigint): Promise<RegisterView> {
        return this.exclusive(vcpu, async () => {
            const mirror = this.mirrors[vcpu];
            if (findRegister(name) !== undefined && !mirror.isWritable(name)) {
                throw new TargetError(`${name} cannot be written: the gdb stub does not offer it`);
            }
            await this.refresh(vcpu, true);
            const { context } = this.view(vcpu);
            await this.changing(vcpu, () => context.writeRegister!(name, value));
            return this.known(vcpu, viewRegister(mirror.cpu, findRegister(name)!));
        });
    }

    async readMemory(vcpu: number, address: Address, length: number): Promise<Uint8Array> {
        return this.exclusive(vcpu, async () => {
            if (address.space === 'physical') {
                const problem = await this.preparePhysical(vcpu);
                if (problem !== undefined) throw new TargetError(problem);
            }
            return this.gather(() => this.memories[vcpu].read(address, length));
        });
    }

    async writeMemory(vcpu: number, address: Address, bytes: Uint8Array): Promise<number> {
        return this.exclusive(vcpu, async () => {
            const written = await this.store(vcpu, address, bytes);
            this.memory.forget();
            this.programs.invalidate();
            return written;
        });
    }

    async translate(vcpu: number, linear: bigint): Promise<AddressTranslation> {
        return this.exclusive(vcpu, async () => {
            const problem = await this.preparePhysical(vcpu);
            if (problem !== undefined) return { linear, problem };
            return this.gather(() => {
                const { cpu } = this.mirrors[vcpu];
                this.loadDirectoryPointers(vcpu);
                return translateAddress(cpu, linear);
            });
        });
    }

    /** PAE paging has its first level in registers, which no stub tells: they are loaded from memory. */
    private loadDirectoryPointers(vcpu: number): void {
        const { cpu } = this.mirrors[vcpu];
        if (cpu.longMode || !cpu.protectedMode) return;
        const bytes = this.memories[vcpu].read({ space: 'physical', offset: cpu.get64(StateOffset.cr3) & ~31n }, 32);
        for (let index = 0; index < 4 && bytes.length === 32; index++) {
            cpu.set64(StateOffset.pdpte + 8 * index, littleEndian(bytes.subarray(8 * index, 8 * index + 8)));
        }
    }

    async disassemble(
        vcpu: number,
        address: bigint,
        offset: number,
        count: number,
    ): Promise<DisassembledInstruction[]> {
        return this.look(vcpu, () => {
            const { cpu, disassembler } = this.view(vcpu);
            return disassembler.around(address, offset, count, codeView(cpu));
        });
    }

    async codeRegion(vcpu: number, address: bigint): Promise<CodeRegion> {
        return this.look(vcpu, () => this.programs.codeRegion(vcpu, address));
    }

    async stack(vcpu: number): Promise<NamedFrame[]> {
        return this.look(vcpu, () => this.programs.stack(vcpu));
    }

    async isHalted(vcpu: number): Promise<boolean> {
        return this.exclusive(vcpu, async () => this.view(vcpu).cpu.activity !== ActivityState.Active);
    }

    readonly variables: FrameVariables = {
        scopes: (vcpu, depth) => this.look(vcpu, () => this.programs.scopes(vcpu, depth)),
        list: (vcpu, depth, scope) => this.look(vcpu, () => this.programs.list(vcpu, depth, scope)),
        children: (vcpu, ...rest) => this.look(vcpu, () => this.programs.children(vcpu, ...rest)),
    };

    async evaluate(vcpu: number, expression: string, assignments: boolean, depth = 0): Promise<EvaluationResult> {
        const look = (): EvaluationResult => this.programs.evaluate(vcpu, expression, assignments, depth);
        return this.exclusive(vcpu, async () => {
            await this.refresh(vcpu, MONITORED.test(expression));
            return assignments ? this.changing(vcpu, look) : this.gather(look);
        });
    }

    async complete(prefix: string): Promise<Completion[]> {
        return this.programs.complete(prefix);
    }
}

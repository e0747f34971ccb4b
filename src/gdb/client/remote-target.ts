/** A guest behind a gdb stub, such as QEMU's, as the debugger sees it. */
import type { Endpoint } from '../../common/endpoint';
import { type Address, codeOffset, halves } from '../../debug/address';
import type { StopDecision } from '../../debug/breakpoint-conditions';
import type { BreakpointRequest } from '../../debug/breakpoints';
import type { CodeRegion } from '../../debug/code-region';
import type { DisassembledInstruction } from '../../debug/disassembler';
import { TargetError } from '../../debug/errors';
import { type DebugInformation, GuestPrograms, NO_DEBUG_INFORMATION } from '../../debug/guest-programs';
import type { Look } from '../../debug/inspection-source';
import type { TargetHost } from '../../debug/machine-runner';
import { type AddressTranslation, translateAddress } from '../../debug/memory-access';
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
import type { VcpuView } from '../../debug/vcpu-view';
import type { WatchpointRequest } from '../../debug/watchpoints';
import { ActivityState } from '../../machine/state';
import type { SymbolTable } from '../../symbols/symbol-table';
import { PointKind } from '../point-kind';
import { encodeCondition, StubRegisters } from './agent-code';
import type { ConnectionTimes } from './connection';
import { RemoteExecution } from './remote-execution';
import { WirePoints } from './remote-points';
import { RemoteState } from './remote-state';
import { Stub } from './stub';

/** Registers that only a monitor tells, as expressions name them. */
const MONITORED = /\b(?:(?:[gi]dtr|ldtr|tr|dr[0-7])\b|[c-gs]s\.)/;

export class RemoteTarget implements DebugTarget {
    private readonly guest: RemoteState;
    private readonly points: WirePoints;
    private readonly programs: GuestPrograms;
    private readonly execution: RemoteExecution;
    private readonly stubRegisters: StubRegisters;
    /** Which of QEMU's bits of single-stepping are set now. */
    private steppingBits: number | undefined;

    private constructor(
        private readonly stub: Stub,
        symbols: SymbolTable,
        host: TargetHost,
        debugInformation: DebugInformation,
        private readonly isQemu: boolean,
    ) {
        this.guest = new RemoteState(stub, symbols, isQemu);
        const { guest } = this;
        this.stubRegisters = new StubRegisters(stub.layout, guest.isLinear);
        this.points = new WirePoints(stub);
        this.programs = new GuestPrograms(guest.views, symbols, debugInformation, {
            move: (isMoved, by) => this.execution.breakpoints.move(isMoved, by),
            relocated: async () => this.listener?.relocated?.(),
            logged: text => this.listener?.logged(text),
        });
        this.execution = new RemoteExecution(stub, {
            views: guest.views,
            source: this.programs.source,
            relocation: this.programs.relocation,
            bytecode: (decision, address) => this.bytecode(decision, address),
            refresh: vcpu => guest.refresh(vcpu),
            gather: look => guest.gather(look),
            readNumber: (vcpu, address, length) => guest.readNumber(vcpu, address, length),
            goesOn: () => guest.forget(),
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
            const isQemu = (await stub.query('qqemu.sstepbits')).startsWith('ENABLE=');
            const target = new RemoteTarget(stub, symbols, host, debugInformation, isQemu);
            for (let vcpu = 0; vcpu < target.vcpus; vcpu++) await target.guest.refresh(vcpu);
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
            this.guest.changing(vcpu, () => {
                cpu.setRip(...halves(codeOffset(cpu, linear)));
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
        this.guest.forget();
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
                await this.guest.physical.leave();
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
            problem: problems.get(id) ?? this.points.problem({ kind: PointKind.Software, address, length: 1 }),
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

    private async bytecode(decision: StopDecision, address: bigint): Promise<Uint8Array | undefined> {
        if (!this.stub.takesConditions) return undefined;
        await this.guest.refresh(0);
        const program = await this.guest.gather(() =>
            decision.program(
                name => this.guest.views[0].context.symbol(name),
                name => this.programs.isVariable(name, address),
            ),
        );
        return program?.condition && encodeCondition(program.condition, this.stubRegisters);
    }

    private async setPoints(): Promise<void> {
        if (this.lost !== undefined || this.state === 'ended') return;
        await this.execution.wire.exclusive(() => this.applyPoints());
    }

    private async applyPoints(except?: bigint): Promise<void> {
        const { breakpoints, watchpoints } = this.execution;
        await breakpoints.encode();
        await this.guest.physical.leave();
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

    private view(vcpu: number): VcpuView {
        const view = this.guest.views[vcpu] as VcpuView | undefined;
        if (view === undefined) {
            throw new TargetError(`there is no vCPU ${vcpu}: the guest has 0 to ${this.guest.views.length - 1}`);
        }
        return view;
    }

    /** Does something about a vCPU whose registers are at hand; stops the guest for a moment if it runs. */
    private async exclusive<T>(vcpu: number, task: () => Promise<T>): Promise<T> {
        this.view(vcpu);
        if (this.lost !== undefined) throw new TargetError(this.lost);
        if (this.state === 'ended') throw new TargetError('the guest has ended: restart it');
        return this.execution.wire.exclusive(async () => {
            await this.guest.refresh(vcpu);
            return task();
        });
    }

    private look<T>(vcpu: number, look: () => T): Promise<T> {
        return this.exclusive(vcpu, () => this.guest.gather(look));
    }

    // ---- inspection ------------------------------------------------------------------------------------------------

    async inspect<T>(vcpu: number, look: Look<T>): Promise<T> {
        return this.exclusive(vcpu, async () => {
            await this.guest.refresh(vcpu, true);
            const source = await this.guest.inspection(vcpu);
            return this.guest.gather(() => look(source));
        });
    }

    async registers(vcpu: number): Promise<RegisterGroupView[]> {
        return this.exclusive(vcpu, async () => {
            await this.guest.refresh(vcpu, true);
            const groups = await this.guest.gather(() => viewRegisters(this.view(vcpu).cpu));
            return groups.map(({ name, registers }) => ({
                name,
                registers: registers.map(register => this.guest.known(vcpu, register)),
            }));
        });
    }

    async registerValues(vcpu: number, names: readonly string[]): Promise<(bigint | undefined)[]> {
        return this.exclusive(vcpu, async () => {
            await this.guest.refresh(
                vcpu,
                names.some(name => MONITORED.test(name)),
            );
            return names.map(name =>
                this.guest.mirrors[vcpu].isKnown(name)
                    ? findRegister(name)?.read(this.guest.views[vcpu].cpu)
                    : undefined,
            );
        });
    }

    async writeRegister(vcpu: number, name: string, value: bigint): Promise<RegisterView> {
        return this.exclusive(vcpu, async () => {
            const mirror = this.guest.mirrors[vcpu];
            if (findRegister(name) !== undefined && !mirror.isWritable(name)) {
                throw new TargetError(`${name} cannot be written: the gdb stub does not offer it`);
            }
            await this.guest.refresh(vcpu, true);
            const { context } = this.view(vcpu);
            await this.guest.changing(vcpu, () => context.writeRegister!(name, value));
            this.programs.invalidate();
            return this.guest.known(vcpu, viewRegister(mirror.cpu, findRegister(name)!));
        });
    }

    async readMemory(vcpu: number, address: Address, length: number): Promise<Uint8Array> {
        return this.exclusive(vcpu, async () => {
            if (address.space === 'physical') {
                const problem = await this.guest.preparePhysical(vcpu);
                if (problem !== undefined) throw new TargetError(problem);
            }
            return this.guest.gather(() => this.guest.memories[vcpu].read(address, length));
        });
    }

    async writeMemory(vcpu: number, address: Address, bytes: Uint8Array): Promise<number> {
        return this.exclusive(vcpu, async () => {
            const written = await this.guest.store(vcpu, address, bytes);
            this.guest.memory.forget();
            this.programs.invalidate();
            return written;
        });
    }

    async translate(vcpu: number, linear: bigint): Promise<AddressTranslation> {
        return this.exclusive(vcpu, async () => {
            const problem = await this.guest.preparePhysical(vcpu);
            if (problem !== undefined) return { linear, problem };
            return this.guest.gather(() => {
                const { cpu } = this.guest.mirrors[vcpu];
                this.guest.loadDirectoryPointers(vcpu);
                return translateAddress(cpu, linear);
            });
        });
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
            await this.guest.refresh(vcpu, MONITORED.test(expression));
            return assignments ? this.guest.changing(vcpu, look) : this.guest.gather(look);
        });
    }

    async complete(prefix: string): Promise<Completion[]> {
        return this.programs.complete(prefix);
    }
}

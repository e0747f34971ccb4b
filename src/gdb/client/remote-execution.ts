/** Running, pausing and stepping a guest behind a gdb stub. */
import type { Relocation, SourceKnowledge } from '../../debug/program-knowledge';
import type { StopDecision } from '../../debug/breakpoint-conditions';
import { TargetError } from '../../debug/errors';
import type { TemporaryBreakpoint } from '../../debug/breakpoints';
import { codeView, programCounter } from '../../debug/stack';
import { type StepHost, Steps } from '../../debug/steps';
import type { StepKind, StepOptions, Stop, TargetListener, TargetState } from '../../debug/target';
import type { VcpuView } from '../../debug/vcpu-view';
import { describeHit } from '../../debug/watchpoints';
import { HyperscopeError } from '../../common/errors';
import { RepeatPrefix } from '../../isa/x86';
import { RemoteBreakpoints, RemoteWatchpoints } from './remote-points';
import { SIGINT, SIGTRAP, signalName, type StoppedReply, type StopReply } from './stop-reply';
import type { Stub } from './stub';
import { Wire } from './wire';

/** What running needs of the target. */
export interface ExecutionHost {
    readonly views: readonly VcpuView[];
    readonly source: SourceKnowledge;
    readonly relocation: Relocation;
    /** A condition at an address as bytecode that the stub evaluates; undefined if it has to be asked about each time. */
    bytecode(decision: StopDecision, address: bigint): Promise<Uint8Array | undefined>;
    /** Reads a vCPU's registers, if the guest has gone on since that was done. */
    refresh(vcpu: number): Promise<void>;
    /** Looks until all memory is at hand. Only while the guest stands still. */
    gather<T>(look: () => T): Promise<T>;
    readNumber(vcpu: number, address: bigint, length: number): Promise<bigint | undefined>;
    /** The guest goes on: nothing that is known of it holds any more. */
    goesOn(): void;
    /** Sets on the stub what is to be set before the guest goes on. */
    applyPoints(except?: bigint): Promise<void>;
    /** Interrupts may arrive while an instruction is stepped. */
    allowInterrupts(allowed: boolean): Promise<void>;
    yield(): Promise<void>;
    sleep(milliseconds: number): Promise<void>;
}

/**
 * Milliseconds between two looks for programs while the guest runs, at first and at last: each stops it for a moment,
 * and a kernel that is none of those that were given is never found.
 */
const LOOKING_INTERVAL = 400;
const LONGEST_INTERVAL = 10_000;

type Ended = Extract<StopReply, { kind: 'ended' }>;

type Outcome =
    | { readonly reason: 'stopped'; readonly stop: Stop }
    | { readonly reason: 'ended'; readonly reply: Ended }
    | { readonly reason: 'stepped' | 'paused' };

export class RemoteExecution {
    listener: TargetListener | undefined;
    state: TargetState = 'stopped';
    readonly breakpoints: RemoteBreakpoints;
    readonly watchpoints: RemoteWatchpoints;
    readonly wire: Wire;
    /** Why nothing more can be done; undefined while something can. */
    lost: string | undefined;
    private pausedVcpu = 0;
    private running: Promise<void> = Promise.resolve();
    /** The vCPU that the last stop was about. */
    private focus = 0;
    private disposed = false;
    private runs = 0;

    constructor(
        private readonly stub: Stub,
        private readonly host: ExecutionHost,
    ) {
        const points = {
            context: (vcpu: number) => host.views[vcpu].expressions,
            log: (text: string) => this.listener?.logged(text),
            bytecode: host.bytecode.bind(host),
            gather: <T>(look: () => T) => host.gather(look),
        };
        this.breakpoints = new RemoteBreakpoints(points);
        this.watchpoints = new RemoteWatchpoints(points);
        this.wire = new Wire(stub, {
            prepare: () => this.prepare(),
            output: text => this.listener?.logged(text.replace(/\r?\n$/, '')),
            lost: reason => this.connectionLost(reason),
        });
    }

    /** @throws TargetError */
    requireStopped(): void {
        if (this.lost !== undefined) {
            throw new TargetError(this.lost);
        }
        if (this.state === 'running') {
            throw new TargetError('the guest is running: pause it first');
        }
        if (this.state === 'ended') {
            throw new TargetError('the guest has ended: restart it');
        }
    }

    resume(): void {
        this.requireStopped();
        this.start(() => this.continueRun());
    }

    pause(vcpu: number): void {
        if (this.state === 'running') {
            this.pausedVcpu = vcpu;
            this.wire.requestPause();
        }
    }

    async step(vcpu: number, kind: StepKind, options: StepOptions): Promise<void> {
        this.requireStopped();
        const { host } = this;
        const { cpu, disassembler } = host.views[vcpu];
        const view = {
            cpu,
            disassembler,
            place: () => host.source.placeOf(vcpu),
            caller: () => host.source.callerOf(vcpu),
        };
        const steps = new Steps(this.stepHost, vcpu, view, options);
        const plan = await this.wire.exclusive(() => host.gather(() => steps.plan(kind)));
        this.requireStopped();
        this.start(async () => {
            const outcome = await steps.run(kind, plan);
            return outcome === 'stepped' ? { reason: 'stepped' } : outcome;
        }, vcpu);
    }

    /** Ends a run in progress without telling the listener. */
    async halt(): Promise<void> {
        const { listener } = this;
        this.listener = undefined;
        if (this.state === 'running' && this.lost === undefined) this.wire.requestPause();
        await this.running;
        this.listener = listener;
    }

    async dispose(): Promise<void> {
        await this.halt();
        this.disposed = true;
        this.state = 'ended';
    }

    // ---- a run and its end ---------------------------------------------------------------------------------------

    private start(run: () => Promise<Outcome>, stepped?: number): void {
        this.state = 'running';
        this.wire.clearPause();
        void this.lookWhileRunning(++this.runs);
        // The answer to the request goes first, whatever the run does.
        this.running = this.host
            .yield()
            .then(run)
            .then(outcome => this.report(outcome, stepped))
            .catch((error: unknown) => this.failed(error))
            .finally(() => (this.breakpoints.temporary = undefined));
    }

    private failed(error: unknown): void {
        this.state = 'stopped';
        if (!(error instanceof HyperscopeError)) {
            this.listener?.failed(error);
        } else if (this.lost === undefined) {
            this.listener?.stopped({ reason: 'exception', vcpu: this.focus, note: error.message, title: 'gdb stub' });
        } else {
            this.sayLost();
        }
    }

    private connectionLost(reason: string): void {
        if (this.lost !== undefined || this.disposed || this.state === 'ended') return;
        this.lost = `${reason}: restart the session to connect again`;
        // A run in progress ends with this, and tells.
        if (this.state === 'stopped') this.sayLost();
    }

    private sayLost(): void {
        this.listener?.stopped({ reason: 'exception', vcpu: this.focus, note: this.lost, title: 'connection lost' });
    }

    private async report(outcome: Outcome, stepped: number | undefined): Promise<void> {
        if (outcome.reason === 'ended') {
            const { status, signal } = outcome.reply;
            this.state = 'ended';
            const how = signal === undefined ? `with status ${status ?? 0}` : `by ${signalName(signal)}`;
            this.listener?.ended({
                reason: 'poweredOff',
                status,
                note: `the gdb stub says that the guest has ended ${how}`,
            });
            return;
        }
        const stop: Stop =
            outcome.reason === 'stopped'
                ? outcome.stop
                : outcome.reason === 'paused'
                  ? { reason: 'pause', vcpu: stepped ?? this.pausedVcpu }
                  : { reason: 'step', vcpu: stepped ?? this.focus };
        this.focus = stop.vcpu;
        await this.wire.exclusive(() => this.host.refresh(stop.vcpu));
        await this.lookForMoves(stop.vcpu);
        const { cpu, disassembler } = this.host.views[stop.vcpu];
        disassembler.noteInstruction(programCounter(cpu));
        this.state = 'stopped';
        this.listener?.stopped(stop);
    }

    /** Breakpoints in a program that is not where it was linked to would never be met. */
    private async lookWhileRunning(run: number): Promise<void> {
        const isRunning = (): boolean => this.state === 'running' && this.runs === run && this.lost === undefined;
        for (let interval = LOOKING_INTERVAL; this.host.relocation.isSearching(); interval *= 1.3) {
            await this.host.sleep(Math.min(interval, LONGEST_INTERVAL));
            if (!isRunning()) return;
            // What goes wrong here goes wrong with the run, too.
            await this.lookForMoves(this.focus).catch(() => undefined);
        }
    }

    /** Programs that have turned out to lie elsewhere than they were linked to. */
    private async lookForMoves(vcpu: number): Promise<void> {
        const { relocation, views } = this.host;
        if (!relocation.isSearching()) return;
        await this.wire.exclusive(() => this.host.refresh(vcpu));
        const look = <T>(one: () => T): Promise<T> => this.wire.exclusive(() => this.host.gather(one));
        // Breakpoints move along: whoever sets them anew needs the wire.
        if (await look(() => relocation.find())) await relocation.apply();
        if (!relocation.isSearching()) return;
        const pc = programCounter(views[vcpu].cpu);
        const mismatch = await look(() => relocation.mismatch(pc));
        if (mismatch !== undefined) this.listener?.logged(mismatch);
    }

    /** To be called when somebody attaches. */
    async begin(): Promise<void> {
        await this.lookForMoves(0);
    }

    private async prepare(): Promise<void> {
        await this.watchpoints.remember((address, length) => this.host.readNumber(this.focus, address, length));
        this.host.goesOn();
    }

    /** Up to a stop that somebody wants. Breakpoints where the vCPUs are now are passed. */
    private async continueRun(): Promise<Outcome> {
        for (;;) {
            const passed = await this.passBreakpoints();
            if (passed !== undefined) return passed;
            await this.wire.exclusive(() => this.host.applyPoints());
            const reply = await this.wire.run({ kind: 'continue' });
            const outcome = await this.judge(reply);
            if (outcome !== undefined) return outcome;
        }
    }

    /** Executes the instruction of each vCPU that stands at a breakpoint, without it. */
    private async passBreakpoints(): Promise<Outcome | undefined> {
        if (this.breakpoints.isEmpty) return undefined;
        for (let vcpu = 0; vcpu < this.host.views.length; vcpu++) {
            while (await this.isAtBreakpoint(vcpu)) {
                const before = programCounter(this.host.views[vcpu].cpu);
                const outcome = await this.single(vcpu);
                if (outcome !== 'stepped') return outcome;
                // A stub may step over one round of a repeated string instruction only: that is no new arrival.
                if ((await this.isAtBreakpoint(vcpu)) && (await this.isInRepeat(vcpu, before))) continue;
                // Some stubs pass what stands where they go on from: whether it stops is decided here.
                if (!(await this.isAtBreakpoint(vcpu))) break;
                const reply = { kind: 'stopped', signal: SIGTRAP } as const;
                const cause = await this.wire.exclusive(() => this.causeOf(reply, vcpu));
                if (cause !== undefined) return outcomeOf(cause);
            }
        }
        return undefined;
    }

    /** Whether a vCPU is still at an instruction with a repeat prefix. */
    private async isInRepeat(vcpu: number, before: bigint): Promise<boolean> {
        const { cpu, disassembler } = this.host.views[vcpu];
        if (programCounter(cpu) !== before) return false;
        const look = (): boolean => {
            const { repeat = RepeatPrefix.None } = disassembler.at(before, codeView(cpu)).instruction ?? {};
            return repeat !== RepeatPrefix.None;
        };
        return this.wire.exclusive(() => this.host.gather(look));
    }

    private async isAtBreakpoint(vcpu: number): Promise<boolean> {
        await this.wire.exclusive(() => this.host.refresh(vcpu));
        const { cpu, isActive } = this.host.views[vcpu];
        return isActive && this.breakpoints.isAt(programCounter(cpu));
    }

    /** One instruction of a vCPU. */
    private async single(vcpu: number): Promise<Outcome | 'stepped'> {
        const at = programCounter(this.host.views[vcpu].cpu);
        await this.wire.exclusive(() => this.host.applyPoints(at));
        const reply = await this.wire.run({ kind: 'step', thread: this.stub.threads[vcpu] });
        if (reply.kind === 'stopped' && reply.signal === SIGTRAP && reply.watch === undefined) {
            return 'stepped';
        }
        return (await this.judge(reply)) ?? 'stepped';
    }

    /** Whether a stop is one that somebody wants; undefined: the guest is to go on. */
    private async judge(reply: StopReply): Promise<Outcome | undefined> {
        if (reply.kind === 'ended') {
            return { reason: 'ended', reply };
        }
        const vcpu = this.stub.vcpuOf(reply.thread) ?? this.focus;
        const stop = await this.wire.exclusive(async () => {
            await this.host.refresh(vcpu);
            return this.causeOf(reply, vcpu);
        });
        return stop && outcomeOf(stop);
    }

    private temporaryHit = false;

    private async causeOf(reply: StoppedReply, vcpu: number): Promise<Stop | 'paused' | undefined> {
        if (reply.watch !== undefined) {
            const hits = await this.watchpoints.hits(vcpu, reply.watch, (address, length) =>
                this.host.readNumber(vcpu, address, length),
            );
            if (hits.length > 0) {
                const note = hits.map(describeHit).join('; ');
                return { reason: 'watchpoint', vcpu, breakpoints: hits.map(({ id }) => id), watch: hits, note };
            }
            return this.wire.isPauseRequested ? 'paused' : undefined;
        }
        const pc = programCounter(this.host.views[vcpu].cpu);
        if (reply.signal === SIGTRAP && this.breakpoints.isAt(pc)) {
            const { ids, temporary } = await this.breakpoints.hits(vcpu, pc);
            this.temporaryHit = temporary && ids.length === 0;
            if (ids.length > 0 || temporary) return { reason: 'breakpoint', vcpu, breakpoints: ids };
            return this.wire.isPauseRequested ? 'paused' : undefined;
        }
        if (this.wire.isPauseRequested) {
            return 'paused';
        }
        if (reply.signal === SIGINT) {
            return { reason: 'pause', vcpu, note: 'stopped from elsewhere' };
        }
        const note =
            reply.signal === SIGTRAP
                ? 'the gdb stub has stopped the guest, and does not say why'
                : `the gdb stub has stopped the guest: ${signalName(reply.signal)}`;
        return reply.signal === SIGTRAP ? { reason: 'pause', vcpu, note } : { reason: 'exception', vcpu, note };
    }

    // ---- steps ---------------------------------------------------------------------------------------------------

    private readonly stepHost: StepHost<Outcome> = {
        single: (vcpu, intoInterrupts) => this.stepSingle(vcpu, intoInterrupts),
        runUntil: (vcpu, breakpoint) => this.runUntil(vcpu, breakpoint),
        paused: { reason: 'paused' },
        isActive: vcpu => this.host.views[vcpu].isActive,
        yield: () => this.host.yield(),
        isPauseRequested: () => this.wire.isPauseRequested,
    };

    private async stepSingle(vcpu: number, intoInterrupts: boolean): Promise<Outcome | 'stepped'> {
        await this.wire.exclusive(() => this.host.allowInterrupts(intoInterrupts));
        const outcome = await this.single(vcpu);
        return outcome === 'stepped' ? this.atHand(vcpu) : outcome;
    }

    private async runUntil(vcpu: number, breakpoint: TemporaryBreakpoint): Promise<Outcome | 'stepped'> {
        this.breakpoints.temporary = breakpoint;
        this.temporaryHit = false;
        const outcome = await this.continueRun();
        this.breakpoints.temporary = undefined;
        return outcome.reason === 'stopped' && this.temporaryHit ? this.atHand(vcpu) : outcome;
    }

    /** What the next step looks at without waiting: the instruction, and where no lines are known the caller. */
    private async atHand(vcpu: number): Promise<'stepped'> {
        const { views, source } = this.host;
        const { cpu, disassembler } = views[vcpu];
        await this.wire.exclusive(async () => {
            await this.host.refresh(vcpu);
            await this.host.gather(() => {
                disassembler.at(programCounter(cpu), codeView(cpu));
                if (source.placeOf(vcpu) === undefined) source.callerOf(vcpu);
            });
        });
        return 'stepped';
    }
}

function outcomeOf(cause: Stop | 'paused'): Outcome {
    return cause === 'paused' ? { reason: 'paused' } : { reason: 'stopped', stop: cause };
}

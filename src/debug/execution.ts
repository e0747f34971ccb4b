/** Running, pausing and stepping a machine that lives in this process. */
import type { CodeBreakpoint } from '../machine/breakpoint';
import type { AccessObserver, Watchpoint } from '../machine/watchpoints';
import { type Engine, EVENT_STOP, type StopWish, WATCH_STOP } from '../machine/engine';
import { Vector } from '../machine/cpu/fault';
import type { Machine } from '../machine/machine';
import { type MachineEvent, recordOf } from '../machine/observation/event';
import { MachineEventKind } from '../machine/observation/kinds';
import { halves } from './address';
import { BreakpointSet, type TemporaryBreakpoint } from './breakpoints';
import { describeHit, WatchpointSet } from './watchpoints';
import { TargetError } from './errors';
import type { EventDescription } from './events/event-description';
import { describeEvent } from './events/event-description';
import { EventStops } from './events/event-stops';
import { describeShutdown } from './faults';
import { MachineRunner, type RunOutcome, type TargetHost } from './machine-runner';
import type { LoadingPrograms, Relocation, SourceKnowledge } from './program-knowledge';
import { programCounter } from './stack';
import { executeSingle } from './stepper';
import { type StepHost, Steps } from './steps';
import type { End, ResumeOptions, StepKind, StepOptions, Stop, TargetListener, TargetState } from './target';
import type { VcpuView } from './vcpu-view';

/** What the debugger needs of an engine besides running. */
export interface DebugEngine extends Engine {
    setBreakpoints(breakpoints: readonly CodeBreakpoint[]): void;
    /** The instruction at RIP of a vCPU is next, whatever breakpoint stands there. */
    passBreakpoint(vcpu: number): void;
    /** Takes that back: the vCPU has gone on from there, and may come again. */
    passNothing(vcpu: number): void;
    setWatchpoints(watchpoints: readonly Watchpoint[]): void;
    accessObserver: AccessObserver | undefined;
    /** Events that the machine is to be stopped at; for engines that would pass some of them. */
    setStopWishes?(wishes: readonly StopWish[]): void;
    /** Why another engine executes the guest for the moment, in words that follow a colon. */
    readonly standIn?: string;
}

/** Instructions that others execute while one is stepped, if they do. */
const MEANWHILE = 100_000;
/** Host milliseconds between two looks for programs while the guest runs. */
const LOOKING_INTERVAL = 200;

type Outcome = RunOutcome | { readonly reason: 'stepped' };

export class Execution {
    listener: TargetListener | undefined;
    /** Called before the listener is told of a stop. */
    hasStopped: (() => void) | undefined;
    state: TargetState = 'stopped';
    readonly breakpoints: BreakpointSet;
    readonly watchpoints: WatchpointSet;
    readonly eventStops: EventStops;
    /** Whether a name is that of a variable of the program at an address. */
    isVariable: (name: string, address: bigint) => boolean = () => false;
    stopAtTripleFault = true;
    /** What debugging information tells; absent without any. */
    source: SourceKnowledge | undefined;
    /** Looks for programs that have moved, as long as there are any whose place is not known. */
    relocation: Relocation | undefined;
    /** A run was interrupted to apply {@link relocation}. */
    private relocates = false;
    /** A run was interrupted because the guest resets the machine. */
    private resets = false;
    /** Host milliseconds at the last look for programs between two slices. */
    private lookedAt = -Infinity;
    /** Programs that come and go while the guest runs; absent where none are known. */
    private loading: LoadingPrograms | undefined;
    /** One of those has come or gone, and nobody has been told. */
    private loads = false;

    private readonly runner: MachineRunner;
    /** By vCPU: where its user has seen it, as long as it has not gone on. Breakpoints there have had their say. */
    private readonly seen: (bigint | undefined)[];
    /** What led to an {@link EVENT_STOP}, first to last. */
    private events: EventDescription[] = [];
    /** An instruction is being executed alone: an exception ends the step at its handler. */
    private single = false;
    /** The vCPU whose step ends at the handler of an interrupt. */
    private steppedInto: number | undefined;
    /** Those that run while another one steps. */
    private meanwhile: readonly number[] = [];
    private wasInterrupted = false;
    private tripleFaultShown = false;
    private pausedVcpu = 0;
    private toldStandIn: string | undefined;
    /** Settles when the run in progress has ended and been reported. */
    private running: Promise<void> = Promise.resolve();

    constructor(
        private readonly machine: Machine,
        private readonly engine: DebugEngine,
        private readonly views: readonly VcpuView[],
        private readonly host: TargetHost,
    ) {
        this.runner = new MachineRunner(machine, host, () => this.lookBetweenSlices());
        this.seen = views.map(({ cpu }) => programCounter(cpu));
        this.breakpoints = new BreakpointSet({
            context: vcpu => this.views[vcpu].expressions,
            isVariable: (name, address) => this.isVariable(name, address),
            log: text => this.listener?.logged(text),
            isWhereResumed: vcpu => this.views[vcpu].isWhereResumed,
            changed: () => this.engine.setBreakpoints(this.breakpoints.forEngine()),
        });
        this.watchpoints = new WatchpointSet({
            context: vcpu => this.views[vcpu].expressions,
            programCounter: vcpu => programCounter(this.views[vcpu].cpu),
            log: text => this.listener?.logged(text),
            changed: watchpoints => engine.setWatchpoints(watchpoints),
        });
        engine.accessObserver = this.watchpoints;
        this.eventStops = new EventStops(
            vcpu => this.views[vcpu].expressions,
            text => this.listener?.logged(text),
        );
        machine.observation.onEvent = event => this.onEvent(event);
        this.eventStopsChanged();
    }

    /** To be called when {@link eventStops} were replaced. */
    eventStopsChanged(): void {
        const { relocation } = this;
        this.engine.setStopWishes?.(this.eventStops.wishes);
        this.machine.observation.setStopKinds([
            ...this.eventStops.kinds,
            MachineEventKind.Exception,
            MachineEventKind.ExternalInterrupt,
            MachineEventKind.Reset,
            ...(relocation?.isSearching() === true ? [MachineEventKind.CrWrite] : []),
        ]);
    }

    requireStopped(): void {
        if (this.state === 'running') {
            throw new TargetError('the guest is running: pause it first');
        }
        if (this.state === 'ended') {
            throw new TargetError('the guest has ended: restart it');
        }
    }

    /** @param vcpus those that go on; all unless told */
    resume(vcpus: readonly number[] | undefined, { arrives }: ResumeOptions): void {
        this.requireStopped();
        if (arrives === true) {
            this.seen.fill(undefined);
        }
        this.start(() => this.run(vcpus));
    }

    /** A vCPU was put elsewhere: if its user has seen where it was, then this too. */
    movedByHand(vcpu: number): void {
        if (this.state !== 'running' && this.seen[vcpu] !== undefined) {
            this.seen[vcpu] = programCounter(this.views[vcpu].cpu);
        }
    }

    pause(vcpu: number): void {
        if (this.state === 'running') {
            this.pausedVcpu = vcpu;
            this.runner.requestPause();
        }
    }

    /** @throws TargetError */
    step(vcpu: number, kind: StepKind, options: StepOptions): void {
        this.requireStopped();
        const { cpu, disassembler } = this.views[vcpu];
        const view = {
            cpu,
            disassembler,
            place: () => this.source?.placeOf(vcpu),
            caller: () => this.source?.callerOf(vcpu),
        };
        const steps = new Steps(this.stepHost, vcpu, view, options);
        const plan = steps.plan(kind);
        this.meanwhile = (options.meanwhile ?? []).filter(other => other !== vcpu);
        this.start(async () => {
            const outcome = await steps.run(kind, plan);
            return outcome === 'stepped' ? { reason: 'stepped' } : outcome;
        }, vcpu);
    }

    /** Another engine executes the machine: it counts time in its own way. */
    engineSwitched(): void {
        for (const view of this.views) {
            view.disassembler.noteInstruction(programCounter(view.cpu));
        }
    }

    /** Ends a run in progress without telling the listener. */
    async halt(): Promise<void> {
        const { listener } = this;
        this.listener = undefined;
        if (this.state === 'running') {
            this.runner.requestPause();
        }
        await this.running;
        this.listener = listener;
    }

    /** Halts, and begins anew after `restart` has put the machine back to its start. */
    async restart(restart: () => void): Promise<void> {
        await this.halt();
        restart();
        this.loads = false;
        this.placesChanged();
        this.tripleFaultShown = false;
        this.eventStops.forget();
        this.breakpoints.forgetCounts();
        this.watchpoints.forgetCounts();
        this.views.forEach(({ cpu }, vcpu) => (this.seen[vcpu] = programCounter(cpu)));
        this.state = 'stopped';
    }

    async dispose(): Promise<void> {
        await this.halt();
        this.state = 'ended';
        this.machine.observation.onEvent = undefined;
        this.engine.accessObserver = undefined;
    }

    // ---- a run and its end ---------------------------------------------------------------------------------------

    /** @param stepped the vCPU that the user steps: what ends without another reason is the end of the step */
    private start(run: () => Promise<Outcome>, stepped?: number): void {
        this.state = 'running';
        this.runner.clearPause();
        this.events = [];
        this.breakpoints.takeHits();
        this.watchpoints.takeHits();
        this.views.forEach((view, vcpu) => {
            // Others may have got to a breakpoint, too, that has not stopped them yet.
            if (this.seen[vcpu] !== programCounter(view.cpu)) return;
            view.markResumed();
            if (view.isActive) {
                this.engine.passBreakpoint(vcpu);
            }
        });
        // The answer to the request goes first, whatever the run does.
        this.running = this.host
            .yield()
            .then(run)
            .then(outcome => {
                this.breakpoints.setTemporary(undefined);
                this.report(outcome, stepped);
            })
            .catch((error: unknown) => {
                this.state = 'ended';
                this.listener?.failed(error);
            });
    }

    /** Runs on where a stop was only ours. */
    private async run(vcpus?: readonly number[]): Promise<RunOutcome> {
        this.goOn(vcpus ?? this.views.keys());
        for (;;) {
            const outcome = await this.runner.run(vcpus);
            if (!this.relocates && !this.resets && !this.loads) {
                return outcome;
            }
            await this.programsChanged();
            const isOurs = this.isOurs(outcome);
            if (!isOurs || this.runner.isPauseRequested) {
                return isOurs ? { reason: 'paused' } : outcome;
            }
        }
    }

    private goOn(vcpus: Iterable<number>): void {
        for (const vcpu of vcpus) this.seen[vcpu] = undefined;
    }

    /** Whether nobody but the debugger itself has wanted to stop there. */
    private isOurs(outcome: RunOutcome): boolean {
        return (
            outcome.reason === 'breakpoint' &&
            outcome.id !== WATCH_STOP &&
            this.events.length === 0 &&
            this.breakpoints.noneHit
        );
    }

    /** Engines that tell of no writes to control registers give no other occasion. */
    private async lookBetweenSlices(): Promise<void> {
        const { relocation, host } = this;
        if (relocation?.isSearching() !== true) {
            return;
        }
        const isDue = host.now() - this.lookedAt >= LOOKING_INTERVAL;
        if (isDue ? relocation.find() : relocation.findQuickly()) {
            this.relocates = true;
            await this.programsChanged();
        }
        if (isDue) this.lookedAt = host.now();
    }

    /** Programs have moved, come or gone: whoever has breakpoints in them has to hear of it first. */
    private async programsChanged(): Promise<void> {
        const { relocates, resets, loads } = this;
        this.relocates = false;
        this.resets = false;
        this.loads = false;
        if (resets) {
            await this.relocation?.restart();
        } else if (relocates) {
            await this.relocation?.apply();
        }
        if (relocates || resets) {
            this.eventStopsChanged();
            this.placesChanged();
        }
        if (loads && !resets) {
            await this.loading?.apply();
        }
    }

    /** To be called once with what is known of programs that come and go. */
    watchLoading(loading: LoadingPrograms | undefined): void {
        this.loading = loading;
        this.placesChanged();
    }

    private placesChanged(): void {
        const places = this.loading?.places() ?? [];
        this.breakpoints.setOwn(places, (vcpu, place) => {
            this.loads = this.loading?.passed(vcpu, place) === true || this.loads;
            // Where an instruction is executed alone, the stop behind it does.
            return this.loads && !this.single;
        });
    }

    private report(outcome: Outcome, stepped: number | undefined): void {
        this.tellStandIn();
        switch (outcome.reason) {
            case 'stepped':
                this.stopAt({ reason: 'step', vcpu: stepped ?? 0 });
                return;
            case 'paused':
                this.stopAt({ reason: 'pause', vcpu: stepped ?? this.pausedVcpu });
                return;
            case 'breakpoint':
                this.stopAt(this.breakpointStop(outcome.vcpu, outcome.id));
                return;
            case 'tripleFault': {
                const { cpu, memory } = this.views[outcome.vcpu];
                const note = describeShutdown(cpu, memory, outcome.report);
                if (this.stopAtTripleFault && !this.tripleFaultShown) {
                    this.tripleFaultShown = true;
                    this.stopAt({ reason: 'exception', vcpu: outcome.vcpu, note });
                } else {
                    this.end({ reason: 'tripleFault', note });
                }
                return;
            }
            case 'engineFailed':
                this.stopAt({ reason: 'exception', vcpu: outcome.vcpu, note: outcome.problem, title: 'engine' });
                return;
            case 'debugExit':
                this.end({ ...outcome, note: `the guest exited with status ${outcome.status}` });
                return;
            case 'poweredOff':
                this.end({ ...outcome, note: 'the guest powered off' });
                return;
            case 'reset':
                this.end({ ...outcome, note: 'the guest reset the machine' });
        }
    }

    /** Once each time that the reason changes. */
    private tellStandIn(): void {
        const { standIn } = this.engine;
        if (standIn !== this.toldStandIn && standIn !== undefined) {
            this.listener?.logged(`the translator executes the guest in KVM's place: ${standIn}`);
        }
        this.toldStandIn = standIn;
    }

    private breakpointStop(vcpu: number, id: number): Stop {
        const [event] = this.events;
        if (id === EVENT_STOP && event !== undefined) {
            const note = this.events.map(({ text }) => text).join('; ');
            return { reason: event.isException ? 'exception' : 'event', vcpu, event, note };
        }
        if (id === WATCH_STOP) {
            const hits = this.watchpoints.takeHits();
            return {
                reason: 'watchpoint',
                vcpu,
                breakpoints: hits.map(hit => hit.id),
                watch: hits,
                note: hits.map(describeHit).join('; '),
            };
        }
        const { ids } = this.breakpoints.takeHits();
        return ids.length > 0 ? { reason: 'breakpoint', vcpu, breakpoints: ids } : { reason: 'step', vcpu };
    }

    private stopAt(stop: Stop): void {
        this.state = 'stopped';
        const { cpu, disassembler } = this.views[stop.vcpu];
        this.lookForMoves(programCounter(cpu));
        this.loads = this.loading?.stopped(stop.vcpu) === true || this.loads;
        if (this.relocates || this.loads) {
            void this.programsChanged();
        }
        disassembler.noteInstruction(programCounter(cpu));
        this.seen[stop.vcpu] = programCounter(cpu);
        this.hasStopped?.();
        this.listener?.stopped(stop);
    }

    private lookForMoves(pc: bigint): void {
        const { relocation } = this;
        if (this.resets) {
            this.resets = false;
            void relocation?.restart();
            return;
        }
        if (relocation?.isSearching() === true && !this.relocates) {
            this.relocates = relocation.find();
        }
        const mismatch = !this.relocates && relocation?.isSearching() === true ? relocation.mismatch(pc) : undefined;
        if (mismatch !== undefined) {
            this.listener?.logged(mismatch);
        }
    }

    private end(end: End): void {
        this.state = 'ended';
        this.listener?.ended(end);
    }

    // ---- steps ---------------------------------------------------------------------------------------------------

    private readonly stepHost: StepHost<RunOutcome> = {
        single: (vcpu, intoInterrupts) => this.executeSingle(vcpu, intoInterrupts),
        runUntil: (vcpu, breakpoint, intoInterrupts) => this.runUntil(vcpu, breakpoint, intoInterrupts),
        paused: { reason: 'paused' },
        isActive: vcpu => this.views[vcpu].isActive,
        yield: () => this.host.yield(),
        isPauseRequested: () => this.runner.isPauseRequested,
    };

    private executeSingle(vcpu: number, intoInterrupts: boolean): RunOutcome | 'stepped' {
        const { machine } = this;
        const { cpu } = this.views[vcpu];
        this.goOn([vcpu, ...this.meanwhile]);
        this.single = true;
        this.steppedInto = intoInterrupts ? vcpu : undefined;
        const stop = executeSingle(machine.loop, vcpu, cpu, intoInterrupts);
        this.single = false;
        this.steppedInto = undefined;
        if (stop.reason === 'breakpoint') {
            return { reason: 'breakpoint', vcpu, id: stop.id };
        }
        this.engine.passNothing(vcpu);
        if (stop.reason === 'shutdown') {
            machine.loop.finish({ reason: 'tripleFault', vcpu, report: cpu.shutdownReport });
        }
        // What is due between two instructions: alarms, input, the end of the machine.
        const { meanwhile } = this;
        const instructions = meanwhile.length > 0 ? MEANWHILE : 0;
        const after = machine.run({ instructions, idleSkips: 0, vcpus: meanwhile });
        switch (after.reason) {
            case 'budget':
            case 'idle':
            case 'stopRequested':
                return 'stepped';
            default:
                // What there is to do about a stop of the debugger's own is done at the end of the step.
                return instructions > 0 && this.isOurs(after) ? 'stepped' : after;
        }
    }

    private async runUntil(
        vcpu: number,
        breakpoint: TemporaryBreakpoint,
        intoInterrupts: boolean,
    ): Promise<RunOutcome | 'stepped'> {
        this.breakpoints.setTemporary(breakpoint);
        this.steppedInto = intoInterrupts ? vcpu : undefined;
        this.wasInterrupted = false;
        const outcome = await this.run();
        this.steppedInto = undefined;
        this.breakpoints.setTemporary(undefined);
        if (outcome.reason === 'paused' && this.wasInterrupted) {
            return 'stepped';
        }
        if (outcome.reason === 'breakpoint' && outcome.id !== EVENT_STOP && this.breakpoints.takeTemporaryHit()) {
            // Perhaps the step goes on from here: whatever else stands here has been asked.
            this.engine.passNothing(vcpu);
            this.views[vcpu].markResumed();
            return 'stepped';
        }
        return outcome;
    }

    // ---- breakpoints and exceptions ------------------------------------------------------------------------------

    /** Asked about each event of a kind that is of interest; true stops there. */
    private onEvent(event: MachineEvent): boolean {
        if (event.kind === MachineEventKind.Reset) {
            this.resets = true;
        } else if (this.relocation?.isSearching() === true && !this.relocates && this.relocation.find()) {
            this.relocates = true;
        }
        const stops = this.eventStops.stops(event, this.machine.engine.retired());
        if (stops) {
            this.events.push(describeEvent(recordOf(event), event.device, this.views[event.vcpu], this.machine));
        } else if (this.single && event.kind === MachineEventKind.Exception) {
            this.engine.requestExit();
        } else if (this.steppedInto === event.vcpu && event.kind === MachineEventKind.ExternalInterrupt) {
            this.wasInterrupted = true;
            this.runner.requestPause();
            this.machine.requestStop();
        }
        return stops || this.relocates || this.resets || this.meetsUnfetched(event);
    }

    /** Whether the event is the page fault of an instruction that cannot be fetched, with a breakpoint before it. */
    private meetsUnfetched({ kind, vcpu, cause, addressLo, addressHi }: MachineEvent): boolean {
        if (kind !== MachineEventKind.Exception || cause !== (Vector.PF as number) || this.single) {
            return false;
        }
        const pc = programCounter(this.views[vcpu].cpu);
        const [lo, hi] = halves(pc);
        return lo === addressLo >>> 0 && hi === addressHi >>> 0 && this.breakpoints.meetsFetchFault(vcpu, pc);
    }
}

/** A debug session: the life of a guest under the Debug Adapter Protocol. */
import type { DebugProtocol } from '@vscode/debugprotocol';
import type { DebugTarget, End, Stop, TargetListener } from '../debug/target';
import type { RequestArguments } from './arguments';
import { BreakpointRequests } from './breakpoint-requests';
import { DataBreakpointRequests } from './data-breakpoint-requests';
import { capabilities } from './capabilities';
import { reportDefect } from './defect-report';
import { EngineRequests } from './engine-requests';
import { EventStopStore } from './event-stop-store';
import { ExecutionRequests } from './execution-requests';
import { ExpressionRequests } from './expression-requests';
import { createGuest, disposeOf, type Guest, type GuestOutput } from './guest';
import { InspectionRequests } from './inspection';
import { guestName, GuestRegistry, type OwnGuest, type RunningGuest } from './guest-registry';
import {
    readAttachConfiguration,
    readLaunchConfiguration,
    type LaunchConfiguration,
    type SessionConfiguration,
} from './launch-configuration';
import { MemoryRequests } from './memory-requests';
import { ModuleRequests } from './module-requests';
import { IndexProgressReports } from './index-progress';
import { ProtocolSession, type RequestHandlers } from './protocol-session';
import { connectToStub } from './remote-guest';
import { RequestError } from './request-error';
import { SerialRequests } from './serial-requests';
import { describeError } from './session-log';
import {
    type ClientAbilities,
    type FramePlace,
    FRAMES_PER_VCPU,
    type NumberBase,
    readAbilities,
    type SessionContext,
} from './session-context';
import { SourceRequests } from './source-requests';
import { StateRequests } from './state-requests';
import { StopReports } from './stop-reports';
import { VmExitRequests } from './vm-exit-requests';

const NO_GUEST = 'there is no guest: launch one first';

export interface SessionOptions {
    /** Called once the client has gone. */
    readonly closed: () => void;
    /** Guests that outlive their session; absent where the process ends with it. */
    readonly registry?: GuestRegistry;
    /** Makes the machine of a launch configuration; tests have others. */
    readonly createGuest?: (configuration: LaunchConfiguration, output: GuestOutput) => Guest;
}

export class HyperscopeSession extends ProtocolSession implements SessionContext, TargetListener {
    guest: Guest | undefined;
    /** vCPU that requests without a thread are about: the last one that stopped. */
    focus = 0;
    numberBase: NumberBase = 'hex';
    client: ClientAbilities = readAbilities(undefined);

    private running: RunningGuest | undefined;
    /** The client has gone. */
    private over = false;
    private configured = false;
    /** The client was told that it can set breakpoints. */
    private isReady = false;
    private started = false;

    private readonly serial = new SerialRequests(this);
    private readonly modules = new ModuleRequests(this);
    private readonly sources = new SourceRequests(this);
    private readonly eventStops = new EventStopStore();
    private readonly breakpoints = new BreakpointRequests(this, this.sources, this.eventStops);
    private readonly vmExits = new VmExitRequests(this, this.eventStops);
    private readonly indexProgress = new IndexProgressReports(this);
    private readonly stateRequests = new StateRequests(this, this.sources);
    private readonly dataBreakpoints = new DataBreakpointRequests(this, this.stateRequests.store, () =>
        this.breakpoints.store.nextId(),
    );
    private readonly inspection = new InspectionRequests(this);
    private readonly engineRequests = new EngineRequests(this);
    private readonly stops = new StopReports(this, {
        breakpoints: this.breakpoints,
        dataBreakpoints: this.dataBreakpoints,
        engines: this.engineRequests,
        sources: this.sources,
    });

    protected readonly handlers: RequestHandlers = {
        initialize: args => this.initialize(args),
        launch: args => this.launch(args),
        attach: args => this.attach(args),
        configurationDone: () => this.configurationDone(),
        restart: args => this.restart(args),
        terminate: () => this.terminate(),
        disconnect: args => this.disconnect(args),
        ...new ExecutionRequests(this, this.sources).handlers,
        ...this.sources.handlers,
        ...this.breakpoints.handlers,
        ...this.dataBreakpoints.handlers,
        ...this.vmExits.handlers,
        ...this.stateRequests.handlers,
        ...new ExpressionRequests(this, this.stateRequests.store).handlers,
        ...new MemoryRequests(this, this.sources).handlers,
        ...this.modules.handlers,
        ...this.serial.handlers,
        ...this.inspection.handlers,
        ...this.engineRequests.handlers,
    };

    constructor(private readonly options: SessionOptions) {
        super();
    }

    /** The client has gone. Where another can come, what it left undecided waits for that one. */
    override shutdown(): void {
        if (this.over) return;
        this.over = true;
        this.cancelAll();
        const stays = this.running?.output !== undefined && this.options.registry !== undefined;
        const done = stays ? this.leave(false) : this.disposeGuest();
        done.catch((error: unknown) => this.log.note(describeError(error))).finally(() => {
            this.log.close();
            this.options.closed();
        });
    }

    /** Something in this process has thrown where nobody caught it; called by whoever runs the process. */
    crashed(error: unknown): void {
        this.reportDefect(error);
    }

    get target(): DebugTarget {
        if (this.guest === undefined) {
            throw new RequestError(NO_GUEST);
        }
        return this.guest.target;
    }

    // ---- life ----------------------------------------------------------------------------------------------------

    private initialize(args: RequestArguments): DebugProtocol.Capabilities {
        this.client = readAbilities(args);
        this.showsProgress = args.flag('supportsProgressReporting');
        return capabilities({ leavesGuests: this.options.registry !== undefined });
    }

    private async launch(args: RequestArguments): Promise<void> {
        this.requireNoGuest();
        await this.adopt(this.startGuest(args.raw));
    }

    private async attach(args: RequestArguments): Promise<void> {
        this.requireNoGuest();
        const configuration = readAttachConfiguration(args.raw);
        const { target, guest: name } = configuration;
        this.openLog(configuration);
        if (target !== undefined) {
            await this.adopt({ guest: await connectToStub(target, configuration), configuration });
            return;
        }
        const registry = this.options.registry ?? new GuestRegistry();
        const { output, ...running } = registry.take(name);
        output.write = (port, byte) => this.serial.write(port, byte);
        await this.adopt({ ...running, output, configuration });
    }

    private requireNoGuest(): void {
        if (this.guest !== undefined) {
            throw new RequestError('this session has its guest already: use restart');
        }
    }

    private startGuest(attributes: Readonly<Record<string, unknown>>): RunningGuest {
        const configuration = readLaunchConfiguration(attributes);
        this.openLog(configuration);
        const output: OwnGuest['output'] = { write: (port, byte) => this.serial.write(port, byte) };
        const guest = (this.options.createGuest ?? createGuest)(configuration, (port, byte) =>
            output.write(port, byte),
        );
        return { guest, configuration, output, launched: configuration };
    }

    private openLog({ logFile }: SessionConfiguration): void {
        if (logFile !== undefined) {
            this.log.open(logFile);
        }
    }

    protected override afterResponse(command: string): void {
        switch (command) {
            case 'launch':
            case 'attach':
                // Not earlier: breakpoints by name need the symbols.
                if (this.guest !== undefined && !this.configured && !this.isReady) {
                    this.isReady = true;
                    this.emitEvent('initialized');
                }
                break;
            case 'disconnect':
                this.shutdown();
        }
    }

    private async adopt(running: RunningGuest, again = false): Promise<void> {
        await this.disposeGuest();
        if (this.over) {
            // The client has gone while there was no guest to be left, or let go of.
            await this.giveBack(running);
            return;
        }
        const { guest, configuration, launched } = running;
        this.running = running;
        this.guest = guest;
        this.started = false;
        this.focus = 0;
        this.stateRequests.invalidate();
        this.inspection.forget();
        guest.target.listener = this;
        guest.listen?.();
        if (guest.note !== undefined) {
            this.console(`${guest.note}\n`);
        }
        for (const name of configuration.unknown) {
            const request = launched === configuration ? 'launch' : 'attach';
            this.console(`${request} attribute '${name}' is not known and has no effect\n`, 'important');
        }
        await this.vmExits.guestCame(guest.target);
        this.recordExits(guest, launched);
        this.announce(running);
        this.indexProgress.show(guest.indexing ?? [], this.showsProgress);
        await this.breakpoints.apply(guest.target);
        await this.dataBreakpoints.apply(guest.target);
        if (this.configured) {
            await this.begin(again);
        }
    }

    private async giveBack({ output, guest, ...running }: RunningGuest): Promise<void> {
        if (output !== undefined && this.options.registry !== undefined) {
            await this.options.registry.leave({ ...running, guest, output });
        } else {
            await disposeOf(guest);
        }
    }

    private recordExits({ target }: Guest, launched: LaunchConfiguration | undefined): void {
        if (launched?.recordExits === undefined) {
            return;
        }
        try {
            this.vmExits.recordFromStart(target, launched.recordExits);
        } catch (error) {
            if (!(error instanceof RequestError)) throw error;
            this.console(`${error.message}\n`, 'important');
        }
    }

    /** Tells the client what there is now. */
    private announce({ guest, configuration, launched }: RunningGuest): void {
        if (guest.capabilities !== undefined) {
            this.emitEvent('capabilities', { capabilities: guest.capabilities });
        }
        const startMethod = launched === configuration ? 'launch' : 'attach';
        this.emitEvent('process', {
            name: guestName({ launched }),
            isLocalProcess: true,
            startMethod,
            pointerSize: 64,
        });
        this.modules.announce('new', guest);
        for (let vcpu = 0; vcpu < guest.target.vcpus; vcpu++) {
            this.emitEvent('thread', { reason: 'started', threadId: vcpu + 1 });
        }
    }

    private async configurationDone(): Promise<void> {
        this.configured = true;
        if (this.guest !== undefined && !this.started) {
            await this.begin(false);
        }
    }

    /** @param again the client thinks that the guest is where the one before was */
    private async begin(again: boolean): Promise<void> {
        this.started = true;
        const { target } = this;
        if (this.running?.configuration.stopOnEntry === true) {
            // One that was attached to may run: its stop will be reported.
            if (target.state === 'running') {
                await target.pause(0);
            } else {
                const isNew = again || this.running.launched === this.running.configuration;
                this.stopSoon({ reason: 'entry', vcpu: 0, title: isNew ? undefined : 'Attached' });
            }
            return;
        }
        if (target.state === 'ended') {
            this.console('the guest has ended while nobody was attached to it: restart it\n');
            this.emitEvent('terminated');
            return;
        }
        if (target.state === 'stopped') {
            // Nobody was shown where it is: breakpoints there are still to be met.
            await target.resume(undefined, { arrives: true });
        }
        this.resumed();
        if (again) {
            this.emitEvent('continued', { threadId: 1, allThreadsContinued: true });
        }
    }

    private async restart(args: RequestArguments): Promise<void> {
        const { running } = this;
        if (running === undefined) {
            throw new RequestError(NO_GUEST);
        }
        const { launched } = running;
        if (launched === undefined) {
            await this.reset(running);
            return;
        }
        // The old guest goes only once the new one exists.
        await this.adopt(
            this.startGuest(args.has('arguments') ? args.object('arguments').raw : { ...launched.attributes }),
            true,
        );
    }

    /** A guest that nobody here has launched: its reset button. One that was lost is looked for again. */
    private async reset({ guest, configuration }: RunningGuest): Promise<void> {
        const again = guest.reconnect?.();
        if (again !== undefined) {
            await this.adopt({ guest: await again, configuration }, true);
            return;
        }
        await guest.target.reset();
        this.stateRequests.invalidate();
        await this.begin(true);
    }

    private async terminate(): Promise<void> {
        await this.guest?.target.end?.();
        await this.disposeGuest();
        this.emitEvent('terminated');
    }

    /** A guest that was launched here goes with its session, unless the client says otherwise. */
    private async disconnect(args: RequestArguments): Promise<void> {
        const { running } = this;
        const launchedHere = running?.launched === running?.configuration;
        const terminates = args.has('terminateDebuggee') ? args.flag('terminateDebuggee') : launchedHere;
        if (running !== undefined && !terminates) {
            if (this.options.registry === undefined && running.output !== undefined) {
                throw new RequestError("this adapter ends with its session, and the guest with it: use 'dap --listen'");
            }
            await this.leave(!args.flag('suspendDebuggee'));
        } else {
            await this.guest?.target.end?.();
            await this.disposeGuest();
        }
    }

    /** Leaves the guest to whoever attaches to it next. */
    private async leave(runs: boolean): Promise<void> {
        const { running, guest } = this;
        if (running === undefined || guest === undefined) return;
        if (running.output === undefined || this.options.registry === undefined) {
            // Behind a stub: the connection ends, the guest stays there.
            await guest.target.leave?.(runs);
            await this.disposeGuest();
            return;
        }
        this.release();
        const { target } = guest;
        target.listener = undefined;
        // Nobody is there any more to hear of a stop, nor does whoever comes next know these.
        await target.setBreakpoints([]);
        await target.setWatchpoints?.([]);
        await target.events?.setFilters([]);
        if (runs && target.state === 'stopped') {
            await target.resume();
        } else if (!runs && target.state === 'running') {
            await target.pause(0);
        }
        await this.options.registry.leave({ ...running, output: running.output });
    }

    private async disposeGuest(): Promise<void> {
        const { guest } = this;
        this.release();
        if (guest !== undefined) {
            guest.target.listener = undefined;
            await disposeOf(guest);
        }
    }

    /** The guest is no longer ours. */
    private release(): void {
        const { guest } = this;
        this.guest = undefined;
        this.running = undefined;
        this.stops.last = undefined;
        this.breakpoints.ended();
        this.vmExits.guestGone(guest?.target);
        this.serial.flush();
        if (guest !== undefined && !this.over) {
            for (let vcpu = 0; vcpu < guest.target.vcpus; vcpu++) {
                this.emitEvent('thread', { reason: 'exited', threadId: vcpu + 1 });
            }
            this.modules.announce('removed', guest);
        }
    }

    // ---- for the requests ----------------------------------------------------------------------------------------

    get lastStop(): Stop | undefined {
        return this.stops.last;
    }

    stopSoon(stop: Stop): void {
        const { guest } = this;
        setImmediate(() => {
            // A request that did not wait for this may have let the guest go on.
            if (guest === this.guest && guest?.target.state !== 'running') {
                this.stopped(stop);
            }
        });
    }

    get sharesFiles(): boolean {
        return this.options.registry === undefined;
    }

    get stepsIntoInterrupts(): boolean {
        return this.running?.configuration.stepIntoInterrupts === true;
    }

    resumed(): void {
        this.stateRequests.invalidate();
        this.breakpoints.resumed(this.target);
    }

    guestChanged(): void {
        this.stateRequests.invalidate();
        if (this.client.invalidated) {
            setImmediate(() => this.emitEvent('invalidated', { areas: ['variables', 'stacks'] }));
        }
    }

    vcpu(args: RequestArguments): number {
        return args.integer('threadId', 1, this.target.vcpus) - 1;
    }

    frame(args: RequestArguments): FramePlace {
        if (!args.has('frameId')) {
            return { vcpu: this.focus, depth: 0 };
        }
        const id = args.integer('frameId', 1, this.target.vcpus * FRAMES_PER_VCPU) - 1;
        return { vcpu: Math.floor(id / FRAMES_PER_VCPU), depth: id % FRAMES_PER_VCPU };
    }

    // ---- what the target says ------------------------------------------------------------------------------------

    stopped(stop: Stop): void {
        this.serial.flush();
        this.focus = stop.vcpu;
        this.stateRequests.invalidate();
        this.inspection.stopped();
        this.stops.report(stop).catch((error: unknown) => this.reportDefect(error));
    }

    resumedElsewhere(): void {
        this.stops.last = undefined;
        this.stateRequests.invalidate();
        this.emitEvent('continued', { threadId: this.focus + 1, allThreadsContinued: true });
    }

    ended({ reason, status, note }: End): void {
        this.serial.flush();
        this.console(`${note}\n`);
        if (reason === 'poweredOff' || reason === 'debugExit') {
            this.emitEvent('exited', { exitCode: status ?? 0 });
        }
        this.emitEvent('terminated');
    }

    logged(text: string): void {
        this.console(`${text}\n`);
    }

    protected override cancelProgress(progressId: unknown): void {
        this.indexProgress.cancel(progressId);
    }

    async relocated(): Promise<void> {
        const { guest } = this;
        if (guest === undefined) return;
        try {
            this.modules.changed(guest);
            await this.breakpoints.relocate(guest.target);
        } catch (error) {
            this.reportDefect(error);
        }
    }

    /** The emulator has failed. What it has left can still be looked at. */
    failed(error: unknown): void {
        this.serial.flush();
        this.reportDefect(error);
        const note = 'Hyperscope itself has failed: the guest is as it was left';
        this.stopped({ reason: 'exception', vcpu: this.focus, note, title: 'defect of Hyperscope' });
    }

    protected override reportDefect(error: unknown): void {
        void reportDefect(error, this, this.log);
    }
}

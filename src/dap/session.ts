/** A debug session: the life of a guest under the Debug Adapter Protocol. */
import path from 'node:path';
import type { DebugProtocol } from '@vscode/debugprotocol';
import type { DebugTarget, End, Stop, TargetListener } from '../debug/target';
import type { SerialEvent } from '../messages/serial';
import type { RequestArguments } from './arguments';
import { BreakpointRequests } from './breakpoint-requests';
import { CAPABILITIES } from './capabilities';
import { ExecutionRequests } from './execution-requests';
import { ExpressionRequests } from './expression-requests';
import { createGuest, type Guest } from './guest';
import { InspectionRequests } from './inspection';
import { type LaunchConfiguration, readLaunchConfiguration } from './launch-configuration';
import { MemoryRequests } from './memory-requests';
import { presentStop } from './presentation';
import { ProtocolSession, type RequestHandlers } from './protocol-session';
import { RequestError } from './request-error';
import { SerialOutput } from './serial-output';
import {
    type ClientAbilities,
    type FramePlace,
    FRAMES_PER_VCPU,
    type NumberBase,
    type SessionContext,
} from './session-context';
import { SourceRequests } from './source-requests';
import { StateRequests } from './state-requests';

const NO_GUEST = 'there is no guest: launch one first';

export class HyperscopeSession extends ProtocolSession implements SessionContext, TargetListener {
    guest: Guest | undefined;
    /** vCPU that requests without a thread are about: the last one that stopped. */
    focus = 0;
    lastStop: Stop | undefined;
    numberBase: NumberBase = 'hex';
    client: ClientAbilities = readAbilities(undefined);

    private configuration: LaunchConfiguration | undefined;
    private configured = false;
    private started = false;
    /** COM1 and COM2. */
    private readonly serial = [0, 1].map(port => new SerialOutput(text => this.serialText(port, text)));

    private readonly sources = new SourceRequests(this);
    private readonly breakpoints = new BreakpointRequests(this, this.sources);
    private readonly stateRequests = new StateRequests(this, this.sources);
    private readonly inspection = new InspectionRequests(this);

    protected readonly handlers: RequestHandlers = {
        initialize: args => this.initialize(args),
        launch: args => this.launch(args),
        configurationDone: () => this.configurationDone(),
        restart: args => this.restart(args),
        terminate: () => this.terminate(),
        disconnect: () => this.disconnect(),
        ...new ExecutionRequests(this, this.sources).handlers,
        ...this.sources.handlers,
        ...this.breakpoints.handlers,
        ...this.stateRequests.handlers,
        ...new ExpressionRequests(this).handlers,
        ...new MemoryRequests(this).handlers,
        modules: args => this.modules(args),
        'hyperscope/sendSerial': args => this.sendSerial(args),
        ...this.inspection.handlers,
    };

    /** @param closed called once the client has gone */
    constructor(private readonly closed: () => void) {
        super();
    }

    override shutdown(): void {
        void this.disposeGuest().then(() => this.closed());
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
        return CAPABILITIES;
    }

    private async launch(args: RequestArguments): Promise<void> {
        if (this.guest !== undefined) {
            throw new RequestError('this session has launched its guest already: use restart');
        }
        const configuration = readLaunchConfiguration(args.raw);
        await this.adopt(
            createGuest(configuration, (port, byte) => this.serial[port].write(byte)),
            configuration,
        );
    }

    protected override afterResponse(command: string): void {
        switch (command) {
            case 'launch':
                // Not earlier: breakpoints by name need the symbols.
                if (this.guest !== undefined && !this.configured) {
                    this.emitEvent('initialized');
                }
                break;
            case 'disconnect':
                this.shutdown();
        }
    }

    private async adopt(guest: Guest, configuration: LaunchConfiguration): Promise<void> {
        await this.disposeGuest();
        this.guest = guest;
        this.configuration = configuration;
        this.started = false;
        this.focus = 0;
        this.stateRequests.invalidate();
        guest.target.listener = this;
        for (const name of configuration.unknown) {
            this.console(`launch attribute '${name}' is not known and has no effect\n`, 'important');
        }
        await this.breakpoints.apply(guest.target);
        if (this.configured) {
            await this.begin();
        }
    }

    private async configurationDone(): Promise<void> {
        this.configured = true;
        if (this.guest !== undefined && !this.started) {
            await this.begin();
        }
    }

    private async begin(): Promise<void> {
        this.started = true;
        if (this.configuration?.stopOnEntry === true) {
            this.stopSoon({ reason: 'entry', vcpu: 0 });
        } else {
            await this.target.resume();
            this.resumed();
        }
    }

    private async restart(args: RequestArguments): Promise<void> {
        if (this.configuration === undefined) {
            throw new RequestError(NO_GUEST);
        }
        const configuration = args.has('arguments')
            ? readLaunchConfiguration(args.object('arguments').raw)
            : this.configuration;
        // The old guest goes only once the new one exists.
        await this.adopt(
            createGuest(configuration, (port, byte) => this.serial[port].write(byte)),
            configuration,
        );
    }

    private async terminate(): Promise<void> {
        await this.disposeGuest();
        this.emitEvent('terminated');
    }

    private async disconnect(): Promise<void> {
        await this.disposeGuest();
    }

    private async disposeGuest(): Promise<void> {
        const { guest } = this;
        this.guest = undefined;
        if (guest !== undefined) {
            guest.target.listener = undefined;
            this.breakpoints.ended();
            await guest.target.dispose();
        }
        this.flushSerial();
    }

    // ---- for the requests ----------------------------------------------------------------------------------------

    stopSoon(stop: Stop): void {
        const { guest } = this;
        setImmediate(() => {
            if (guest === this.guest) {
                this.stopped(stop);
            }
        });
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
        this.flushSerial();
        this.focus = stop.vcpu;
        this.lastStop = stop;
        this.stateRequests.invalidate();
        this.report(stop).catch((error: unknown) => this.reportDefect(error));
    }

    private async report(stop: Stop): Promise<void> {
        const { target } = this;
        const ids = stop.breakpoints ?? [];
        const body = presentStop(stop, stop.vcpu + 1, this.breakpoints.kindOfStop(ids));
        // Of frames without a source, VS Code focuses only those of this reason; the description tells the truth.
        const hidden = this.client.isVsCode && !(await this.sources.hasPlace(target, stop.vcpu));
        this.emitEvent('stopped', hidden ? { ...body, reason: 'instruction breakpoint' } : body);
        await this.breakpoints.stopped(target, ids);
    }

    ended({ reason, status, note }: End): void {
        this.flushSerial();
        this.console(`${note}\n`);
        if (reason === 'poweredOff' || reason === 'debugExit') {
            this.emitEvent('exited', { exitCode: status ?? 0 });
        }
        this.emitEvent('terminated');
    }

    logged(text: string): void {
        this.console(`${text}\n`);
    }

    failed(error: unknown): void {
        const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
        this.console(`Hyperscope itself has failed; this is a defect:\n${text}\n`, 'stderr');
        this.emitEvent('terminated');
    }

    // ---- small things --------------------------------------------------------------------------------------------

    private modules(args: RequestArguments): DebugProtocol.ModulesResponse['body'] {
        const all = (this.guest?.modules ?? []).map(({ path: file, symbols }, id) => ({
            id,
            name: path.basename(file),
            path: file,
            symbolStatus: symbols > 0 ? `${symbols} symbols` : 'no symbols',
        }));
        const start = args.optionalInteger('startModule', 0, 0);
        const count = args.optionalInteger('moduleCount', 0, 0);
        return { modules: all.slice(start, count === 0 ? undefined : start + count), totalModules: all.length };
    }

    private flushSerial(): void {
        this.serial.forEach(port => port.flush());
    }

    private serialText(port: number, text: string): void {
        if (this.client.serial) {
            const body: SerialEvent = { port, text };
            this.emitEvent('hyperscope/serial', body);
        } else if (port === 0) {
            this.console(text, 'stdout');
        }
    }

    private async sendSerial(args: RequestArguments): Promise<void> {
        const bytes = new TextEncoder().encode(args.string('text'));
        await this.target.sendSerial(args.optionalInteger('port', 0, 0), bytes);
    }
}

function readAbilities(args: RequestArguments | undefined): ClientAbilities {
    return {
        isVsCode: args?.optionalString('clientID')?.startsWith('vscode') === true,
        invalidated: args?.flag('supportsInvalidatedEvent') === true,
        memory: args?.flag('supportsMemoryEvent') === true,
        variablePaging: args?.flag('supportsVariablePaging') === true,
        serial: args?.flag('supportsHyperscopeSerialEvent') === true,
        firstLine: args?.raw.linesStartAt1 === false ? 0 : 1,
        firstColumn: args?.raw.columnsStartAt1 === false ? 0 : 1,
    };
}

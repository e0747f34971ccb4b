/** What the views know of debug sessions: whose guest they show, and whether it runs. */
import type { DebugProtocol } from '@vscode/debugprotocol';
import * as vscode from 'vscode';
import { MOVES } from './message-queue';
import { RefreshClock } from './refresh-clock';
import { Together } from './together';

export const DEBUG_TYPE = 'hyperscope';

export type GuestState = 'starting' | 'stopped' | 'running' | 'ended';

export interface GuestStop {
    readonly reason: string;
    readonly description: string | undefined;
    readonly text: string | undefined;
    readonly vcpu: number;
    readonly at: Date;
}

/** Custom events of the adapter. */
export interface GuestEvent {
    readonly session: GuestSession;
    readonly event: string;
    readonly body: unknown;
}

/** Requests after whose response the guest runs. */
const RESUMING: ReadonlySet<string> = new Set([...MOVES, 'goto', 'restart']);

/** Milliseconds within which a move is over or takes long: see {@link MessageQueue}. */
const QUICK_MOVE = 50;

/** Milliseconds that a guest runs before the views say so: a step is over sooner, and should not flicker. */
const NOTICEABLE = 200;

/** A way to a guest's adapter that does not lead through VS Code's window. */
export interface AdapterLine {
    /** @throws Error with the adapter's words */
    request(command: string, args: object): Promise<unknown>;
    /**
     * Sees each message of the adapter's before VS Code does. Where it returns a promise, VS Code hears of that message,
     * and of all that follow, once it is kept; of a stop before the response to the move that led to it.
     */
    preview: ((message: object) => Promise<void> | undefined) | undefined;
}

export class GuestSession {
    state: GuestState = 'starting';
    stop: GuestStop | undefined;
    /** The vCPU that is looked at: the one chosen in the call stack, or the last one that stopped. */
    vcpu = 0;

    /** @param line absent where VS Code itself talks to the adapter, such as one that listens */
    constructor(
        readonly debug: vscode.DebugSession,
        private readonly line: AdapterLine | undefined,
    ) {}

    /** @throws Error with the adapter's words */
    async request<Response>(command: string, args: object = {}): Promise<Response> {
        const answer = this.line?.request(command, args) ?? this.debug.customRequest(command, args);
        return (await answer) as Response;
    }

    get threadId(): number {
        return this.vcpu + 1;
    }
}

/** What has become different: the guest's state, the vCPU that is looked at, or values that somebody has edited. */
export type Change = 'state' | 'focus' | 'values';

export class GuestSessions implements vscode.Disposable {
    readonly clock: RefreshClock;
    /** For the trees: they show a stop at one moment. */
    readonly together = new Together();
    private readonly sessions = new Map<string, GuestSession>();
    /** Of sessions that are about to begin, by their id. */
    private readonly lines = new Map<string, AdapterLine>();
    private readonly changes = new vscode.EventEmitter<Change>();
    private readonly events = new vscode.EventEmitter<GuestEvent>();
    private readonly subscriptions: vscode.Disposable[];
    private shown: GuestSession | undefined;

    /** {@link current} has changed, or what is known of it. */
    readonly onDidChange = this.changes.event;
    readonly onDidReceiveEvent = this.events.event;

    /** @param log takes what is of interest when something is slow */
    constructor(log: (line: string) => void) {
        this.clock = new RefreshClock(log);
        this.subscriptions = [
            this.clock,
            this.together,
            this.changes,
            this.events,
            vscode.debug.registerDebugAdapterTrackerFactory(DEBUG_TYPE, {
                createDebugAdapterTracker: session => this.track(session),
            }),
            vscode.debug.onDidChangeActiveDebugSession(session => this.activate(session)),
            vscode.debug.onDidTerminateDebugSession(session => this.terminated(session)),
            vscode.debug.onDidReceiveDebugSessionCustomEvent(({ session, event, body }) => {
                const guest = this.sessions.get(session.id);
                if (guest !== undefined) this.events.fire({ session: guest, event, body });
            }),
            vscode.debug.onDidChangeActiveStackItem(item => this.focused(item)),
        ];
    }

    dispose(): void {
        vscode.Disposable.from(...this.subscriptions).dispose();
    }

    /** The guest that the views show: also one that has ended, until there is another. */
    get current(): GuestSession | undefined {
        return this.shown;
    }

    /** The guest that the views show, while it can be asked. */
    get live(): GuestSession | undefined {
        return this.shown?.state === 'ended' ? undefined : this.shown;
    }

    /** A session will have this adapter. */
    connect({ id }: vscode.DebugSession, line: AdapterLine): void {
        this.lines.set(id, line);
    }

    find(id: string): GuestSession | undefined {
        return this.sessions.get(id);
    }

    private track(debug: vscode.DebugSession): vscode.DebugAdapterTracker {
        const line = this.lines.get(debug.id);
        const guest = new GuestSession(debug, line);
        this.lines.delete(debug.id);
        this.sessions.set(debug.id, guest);
        let running: NodeJS.Timeout | undefined;
        let moved: (told?: Promise<void>) => void = () => undefined;
        const move = (): Promise<void> =>
            new Promise(resolve => {
                const timer = setTimeout(resolve, QUICK_MOVE);
                moved = told => {
                    clearTimeout(timer);
                    resolve(told);
                };
            });
        const runs = (): void => {
            clearTimeout(running);
            running = setTimeout(() => this.update(guest, 'running'), NOTICEABLE);
        };
        const see = (message: DebugProtocol.ProtocolMessage): Promise<void> | undefined => {
            if (message.type === 'response') {
                const { success, command } = message as DebugProtocol.Response;
                if (success && (RESUMING.has(command) || command === 'configurationDone')) runs();
                return success && MOVES.has(command) ? move() : undefined;
            }
            const { event, body } = message as DebugProtocol.Event;
            switch (event) {
                case 'continued':
                    runs();
                    break;
                case 'stopped': {
                    clearTimeout(running);
                    if (guest === this.shown) this.clock.start();
                    guest.stop = readStop(body as DebugProtocol.StoppedEvent['body'], guest);
                    guest.vcpu = guest.stop.vcpu;
                    this.update(guest, 'stopped');
                    // Its window is busy with the stop from then on: the views come first.
                    const told = guest === this.shown ? this.together.told() : undefined;
                    moved(told);
                    return told;
                }
                // What writes memory by hand tells of this too: once is enough for the views to ask for everything.
                case 'invalidated':
                    if (guest === this.shown) this.changes.fire('values');
                    break;
                case 'terminated':
                    clearTimeout(running);
                    this.update(guest, 'ended');
            }
            return undefined;
        };
        if (line !== undefined) line.preview = message => see(message as DebugProtocol.ProtocolMessage);
        return {
            onDidSendMessage:
                line === undefined ? message => void see(message as DebugProtocol.ProtocolMessage) : undefined,
            onWillStopSession: () => clearTimeout(running),
        };
    }

    private update(guest: GuestSession, state: GuestState): void {
        if (guest.state === 'ended') return;
        guest.state = state;
        if (this.shown === undefined || this.shown.state === 'ended') this.shown = guest;
        if (guest === this.shown) this.changes.fire('state');
    }

    private activate(session: vscode.DebugSession | undefined): void {
        const guest = session && this.sessions.get(session.id);
        if (guest !== undefined && guest !== this.shown && guest.state !== 'ended') {
            this.shown = guest;
            this.changes.fire('state');
        }
    }

    private terminated(session: vscode.DebugSession): void {
        const guest = this.sessions.get(session.id);
        this.sessions.delete(session.id);
        if (guest === undefined) return;
        this.update(guest, 'ended');
        const other = [...this.sessions.values()].at(-1);
        if (guest === this.shown && other !== undefined) {
            this.shown = other;
            this.changes.fire('state');
        }
    }

    private focused(item: vscode.DebugThread | vscode.DebugStackFrame | undefined): void {
        const guest = item && this.sessions.get(item.session.id);
        if (guest === undefined || guest.vcpu === item!.threadId - 1) return;
        guest.vcpu = item!.threadId - 1;
        if (guest === this.shown) this.changes.fire('focus');
    }
}

function readStop(body: DebugProtocol.StoppedEvent['body'], { vcpu, stop }: GuestSession): GuestStop {
    const { reason, description, text, threadId } = body;
    // Pages tell stops apart by it.
    const at = new Date(Math.max(Date.now(), (stop?.at.getTime() ?? 0) + 1));
    return { reason, description, text, vcpu: threadId === undefined ? vcpu : threadId - 1, at };
}

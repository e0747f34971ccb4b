/**
 * One target under several debuggers, such as an editor and gdb: each has breakpoints and watchpoints of its own, and
 * hears of every stop. What one does to the guest the others see.
 */
import type { BreakpointRequest } from './breakpoints';
import type { BreakpointStatus, DebugTarget, End, Stop, TargetListener } from './target';
import type { WatchpointRequest } from './watchpoints';

/** What one debugger has set. */
interface Client {
    listener: TargetListener | undefined;
    breakpoints: readonly BreakpointRequest[];
    watchpoints: readonly WatchpointRequest[];
    readonly number: number;
}

export class SharedTarget {
    private readonly clients: Client[] = [];

    constructor(private readonly target: DebugTarget) {
        target.listener = {
            stopped: stop => this.clients.forEach(client => client.listener?.stopped(this.stopFor(client, stop))),
            ended: (end: End) => this.clients.forEach(({ listener }) => listener?.ended(end)),
            // Log points are an editor's: it comes first.
            logged: text => this.clients.find(({ listener }) => listener !== undefined)?.listener?.logged(text),
            relocated: async () => {
                await Promise.all(this.clients.map(({ listener }) => listener?.relocated?.()));
            },
            failed: error => this.clients.forEach(({ listener }) => listener?.failed(error)),
        };
    }

    /**
     * The target as one more debugger has it.
     * @param dispose what disposing of it does; else the target goes with it
     */
    join(dispose: () => Promise<void> = () => this.target.dispose()): DebugTarget {
        const { target } = this;
        const client: Client = { listener: undefined, breakpoints: [], watchpoints: [], number: this.clients.length };
        this.clients.push(client);
        const own = {
            setBreakpoints: (requests: readonly BreakpointRequest[]) => {
                client.breakpoints = requests;
                return this.applyBreakpoints(client);
            },
            setWatchpoints:
                target.setWatchpoints === undefined
                    ? undefined
                    : (requests: readonly WatchpointRequest[]) => {
                          client.watchpoints = requests;
                          return this.applyWatchpoints(client);
                      },
            resume: (...args: Parameters<DebugTarget['resume']>) => this.resuming(client, () => target.resume(...args)),
            step: (...args: Parameters<DebugTarget['step']>) => this.resuming(client, () => target.step(...args)),
            dispose,
        };
        return new Proxy(target, {
            get: (_, key) => {
                if (key === 'listener') return client.listener;
                if (Object.hasOwn(own, key)) return own[key as keyof typeof own];
                const value: unknown = Reflect.get(target, key, target);
                return typeof value === 'function' ? (value.bind(target) as unknown) : value;
            },
            set: (_, key, value: unknown) => {
                if (key === 'listener') {
                    client.listener = value as TargetListener | undefined;
                    return true;
                }
                return Reflect.set(target, key, value, target);
            },
        });
    }

    /** Tells the others, once it is so. */
    private async resuming(client: Client, resume: () => Promise<void>): Promise<void> {
        await resume();
        this.clients.filter(other => other !== client).forEach(({ listener }) => listener?.resumedElsewhere?.());
    }

    private async applyBreakpoints(client: Client): Promise<BreakpointStatus[]> {
        const all = this.clients.flatMap(one =>
            one.breakpoints.map(each => ({ ...each, id: this.idOf(one, each.id) })),
        );
        return this.statusFor(client, await this.target.setBreakpoints(all));
    }

    private async applyWatchpoints(client: Client): Promise<BreakpointStatus[]> {
        const all = this.clients.flatMap(one =>
            one.watchpoints.map(each => ({ ...each, id: this.idOf(one, each.id) })),
        );
        return this.statusFor(client, await this.target.setWatchpoints!(all));
    }

    /** Ids of the target's, from those of a client. */
    private idOf({ number }: Client, id: number): number {
        return id * MOST_CLIENTS + number;
    }

    private statusFor(client: Client, statuses: readonly BreakpointStatus[]): BreakpointStatus[] {
        return statuses
            .filter(({ id }) => id % MOST_CLIENTS === client.number)
            .map(status => ({ ...status, id: Math.floor(status.id / MOST_CLIENTS) }));
    }

    /** A stop at somebody else's breakpoint names none. */
    private stopFor(client: Client, stop: Stop): Stop {
        const isOwn = (id: number): boolean => id % MOST_CLIENTS === client.number;
        const own = (id: number): number => Math.floor(id / MOST_CLIENTS);
        return {
            ...stop,
            breakpoints: stop.breakpoints?.filter(isOwn).map(own),
            watch: stop.watch?.filter(({ id }) => isOwn(id)).map(hit => ({ ...hit, id: own(hit.id) })),
        };
    }
}

/** Room for their numbers in an id. */
const MOST_CLIENTS = 8;

/** A request in progress: it can be cancelled, lets others have their turn, and tells how far it is. */
import { performance } from 'node:perf_hooks';
import { HyperscopeError } from '../common/errors';

/** The client has taken its request back (DAP, "cancel"). */
export class CancelledError extends HyperscopeError {
    constructor() {
        super('cancelled');
    }
}

export interface ActivityHost {
    emitEvent(event: string, body: object): void;
    /** The client shows progress. */
    readonly showsProgress: boolean;
}

/** Milliseconds of work between two turns for others. */
const LONGEST_TURN = 8;
/** Milliseconds after which somebody may want to know that it takes longer, and between two such words. */
const PATIENCE = 200;

export class Activity {
    private cancelled = false;
    private readonly started = performance.now();
    private turnStarted = this.started;
    private shownAt: number | undefined;

    /** @param id of the request, which is also that of its progress */
    constructor(
        readonly id: number,
        private readonly host: ActivityHost,
    ) {}

    get progressId(): string {
        return `request ${this.id}`;
    }

    get isCancelled(): boolean {
        return this.cancelled;
    }

    cancel(): void {
        this.cancelled = true;
    }

    /** @throws CancelledError */
    check(): void {
        if (this.cancelled) {
            throw new CancelledError();
        }
    }

    /**
     * To be called now and then during long work.
     * @param title what is being done
     * @param fraction how much of it, 0 to 1, where that is known
     * @throws CancelledError once the client has cancelled the request
     */
    async breathe(title: string, fraction?: number): Promise<void> {
        this.check();
        const now = performance.now();
        if (now - this.turnStarted < LONGEST_TURN) {
            return;
        }
        if (this.host.showsProgress && now - (this.shownAt ?? this.started) >= PATIENCE) {
            this.show(title, fraction);
            this.shownAt = now;
        }
        await new Promise(resolve => setImmediate(resolve));
        this.turnStarted = performance.now();
        this.check();
    }

    /** The request has been answered. */
    end(): void {
        if (this.shownAt !== undefined) {
            this.host.emitEvent('progressEnd', { progressId: this.progressId });
        }
    }

    private show(title: string, fraction: number | undefined): void {
        const { progressId } = this;
        const percentage = fraction === undefined ? undefined : Math.floor(100 * Math.min(1, Math.max(0, fraction)));
        if (this.shownAt === undefined) {
            const requestId = this.id;
            this.host.emitEvent('progressStart', { progressId, title, requestId, cancellable: true, percentage });
        } else {
            this.host.emitEvent('progressUpdate', { progressId, message: title, percentage });
        }
    }
}

/**
 * Who talks to a stub: one at a time. While the guest runs the stub listens to nothing but a request to stop, so whoever
 * wants to look or to set a breakpoint stops it for a moment; the run goes on where nothing else has stopped it.
 */
import type { ConnectionListener } from './connection';
import { StubError } from './errors';
import { parseStopReply, SIGINT, type StopReply } from './stop-reply';
import type { Resumption, Stub } from './stub';

export interface WireHost {
    /** Before the guest goes on: what is set has to be on the stub. */
    prepare(): Promise<void>;
    output(text: string): void;
    /** The connection has ended. */
    lost(reason: string): void;
}

export class Wire implements ConnectionListener {
    private queue: Promise<unknown> = Promise.resolve();
    /** Settles the run in progress. */
    private settle: { resolve(reply: StopReply): void; reject(error: Error): void } | undefined;
    private interrupted = false;
    private pauseRequested = false;
    /** Those who wait for the guest to stand still for a moment. */
    private waiting = 0;

    constructor(
        private readonly stub: Stub,
        private readonly host: WireHost,
    ) {
        stub.listener = this;
    }

    get isPauseRequested(): boolean {
        return this.pauseRequested;
    }

    clearPause(): void {
        this.pauseRequested = false;
    }

    requestPause(): void {
        this.pauseRequested = true;
        this.interrupt();
    }

    /** Does something while the guest stands still, after what others do. */
    async exclusive<T>(task: () => Promise<T>): Promise<T> {
        this.waiting++;
        this.interrupt();
        return this.enqueue(() => {
            this.waiting--;
            return task();
        });
    }

    /** Makes the guest go on, up to a stop that is not for us alone. */
    async run(resumption: Resumption): Promise<StopReply> {
        for (;;) {
            const reply = await this.enqueue(async () => {
                await this.host.prepare();
                if (this.isPauseRequested) return { kind: 'stopped', signal: SIGINT } as const;
                this.interrupted = false;
                const stopped = new Promise<StopReply>((resolve, reject) => (this.settle = { resolve, reject }));
                stopped.catch(() => undefined);
                await this.stub.resume(resumption);
                // Who asked before the guest went on was not heard.
                if (this.interrupted) this.stub.connection.interrupt();
                else if (this.waiting > 0 || this.isPauseRequested) this.interrupt();
                return stopped;
            });
            const isOurs = this.interrupted && reply.kind === 'stopped' && reply.signal === SIGINT;
            if (!isOurs || this.pauseRequested) return reply;
            // Those who wait have their turn first.
        }
    }

    private enqueue<T>(task: () => Promise<T>): Promise<T> {
        const done = this.queue.then(task);
        this.queue = done.catch(() => undefined);
        return done;
    }

    private interrupt(): void {
        if (this.settle !== undefined && !this.interrupted) {
            this.interrupted = true;
            this.stub.connection.interrupt();
        }
    }

    // ---- what the stub says --------------------------------------------------------------------------------------

    stopReply(text: string): void {
        const { settle } = this;
        this.settle = undefined;
        const reply = parseStopReply(text);
        if (reply !== undefined) {
            settle?.resolve(reply);
        } else {
            const shown = text === '' ? 'nothing' : `'${text.slice(0, 40)}'`;
            settle?.reject(new StubError(`${this.stub.name} was to let the guest go on, and answered ${shown}`));
        }
    }

    output(text: string): void {
        this.host.output(text);
    }

    closed(reason: string): void {
        const { settle } = this;
        this.settle = undefined;
        settle?.reject(new StubError(reason));
        this.host.lost(reason);
    }
}

/** The page's line to the extension. */
import type {
    PanelAnswer,
    PanelEvent,
    PanelQuestion,
    PanelRequest,
    PanelResponse,
    PanelShown,
} from '../messages/panel';

interface VsCodeApi {
    postMessage(message: PanelRequest): void;
    getState(): unknown;
    setState(state: unknown): void;
}

declare function acquireVsCodeApi(): VsCodeApi;

interface Waiting {
    readonly resolve: (result: unknown) => void;
    readonly reject: (error: Error) => void;
}

export class Host {
    private readonly api = acquireVsCodeApi();
    private readonly waiting = new Map<number, Waiting>();
    private next = 1;
    /** Answers that came with the stop, by question. */
    private known = new Map<string, PanelAnswer>();
    /** What was asked last since the stop, by purpose. */
    private readonly asked = new Map<string, PanelQuestion>();
    private stoppedAt: number | undefined;

    /** @param onEvent what the extension says unasked */
    constructor(private readonly onEvent: (event: PanelEvent) => void) {
        window.addEventListener('message', ({ data }: MessageEvent<PanelEvent | PanelResponse>) => {
            if (!('event' in data)) {
                this.settle(data);
                return;
            }
            if (data.event === 'state') {
                if (data.state.stoppedAt !== this.stoppedAt) this.asked.clear();
                this.stoppedAt = data.state.stoppedAt;
                this.known = new Map(data.known?.map(({ answer, ...question }) => [name(question), answer]));
            }
            this.onEvent(data);
        });
    }

    /** From now on events arrive. */
    ready(): void {
        this.api.postMessage({ method: 'ready' });
    }

    /** The page shows the stop that it was told of last, as it is now. */
    shown(): void {
        const { stoppedAt } = this;
        const args: PanelShown = { stoppedAt, drawnAt: Date.now(), questions: [...this.asked.values()] };
        this.api.postMessage({ method: 'shown', args });
    }

    /**
     * A question about the guest that comes up at each stop: the next stop brings the answer along.
     * @param purpose what it is asked for: only the last one for that will come up again
     * @throws Error with the adapter's words
     */
    ask<Result>(purpose: string, method: string, args: unknown): Promise<Result> {
        const question = { method, args };
        const key = name(question);
        this.asked.set(purpose, question);
        const answer = this.known.get(key);
        this.known.delete(key);
        if (answer === undefined) return this.send(method, args);
        return 'error' in answer ? Promise.reject(new Error(answer.error)) : Promise.resolve(answer.result as Result);
    }

    /** @throws Error with the adapter's or the extension's words */
    request<Result>(method: string, args?: unknown): Promise<Result> {
        // It may change what these answers say.
        this.known.clear();
        return this.send(method, args);
    }

    private send<Result>(method: string, args: unknown): Promise<Result> {
        return new Promise((resolve, reject) => {
            const id = this.next++;
            this.waiting.set(id, { resolve: resolve as (result: unknown) => void, reject });
            this.api.postMessage({ id, method, args });
        });
    }

    /** What {@link save} kept, with whatever is missing from `defaults`; it outlives the window. */
    restore<State extends object>(defaults: State): State {
        const kept = this.api.getState();
        return { ...defaults, ...(typeof kept === 'object' ? kept : undefined) };
    }

    save(state: object): void {
        this.api.setState(state);
    }

    private settle({ id, result, error }: PanelResponse): void {
        const waiting = id === undefined ? undefined : this.waiting.get(id);
        if (waiting === undefined) return;
        this.waiting.delete(id!);
        if (error === undefined) waiting.resolve(result);
        else waiting.reject(new Error(error));
    }
}

function name({ method, args }: PanelQuestion): string {
    return JSON.stringify([method, args]);
}

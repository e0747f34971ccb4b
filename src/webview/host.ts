/** The page's line to the extension. */
import type { PanelEvent, PanelRequest, PanelResponse } from '../messages/panel';

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

    /** @param onEvent what the extension says unasked */
    constructor(private readonly onEvent: (event: PanelEvent) => void) {
        window.addEventListener('message', ({ data }: MessageEvent<PanelEvent | PanelResponse>) => {
            if ('event' in data) this.onEvent(data);
            else this.settle(data);
        });
    }

    /** From now on events arrive. */
    ready(): void {
        this.api.postMessage({ method: 'ready' });
    }

    /** The page shows the stop of that time, as soon as the browser has painted it. */
    shown(stoppedAt: number | undefined): void {
        requestAnimationFrame(() => setTimeout(() => this.api.postMessage({ method: 'shown', args: stoppedAt })));
    }

    /** @throws Error with the adapter's or the extension's words */
    request<Result>(method: string, args?: unknown): Promise<Result> {
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

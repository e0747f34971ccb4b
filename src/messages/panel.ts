/** What the pages of the webviews and the extension say to each other. */

/** From a page: a request of the adapter's by its name, or one of the extension's own. */
export interface PanelRequest {
    /** Absent for `ready`: the page listens now; and for `shown`: it has drawn the stop of that time. */
    readonly id?: number;
    readonly method: string;
    readonly args?: unknown;
}

/** The answer to a {@link PanelRequest}. */
export interface PanelResponse {
    readonly id: number | undefined;
    readonly result?: unknown;
    /** Why there is none. */
    readonly error?: string;
}

export type PanelEvent =
    | { readonly event: 'state'; readonly state: PanelState; readonly change: 'state' | 'focus' | 'values' }
    /** Memory view: go there. */
    | { readonly event: 'goto'; readonly address: string; readonly space: 'virtual' | 'linear' | 'physical' }
    | { readonly event: 'mappings'; readonly address: string; readonly space: 'linear' | 'physical' };

export interface PanelState {
    /** Id of the debug session that is shown. */
    readonly session?: string;
    readonly name?: string;
    readonly state: 'none' | 'starting' | 'stopped' | 'running' | 'ended';
    readonly vcpu: number;
    /** Host time of the last stop, in ms since 1970. */
    readonly stoppedAt?: number;
}

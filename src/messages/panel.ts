/** What the pages of the webviews and the extension say to each other. */

/** From a page: a request of the adapter's by its name, or one of the extension's own. */
export interface PanelRequest {
    /** Absent for `ready`: the page listens now; and for `shown`, whose arguments are {@link PanelShown}. */
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

/** A page has drawn a stop. */
export interface PanelShown {
    /** {@link PanelState.stoppedAt} of that stop. */
    readonly stoppedAt?: number;
    /** When it had, by the clock of the window, in ms since 1970. */
    readonly drawnAt: number;
    /** What it needed to know for it, and will need at the next one. */
    readonly questions: readonly PanelQuestion[];
}

export interface PanelQuestion {
    /** Name of a request of the adapter's. */
    readonly method: string;
    readonly args: unknown;
}

export type PanelAnswer = { readonly result: unknown } | { readonly error: string };

export type PanelEvent =
    | {
          readonly event: 'state';
          readonly state: PanelState;
          readonly change: 'state' | 'focus' | 'values';
          /** What the page asked at the stop before, asked again, with the answers. */
          readonly known?: ReadonlyArray<PanelQuestion & { readonly answer: PanelAnswer }>;
      }
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

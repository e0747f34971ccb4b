/**
 * Serial consoles. A client that says `supportsHyperscopeSerialEvent` in `initialize` gets what the guest writes to its
 * serial ports as events, port by port, instead of `output` events; see `hyperscope/sendSerial` for the other way.
 */

/** Event `hyperscope/serial`. */
export interface SerialEvent {
    /** 0 is COM1. */
    readonly port: number;
    /** What the guest wrote, decoded as UTF-8; untrusted. */
    readonly text: string;
}

/** Request `hyperscope/sendSerial`: characters that were typed. */
export interface SendSerialArguments {
    readonly port?: number;
    readonly text: string;
}

/** `hyperscope/serialEvents`: from now on {@link SerialEvent}s, for a client that could not say so in `initialize`. */
export type SerialEventsRequest = Record<string, never>;

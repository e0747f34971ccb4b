/** An interrupt or exception on its way to its handler. */
export const enum EventKind {
    /** Maskable interrupt or NMI. */
    External,
    Exception,
    /** INT n. */
    SoftwareInterrupt,
    /** INT3 and INTO: the gate's DPL counts, virtual-8086 mode's IOPL does not. */
    SoftwareException,
    /** INT1: as an exception, no DPL check (SDM Vol. 3, 6.12.1.2). */
    PrivilegedSoftwareException,
}

export interface Event {
    vector: number;
    kind: EventKind;
    /** Error code to push, or -1. */
    errorCode: number;
    /** Bytes from RIP to where the handler returns: 0 for faults and external events. */
    length: number;
    /** RFLAGS as pushed, with RF as the event's class demands. */
    flags: number;
}

/** EXT bit of error codes that delivery itself raises: the event is not the program's doing (SDM Vol. 3, 6.13). */
export function extOf(event: Event): number {
    return event.kind === EventKind.SoftwareInterrupt || event.kind === EventKind.SoftwareException ? 0 : 1;
}

/** Error code that names an IDT entry. */
export function idtErrorCode(event: Event): number {
    return event.vector * 8 + 2 + extOf(event);
}

/** Whether the gate's DPL must admit CPL. */
export function checksGateDpl(event: Event): boolean {
    return event.kind === EventKind.SoftwareInterrupt || event.kind === EventKind.SoftwareException;
}

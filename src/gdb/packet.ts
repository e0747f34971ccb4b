/**
 * Packets of the gdb Remote Serial Protocol (gdb manual, appendix E): `$payload#checksum`, acknowledged by `+` or `-`
 * until the client asks not to, and the interrupt character between them.
 */

/** Longest payload that we take; `PacketSize` in the answer to qSupported. */
export const PACKET_SIZE = 0x20000;

const enum Code {
    Interrupt = 0x03,
    Hash = 0x23,
    Dollar = 0x24,
    Star = 0x2a,
    Plus = 0x2b,
    Minus = 0x2d,
    Brace = 0x7d,
}

/** What a `}` changes in the byte behind it. */
const ESCAPE = 0x20;

/** What arrives from a client. */
export interface PacketReceiver {
    /** A packet with the right checksum; escapes are resolved. */
    packet(payload: Uint8Array): void;
    /** A packet that is damaged, or too long: it has to be sent again. */
    damaged(): void;
    /** `-`: our last packet has to be sent again. */
    rejected(): void;
    interrupt(): void;
}

const enum State {
    Between,
    Payload,
    Escaped,
    Checksum,
}

/** Finds the packets in what a client sends, whatever pieces it comes in. */
export class PacketReader {
    private state = State.Between;
    private readonly payload = new Uint8Array(PACKET_SIZE);
    private length = 0;
    private tooLong = false;
    private sum = 0;
    private digits = '';

    constructor(private readonly receiver: PacketReceiver) {}

    push(bytes: Uint8Array): void {
        for (const byte of bytes) {
            this.take(byte);
        }
    }

    private take(byte: number): void {
        switch (this.state) {
            case State.Between:
                this.between(byte);
                return;
            case State.Payload:
                if (byte === Code.Dollar) {
                    this.begin(); // the end of the last one was lost
                } else if (byte === Code.Hash) {
                    this.digits = '';
                    this.state = State.Checksum;
                } else {
                    this.sum = (this.sum + byte) & 0xff;
                    if (byte === Code.Brace) {
                        this.state = State.Escaped;
                    } else {
                        this.put(byte);
                    }
                }
                return;
            case State.Escaped:
                this.sum = (this.sum + byte) & 0xff;
                this.put(byte ^ ESCAPE);
                this.state = State.Payload;
                return;
            case State.Checksum:
                this.digits += String.fromCharCode(byte);
                if (this.digits.length === 2) {
                    this.state = State.Between;
                    this.end();
                }
        }
    }

    private between(byte: number): void {
        if (byte === Code.Dollar) {
            this.begin();
        } else if (byte === Code.Interrupt) {
            this.receiver.interrupt();
        } else if (byte === Code.Minus) {
            this.receiver.rejected();
        }
        // `+`, and whatever else is between packets, says nothing.
    }

    private begin(): void {
        this.state = State.Payload;
        this.length = 0;
        this.sum = 0;
        this.tooLong = false;
    }

    private put(byte: number): void {
        if (this.length < PACKET_SIZE) {
            this.payload[this.length++] = byte;
        } else {
            this.tooLong = true;
        }
    }

    private end(): void {
        const isIntact = /^[0-9a-f]{2}$/i.test(this.digits) && parseInt(this.digits, 16) === this.sum;
        if (isIntact && !this.tooLong) {
            this.receiver.packet(this.payload.slice(0, this.length));
        } else {
            this.receiver.damaged();
        }
    }
}

/** `*` begins a run-length in what a client reads. */
const ESCAPED = new Uint8Array(256);
for (const byte of [Code.Hash, Code.Dollar, Code.Brace, Code.Star]) {
    ESCAPED[byte] = 1;
}

/** A payload as it goes over the wire, what has to be escaped included. */
export function encodePacket(payload: Uint8Array): Uint8Array {
    let escapes = 0;
    let sum = 0;
    for (let i = 0; i < payload.length; i++) {
        escapes += ESCAPED[payload[i]];
        sum += payload[i];
    }
    const packet = new Uint8Array(payload.length + escapes + 4);
    packet[0] = Code.Dollar;
    if (escapes === 0) {
        packet.set(payload, 1);
    } else {
        sum = escapeInto(packet, payload);
    }
    const digits = (sum & 0xff).toString(16).padStart(2, '0');
    const end = packet.length - 3;
    packet[end] = Code.Hash;
    packet[end + 1] = digits.charCodeAt(0);
    packet[end + 2] = digits.charCodeAt(1);
    return packet;
}

/** Writes the payload behind the packet's first byte; returns the sum of what it has become. */
function escapeInto(packet: Uint8Array, payload: Uint8Array): number {
    let at = 1;
    let sum = 0;
    for (const byte of payload) {
        if (ESCAPED[byte] !== 0) {
            packet[at++] = Code.Brace;
            packet[at++] = byte ^ ESCAPE;
            sum += Code.Brace + (byte ^ ESCAPE);
        } else {
            packet[at++] = byte;
            sum += byte;
        }
    }
    return sum;
}

export const ACKNOWLEDGE = Uint8Array.of(Code.Plus);
export const REJECT = Uint8Array.of(Code.Minus);

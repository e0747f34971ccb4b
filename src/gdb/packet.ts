/**
 * Packets of the gdb Remote Serial Protocol (gdb manual, appendix E): `$payload#checksum`, acknowledged by `+` or `-`
 * until the client asks not to, and the interrupt character between them.
 */

/** Longest payload that we take; `PacketSize` in the answer to qSupported. */
export const PACKET_SIZE = 0x20000;

/** Characters that mean something. */
export const enum Code {
    Interrupt = 0x03,
    Hash = 0x23,
    Dollar = 0x24,
    Percent = 0x25,
    Star = 0x2a,
    Plus = 0x2b,
    Minus = 0x2d,
    Brace = 0x7d,
}

/** What a `}` changes in the byte behind it. */
export const ESCAPE = 0x20;

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
        for (let at = 0; at < bytes.length;) {
            if (this.state === State.Payload) at = this.takePlain(bytes, at);
            if (at < bytes.length) this.take(bytes[at++]);
        }
    }

    /** Takes the bytes of a payload up to one that means something; returns where that is. */
    private takePlain(bytes: Uint8Array, from: number): number {
        const { payload } = this;
        let { sum, length } = this;
        let at = from;
        for (; at < bytes.length && length < PACKET_SIZE; at++) {
            const byte = bytes[at];
            if (byte === Code.Hash || byte === Code.Dollar || byte === Code.Brace) break;
            sum += byte;
            payload[length++] = byte;
        }
        this.sum = sum & 0xff;
        this.length = length;
        return at;
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
        if (isChecksum(this.digits, this.sum) && !this.tooLong) {
            this.receiver.packet(this.payload.slice(0, this.length));
        } else {
            this.receiver.damaged();
        }
    }
}

/** Whether the two characters behind a payload are the sum of its bytes. */
export function isChecksum(digits: string, sum: number): boolean {
    return /^[0-9a-f]{2}$/i.test(digits) && parseInt(digits, 16) === (sum & 0xff);
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

/** What is added to the repetitions of a character to make their own character (gdb manual, E.1). */
export const RUN_BASE = 29;
const LONGEST_RUN = 97;
/** Fewer repetitions are shorter as they are. */
const SHORTEST_RUN = 3;
const DIGITS = '0123456789abcdef';
const HIGH_DIGIT = Uint8Array.from({ length: 256 }, (_, byte) => DIGITS.charCodeAt(byte >> 4));
const LOW_DIGIT = Uint8Array.from({ length: 256 }, (_, byte) => DIGITS.charCodeAt(byte & 15));
const DIGIT_SUM = Uint8Array.from({ length: 256 }, (_, byte) => HIGH_DIGIT[byte] + LOW_DIGIT[byte]);

/** Bytes in hexadecimal as a packet, where equal digits are told as runs: most memory is zeros. */
export function encodeHexPacket(bytes: Uint8Array): Uint8Array {
    const packet = new Uint8Array(2 * bytes.length + 4);
    packet[0] = Code.Dollar;
    let at = 1;
    let sum = 0;
    for (let i = 0; i < bytes.length;) {
        const byte = bytes[i];
        const digit = HIGH_DIGIT[byte];
        let end = i + 1;
        if (digit === LOW_DIGIT[byte]) {
            while (end < bytes.length && bytes[end] === byte) end++;
        }
        if (end === i + 1) {
            packet[at++] = digit;
            packet[at++] = LOW_DIGIT[byte];
            sum += DIGIT_SUM[byte];
        } else {
            for (let left = 2 * (end - i); left > 0;) {
                const repeats = repeatsOf(left - 1);
                packet[at++] = digit;
                sum += digit;
                if (repeats > 0) {
                    packet[at++] = Code.Star;
                    packet[at++] = repeats + RUN_BASE;
                    sum += Code.Star + repeats + RUN_BASE;
                }
                left -= 1 + repeats;
            }
        }
        i = end;
    }
    packet[at] = Code.Hash;
    packet[at + 1] = HIGH_DIGIT[sum & 0xff];
    packet[at + 2] = LOW_DIGIT[sum & 0xff];
    return packet.subarray(0, at + 3);
}

/** As many of these repetitions as one run can tell; their character must not be one that means something. */
function repeatsOf(wanted: number): number {
    for (let repeats = Math.min(wanted, LONGEST_RUN); repeats >= SHORTEST_RUN; repeats--) {
        const code = repeats + RUN_BASE;
        if (code !== Code.Hash && code !== Code.Dollar && code !== Code.Plus && code !== Code.Minus) {
            return repeats;
        }
    }
    return 0;
}

export const ACKNOWLEDGE = Uint8Array.of(Code.Plus);
export const REJECT = Uint8Array.of(Code.Minus);

/**
 * Finds packets in what a stub sends (gdb manual, E.1): `$payload#checksum` with escapes and run lengths resolved,
 * acknowledgements, and notifications (`%`), which nobody has asked for and which are skipped.
 */
import { Code, ESCAPE, isChecksum, RUN_BASE } from '../packet';

/** Longest payload that is taken, run lengths resolved. More than any stub's `PacketSize`. */
export const LONGEST_REPLY = 0x200000;

export interface ReplyReceiver {
    packet(payload: Uint8Array): void;
    /** A packet whose checksum is wrong, or that makes no sense. */
    damaged(): void;
    /** `-`: our last packet has to be sent again. */
    rejected(): void;
    /** A packet that never ends. */
    tooLong(): void;
}

const enum State {
    Between,
    Payload,
    Escaped,
    Run,
    Checksum,
    Skipped,
}

export class ReplyReader {
    private state = State.Between;
    private payload = new Uint8Array(0x1000);
    private length = 0;
    private sum = 0;
    private digits = '';
    private isDamaged = false;
    private isNotification = false;

    constructor(private readonly receiver: ReplyReceiver) {}

    push(bytes: Uint8Array): void {
        for (const byte of bytes) {
            this.take(byte);
        }
    }

    private take(byte: number): void {
        switch (this.state) {
            case State.Between:
                if (byte === Code.Dollar || byte === Code.Percent) this.begin(byte === Code.Percent);
                else if (byte === Code.Minus) this.receiver.rejected();
                return;
            case State.Payload:
                this.takePayload(byte);
                return;
            case State.Escaped:
                this.sum += byte;
                this.put(byte ^ ESCAPE, 1);
                this.state = this.state === State.Escaped ? State.Payload : this.state;
                return;
            case State.Run: {
                this.sum += byte;
                const count = byte - RUN_BASE;
                this.state = State.Payload;
                if (count < 1 || this.length === 0) this.isDamaged = true;
                else this.put(this.payload[this.length - 1], count);
                return;
            }
            case State.Checksum:
                this.digits += String.fromCharCode(byte);
                if (this.digits.length === 2) {
                    this.state = State.Between;
                    this.end();
                }
                return;
            case State.Skipped:
                if (byte === Code.Hash) this.state = State.Between;
        }
    }

    private takePayload(byte: number): void {
        switch (byte) {
            case Code.Dollar:
                this.begin(false); // the end of the last one was lost
                return;
            case Code.Hash:
                this.digits = '';
                this.state = State.Checksum;
                return;
            case Code.Brace:
                this.state = State.Escaped;
                break;
            case Code.Star:
                this.state = State.Run;
                break;
            default:
                this.put(byte, 1);
        }
        this.sum += byte;
    }

    private begin(isNotification: boolean): void {
        this.state = State.Payload;
        this.length = 0;
        this.sum = 0;
        this.isDamaged = false;
        this.isNotification = isNotification;
    }

    private put(byte: number, count: number): void {
        const end = this.length + count;
        if (end > LONGEST_REPLY) {
            this.state = State.Skipped;
            this.receiver.tooLong();
            return;
        }
        if (end > this.payload.length) {
            const larger = new Uint8Array(Math.min(LONGEST_REPLY, Math.max(end, 2 * this.payload.length)));
            larger.set(this.payload.subarray(0, this.length));
            this.payload = larger;
        }
        this.payload.fill(byte, this.length, end);
        this.length = end;
    }

    private end(): void {
        if (this.isNotification) return;
        if (isChecksum(this.digits, this.sum) && !this.isDamaged) {
            this.receiver.packet(this.payload.slice(0, this.length));
        } else {
            this.receiver.damaged();
        }
    }
}

import { ByteQueue } from '../byte-queue';
import type { StateReader } from '../state-reader';

/** Answers of PS/2 devices (IBM PS/2 Hardware Interface Technical Reference, "Keyboard" and "Auxiliary Device"). */
export const Answer = {
    acknowledge: 0xfa,
    resend: 0xfe,
    error: 0xfc,
    selfTestPassed: 0xaa,
    echo: 0xee,
} as const;

/** Bytes that a keyboard or a mouse buffers; IBM's had 16 for scan codes. */
const eventDepth = 16;

/**
 * What keyboard and mouse share: bytes wait in the device until the controller takes them, answers to commands before
 * events.
 */
export abstract class Ps2Device {
    protected readonly answers = new ByteQueue();
    protected readonly events = new ByteQueue(eventDepth);
    private lastSent = 0;
    private notify: () => void = () => undefined;

    /** The controller's word to be told that the device has something to send. */
    attach(notify: () => void): void {
        this.notify = notify;
    }

    get hasOutput(): boolean {
        return this.answers.length > 0 || this.events.length > 0;
    }

    /** The controller takes the next byte. */
    take(): number {
        const byte = this.answers.length > 0 ? this.answers.shift() : this.events.shift();
        if (byte !== Answer.resend) {
            this.lastSent = byte;
        }
        this.outputTaken();
        return byte;
    }

    /** The controller sends a byte. */
    abstract receive(byte: number): void;

    /** A hook for devices that send more as soon as there is room. */
    protected outputTaken(): void {
        // Nothing waits for it.
    }

    protected answer(...bytes: number[]): void {
        // A guest that never reads its answers must not fill the host's memory.
        if (this.answers.length + bytes.length <= eventDepth) {
            for (const byte of bytes) {
                this.answers.push(byte);
            }
        }
        this.notify();
    }

    protected repeatLast(): void {
        this.answer(this.lastSent);
    }

    /** Queues all bytes of an event, or none where there is no room. */
    protected event(bytes: readonly number[]): boolean {
        if (bytes.length > this.eventRoom) {
            return false;
        }
        for (const byte of bytes) {
            this.events.push(byte);
        }
        this.notify();
        return true;
    }

    protected get eventRoom(): number {
        return eventDepth - this.events.length;
    }

    protected clearOutput(): void {
        this.answers.clear();
        this.events.clear();
    }

    /** The fields that this part adds to the device's record. */
    protected saveOutput(): { answers: Uint8Array; events: Uint8Array; lastSent: number } {
        return { answers: this.answers.toBytes(), events: this.events.toBytes(), lastSent: this.lastSent };
    }

    protected restoreOutput(state: StateReader): void {
        this.answers.assign(state.bytes('answers'));
        this.events.assign(state.bytes('events'));
        this.lastSent = state.u8('lastSent');
    }
}

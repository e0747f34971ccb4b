import { ByteQueue } from './byte-queue';
import { Deadline } from './deadline';
import type { Clock } from './device';
import type { StateReader } from './state-reader';

/** What the wire asks the chip at its end. */
export interface WireEnd {
    /** One character's time on the line in ns, at the speed programmed now. */
    characterTime(): number;
    /** Whether the peer must wait before it sends the next character. */
    holdsPeer(): boolean;
    /** A character has arrived. */
    deliver(byte: number): void;
}

/** The line from a serial peer: characters wait their turn and arrive one by one at the line's speed. */
export class IncomingWire {
    private readonly waiting = new ByteQueue();
    private readonly arrival: Deadline;
    private readonly end: WireEnd;

    constructor(clock: Clock, name: string, end: WireEnd) {
        this.end = end;
        this.arrival = new Deadline(clock, `${name} character received`, () => this.arrive());
    }

    /** Characters that have not arrived. */
    get length(): number {
        return this.waiting.length;
    }

    send(bytes: Uint8Array): void {
        for (const byte of bytes) {
            this.waiting.push(byte);
        }
        this.resume();
    }

    /** Lets the next character travel where one waits and the peer is not held. */
    resume(): void {
        if (this.waiting.length > 0 && !this.arrival.armed && !this.end.holdsPeer()) {
            this.arrival.armIn(this.end.characterTime());
        }
    }

    /** The fields that this part adds to its chip's record. */
    save(): { wire: Uint8Array; arrival: number } {
        return { wire: this.waiting.toBytes(), arrival: this.arrival.pending };
    }

    restore(state: StateReader): void {
        this.waiting.assign(state.bytes('wire'));
        this.arrival.restore(state, 'arrival');
    }

    private arrive(): void {
        // The guest may have come to hold the peer while the character travelled.
        if (this.waiting.length > 0 && !this.end.holdsPeer()) {
            this.end.deliver(this.waiting.shift());
        }
        this.resume();
    }
}

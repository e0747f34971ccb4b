/** A first-in first-out queue of bytes in a ring; it grows unless it was given a limit. */
export class ByteQueue {
    private ring: Uint8Array;
    private head = 0;
    private count = 0;
    private readonly limit: number;

    /** @param limit most bytes held; `push` refuses more */
    constructor(limit = Infinity) {
        this.limit = limit;
        this.ring = new Uint8Array(limit === Infinity ? 64 : limit);
    }

    get length(): number {
        return this.count;
    }

    /** Appends a byte; false where the queue is full and the byte was not taken. */
    push(byte: number): boolean {
        if (this.count === this.limit) {
            return false;
        }
        if (this.count === this.ring.length) {
            const grown = new Uint8Array(this.ring.length * 2);
            grown.set(this.toBytes());
            this.ring = grown;
            this.head = 0;
        }
        this.ring[(this.head + this.count) % this.ring.length] = byte;
        this.count++;
        return true;
    }

    /** Takes the oldest byte; 0 where there is none. */
    shift(): number {
        if (this.count === 0) {
            return 0;
        }
        const byte = this.ring[this.head];
        this.head = (this.head + 1) % this.ring.length;
        this.count--;
        return byte;
    }

    clear(): void {
        this.head = 0;
        this.count = 0;
    }

    /** The bytes held, oldest first, as a copy. */
    toBytes(): Uint8Array {
        const bytes = new Uint8Array(this.count);
        for (let index = 0; index < this.count; index++) {
            bytes[index] = this.ring[(this.head + index) % this.ring.length];
        }
        return bytes;
    }

    /** Replaces the content; bytes past the limit are dropped. */
    assign(bytes: Uint8Array): void {
        this.clear();
        for (const byte of bytes) {
            this.push(byte);
        }
    }
}

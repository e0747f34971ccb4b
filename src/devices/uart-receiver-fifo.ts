/**
 * The receiver FIFO of a PC16550D (datasheet section 8.11): 16 characters, each with the error bits that LSR shows once
 * the character is at the top.
 */
export const receiverFifoDepth = 16;

export class ReceiverFifo {
    private readonly data = new Uint8Array(receiverFifoDepth);
    private readonly errors = new Uint8Array(receiverFifoDepth);
    private head = 0;
    private held = 0;
    private erroneous = 0;

    get count(): number {
        return this.held;
    }

    /** How many of the characters held carry an error that has not been reported. */
    get errorCount(): number {
        return this.erroneous;
    }

    /** Error bits of the character at the top; 0 where there is none. */
    get topErrors(): number {
        return this.held > 0 ? this.errors[this.head] : 0;
    }

    /** Appends a character. The caller has checked that there is room. */
    push(byte: number, errors: number): void {
        const slot = (this.head + this.held) % receiverFifoDepth;
        this.data[slot] = byte;
        this.errors[slot] = errors;
        this.held++;
        if (errors !== 0) {
            this.erroneous++;
        }
    }

    /** Takes the top character; an empty FIFO shows the last one again. */
    pop(): number {
        if (this.held === 0) {
            return this.data[(this.head + receiverFifoDepth - 1) % receiverFifoDepth];
        }
        const byte = this.data[this.head];
        this.clearTopErrors();
        this.head = (this.head + 1) % receiverFifoDepth;
        this.held--;
        return byte;
    }

    /** The errors of the top character have been reported. */
    clearTopErrors(): void {
        if (this.topErrors !== 0) {
            this.errors[this.head] = 0;
            this.erroneous--;
        }
    }

    clear(): void {
        this.data.fill(0);
        this.errors.fill(0);
        this.head = 0;
        this.held = 0;
        this.erroneous = 0;
    }

    /** The content for a record: pairs of character and error bits, oldest first, after one pair for the last read. */
    toBytes(): Uint8Array {
        const bytes = new Uint8Array(2 * (this.held + 1));
        for (let index = -1; index < this.held; index++) {
            const slot = (this.head + index + receiverFifoDepth) % receiverFifoDepth;
            bytes[2 * (index + 1)] = this.data[slot];
            bytes[2 * (index + 1) + 1] = index < 0 ? 0 : this.errors[slot];
        }
        return bytes;
    }

    /** Takes what `toBytes` gave; false where that cannot be. */
    assign(bytes: Uint8Array): boolean {
        if (bytes.length < 2 || bytes.length % 2 !== 0 || bytes.length > 2 * (receiverFifoDepth + 1)) {
            return false;
        }
        this.clear();
        this.push(bytes[0], 0);
        this.pop();
        for (let index = 2; index < bytes.length; index += 2) {
            this.push(bytes[index], bytes[index + 1]);
        }
        return true;
    }
}

/** Gathers the guest's characters into pieces worth an event: lines, or what has come when nothing more does. */
const LONGEST = 4096;
const LINE_FEED = 0x0a;
/** Host milliseconds that an unfinished line waits for its rest. */
const PATIENCE = 50;

export class SerialOutput {
    private readonly bytes = new Uint8Array(LONGEST);
    private length = 0;
    private timer: NodeJS.Timeout | undefined;
    /** Keeps a character that is split between two pieces. */
    private readonly decoder = new TextDecoder();

    constructor(private readonly send: (text: string) => void) {}

    write(byte: number): void {
        this.bytes[this.length++] = byte;
        if (byte === LINE_FEED || this.length === LONGEST) {
            this.flush();
        } else {
            this.timer ??= setTimeout(() => this.flush(), PATIENCE);
        }
    }

    flush(): void {
        clearTimeout(this.timer);
        this.timer = undefined;
        if (this.length > 0) {
            const text = this.decoder.decode(this.bytes.subarray(0, this.length), { stream: true });
            this.length = 0;
            if (text !== '') {
                this.send(text);
            }
        }
    }
}

/** The terminal as the guest's serial console: what is typed goes to the guest, but for what follows Ctrl-A. */

const CTRL_A = 0x01;
/** Bit that tells lower-case letters from upper-case ones. */
const LOWER_CASE = 0x20;

export class Console {
    /** Ctrl-A X was typed. */
    quit = false;
    /** Called at Ctrl-A S. */
    onSave: (() => void) | undefined;
    private escaped = false;
    private waiting: (() => void) | undefined;
    private readonly onData = (data: Buffer): void => this.receive(data);
    private readonly raw: boolean;

    constructor(private readonly send: (bytes: Uint8Array) => void) {
        const { stdin } = process;
        this.raw = stdin.isTTY === true;
        if (this.raw) {
            stdin.setRawMode(true);
        }
        stdin.on('data', this.onData);
    }

    /** Calls back once, when something is typed. */
    onceInput(callback: () => void): void {
        this.waiting = callback;
    }

    close(): void {
        process.stdin.off('data', this.onData);
        if (this.raw) {
            process.stdin.setRawMode(false);
        }
        process.stdin.pause();
    }

    private receive(data: Buffer): void {
        // Only a terminal has an escape: a pipe's bytes are all the guest's.
        const bytes = this.raw ? data.filter(byte => this.take(byte)) : data;
        if (bytes.length > 0) {
            this.send(bytes);
        }
        this.waiting?.();
        this.waiting = undefined;
    }

    /** Whether the byte goes to the guest. Ctrl-A twice sends one. */
    private take(byte: number): boolean {
        if (this.escaped) {
            this.escaped = false;
            switch (String.fromCharCode(byte | LOWER_CASE)) {
                case 'x':
                    this.quit = true;
                    return false;
                case 's':
                    this.onSave?.();
                    return false;
            }
            return true;
        }
        this.escaped = byte === CTRL_A;
        return !this.escaped;
    }
}

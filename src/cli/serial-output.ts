/** Where the guest's first serial port prints: standard output, a file, or nowhere. */
import { createWriteStream, type WriteStream } from 'node:fs';
import { UsageError, writeText } from './usage';

const BUFFER_SIZE = 4096;

/** Gathers the guest's characters and writes them in pieces. */
export class SerialOutput {
    private readonly buffer = Buffer.alloc(BUFFER_SIZE);
    private length = 0;
    private scheduled = false;
    private readonly stream: WriteStream | NodeJS.WriteStream | undefined;
    private failure: NodeJS.ErrnoException | undefined;

    /**
     * @param target `stdio`, `none` or a file's path
     * @throws UsageError if the file cannot be written
     */
    constructor(private readonly target: string) {
        if (target === 'stdio') {
            this.stream = process.stdout;
        } else if (target !== 'none') {
            writeText('--serial', target, '');
            this.stream = createWriteStream(target);
        }
        this.stream?.on('error', (error: NodeJS.ErrnoException) => {
            this.failure ??= error;
        });
    }

    write(byte: number): void {
        this.buffer[this.length++] = byte;
        if (this.length === this.buffer.length) {
            this.flush();
        } else if (!this.scheduled) {
            this.scheduled = true;
            setImmediate(() => this.flush());
        }
    }

    /** True when nobody reads any more, as after `| head`. */
    get readerIsGone(): boolean {
        return this.failure?.code === 'EPIPE';
    }

    /** @throws UsageError if output was lost although somebody wants it, as on a full disk */
    check(): void {
        const { failure, target } = this;
        if (failure !== undefined && !this.readerIsGone) {
            throw new UsageError(`--serial ${target}: cannot be written (${failure.code ?? failure.message})`);
        }
    }

    /** Everything has left the process, or the file is closed, as far as that is possible. */
    close(): Promise<void> {
        this.flush();
        return new Promise(resolve => {
            if (this.stream === undefined || this.failure !== undefined) {
                resolve();
                return;
            }
            if (this.target === 'stdio') {
                this.stream.once('error', () => resolve());
                this.stream.write('', () => resolve());
            } else {
                this.stream.once('close', () => resolve());
                this.stream.end();
            }
        });
    }

    private flush(): void {
        this.scheduled = false;
        if (this.length > 0) {
            if (this.failure === undefined) {
                this.stream?.write(Buffer.from(this.buffer.subarray(0, this.length)));
            }
            this.length = 0;
        }
    }
}

/** Where the guest's first serial port prints: standard output, a file, or nowhere. */
import { createWriteStream, type WriteStream } from 'node:fs';
import { performance } from 'node:perf_hooks';
import { UsageError, writeText } from './usage';

const BUFFER_SIZE = 4096;
/** Bytes that may wait for their reader before the guest does. */
const MOST_WAITING = 0x100000;
/** Milliseconds between two looks at whether the reader goes on. */
const LOOK = 50;

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

    /** Whether {@link check} has something to say. */
    get isLost(): boolean {
        return this.failure !== undefined && !this.readerIsGone;
    }

    /** @throws UsageError if output was lost although somebody wants it, as on a full disk */
    check(): void {
        const { failure, target } = this;
        if (failure !== undefined && this.isLost) {
            throw new UsageError(`--serial ${target}: cannot be written (${failure.code ?? failure.message})`);
        }
    }

    /** Whether the reader is so far behind that the guest should wait. */
    get isFull(): boolean {
        return (this.stream?.writableLength ?? 0) > MOST_WAITING;
    }

    /** Gives a reader that is behind some time. */
    waitForReader(): Promise<void> {
        return new Promise(resolve => {
            if (this.isFull) {
                setTimeout(resolve, LOOK);
            } else {
                resolve();
            }
        });
    }

    /**
     * Everything has left the process, or the file is closed, as far as that is possible.
     * @param limit milliseconds that a reader may take, however little it takes at a time; Infinity for as long as it likes
     * @returns false if the reader has used them up
     */
    close(limit: number): Promise<boolean> {
        this.flush();
        return new Promise(resolve => {
            const { stream } = this;
            if (stream === undefined || this.failure !== undefined) {
                resolve(true);
                return;
            }
            const started = performance.now();
            // Not one timer: those end at 2^31 milliseconds, and this may be more.
            const watch = setInterval(() => {
                if (performance.now() - started > limit) {
                    end(false);
                }
            }, LOOK);
            const end = (complete: boolean): void => {
                clearInterval(watch);
                resolve(complete);
            };
            if (this.target === 'stdio') {
                stream.once('error', () => end(true));
                stream.write('', () => end(true));
            } else {
                stream.once('close', () => end(true));
                stream.end();
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

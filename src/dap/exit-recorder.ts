/**
 * Writes exits to a file as they happen.
 *
 * Text: after lines that begin with `#`, one exit a line, fields separated by two or more spaces:
 *
 *     sequence  time  vCPU  kind  what  [device]  place
 *     1042  0.000123456  0  I/O out  0x3f8 ← 0x4c 'L'  [serial0]  putc+0x11
 *
 * The time is virtual, in seconds; the place is a symbol, or the linear address. JSON: one `VmExitRecord` a line.
 */
import { closeSync, openSync, writeSync } from 'node:fs';
import type { ExitRecord } from '../debug/events/event-log';
import { eventLabel } from '../debug/events/event-words';
import { MACHINE_EVENT_BY_NAME } from '../machine/observation/kinds';
import type { VmExitKind, VmExitsRecording } from '../messages/vm-exits';
import { RequestError } from './request-error';
import { presentRecord } from './vm-exit-presentation';

/** Bytes that are gathered before they are written. */
const CHUNK = 0x10000;
const HEADER = '# Hyperscope VM exits: sequence  time (s)  vCPU  kind  what  [device]  place\n';

/** Of a file whose limit nobody has set. */
export const DEFAULT_LIMIT = 256 * 0x100000;

export interface RecorderOptions {
    /** What the path is called in messages. */
    readonly name: string;
    readonly path: string;
    readonly format: 'text' | 'json';
    /** Bytes. */
    readonly limit: number;
    readonly kinds: readonly VmExitKind[] | undefined;
}

export class ExitRecorder {
    private readonly file: number;
    private open = true;
    private pending = '';
    private pendingBytes = 0;
    private written = 0;
    private records = 0;
    private dropped = 0;
    private problem: string | undefined;
    private readonly kinds: ReadonlySet<string> | undefined;

    /**
     * As the file's name says: JSON for `.jsonl`, text otherwise.
     * @throws RequestError if the file cannot be written
     */
    static forPath(name: string, path: string): ExitRecorder {
        const format = path.endsWith('.jsonl') ? 'json' : 'text';
        return new ExitRecorder({ name, path, format, limit: DEFAULT_LIMIT, kinds: undefined });
    }

    /** @throws RequestError if the file cannot be written */
    constructor(private readonly options: RecorderOptions) {
        this.kinds = options.kinds && new Set(options.kinds);
        try {
            this.file = openSync(options.path, 'w');
        } catch (error) {
            const { code } = error as NodeJS.ErrnoException;
            throw new RequestError(`${options.name} ${options.path}: cannot be written (${code})`);
        }
        if (options.format === 'text') {
            this.append(HEADER);
        }
    }

    add(record: ExitRecord): void {
        if (this.kinds !== undefined && !this.kinds.has(record.kind)) {
            return;
        }
        const line = this.options.format === 'text' ? textLine(record) : `${JSON.stringify(presentRecord(record))}\n`;
        if (!this.open || !this.append(line)) {
            this.dropped++;
            return;
        }
        this.records++;
    }

    get state(): VmExitsRecording {
        return {
            path: this.options.path,
            active: this.open,
            records: this.records,
            bytes: this.written + this.pendingBytes,
            dropped: this.dropped,
            problem: this.problem,
        };
    }

    close(): void {
        if (this.open) {
            this.flush();
            this.shut();
        }
    }

    /** False if the line does not fit any more. */
    private append(line: string): boolean {
        const bytes = Buffer.byteLength(line);
        if (this.written + this.pendingBytes + bytes > this.options.limit) {
            this.problem ??= `the file has reached its limit of ${this.options.limit} bytes`;
            return false;
        }
        this.pending += line;
        this.pendingBytes += bytes;
        if (this.pendingBytes >= CHUNK) {
            this.flush();
        }
        return true;
    }

    private flush(): void {
        try {
            writeSync(this.file, this.pending);
            this.written += this.pendingBytes;
        } catch (error) {
            this.problem = (error as Error).message;
            this.shut();
        }
        this.pending = '';
        this.pendingBytes = 0;
    }

    private shut(): void {
        this.open = false;
        try {
            closeSync(this.file);
        } catch {
            // Nothing more can be done about it.
        }
    }
}

function textLine(record: ExitRecord): string {
    const { sequence, time, vcpu, kind, text, device, rip, symbol } = record;
    const label = eventLabel(MACHINE_EVENT_BY_NAME.get(kind)!);
    const fields = [
        sequence.toString(),
        (time / 1e9).toFixed(9),
        vcpu.toString(),
        label,
        text === '' ? '-' : text,
        ...(device === undefined ? [] : [`[${device}]`]),
        symbol ?? `0x${rip.toString(16)}`,
    ];
    return `${fields.map(oneLine).join('  ')}\n`;
}

/** Names come from files: nothing of them may look like another field or line. */
function oneLine(text: string): string {
    return text.replace(/\s+/g, ' ');
}

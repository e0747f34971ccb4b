/**
 * gdb's file requests (gdb manual, E.7): the guest's program, from which it reads symbols, and nothing else of the host.
 */
import type { SessionHost } from './session';
import { fromHex, latin1, parseCount } from './text';

/** gdb's own errno numbers (File-I/O, E.13.8.2). */
const enum FileError {
    NoEntry = 2,
    BadDescriptor = 9,
    NotPermitted = 1,
    Invalid = 22,
}

const DESCRIPTOR = 3;
const MOST_READ = 0x8000;
/** S_IFREG, readable by all. */
const MODE = 0x8124;

export class HostFiles {
    private isOpen = false;

    constructor(private readonly program: SessionHost['program']) {}

    /** Answers `vFile:` and what follows it. */
    answer(text: string, _bytes: Uint8Array): string {
        const [operation] = text.split(':', 1);
        const args = text.slice(operation.length + 1).split(',');
        switch (operation) {
            case 'setfs':
                return 'F0';
            case 'open':
                return this.open(args);
            case 'close':
                return this.isDescriptor(args[0]) ? this.close() : failed(FileError.BadDescriptor);
            case 'pread':
                return this.read(args);
            case 'fstat':
                return this.isDescriptor(args[0]) ? this.status() : failed(FileError.BadDescriptor);
            case 'pwrite':
            case 'unlink':
            case 'readlink':
                return failed(FileError.NotPermitted);
            default:
                return '';
        }
    }

    private open([name, flags]: readonly string[]): string {
        const path = fromHex(name);
        if (path === undefined) {
            return failed(FileError.Invalid);
        }
        // O_RDONLY is 0; with O_CREAT, O_TRUNC or another way to write it is something else.
        if (parseCount(flags ?? '', 0xffffffff) !== 0) {
            return failed(FileError.NotPermitted);
        }
        if (this.program === undefined || latin1(path) !== this.program.path) {
            return failed(FileError.NoEntry);
        }
        this.isOpen = true;
        return `F${DESCRIPTOR}`;
    }

    private close(): string {
        this.isOpen = false;
        return 'F0';
    }

    private read([descriptor, count, offset]: readonly string[]): string {
        if (!this.isDescriptor(descriptor)) {
            return failed(FileError.BadDescriptor);
        }
        const length = parseCount(count ?? '', Number.MAX_SAFE_INTEGER);
        const position = parseCount(offset ?? '', Number.MAX_SAFE_INTEGER);
        if (length === undefined || position === undefined) {
            return failed(FileError.Invalid);
        }
        const bytes = this.program!.read(position, Math.min(length, MOST_READ));
        return `F${bytes.length.toString(16)};${latin1(bytes)}`;
    }

    /** `struct stat` of the File-I/O protocol: 64 bytes, big-endian (gdb manual, E.13.7.4). */
    private status(): string {
        const stat = new DataView(new ArrayBuffer(64));
        stat.setUint32(8, MODE);
        stat.setUint32(12, 1);
        stat.setBigUint64(28, BigInt(this.program!.size));
        stat.setBigUint64(36, 4096n);
        stat.setBigUint64(44, BigInt(Math.ceil(this.program!.size / 512)));
        return `F40;${latin1(new Uint8Array(stat.buffer))}`;
    }

    private isDescriptor(text: string): boolean {
        return this.isOpen && parseCount(text, 0xffff) === DESCRIPTOR;
    }
}

function failed(error: FileError): string {
    return `F-1,${error.toString(16)}`;
}

import { LoadError } from '../errors';
import { hex } from '../format';

/** A file that the user named, with its contents. */
export interface ImageFile {
    /** As the user wrote it: every complaint begins with it. */
    readonly name: string;
    readonly data: Uint8Array;
}

/** Little-endian reads of a file that may be anything: whatever lies outside of it is a `LoadError`. */
export class ImageReader {
    readonly name: string;
    readonly data: Uint8Array;
    private readonly view: DataView;

    constructor(file: ImageFile) {
        this.name = file.name;
        this.data = file.data;
        this.view = new DataView(file.data.buffer, file.data.byteOffset, file.data.byteLength);
    }

    get size(): number {
        return this.data.length;
    }

    u8(offset: number): number {
        return this.view.getUint8(this.within(offset, 1));
    }

    u16(offset: number): number {
        return this.view.getUint16(this.within(offset, 2), true);
    }

    u32(offset: number): number {
        return this.view.getUint32(this.within(offset, 4), true);
    }

    u64(offset: number): bigint {
        return this.view.getBigUint64(this.within(offset, 8), true);
    }

    /** A 64-bit size or offset that has to be a sane file position. */
    size64(offset: number, what: string): number {
        const value = this.u64(offset);
        if (value > BigInt(Number.MAX_SAFE_INTEGER)) {
            throw this.error(`corrupt: ${what} is ${hex(value)}`);
        }
        return Number(value);
    }

    bytes(offset: number, length: number, what: string): Uint8Array {
        if (offset + length > this.size) {
            throw this.truncated(what, offset + length);
        }
        return this.data.subarray(offset, offset + length);
    }

    text(offset: number, length: number): string {
        return String.fromCharCode(...this.bytes(offset, length, 'a name'));
    }

    error(problem: string): LoadError {
        return new LoadError(this.name, problem);
    }

    truncated(what: string, needed: number): LoadError {
        return this.error(`truncated: ${what} ends at byte ${needed}, the file has ${this.size}`);
    }

    private within(offset: number, length: number): number {
        if (offset + length > this.size) {
            throw this.truncated('a header', offset + length);
        }
        return offset;
    }
}

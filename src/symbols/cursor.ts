/** Reads the little-endian numbers and strings of symbol files, in order, and never beyond the end. */
import { SymbolFileError } from './errors';

/** A reader ran into the end of its data. */
export class CursorEnd extends SymbolFileError {}

const DECODER = new TextDecoder();
/** Shorter strings are put together here: a TextDecoder call costs more than they are long. */
const SHORT = 24;

export function decodeText(bytes: Uint8Array, start: number, end: number): string {
    if (end - start <= SHORT) {
        let text = '';
        for (let at = start; at < end; at++) {
            const byte = bytes[at];
            if (byte >= 0x80) {
                return DECODER.decode(bytes.subarray(start, end));
            }
            text += String.fromCharCode(byte);
        }
        return text;
    }
    return DECODER.decode(bytes.subarray(start, end));
}

export class Cursor {
    readonly view: DataView;
    /** Index in `bytes` of the next byte. */
    at: number;

    /**
     * @param what the data is, for messages
     * @param end index in `bytes` that reads must not pass
     */
    constructor(
        readonly bytes: Uint8Array,
        readonly what: string,
        start = 0,
        readonly end = bytes.length,
    ) {
        this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
        this.at = start;
        if (start > end || end > bytes.length) {
            throw this.ended();
        }
    }

    get left(): number {
        return this.end - this.at;
    }

    skip(count: number): void {
        this.at = this.need(count) + count;
    }

    u8(): number {
        const at = this.need(1);
        this.at = at + 1;
        return this.bytes[at];
    }

    i8(): number {
        return (this.u8() << 24) >> 24;
    }

    u16(): number {
        const at = this.need(2);
        this.at = at + 2;
        return this.view.getUint16(at, true);
    }

    u24(): number {
        return this.u16() | (this.u8() << 16);
    }

    u32(): number {
        const at = this.need(4);
        this.at = at + 4;
        return this.view.getUint32(at, true);
    }

    u64(): bigint {
        const at = this.need(8);
        this.at = at + 8;
        return this.view.getBigUint64(at, true);
    }

    /** 64 bits as a number: beyond 2^53 it is not exact, and no valid offset or length. */
    offset64(): number {
        const low = this.u32();
        return this.u32() * 0x100000000 + low;
    }

    /** An offset or a length, as wide as the DWARF format has it. */
    offset(size: number): number {
        return size === 8 ? this.offset64() : this.u32();
    }

    /** An unsigned number of 1, 2, 4 or 8 bytes; see {@link offset64} for the last. */
    unsigned(size: number): number {
        switch (size) {
            case 1:
                return this.u8();
            case 2:
                return this.u16();
            case 3:
                return this.u24();
            case 4:
                return this.u32();
            case 8:
                return this.offset64();
            default:
                throw new SymbolFileError(`${this.what}: corrupt: a number of ${size} bytes`);
        }
    }

    /**
     * A target address as a number: 64-bit ones as if signed. Canonical addresses have at most 48 significant bits (57
     * where no code of ours lies), so both halves of the address space are exact, and compare in their order.
     */
    address(size: number): number {
        if (size === 8) {
            const low = this.u32();
            return (this.u32() | 0) * 0x100000000 + low;
        }
        return this.unsigned(size);
    }

    /** Unsigned LEB128 (DWARF 5, 7.6); numbers beyond 2^53 are not exact. */
    uleb(): number {
        let byte = this.u8();
        if (byte < 0x80) {
            return byte;
        }
        let result = byte & 0x7f;
        let scale = 0x80;
        do {
            byte = this.u8();
            result += (byte & 0x7f) * scale;
            scale *= 0x80;
        } while (byte >= 0x80);
        return result;
    }

    /** Signed LEB128; numbers beyond 2^53 are not exact. */
    sleb(): number {
        let result = 0;
        let scale = 1;
        for (;;) {
            const byte = this.u8();
            result += (byte & 0x7f) * scale;
            scale *= 0x80;
            if (byte < 0x80) {
                return (byte & 0x40) !== 0 ? result - scale : result;
            }
        }
    }

    /** Exact, cut to 64 bits. */
    ulebBig(): bigint {
        let result = 0n;
        for (let shift = 0n; ; shift += 7n) {
            const byte = this.u8();
            if (shift < 64n) {
                result |= BigInt(byte & 0x7f) << shift;
            }
            if (byte < 0x80) {
                return BigInt.asUintN(64, result);
            }
        }
    }

    slebBig(): bigint {
        let result = 0n;
        for (let shift = 0n; ; shift += 7n) {
            const byte = this.u8();
            if (shift < 64n) {
                result |= BigInt(byte & 0x7f) << shift;
            }
            if (byte < 0x80) {
                const width = Number(shift) + 7;
                return BigInt.asIntN(64, width < 64 ? BigInt.asIntN(width, result) : result);
            }
        }
    }

    skipLeb(): void {
        while (this.u8() >= 0x80);
    }

    block(length: number): Uint8Array {
        const at = this.need(length);
        this.at = at + length;
        return this.bytes.subarray(at, at + length);
    }

    /** Text up to a zero byte. */
    string(): string {
        const { at } = this;
        this.skipString();
        return decodeText(this.bytes, at, this.at - 1);
    }

    skipString(): void {
        const zero = this.bytes.indexOf(0, this.at);
        if (zero < 0 || zero >= this.end) {
            throw this.ended();
        }
        this.at = zero + 1;
    }

    /** The length that begins a DWARF contribution (DWARF 5, 7.4). */
    initialLength(): { readonly length: number; readonly offsetSize: 4 | 8 } {
        const length = this.u32();
        if (length === 0xffffffff) {
            return { length: this.offset64(), offsetSize: 8 };
        }
        if (length >= 0xfffffff0) {
            throw new SymbolFileError(`${this.what}: corrupt: a length of 0x${length.toString(16)}`);
        }
        return { length, offsetSize: 4 };
    }

    private need(count: number): number {
        if (!(count >= 0 && this.at + count <= this.end)) {
            throw this.ended();
        }
        return this.at;
    }

    private ended(): CursorEnd {
        return new CursorEnd(`${this.what}: truncated or corrupt: it ends in the middle of an entry`);
    }
}

/** The text form of an address that {@link Cursor.address} read. */
export function formatNumericAddress(address: number): string {
    return `0x${toAddress(address).toString(16)}`;
}

/** From the form that {@link Cursor.address} reads to the unsigned one. */
export function toAddress(address: number): bigint {
    return BigInt.asUintN(64, BigInt(address));
}

/** Back. */
export function fromAddress(address: bigint): number {
    return Number(BigInt.asIntN(64, address));
}

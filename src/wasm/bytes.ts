/** A growing byte buffer with the integer encodings of the WebAssembly binary format (section 5.2.2, LEB128). */
export class ByteWriter {
    bytes = new Uint8Array(256);
    length = 0;

    byte(value: number): void {
        if (this.length === this.bytes.length) {
            this.reserve(1);
        }
        this.bytes[this.length++] = value;
    }

    /** Unsigned LEB128 of a 32-bit value. */
    u32(value: number): void {
        value >>>= 0;
        while (value > 0x7f) {
            this.byte((value & 0x7f) | 0x80);
            value >>>= 7;
        }
        this.byte(value);
    }

    /** Signed LEB128 of a 32-bit value. */
    s32(value: number): void {
        value |= 0;
        while (value < -64 || value > 63) {
            this.byte((value & 0x7f) | 0x80);
            value >>= 7;
        }
        this.byte(value & 0x7f);
    }

    /** Signed LEB128 of a 64-bit value given as halves. */
    s64(low: number, high: number): void {
        low |= 0;
        high |= 0;
        while (high !== low >> 31 || low < -64 || low > 63) {
            this.byte((low & 0x7f) | 0x80);
            low = (low >>> 7) | (high << 25);
            high >>= 7;
        }
        this.byte(low & 0x7f);
    }

    append(source: Uint8Array, length = source.length): void {
        this.reserve(length);
        this.bytes.set(length === source.length ? source : source.subarray(0, length), this.length);
        this.length += length;
    }

    /** Appends a vector of bytes: its length, then the bytes. */
    sized(source: ByteWriter): void {
        this.u32(source.length);
        this.append(source.bytes, source.length);
    }

    name(text: string): void {
        const encoded = Uint8Array.from(text, character => character.charCodeAt(0));
        this.u32(encoded.length);
        this.append(encoded);
    }

    clear(): void {
        this.length = 0;
    }

    /** A copy of what was written. */
    finish(): Uint8Array<ArrayBuffer> {
        return this.bytes.slice(0, this.length);
    }

    private reserve(count: number): void {
        if (this.length + count > this.bytes.length) {
            const grown = new Uint8Array(Math.max(this.bytes.length * 2, this.length + count));
            grown.set(this.bytes.subarray(0, this.length));
            this.bytes = grown;
        }
    }
}

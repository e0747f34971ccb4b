import { SnapshotError } from '../../common/errors';
import type { StateValue } from '../../devices/device';

/** A tag byte before each value; lengths and counts are u32, everything is little-endian. */
const enum Tag {
    Null,
    False,
    True,
    /** f64. */
    Number,
    /** Sign byte, length, magnitude. */
    BigInt,
    /** Length, UTF-8. */
    String,
    Bytes,
    /** Count, values. */
    List,
    /** Count, then name and value of each field. */
    Object,
}

/** Deeper nesting than any device has, and shallow enough for the stack. */
const MAXIMUM_DEPTH = 64;

/** Encodes a state value; equal values give equal bytes as long as their fields come in the same order. */
export function encodeState(value: StateValue): Uint8Array {
    const writer = new Writer();
    writer.value(value);
    return writer.finish();
}

/** @throws SnapshotError if the bytes are no encoded state value */
export function decodeState(bytes: Uint8Array): StateValue {
    const reader = new Reader(bytes);
    const value = reader.value(0);
    if (!reader.atEnd) {
        throw new SnapshotError('snapshot is corrupt: bytes follow a record');
    }
    return value;
}

class Writer {
    private bytes = new Uint8Array(0x1000);
    private view = new DataView(this.bytes.buffer);
    private used = 0;

    value(value: StateValue): void {
        if (value === null) {
            this.tag(Tag.Null);
        } else if (typeof value === 'boolean') {
            this.tag(value ? Tag.True : Tag.False);
        } else if (typeof value === 'number') {
            this.tag(Tag.Number);
            const at = this.reserve(8);
            this.view.setFloat64(at, value, true);
        } else if (typeof value === 'bigint') {
            this.bigint(value);
        } else if (typeof value === 'string') {
            this.tag(Tag.String);
            this.block(new TextEncoder().encode(value));
        } else if (value instanceof Uint8Array) {
            this.tag(Tag.Bytes);
            this.block(value);
        } else if (Array.isArray(value)) {
            this.tag(Tag.List);
            this.u32(value.length);
            value.forEach((element: StateValue) => this.value(element));
        } else {
            this.tag(Tag.Object);
            const fields = Object.entries(value as { readonly [field: string]: StateValue });
            this.u32(fields.length);
            for (const [name, field] of fields) {
                this.block(new TextEncoder().encode(name));
                this.value(field);
            }
        }
    }

    finish(): Uint8Array {
        return this.bytes.slice(0, this.used);
    }

    private bigint(value: bigint): void {
        this.tag(Tag.BigInt);
        this.byte(value < 0n ? 1 : 0);
        const digits = (value < 0n ? -value : value).toString(16);
        const even = digits.length % 2 === 0 ? digits : `0${digits}`;
        this.block(Uint8Array.from(even.match(/../g) ?? [], pair => parseInt(pair, 16)).reverse());
    }

    private tag(tag: Tag): void {
        this.byte(tag);
    }

    private byte(value: number): void {
        const at = this.reserve(1);
        this.bytes[at] = value;
    }

    private u32(value: number): void {
        const at = this.reserve(4);
        this.view.setUint32(at, value, true);
    }

    private block(bytes: Uint8Array): void {
        this.u32(bytes.length);
        const at = this.reserve(bytes.length);
        this.bytes.set(bytes, at);
    }

    /** Makes room; the buffers may be others afterwards. */
    private reserve(size: number): number {
        const at = this.used;
        this.used += size;
        if (this.used > this.bytes.length) {
            const larger = new Uint8Array(Math.max(this.used, 2 * this.bytes.length));
            larger.set(this.bytes.subarray(0, at));
            this.bytes = larger;
            this.view = new DataView(larger.buffer);
        }
        return at;
    }
}

class Reader {
    private readonly view: DataView;
    private at = 0;

    constructor(private readonly bytes: Uint8Array) {
        this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    }

    get atEnd(): boolean {
        return this.at === this.bytes.length;
    }

    value(depth: number): StateValue {
        if (depth > MAXIMUM_DEPTH) {
            throw new SnapshotError('snapshot is corrupt: a record is nested too deeply');
        }
        const tag: Tag = this.bytes[this.take(1)];
        switch (tag) {
            case Tag.Null:
                return null;
            case Tag.False:
                return false;
            case Tag.True:
                return true;
            case Tag.Number:
                return this.view.getFloat64(this.take(8), true);
            case Tag.BigInt:
                return this.bigint();
            case Tag.String:
                return this.text();
            case Tag.Bytes:
                return this.block().slice();
            case Tag.List:
                return Array.from({ length: this.count() }, () => this.value(depth + 1));
            case Tag.Object: {
                const fields: [string, StateValue][] = [];
                for (let count = this.count(); count > 0; count--) {
                    fields.push([this.text(), this.value(depth + 1)]);
                }
                return Object.fromEntries(fields);
            }
            default:
                throw new SnapshotError(`snapshot is corrupt: a record holds a value of kind ${Number(tag)}`);
        }
    }

    private bigint(): bigint {
        const negative = this.bytes[this.take(1)] !== 0;
        const digits = [...this.block()].reverse().map(byte => byte.toString(16).padStart(2, '0'));
        const magnitude = BigInt(`0x0${digits.join('')}`);
        return negative ? -magnitude : magnitude;
    }

    private text(): string {
        return new TextDecoder().decode(this.block());
    }

    /** Of things that take at least a byte each. */
    private count(): number {
        const count = this.view.getUint32(this.take(4), true);
        if (count > this.bytes.length - this.at) {
            throw new SnapshotError('snapshot is corrupt: a list is longer than its record');
        }
        return count;
    }

    private block(): Uint8Array {
        const start = this.take(this.view.getUint32(this.take(4), true));
        return this.bytes.subarray(start, this.at);
    }

    private take(size: number): number {
        const start = this.at;
        if (start + size > this.bytes.length) {
            throw new SnapshotError('snapshot is corrupt: a record ends early');
        }
        this.at += size;
        return start;
    }
}

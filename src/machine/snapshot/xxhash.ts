/**
 * XXH32 (xxHash fast digest algorithm, version 0.1.1 of its specification), as a stream. Not for adversaries: it finds
 * accidents, and tells whether two machines are in the same state.
 */
const PRIME1 = 0x9e3779b1;
const PRIME2 = 0x85ebca77;
const PRIME3 = 0xc2b2ae3d;
const PRIME4 = 0x27d4eb2f;
const PRIME5 = 0x165667b1;
const STRIPE = 16;

export class Xxh32 {
    private readonly seed: number;
    private a: number;
    private b: number;
    private c: number;
    private d: number;
    private total = 0;
    /** Bytes that do not fill a stripe yet. */
    private readonly rest = new Uint8Array(STRIPE);
    private readonly restView = new DataView(this.rest.buffer);
    private held = 0;

    constructor(seed = 0) {
        this.seed = seed | 0;
        this.a = (seed + PRIME1 + PRIME2) | 0;
        this.b = (seed + PRIME2) | 0;
        this.c = seed | 0;
        this.d = (seed - PRIME1) | 0;
    }

    update(bytes: Uint8Array): this {
        this.total += bytes.length;
        let at = 0;
        if (this.held > 0) {
            at = Math.min(STRIPE - this.held, bytes.length);
            this.rest.set(bytes.subarray(0, at), this.held);
            this.held += at;
            if (this.held < STRIPE) {
                return this;
            }
            this.stripes(this.restView, STRIPE);
            this.held = 0;
        }
        const whole = (bytes.length - at) & -STRIPE;
        if (whole > 0) {
            this.stripes(new DataView(bytes.buffer, bytes.byteOffset + at, whole), whole);
            at += whole;
        }
        this.rest.set(bytes.subarray(at));
        this.held = bytes.length - at;
        return this;
    }

    /** The hash of everything so far, unsigned. */
    digest(): number {
        let hash =
            this.total >= STRIPE
                ? rotate(this.a, 1) + rotate(this.b, 7) + rotate(this.c, 12) + rotate(this.d, 18)
                : this.seed + PRIME5;
        hash = (hash + this.total) | 0;
        let at = 0;
        for (; at + 4 <= this.held; at += 4) {
            hash = Math.imul(rotate(hash + Math.imul(this.restView.getUint32(at, true), PRIME3), 17), PRIME4);
        }
        for (; at < this.held; at++) {
            hash = Math.imul(rotate(hash + Math.imul(this.rest[at], PRIME5), 11), PRIME1);
        }
        hash = Math.imul(hash ^ (hash >>> 15), PRIME2);
        hash = Math.imul(hash ^ (hash >>> 13), PRIME3);
        return (hash ^ (hash >>> 16)) >>> 0;
    }

    private stripes(view: DataView, length: number): void {
        let { a, b, c, d } = this;
        for (let at = 0; at < length; at += STRIPE) {
            a = round(a, view.getInt32(at, true));
            b = round(b, view.getInt32(at + 4, true));
            c = round(c, view.getInt32(at + 8, true));
            d = round(d, view.getInt32(at + 12, true));
        }
        this.a = a;
        this.b = b;
        this.c = c;
        this.d = d;
    }
}

function rotate(value: number, bits: number): number {
    return (value << bits) | (value >>> (32 - bits));
}

function round(lane: number, input: number): number {
    return Math.imul(rotate((lane + Math.imul(input, PRIME2)) | 0, 13), PRIME1);
}

/** Two XXH32 with different seeds: 64 bits, as 16 hexadecimal digits. */
export class StateHash {
    private readonly halves = [new Xxh32(0), new Xxh32(PRIME3)] as const;

    update(bytes: Uint8Array): this {
        for (const half of this.halves) {
            half.update(bytes);
        }
        return this;
    }

    digest(): string {
        return this.halves.map(half => half.digest().toString(16).padStart(8, '0')).join('');
    }
}

/**
 * Values of the expression language: numbers of 64 bits that remember their type and, for addresses, the address space;
 * and what C's types have besides: records and arrays, which stay where they are until a part of them is asked for.
 */
import { bare, type CType, type IntegerType, type PointerType, sizeOf as sizeOfType } from '../../symbols/types';

export { typeName } from '../../symbols/types';
export type { IntegerType, PointerType } from '../../symbols/types';

/** Linear addresses go through the page tables of the vCPU, physical ones do not. */
export type AddressSpace = 'linear' | 'physical';

export type ValueType = CType;

export interface Value {
    /**
     * The bits, sign-extended for signed types: a number in the range of the type. Of a floating-point number, its
     * encoding; of a record, an array or a function in memory, its address.
     */
    readonly bits: bigint;
    readonly type: ValueType;
    /** Where it points to if it is used as an address. */
    readonly space: AddressSpace;
    /** What to write to in order to assign to it. */
    readonly place?: Place;
    /** A record or an array that is not in memory: its bytes, as far as they are known. */
    readonly image?: Image;
    /**
     * Of what is written as a number, and of what is computed from nothing else: what C makes of it. Here it has 64 bits,
     * but together with the program's types it is what it is in the program.
     */
    readonly constant?: Constant;
    /** Of a bit-field that is not in memory: how many bits it has. */
    readonly fieldSize?: number;
    /** Why there is no value. */
    readonly unavailable?: string;
    /** A pointer that the compiler left out: what it would point to. */
    readonly pointee?: () => Value;
}

/** A number in C: in the range of its type. */
export interface Constant {
    readonly bits: bigint;
    readonly type: IntegerType;
}

/** Bytes of a value that lies in registers, or in no place at all. */
export interface Image {
    readonly bytes: Uint8Array;
    /** For each byte whether it is known. */
    readonly known: readonly boolean[];
}

/** Something that can be assigned to. */
export type Place =
    | { readonly kind: 'register'; readonly name: string }
    | {
          readonly kind: 'memory';
          readonly space: AddressSpace;
          readonly address: bigint;
          /** Bits of a bit-field, from the lowest bit of the byte at the address. */
          readonly field?: { readonly offset: number; readonly size: number };
      };

function integer(width: number, signed: boolean): IntegerType {
    return { kind: 'integer', width, signed };
}

export const U64 = integer(64, false);
export const I64 = integer(64, true);

function named(width: number, signed: boolean, name: string): IntegerType {
    return { kind: 'integer', width, signed, name };
}

/** C's own types: what the debugger's, which have no names, are not mixed with. */
export const INT = named(32, true, 'int');
export const UNSIGNED_INT = named(32, false, 'unsigned int');
export const LONG = named(64, true, 'long');
export const UNSIGNED_LONG = named(64, false, 'unsigned long');
export const FLOAT: ValueType = { kind: 'float', size: 4, name: 'float' };
export const DOUBLE: ValueType = { kind: 'float', size: 8, name: 'double' };

/** Whether a type is one of the program's or of C, and not of the debugger's own integers and pointers to them. */
export function isTyped(type: CType): boolean {
    switch (type.kind) {
        case 'integer':
            return type.name !== undefined;
        case 'pointer':
            return isTyped(type.to);
        default:
            return true;
    }
}

const COMPUTED: ReadonlySet<CType> = new Set([INT, UNSIGNED_INT, LONG, UNSIGNED_LONG]);

/** Whether a value reads as one of the program's, rather than as a number that was computed. */
export function readsAsTyped(type: CType): boolean {
    return isTyped(type) && !COMPUTED.has(type);
}

/** The names under which the types are written. */
export const INTEGER_TYPES: ReadonlyMap<string, IntegerType> = new Map(
    [8, 16, 32, 64].flatMap(width => [
        [`u${width}`, integer(width, false)],
        [`i${width}`, integer(width, true)],
        [`s${width}`, integer(width, true)],
    ]),
);

export function unsignedType(width: number): IntegerType {
    return integer(width, false);
}

/** Bytes that a value of the type takes in memory. */
export function sizeOf(type: ValueType): number {
    return sizeOfType(type);
}

/** Cuts a number down to what the type holds. */
export function wrap(bits: bigint, type: ValueType): bigint {
    const plain = bare(type);
    switch (plain.kind) {
        case 'integer':
        case 'enum':
            return plain.signed ? BigInt.asIntN(plain.width, bits) : BigInt.asUintN(plain.width, bits);
        case 'pointer':
            return BigInt.asUintN((plain.size ?? 8) * 8, bits);
        default:
            return BigInt.asUintN(64, bits);
    }
}

export function makeValue(bits: bigint, type: ValueType, space: AddressSpace = 'linear', place?: Place): Value {
    return { bits: wrap(bits, type), type, space, place };
}

/** What is written as a number, with C's type for it. */
export function literal(bits: bigint, unsigned: boolean, type: IntegerType): Value {
    return { ...makeValue(bits, unsigned ? U64 : I64), constant: { bits, type } };
}

/** A value as C has it: constants have types there, and no more bits. */
export function inC(value: Value): Value {
    return value.constant === undefined ? value : makeValue(value.constant.bits, value.constant.type, value.space);
}

/** The value as a 64-bit pattern: what an address or a register takes. */
export function pattern(value: Value): bigint {
    return BigInt.asUintN(64, value.bits);
}

/** What a pointer points to; undefined for what is none. Arrays and functions count as pointers to what they hold. */
export function pointedTo(type: ValueType): ValueType | undefined {
    const plain = bare(type);
    switch (plain.kind) {
        case 'pointer':
            return plain.to;
        case 'array':
            return plain.element;
        default:
            return undefined;
    }
}

export function pointerTo(to: ValueType): PointerType {
    return { kind: 'pointer', to };
}

/** The number that a floating-point value's encoding stands for, as far as a double holds it; none for complex ones. */
export function floatOf({ bits, type, image }: Pick<Value, 'bits' | 'type' | 'image'>): number | undefined {
    const plain = bare(type);
    if (plain.kind !== 'float' || plain.complex === true) {
        return undefined;
    }
    return decodeFloat(plain, image?.bytes ?? eightBytes(bits));
}

/** Both parts of a complex number. */
export function complexOf({ bits, type, image }: Value): readonly [number, number] | undefined {
    const plain = bare(type);
    if (plain.kind !== 'float' || plain.complex !== true) {
        return undefined;
    }
    const bytes = image?.bytes ?? eightBytes(bits);
    const half = { ...plain, size: plain.size / 2 };
    const [real, imaginary] = [bytes.subarray(0, half.size), bytes.subarray(half.size)].map(part =>
        decodeFloat(half, part),
    );
    return real === undefined || imaginary === undefined ? undefined : [real, imaginary];
}

function eightBytes(bits: bigint): Uint8Array {
    const view = new DataView(new ArrayBuffer(8));
    view.setBigUint64(0, BigInt.asUintN(64, bits), true);
    return new Uint8Array(view.buffer);
}

/** `_Float128` has its exponent where x87 numbers have it, in as many bytes. */
const QUADRUPLE = /128|quad/i;

function decodeFloat(
    { size, name }: { readonly size: number; readonly name: string },
    bytes: Uint8Array,
): number | undefined {
    if (bytes.length < Math.min(size, 10)) {
        return undefined;
    }
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    switch (size) {
        case 2:
            return /bf/i.test(name)
                ? undefined
                : scaled(view.getUint16(0, true) >> 10, 5, view.getUint16(0, true) & 0x3ff, 10);
        case 4:
            return view.getFloat32(0, true);
        case 8:
            return view.getFloat64(0, true);
        case 10:
        case 12:
        case 16: {
            if (size === 16 && QUADRUPLE.test(name)) {
                if (bytes.length < 16) return undefined;
                const fraction = Number(view.getBigUint64(8, true) & 0xffffffffffffn) * 2 ** 64;
                return scaled(view.getUint16(14, true), 15, fraction + Number(view.getBigUint64(0, true)), 112);
            }
            // The integer bit is explicit.
            const mantissa = view.getBigUint64(0, true);
            const word = view.getUint16(8, true);
            if ((word & 0x7fff) === 0x7fff) return scaled(word, 15, Number((mantissa << 1n) & (2n ** 64n - 1n)), 64);
            const number = (Number(mantissa) / 2 ** 63) * 2 ** ((word & 0x7fff) - 16383);
            return word & 0x8000 ? -number : number;
        }
        default:
            return undefined;
    }
}

/** A number in the way of IEEE 754: sign and exponent, and a fraction of so many bits. */
function scaled(signAndExponent: number, exponentBits: number, fraction: number, fractionBits: number): number {
    const most = 2 ** exponentBits - 1;
    const exponent = signAndExponent & most;
    const bias = (most - 1) / 2;
    const sign = signAndExponent & (most + 1) ? -1 : 1;
    if (exponent === most) {
        return fraction === 0 ? sign * Infinity : NaN;
    }
    const part = fraction / 2 ** fractionBits;
    return exponent === 0 ? sign * part * 2 ** (1 - bias) : sign * (1 + part) * 2 ** (exponent - bias);
}

/** The encoding of a number in a floating-point type. */
export function encodeFloat(number: number, size: number): bigint {
    const view = new DataView(new ArrayBuffer(8));
    if (size === 4) view.setFloat32(0, number, true);
    else view.setFloat64(0, number, true);
    return view.getBigUint64(0, true);
}

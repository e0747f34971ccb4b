/**
 * Values of the expression language: 64-bit integers that remember their type and, for addresses, the address space.
 */

/** Linear addresses go through the page tables of the vCPU, physical ones do not. */
export type AddressSpace = 'linear' | 'physical';

/** An integer in memory or in a register. */
export interface IntegerType {
    readonly kind: 'integer';
    /** Bits: 8, 16, 32 or 64. */
    readonly width: number;
    readonly signed: boolean;
}

export interface PointerType {
    readonly kind: 'pointer';
    readonly to: ValueType;
}

export type ValueType = IntegerType | PointerType;

export interface Value {
    /** The bits, sign-extended for signed types: a number in the range of the type. */
    readonly bits: bigint;
    readonly type: ValueType;
    /** Where it points to if it is used as an address. */
    readonly space: AddressSpace;
    /** What to write to in order to assign to it. */
    readonly place?: Place;
}

/** Something that can be assigned to. */
export type Place =
    | { readonly kind: 'register'; readonly name: string }
    | { readonly kind: 'memory'; readonly space: AddressSpace; readonly address: bigint };

function integer(width: number, signed: boolean): IntegerType {
    return { kind: 'integer', width, signed };
}

export const U64 = integer(64, false);
export const I64 = integer(64, true);

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
    return type.kind === 'pointer' ? 8 : type.width / 8;
}

export function typeName(type: ValueType): string {
    return type.kind === 'pointer' ? `${typeName(type.to)}*` : `${type.signed ? 'i' : 'u'}${type.width}`;
}

/** Cuts a number down to what the type holds. */
export function wrap(bits: bigint, type: ValueType): bigint {
    if (type.kind === 'pointer') {
        return BigInt.asUintN(64, bits);
    }
    return type.signed ? BigInt.asIntN(type.width, bits) : BigInt.asUintN(type.width, bits);
}

export function makeValue(bits: bigint, type: ValueType, space: AddressSpace = 'linear', place?: Place): Value {
    return { bits: wrap(bits, type), type, space, place };
}

/** The value as a 64-bit pattern: what an address or a register takes. */
export function pattern(value: Value): bigint {
    return BigInt.asUintN(64, value.bits);
}

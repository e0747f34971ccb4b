/** Reading values of any type from memory or from what a value is made of, and writing them back. */
import { bare, type Member } from '../../symbols/types';
import { littleEndian } from '../memory-access';
import { EvaluationProblem } from './error';
import type { EvaluationContext } from './context';
import { type AddressSpace, makeValue, pattern, type Place, sizeOf, type Value, type ValueType } from './value';

type Reader = Pick<EvaluationContext, 'readMemory'>;
type Memory = Pick<EvaluationContext, 'readMemory' | 'writeMemory' | 'writeRegister'>;

/** For what has a type and a place, and whose value does not count. */
export const UNREAD: Reader = { readMemory: (_space, _address, size) => new Uint8Array(size) };

/** Numbers are no wider. */
const LARGEST_NUMBER = 16;

function describeAddress(space: AddressSpace, address: bigint): string {
    return `${space} address 0x${address.toString(16)}`;
}

/** @throws EvaluationProblem if it is not there */
function readBytes(memory: Reader, space: AddressSpace, address: bigint, size: number): Uint8Array {
    const bytes = memory.readMemory(space, address, size);
    if (bytes === undefined) {
        const reason = space === 'linear' ? 'nothing is mapped there' : 'there is no RAM';
        throw new EvaluationProblem(`no memory to read at ${describeAddress(space, address)}: ${reason}`);
    }
    return bytes;
}

function isAggregate(type: ValueType): boolean {
    const { kind } = bare(type);
    return kind === 'record' || kind === 'array' || kind === 'function' || kind === 'void';
}

/**
 * The part of a value that lies at an offset: a member, an element, or all of it.
 * @param whole with a place in memory, or an image
 * @throws EvaluationProblem if it cannot be read
 */
export function loadValue(
    memory: Reader,
    whole: Value,
    part: { readonly type: ValueType; readonly offset: number; readonly bits?: { offset: number; size: number } },
): Value {
    const { type, offset, bits: field } = part;
    const size = sizeOf(type);
    if (whole.image !== undefined) {
        return fromImage(whole, type, offset, size, field);
    }
    const { place } = whole;
    if (place?.kind !== 'memory') {
        throw new EvaluationProblem(whole.unavailable ?? 'this is not in memory');
    }
    const address = BigInt.asUintN(64, place.address + BigInt(offset));
    const at: Place = { kind: 'memory', space: place.space, address, field };
    if (field !== undefined) {
        const bytes = readBytes(memory, place.space, address, Math.ceil((field.offset + field.size) / 8));
        return makeValue(fieldOf(littleEndian(bytes), field, type), type, 'linear', at);
    }
    if (isAggregate(type)) {
        return makeValue(address, type, place.space, at);
    }
    const bytes = readBytes(memory, place.space, address, Math.min(size, LARGEST_NUMBER));
    return wide(bytes, type, at);
}

/** Numbers of more than 64 bits keep their bytes. */
function wide(bytes: Uint8Array, type: ValueType, place?: Place): Value {
    // Of a floating-point number the image tells.
    const whole = bare(type).kind === 'integer' ? bytes : bytes.subarray(0, 8);
    const value = makeValue(littleEndian(whole), type, 'linear', place);
    return bytes.length <= 8 ? value : { ...value, image: { bytes, known: Array.from(bytes, () => true) } };
}

function fromImage(
    whole: Value,
    type: ValueType,
    offset: number,
    size: number,
    field: { readonly offset: number; readonly size: number } | undefined,
): Value {
    const { bytes, known } = whole.image!;
    const length = field === undefined ? size : Math.ceil((field.offset + field.size) / 8);
    const part = bytes.subarray(Math.max(0, offset), offset + length);
    const partKnown = known.slice(Math.max(0, offset), offset + length);
    if (offset < 0 || part.length < length) {
        throw new EvaluationProblem('this part lies outside of the value');
    }
    if (isAggregate(type)) {
        return { ...makeValue(0n, type), image: { bytes: part, known: partKnown } };
    }
    if (partKnown.includes(false)) {
        return { ...makeValue(0n, type), unavailable: 'optimised out' };
    }
    return field === undefined
        ? wide(part, type)
        : { ...makeValue(fieldOf(littleEndian(part), field, type), type), fieldSize: field.size };
}

function fieldOf(bits: bigint, { offset, size }: { offset: number; size: number }, type: ValueType): bigint {
    const value = (bits >> BigInt(offset)) & ((1n << BigInt(size)) - 1n);
    return isSigned(type) ? BigInt.asIntN(size, value) : value;
}

function isSigned(type: ValueType): boolean {
    const plain = bare(type);
    return (plain.kind === 'integer' || plain.kind === 'enum') && plain.signed;
}

/** A member of a record. @throws EvaluationProblem if it cannot be read */
export function memberOf(memory: Reader, record: Value, { type, offset, bits }: Member): Value {
    return loadValue(memory, record, {
        type,
        offset,
        bits: bits && { offset: bits.offset - offset * 8, size: bits.size },
    });
}

/**
 * Whether a bit-field holds a number: what does not fit would become another one, and be shown as it was written.
 * @throws EvaluationProblem if it does not
 */
export function checkField(bits: bigint, type: ValueType, size: number): void {
    const [least, most] = isSigned(type)
        ? [-(1n << BigInt(size - 1)), (1n << BigInt(size - 1)) - 1n]
        : [0n, (1n << BigInt(size)) - 1n];
    if (bits < least || bits > most) {
        const width = size === 1 ? '1 bit' : `${size} bits`;
        throw new EvaluationProblem(`${bits} does not fit a bit-field of ${width}: it holds ${least} to ${most}`);
    }
}

/**
 * Writes a value to its place. Of a bit-field, the bytes that it lies in and no others: its neighbours keep their bits.
 * @throws EvaluationProblem if that is not possible
 */
export function assignTo(memory: Memory, value: Value): void {
    const { place, type } = value;
    const bits = pattern(value);
    if (place === undefined) {
        throw new EvaluationProblem('only a register or memory can be assigned to');
    }
    if (place.kind === 'register') {
        memory.writeRegister(place.name, bits);
        return;
    }
    const { space, address, field } = place;
    const size = field === undefined ? sizeOf(type) : Math.ceil((field.offset + field.size) / 8);
    let content = value.bits;
    if (field !== undefined) {
        const mask = ((1n << BigInt(field.size)) - 1n) << BigInt(field.offset);
        const before = littleEndian(readBytes(memory, space, address, size));
        content = (before & ~mask) | ((bits << BigInt(field.offset)) & mask);
    }
    const bytes = Uint8Array.from({ length: size }, (_, index) => Number((content >> BigInt(8 * index)) & 0xffn));
    if (!memory.writeMemory(space, address, bytes)) {
        throw new EvaluationProblem(`no memory to write at ${describeAddress(space, address)}`);
    }
}

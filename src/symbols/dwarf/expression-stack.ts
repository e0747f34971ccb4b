/** The stack of an expression (DWARF 5, 2.5.1): entries with types, and what can be computed of them. */
import { SymbolFileError } from '../errors';
import { Op } from './operations';

const DEEPEST_STACK = 1024;

/** Something that an expression needs is not known. */
export class Unavailable extends Error {}

/** The type of an entry on the stack; undefined is the generic type: an address-sized integer. */
export interface StackType {
    readonly size: number;
    readonly signed: boolean;
    readonly float: boolean;
}

export interface Entry {
    readonly value: bigint;
    readonly type?: StackType;
}

export class ExpressionStack {
    private readonly entries: Entry[] = [];

    /** @param bits of an entry without a type */
    constructor(private readonly bits: number) {}

    /** The uppermost entry; undefined if there is none. */
    take(): Entry | undefined {
        return this.entries.pop();
    }

    push(value: bigint, type?: StackType): void {
        if (this.entries.length >= DEEPEST_STACK) {
            throw new SymbolFileError('corrupt: a location expression with too deep a stack');
        }
        this.entries.push({ value: BigInt.asUintN(type === undefined ? this.bits : type.size * 8, value), type });
    }

    pop(): Entry {
        const entry = this.entries.pop();
        if (entry === undefined) {
            throw new SymbolFileError('corrupt: a location expression takes more than it has');
        }
        return entry;
    }

    pick(index: number): void {
        const entry = this.entries.at(-1 - index);
        if (entry === undefined) {
            throw new SymbolFileError('corrupt: a location expression takes more than it has');
        }
        this.push(entry.value, entry.type);
    }

    width({ type }: Entry): number {
        return type === undefined ? this.bits : type.size * 8;
    }

    signed(entry: Entry): bigint {
        return BigInt.asIntN(this.width(entry), entry.value);
    }

    /** The value as its type has it; of the generic type, unsigned. */
    number(entry: Entry): bigint {
        return entry.type?.signed === true ? this.signed(entry) : entry.value;
    }

    bytesOf(entry: Entry): Uint8Array {
        const length = this.width(entry) / 8;
        return Uint8Array.from({ length }, (_, index) => Number((entry.value >> BigInt(8 * index)) & 0xffn));
    }

    binary(op: number): void {
        const right = this.pop();
        const left = this.pop();
        const { type } = left;
        const width = BigInt(this.width(left));
        // The generic type has no sign: division and comparisons take it as signed, as gdb and GCC do.
        const isSigned = type === undefined || type.signed;
        const [a, b] = isSigned ? [this.signed(left), this.signed(right)] : [left.value, right.value];
        const truth = (value: boolean): void => this.push(value ? 1n : 0n);
        switch (op as Op) {
            case Op.And:
                return this.push(left.value & right.value, type);
            case Op.Or:
                return this.push(left.value | right.value, type);
            case Op.Xor:
                return this.push(left.value ^ right.value, type);
            case Op.Plus:
                return this.push(left.value + right.value, type);
            case Op.Minus:
                return this.push(left.value - right.value, type);
            case Op.Mul:
                return this.push(left.value * right.value, type);
            case Op.Div:
            case Op.Mod:
                if (right.value === 0n) throw new Unavailable('its computation divides by zero');
                if (op === (Op.Div as number)) return this.push(a / b, type);
                return this.push(type === undefined ? left.value % right.value : a % b, type);
            case Op.Shl:
                return this.push(right.value >= width ? 0n : left.value << right.value, type);
            case Op.Shr:
                return this.push(right.value >= width ? 0n : left.value >> right.value, type);
            case Op.Shra:
                return this.push(this.signed(left) >> (right.value >= width ? width - 1n : right.value), type);
            case Op.Eq:
                return truth(a === b);
            case Op.Ne:
                return truth(a !== b);
            case Op.Ge:
                return truth(a >= b);
            case Op.Gt:
                return truth(a > b);
            case Op.Le:
                return truth(a <= b);
            case Op.Lt:
                return truth(a < b);
        }
    }
}

export function known(value: bigint | undefined, what: string): bigint {
    if (value === undefined) {
        throw new Unavailable(`optimised out: ${what} is not known here`);
    }
    return value;
}

export function abs(value: bigint): bigint {
    return value < 0n ? -value : value;
}

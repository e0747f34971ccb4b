/** Location descriptions and expressions (DWARF 5, 2.5 and 2.6): where a variable is, or what its value was. */
import { Cursor } from '../cursor';
import { SymbolFileError } from '../errors';
import { numberOf } from '../unwind';

const enum Op {
    Addr = 0x03,
    Deref = 0x06,
    Const1u = 0x08,
    Const1s = 0x09,
    Const2u = 0x0a,
    Const2s = 0x0b,
    Const4u = 0x0c,
    Const4s = 0x0d,
    Const8u = 0x0e,
    Const8s = 0x0f,
    Constu = 0x10,
    Consts = 0x11,
    Dup = 0x12,
    Drop = 0x13,
    Over = 0x14,
    Pick = 0x15,
    Swap = 0x16,
    Rot = 0x17,
    Abs = 0x19,
    And = 0x1a,
    Div = 0x1b,
    Minus = 0x1c,
    Mod = 0x1d,
    Mul = 0x1e,
    Neg = 0x1f,
    Not = 0x20,
    Or = 0x21,
    Plus = 0x22,
    PlusUconst = 0x23,
    Shl = 0x24,
    Shr = 0x25,
    Shra = 0x26,
    Xor = 0x27,
    Bra = 0x28,
    Eq = 0x29,
    Ge = 0x2a,
    Gt = 0x2b,
    Le = 0x2c,
    Lt = 0x2d,
    Ne = 0x2e,
    Skip = 0x2f,
    Lit0 = 0x30,
    Reg0 = 0x50,
    Breg0 = 0x70,
    Regx = 0x90,
    Fbreg = 0x91,
    Bregx = 0x92,
    Piece = 0x93,
    DerefSize = 0x94,
    Nop = 0x96,
    PushObjectAddress = 0x97,
    Call2 = 0x98,
    Call4 = 0x99,
    CallRef = 0x9a,
    FormTlsAddress = 0x9b,
    CallFrameCfa = 0x9c,
    BitPiece = 0x9d,
    ImplicitValue = 0x9e,
    StackValue = 0x9f,
    ImplicitPointer = 0xa0,
    Addrx = 0xa1,
    Constx = 0xa2,
    EntryValue = 0xa3,
    ConstType = 0xa4,
    RegvalType = 0xa5,
    DerefType = 0xa6,
    Convert = 0xa8,
    Reinterpret = 0xa9,
    GnuPushTlsAddress = 0xe0,
    GnuUninit = 0xf0,
    GnuImplicitPointer = 0xf2,
    GnuEntryValue = 0xf3,
    GnuConstType = 0xf4,
    GnuRegvalType = 0xf5,
    GnuDerefType = 0xf6,
    GnuConvert = 0xf7,
    GnuReinterpret = 0xf9,
    GnuParameterRef = 0xfa,
    GnuAddrIndex = 0xfb,
    GnuConstIndex = 0xfc,
    GnuVariableValue = 0xfd,
}

/** Where a value is. */
export type Location =
    | { readonly kind: 'memory'; readonly address: bigint }
    | { readonly kind: 'register'; readonly register: number }
    /** It is nowhere, but known: little-endian, as many bytes as the type has or fewer. */
    | { readonly kind: 'value'; readonly bytes: Uint8Array }
    /** It points to something that is nowhere: `*pointer` is known, the pointer is not. */
    | { readonly kind: 'implicitPointer'; readonly die: number; readonly offset: number }
    | { readonly kind: 'pieces'; readonly pieces: readonly Piece[] }
    | { readonly kind: 'unavailable'; readonly reason: string };

export interface Piece {
    /** Bits. */
    readonly size: number;
    /** Bits from the beginning of `location`. */
    readonly offset: number;
    readonly location: Location;
}

/** The type of an entry on the stack; undefined is the generic type: an address-sized integer. */
export interface StackType {
    readonly size: number;
    readonly signed: boolean;
    readonly float: boolean;
}

/** What expressions are about. What is not known is undefined: the variable then is not either. */
export interface ExpressionContext {
    readonly addressSize: number;
    readonly offsetSize: 4 | 8;
    readonly version: number;
    register(number: number): bigint | undefined;
    memory(address: bigint, size: number): Uint8Array | undefined;
    /** An address of the program as it was linked, where it is now. */
    relocate(address: bigint): bigint;
    frameBase(): bigint | undefined;
    cfa(): bigint | undefined;
    /** What an expression had as its value when the function was entered. */
    entryValue(expression: Uint8Array): bigint | undefined;
    /** A parameter's value as the caller gave it; by the offset of the parameter's entry in the unit. */
    parameterValue?(offset: number): bigint | undefined;
    indexedAddress(index: number): bigint | undefined;
    /** The base type at an offset in the unit. */
    baseType(offset: number): StackType | undefined;
    /** The location expression of another entry. */
    callee?(offset: number, relative: boolean): Uint8Array | undefined;
    objectAddress?: bigint;
    /** Where the thread that runs has a thread-local variable, by its offset in the program's block. */
    threadLocal?(offset: bigint): bigint | undefined;
}

/** Expressions may jump backwards: one that takes more steps than this never ends. */
const MOST_STEPS = 20_000;
const DEEPEST_STACK = 1024;
const DEEPEST_CALL = 8;

/** Something that the expression needs is not known. */
class Unavailable extends Error {}

interface Entry {
    readonly value: bigint;
    readonly type?: StackType;
}

/** The place that an expression describes. @throws SymbolFileError for one that is corrupt */
export function evaluateLocation(expression: Uint8Array, context: ExpressionContext): Location {
    if (expression.length === 0) {
        return { kind: 'unavailable', reason: 'optimised out' };
    }
    try {
        return new Evaluation(context).location(expression);
    } catch (error) {
        if (error instanceof Unavailable) return { kind: 'unavailable', reason: error.message };
        throw error;
    }
}

/** The number that an expression computes; undefined if something that it needs is not known. @throws SymbolFileError */
export function evaluateNumber(
    expression: Uint8Array,
    context: ExpressionContext,
    initial?: bigint,
): bigint | undefined {
    try {
        const location = new Evaluation(context).location(expression, initial);
        switch (location.kind) {
            case 'memory':
                return location.address;
            case 'value':
                return numberOf(location.bytes);
            case 'register':
                return context.register(location.register);
            default:
                return undefined;
        }
    } catch (error) {
        if (error instanceof Unavailable) return undefined;
        throw error;
    }
}

class Evaluation {
    private readonly stack: Entry[] = [];
    private readonly bits: number;
    private steps = 0;
    /** What the operations so far describe, if not what is on the stack. */
    private described: Location | undefined;

    constructor(private readonly context: ExpressionContext) {
        this.bits = context.addressSize * 8;
    }

    location(expression: Uint8Array, initial?: bigint): Location {
        if (initial !== undefined) this.push(initial);
        const pieces: Piece[] = [];
        this.run(expression, 0, (size, offset) => {
            pieces.push({ size, offset, location: this.finish() });
        });
        if (pieces.length > 0) {
            return { kind: 'pieces', pieces };
        }
        return this.finish();
    }

    private finish(): Location {
        const { described } = this;
        this.described = undefined;
        if (described !== undefined) {
            return described;
        }
        const top = this.stack.pop();
        return top === undefined
            ? { kind: 'unavailable', reason: 'optimised out' }
            : { kind: 'memory', address: BigInt.asUintN(this.bits, top.value) };
    }

    private run(expression: Uint8Array, depth: number, piece: (size: number, offset: number) => void): void {
        if (depth > DEEPEST_CALL) {
            throw new SymbolFileError('corrupt: location expressions that call each other without end');
        }
        const cursor = new Cursor(expression, 'a location expression');
        const { context } = this;
        while (cursor.left > 0) {
            if (++this.steps > MOST_STEPS) {
                throw new SymbolFileError('corrupt: a location expression that does not end');
            }
            const op = cursor.u8();
            if (op >= Op.Lit0 && op < Op.Reg0) {
                this.push(BigInt(op - Op.Lit0));
                continue;
            }
            if (op >= Op.Reg0 && op < Op.Breg0) {
                this.described = { kind: 'register', register: op - Op.Reg0 };
                continue;
            }
            if (op >= Op.Breg0 && op < Op.Regx) {
                this.push(this.register(op - Op.Breg0) + cursor.slebBig());
                continue;
            }
            switch (op as Op) {
                case Op.Addr:
                    this.push(context.relocate(BigInt.asUintN(this.bits, BigInt(cursor.address(context.addressSize)))));
                    break;
                case Op.Addrx:
                case Op.GnuAddrIndex:
                    this.push(context.relocate(known(context.indexedAddress(cursor.uleb()), 'an address')));
                    break;
                case Op.Constx:
                case Op.GnuConstIndex:
                    this.push(known(context.indexedAddress(cursor.uleb()), 'a constant'));
                    break;
                case Op.Const1u:
                    this.push(BigInt(cursor.u8()));
                    break;
                case Op.Const1s:
                    this.push(BigInt(cursor.i8()));
                    break;
                case Op.Const2u:
                    this.push(BigInt(cursor.u16()));
                    break;
                case Op.Const2s:
                    this.push(BigInt.asIntN(16, BigInt(cursor.u16())));
                    break;
                case Op.Const4u:
                    this.push(BigInt(cursor.u32()));
                    break;
                case Op.Const4s:
                    this.push(BigInt(cursor.u32() | 0));
                    break;
                case Op.Const8u:
                case Op.Const8s:
                    this.push(cursor.u64());
                    break;
                case Op.Constu:
                    this.push(cursor.ulebBig());
                    break;
                case Op.Consts:
                    this.push(cursor.slebBig());
                    break;
                case Op.Dup:
                    this.pick(0);
                    break;
                case Op.Drop:
                    this.pop();
                    break;
                case Op.Over:
                    this.pick(1);
                    break;
                case Op.Pick:
                    this.pick(cursor.u8());
                    break;
                case Op.Swap: {
                    const [b, a] = [this.pop(), this.pop()];
                    this.stack.push(b, a);
                    break;
                }
                case Op.Rot: {
                    const [c, b, a] = [this.pop(), this.pop(), this.pop()];
                    this.stack.push(c, a, b);
                    break;
                }
                case Op.Deref:
                    this.load(context.addressSize);
                    break;
                case Op.DerefSize:
                    this.load(cursor.u8());
                    break;
                case Op.DerefType:
                case Op.GnuDerefType: {
                    const size = cursor.u8();
                    const type = this.type(cursor.uleb());
                    this.load(size);
                    this.push(this.pop().value, type);
                    break;
                }
                case Op.Abs:
                case Op.Neg:
                case Op.Not: {
                    const { value, type } = this.pop();
                    const signed = this.signed({ value, type });
                    this.push(
                        op === (Op.Neg as number) ? -signed : op === (Op.Not as number) ? ~value : abs(signed),
                        type,
                    );
                    break;
                }
                case Op.PlusUconst: {
                    const { value, type } = this.pop();
                    this.push(value + cursor.ulebBig(), type);
                    break;
                }
                case Op.And:
                case Op.Div:
                case Op.Minus:
                case Op.Mod:
                case Op.Mul:
                case Op.Or:
                case Op.Plus:
                case Op.Shl:
                case Op.Shr:
                case Op.Shra:
                case Op.Xor:
                case Op.Eq:
                case Op.Ge:
                case Op.Gt:
                case Op.Le:
                case Op.Lt:
                case Op.Ne:
                    this.binary(op);
                    break;
                case Op.Bra: {
                    const distance = (cursor.u16() << 16) >> 16;
                    if (this.pop().value !== 0n) this.jump(cursor, distance);
                    break;
                }
                case Op.Skip: {
                    const distance = (cursor.u16() << 16) >> 16;
                    this.jump(cursor, distance);
                    break;
                }
                case Op.Regx:
                    this.described = { kind: 'register', register: cursor.uleb() };
                    break;
                case Op.Bregx:
                    this.push(this.register(cursor.uleb()) + cursor.slebBig());
                    break;
                case Op.Fbreg:
                    this.push(known(context.frameBase(), 'the frame base') + cursor.slebBig());
                    break;
                case Op.CallFrameCfa:
                    this.push(known(context.cfa(), 'the frame'));
                    break;
                case Op.RegvalType:
                case Op.GnuRegvalType: {
                    const value = this.register(cursor.uleb());
                    this.push(value, this.type(cursor.uleb()));
                    break;
                }
                case Op.ConstType:
                case Op.GnuConstType: {
                    const type = this.type(cursor.uleb());
                    this.push(numberOf(cursor.block(cursor.u8())), type);
                    break;
                }
                case Op.Convert:
                case Op.GnuConvert: {
                    const offset = cursor.uleb();
                    const entry = this.pop();
                    // From the value that the old type gives the bits.
                    const value = entry.type === undefined ? entry.value : this.number(entry);
                    this.push(value, offset === 0 ? undefined : this.type(offset));
                    break;
                }
                case Op.Reinterpret:
                case Op.GnuReinterpret: {
                    const offset = cursor.uleb();
                    this.push(this.pop().value, offset === 0 ? undefined : this.type(offset));
                    break;
                }
                case Op.Piece:
                    piece(cursor.uleb() * 8, 0);
                    break;
                case Op.BitPiece: {
                    const size = cursor.uleb();
                    piece(size, cursor.uleb());
                    break;
                }
                case Op.ImplicitValue:
                    this.described = { kind: 'value', bytes: cursor.block(cursor.uleb()) };
                    break;
                case Op.StackValue:
                    this.described = { kind: 'value', bytes: this.bytesOf(this.pop()) };
                    break;
                case Op.ImplicitPointer:
                case Op.GnuImplicitPointer: {
                    const die = cursor.offset(
                        context.version <= 2 ? (context.addressSize as 4 | 8) : context.offsetSize,
                    );
                    this.described = { kind: 'implicitPointer', die, offset: cursor.sleb() };
                    break;
                }
                case Op.EntryValue:
                case Op.GnuEntryValue:
                    this.push(known(context.entryValue(cursor.block(cursor.uleb())), 'the value at the call'));
                    break;
                case Op.GnuParameterRef:
                    this.push(known(context.parameterValue?.(cursor.u32()), "the caller's argument"));
                    break;
                case Op.PushObjectAddress:
                    this.push(known(context.objectAddress, "the object's address"));
                    break;
                case Op.Call2:
                    this.call(cursor.u16(), true, depth, piece);
                    break;
                case Op.Call4:
                    this.call(cursor.u32(), true, depth, piece);
                    break;
                case Op.CallRef:
                    this.call(cursor.offset(context.offsetSize), false, depth, piece);
                    break;
                case Op.GnuVariableValue:
                    throw new Unavailable('its size is computed');
                case Op.FormTlsAddress:
                case Op.GnuPushTlsAddress:
                    this.push(known(context.threadLocal?.(this.pop().value), 'the thread'));
                    break;
                case Op.Nop:
                case Op.GnuUninit:
                    break;
                default:
                    throw new SymbolFileError(
                        `a location expression has operation 0x${op.toString(16)}, which is not known`,
                    );
            }
        }
    }

    private call(
        offset: number,
        relative: boolean,
        depth: number,
        piece: (size: number, offset: number) => void,
    ): void {
        const expression = this.context.callee?.(offset, relative);
        if (expression !== undefined) this.run(expression, depth + 1, piece);
    }

    private jump(cursor: Cursor, distance: number): void {
        const target = cursor.at + distance;
        if (target < 0 || target > cursor.end) {
            throw new SymbolFileError('corrupt: a location expression jumps out of itself');
        }
        cursor.at = target;
    }

    private push(value: bigint, type?: StackType): void {
        if (this.stack.length >= DEEPEST_STACK) {
            throw new SymbolFileError('corrupt: a location expression with too deep a stack');
        }
        this.stack.push({ value: BigInt.asUintN(type === undefined ? this.bits : type.size * 8, value), type });
    }

    private pop(): Entry {
        const entry = this.stack.pop();
        if (entry === undefined) {
            throw new SymbolFileError('corrupt: a location expression takes more than it has');
        }
        return entry;
    }

    private pick(index: number): void {
        const entry = this.stack.at(-1 - index);
        if (entry === undefined) {
            throw new SymbolFileError('corrupt: a location expression takes more than it has');
        }
        this.push(entry.value, entry.type);
    }

    private register(number: number): bigint {
        return known(this.context.register(number), 'a register');
    }

    private load(size: number): void {
        if (size < 1 || size > 8) {
            throw new SymbolFileError(`corrupt: a location expression loads ${size} bytes`);
        }
        const address = this.pop().value;
        const bytes = this.context.memory(address, size);
        if (bytes === undefined) {
            throw new Unavailable(`nothing is mapped at 0x${address.toString(16)}`);
        }
        this.push(numberOf(bytes));
    }

    private type(offset: number): StackType | undefined {
        const type = this.context.baseType(offset);
        if (type?.float === true) {
            throw new Unavailable('it is computed with floating point');
        }
        return type;
    }

    private width({ type }: Entry): number {
        return type === undefined ? this.bits : type.size * 8;
    }

    private signed(entry: Entry): bigint {
        return BigInt.asIntN(this.width(entry), entry.value);
    }

    /** The value as its type has it; of the generic type, unsigned. */
    private number(entry: Entry): bigint {
        return entry.type?.signed === true ? this.signed(entry) : entry.value;
    }

    private bytesOf(entry: Entry): Uint8Array {
        const length = this.width(entry) / 8;
        return Uint8Array.from({ length }, (_, index) => Number((entry.value >> BigInt(8 * index)) & 0xffn));
    }

    private binary(op: number): void {
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

function known(value: bigint | undefined, what: string): bigint {
    if (value === undefined) {
        throw new Unavailable(`optimised out: ${what} is not known here`);
    }
    return value;
}

function abs(value: bigint): bigint {
    return value < 0n ? -value : value;
}

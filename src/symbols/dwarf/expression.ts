/** Location descriptions and expressions (DWARF 5, 2.5 and 2.6): where a variable is, or what its value was. */
import { Cursor } from '../cursor';
import { SymbolFileError } from '../errors';
import { numberOf } from '../unwind';
import { abs, ExpressionStack, known, type StackType, Unavailable } from './expression-stack';
import { Op } from './operations';

export type { StackType };

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
const DEEPEST_CALL = 8;

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
    private readonly stack: ExpressionStack;
    private readonly bits: number;
    private steps = 0;
    /** What the operations so far describe, if not what is on the stack. */
    private described: Location | undefined;

    constructor(private readonly context: ExpressionContext) {
        this.bits = context.addressSize * 8;
        this.stack = new ExpressionStack(this.bits);
    }

    location(expression: Uint8Array, initial?: bigint): Location {
        if (initial !== undefined) this.stack.push(initial);
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
        const top = this.stack.take();
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
                this.stack.push(BigInt(op - Op.Lit0));
                continue;
            }
            if (op >= Op.Reg0 && op < Op.Breg0) {
                this.described = { kind: 'register', register: op - Op.Reg0 };
                continue;
            }
            if (op >= Op.Breg0 && op < Op.Regx) {
                this.stack.push(this.register(op - Op.Breg0) + cursor.slebBig());
                continue;
            }
            switch (op as Op) {
                case Op.Addr:
                    this.stack.push(
                        context.relocate(BigInt.asUintN(this.bits, BigInt(cursor.address(context.addressSize)))),
                    );
                    break;
                case Op.Addrx:
                case Op.GnuAddrIndex:
                    this.stack.push(context.relocate(known(context.indexedAddress(cursor.uleb()), 'an address')));
                    break;
                case Op.Constx:
                case Op.GnuConstIndex:
                    this.stack.push(known(context.indexedAddress(cursor.uleb()), 'a constant'));
                    break;
                case Op.Const1u:
                    this.stack.push(BigInt(cursor.u8()));
                    break;
                case Op.Const1s:
                    this.stack.push(BigInt(cursor.i8()));
                    break;
                case Op.Const2u:
                    this.stack.push(BigInt(cursor.u16()));
                    break;
                case Op.Const2s:
                    this.stack.push(BigInt.asIntN(16, BigInt(cursor.u16())));
                    break;
                case Op.Const4u:
                    this.stack.push(BigInt(cursor.u32()));
                    break;
                case Op.Const4s:
                    this.stack.push(BigInt(cursor.u32() | 0));
                    break;
                case Op.Const8u:
                case Op.Const8s:
                    this.stack.push(cursor.u64());
                    break;
                case Op.Constu:
                    this.stack.push(cursor.ulebBig());
                    break;
                case Op.Consts:
                    this.stack.push(cursor.slebBig());
                    break;
                case Op.Dup:
                    this.stack.pick(0);
                    break;
                case Op.Drop:
                    this.stack.pop();
                    break;
                case Op.Over:
                    this.stack.pick(1);
                    break;
                case Op.Pick:
                    this.stack.pick(cursor.u8());
                    break;
                case Op.Swap: {
                    const [b, a] = [this.stack.pop(), this.stack.pop()];
                    for (const { value, type } of [b, a]) this.stack.push(value, type);
                    break;
                }
                case Op.Rot: {
                    const [c, b, a] = [this.stack.pop(), this.stack.pop(), this.stack.pop()];
                    for (const { value, type } of [c, a, b]) this.stack.push(value, type);
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
                    this.stack.push(this.stack.pop().value, type);
                    break;
                }
                case Op.Abs:
                case Op.Neg:
                case Op.Not: {
                    const { value, type } = this.stack.pop();
                    const signed = this.stack.signed({ value, type });
                    this.stack.push(
                        op === (Op.Neg as number) ? -signed : op === (Op.Not as number) ? ~value : abs(signed),
                        type,
                    );
                    break;
                }
                case Op.PlusUconst: {
                    const { value, type } = this.stack.pop();
                    this.stack.push(value + cursor.ulebBig(), type);
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
                    this.stack.binary(op);
                    break;
                case Op.Bra: {
                    const distance = (cursor.u16() << 16) >> 16;
                    if (this.stack.pop().value !== 0n) this.jump(cursor, distance);
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
                    this.stack.push(this.register(cursor.uleb()) + cursor.slebBig());
                    break;
                case Op.Fbreg:
                    this.stack.push(known(context.frameBase(), 'the frame base') + cursor.slebBig());
                    break;
                case Op.CallFrameCfa:
                    this.stack.push(known(context.cfa(), 'the frame'));
                    break;
                case Op.RegvalType:
                case Op.GnuRegvalType: {
                    const value = this.register(cursor.uleb());
                    this.stack.push(value, this.type(cursor.uleb()));
                    break;
                }
                case Op.ConstType:
                case Op.GnuConstType: {
                    const type = this.type(cursor.uleb());
                    this.stack.push(numberOf(cursor.block(cursor.u8())), type);
                    break;
                }
                case Op.Convert:
                case Op.GnuConvert: {
                    const offset = cursor.uleb();
                    const entry = this.stack.pop();
                    // From the value that the old type gives the bits.
                    const value = entry.type === undefined ? entry.value : this.stack.number(entry);
                    this.stack.push(value, offset === 0 ? undefined : this.type(offset));
                    break;
                }
                case Op.Reinterpret:
                case Op.GnuReinterpret: {
                    const offset = cursor.uleb();
                    this.stack.push(this.stack.pop().value, offset === 0 ? undefined : this.type(offset));
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
                    this.described = { kind: 'value', bytes: this.stack.bytesOf(this.stack.pop()) };
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
                    this.stack.push(known(context.entryValue(cursor.block(cursor.uleb())), 'the value at the call'));
                    break;
                case Op.GnuParameterRef:
                    this.stack.push(known(context.parameterValue?.(cursor.u32()), "the caller's argument"));
                    break;
                case Op.PushObjectAddress:
                    this.stack.push(known(context.objectAddress, "the object's address"));
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
                    this.stack.push(known(context.threadLocal?.(this.stack.pop().value), 'the thread'));
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

    private register(number: number): bigint {
        return known(this.context.register(number), 'a register');
    }

    private load(size: number): void {
        if (size < 1 || size > 8) {
            throw new SymbolFileError(`corrupt: a location expression loads ${size} bytes`);
        }
        const address = this.stack.pop().value;
        const bytes = this.context.memory(address, size);
        if (bytes === undefined) {
            throw new Unavailable(`nothing is mapped at 0x${address.toString(16)}`);
        }
        this.stack.push(numberOf(bytes));
    }

    private type(offset: number): StackType | undefined {
        const type = this.context.baseType(offset);
        if (type?.float === true) {
            throw new Unavailable('it is computed with floating point');
        }
        return type;
    }
}

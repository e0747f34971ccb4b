/**
 * The arithmetic flags while code is being lifted. What set them last is kept symbolically (see `flags.ts`): conditions
 * are made of its operands, and the flags themselves only where somebody may look.
 */
import { FlagAux, StateOffset } from '../../machine/state';
import { NONE, type Value } from '../ir/function';
import { StateAccess } from '../ir/opcodes';
import { Condition, FlagSource, type PendingFlags, type Width } from './flags';
import { ValueContext } from './value-context';

const FLAGS_IN_STATE: PendingFlags = {
    source: FlagSource.State,
    width: 64,
    a: NONE,
    b: NONE,
    result: NONE,
    withCarry: false,
    aux: NONE,
};

export abstract class FlagContext extends ValueContext {
    protected flags: PendingFlags = FLAGS_IN_STATE;

    setFlagsAdd(width: Width, a: Value, b: Value, result: Value, withCarry = false): void {
        this.flags = { source: FlagSource.Add, width, a, b, result, withCarry, aux: NONE };
    }

    /** Flags of a − b = result (CMP, SUB, NEG, SBB…). */
    setFlagsSubtract(width: Width, a: Value, b: Value, result: Value, withCarry = false): void {
        this.flags = { source: FlagSource.Subtract, width, a, b, result, withCarry, aux: NONE };
    }

    setFlagsLogic(width: Width, result: Value): void {
        this.flags = { source: FlagSource.Logic, width, a: NONE, b: NONE, result, withCarry: false, aux: NONE };
    }

    /** Flags given as state values: flagResult (i64) and flagAux (i32). */
    setFlagsRaw(result: Value, aux: Value): void {
        this.flags = { source: FlagSource.Raw, width: 64, a: NONE, b: NONE, result, withCarry: false, aux };
    }

    /**
     * ZF, SF and PF from `result` of guest width; CF, OF and AF from i32 values that are 0 or 1.
     */
    setFlagsParts(width: Width, result: Value, carry: Value, overflow: Value, adjust: Value = NONE): void {
        const ir = this.ir;
        const carryIn = ir.op('i32.xor', carry, overflow);
        let aux = ir.op('i32.or', ir.op('i32.shl', carry, ir.i32(31)), ir.op('i32.shl', carryIn, ir.i32(30)));
        if (adjust !== NONE) {
            aux = ir.op('i32.or', aux, ir.op('i32.shl', adjust, ir.i32(3)));
        }
        this.setFlagsRaw(this.flagResultOf(width, result), aux);
    }

    /** All six arithmetic flags from an i32 value in RFLAGS bit positions (other bits ignored). */
    setFlagsFromBits(bits: Value): void {
        const ir = this.ir;
        const bit = (position: number): Value =>
            ir.op('i32.and', ir.op('i32.shr_u', bits, ir.i32(position)), ir.i32(1));
        const cf = bit(0);
        const carryIn = ir.op('i32.xor', cf, bit(11));
        const zero = bit(6);
        // flagResult is 0 (ZF) or 1; SF by the correction bit; PF: parity of the low byte is that of (result ^ correction).
        const result = ir.op('i32.xor', zero, ir.i32(1));
        const parityOdd = ir.op('i32.xor', bit(2), ir.i32(1));
        const parityCorrection = ir.op('i32.xor', result, parityOdd);
        let aux = ir.op('i32.shl', cf, ir.i32(31));
        aux = ir.op('i32.or', aux, ir.op('i32.shl', carryIn, ir.i32(30)));
        aux = ir.op('i32.or', aux, ir.op('i32.shl', bit(4), ir.i32(3)));
        aux = ir.op('i32.or', aux, bit(7));
        aux = ir.op('i32.or', aux, ir.op('i32.shl', parityCorrection, ir.i32(FlagAux.ParityShift)));
        this.setFlagsRaw(ir.extendU(result), aux);
    }

    /** All six arithmetic flags as an i32 in RFLAGS bit positions. */
    flagsAsBits(): Value {
        const ir = this.ir;
        const { result, aux } = this.flagState();
        const at = (value: Value, position: number): Value =>
            position === 0 ? value : ir.op('i32.shl', value, ir.i32(position));
        let bits = this.carryOf(aux);
        bits = ir.op('i32.or', bits, at(this.parityOf(result, aux), 2));
        bits = ir.op('i32.or', bits, ir.op('i32.and', ir.op('i32.shl', aux, ir.i32(1)), ir.i32(0x10)));
        bits = ir.op('i32.or', bits, at(ir.op('i64.eqz', result), 6));
        bits = ir.op('i32.or', bits, at(this.signOf(result, aux), 7));
        return ir.op('i32.or', bits, at(this.overflowOf(aux), 11));
    }

    /** flagResult (i64) and flagAux (i32) of the flags as they are now. */
    flagState(): { result: Value; aux: Value } {
        const ir = this.ir;
        const flags = this.flags;
        switch (flags.source) {
            case FlagSource.State:
                return {
                    result: ir.get(StateOffset.flagResult, StateAccess.I64),
                    aux: ir.get(StateOffset.flagAux, StateAccess.I32),
                };
            case FlagSource.Raw:
                return { result: flags.result, aux: flags.aux };
            case FlagSource.Logic:
                return { result: this.flagResultOf(flags.width, flags.result), aux: ir.i32(0) };
        }
        return { result: this.flagResultOf(flags.width, flags.result), aux: this.carriesOf(flags) };
    }

    /** Writes pending flags to the guest state. */
    flushFlags(): void {
        if (this.flags.source !== FlagSource.State) {
            this.storeFlags();
            this.flags = FLAGS_IN_STATE;
        }
    }

    protected storeFlags(): void {
        const { result, aux } = this.flagState();
        this.ir.set(StateOffset.flagResult, StateAccess.I64, result);
        this.ir.set(StateOffset.flagAux, StateAccess.I32, aux);
    }

    /** CF as i32 0/1. */
    carry(): Value {
        return this.condition(Condition.B);
    }

    /** A condition code as i32 0/1. */
    condition(code: Condition): Value {
        const positive = this.positiveCondition(code & ~1);
        return (code & 1) !== 0 ? this.ir.not(positive) : positive;
    }

    private positiveCondition(code: Condition): Value {
        const direct = this.directCondition(code);
        if (direct !== NONE) {
            return direct;
        }
        const ir = this.ir;
        const { result, aux } = this.flagState();
        switch (code) {
            case Condition.O:
                return this.overflowOf(aux);
            case Condition.B:
                return this.carryOf(aux);
            case Condition.E:
                return ir.op('i64.eqz', result);
            case Condition.BE:
                return ir.op('i32.or', this.carryOf(aux), ir.op('i64.eqz', result));
            case Condition.S:
                return this.signOf(result, aux);
            case Condition.P:
                return this.parityOf(result, aux);
            case Condition.L:
                return ir.op('i32.xor', this.signOf(result, aux), this.overflowOf(aux));
            default:
                return ir.op(
                    'i32.or',
                    ir.op('i32.xor', this.signOf(result, aux), this.overflowOf(aux)),
                    ir.op('i64.eqz', result),
                );
        }
    }

    /** The condition as a comparison of what set the flags, or NONE if that does not tell. */
    private directCondition(code: Condition): Value {
        const flags = this.flags;
        const { source, width, a, b, result } = flags;
        if (source === FlagSource.State || source === FlagSource.Raw) {
            return NONE;
        }
        const type = width === 64 ? 'i64' : 'i32';
        const ir = this.ir;
        if (code === Condition.E) {
            return source === FlagSource.Subtract && !flags.withCarry
                ? ir.op(`${type}.eq`, a, b)
                : this.isZero(width, result);
        }
        if (code === Condition.S) {
            return this.signBit(width, result);
        }
        if (source === FlagSource.Logic) {
            switch (code) {
                case Condition.O:
                case Condition.B:
                    return ir.i32(0);
                case Condition.BE:
                    return this.isZero(width, result);
                case Condition.L:
                    return this.signBit(width, result);
                case Condition.LE: {
                    const zero = width === 64 ? ir.i64(0) : ir.i32(0);
                    return ir.op(`${type}.le_s`, this.signed(width, result), zero);
                }
            }
        } else if (!flags.withCarry) {
            if (source === FlagSource.Subtract) {
                switch (code) {
                    case Condition.B:
                        return ir.op(`${type}.lt_u`, a, b);
                    case Condition.BE:
                        return ir.op(`${type}.le_u`, a, b);
                    case Condition.L:
                        return ir.op(`${type}.lt_s`, this.signed(width, a), this.signed(width, b));
                    case Condition.LE:
                        return ir.op(`${type}.le_s`, this.signed(width, a), this.signed(width, b));
                }
            } else if (code === Condition.B) {
                return ir.op(`${type}.lt_u`, result, a);
            }
        }
        return NONE;
    }

    /** The result sign-extended to i64, as flagResult wants it. */
    flagResultOf(width: Width, result: Value): Value {
        return width === 64 ? result : this.ir.extendS(this.signed(width, result));
    }

    /** flagAux of an addition or subtraction: the carries (borrows) out of each bit, moved to their places. */
    private carriesOf(flags: PendingFlags): Value {
        const ir = this.ir;
        const { width, a, b, result } = flags;
        const type = width === 64 ? 'i64' : 'i32';
        const op = (name: string, x: Value, y: Value): Value => ir.op(`${type}.${name}`, x, y);
        const ones = width === 64 ? ir.i64(-1) : ir.i32(-1);
        let carries: Value;
        if (flags.source === FlagSource.Add) {
            // Carry out of bit i: a & b, or either of them when the sum bit is clear.
            carries = op('or', op('and', a, b), op('and', op('or', a, b), op('xor', result, ones)));
        } else {
            const notA = op('xor', a, ones);
            carries = op('or', op('and', notA, b), op('and', op('or', notA, b), result));
        }
        if (width === 64) {
            const high = ir.wrap(ir.op('i64.shr_u', carries, ir.i64(32)));
            return ir.op(
                'i32.or',
                ir.op('i32.and', high, ir.i32(0xc0000000 | 0)),
                ir.op('i32.and', ir.wrap(carries), ir.i32(8)),
            );
        }
        if (width === 32) {
            return ir.op('i32.and', carries, ir.i32(0xc0000008 | 0));
        }
        const top = ir.op('i32.and', ir.op('i32.shl', carries, ir.i32(32 - width)), ir.i32(0xc0000000 | 0));
        return ir.op('i32.or', top, ir.op('i32.and', carries, ir.i32(8)));
    }

    private carryOf(aux: Value): Value {
        return this.ir.op('i32.shr_u', aux, this.ir.i32(31));
    }

    private overflowOf(aux: Value): Value {
        const shifted = this.ir.op('i32.shl', aux, this.ir.i32(1));
        return this.ir.op('i32.shr_u', this.ir.op('i32.xor', aux, shifted), this.ir.i32(31));
    }

    private signOf(result: Value, aux: Value): Value {
        const sign = this.ir.wrap(this.ir.op('i64.shr_u', result, this.ir.i64(63)));
        return this.ir.op('i32.xor', sign, this.ir.op('i32.and', aux, this.ir.i32(1)));
    }

    private parityOf(result: Value, aux: Value): Value {
        const ir = this.ir;
        const correction = ir.op('i32.shr_u', aux, ir.i32(FlagAux.ParityShift));
        const byte = ir.op('i32.and', ir.op('i32.xor', ir.wrap(result), correction), ir.i32(0xff));
        const odd = ir.op('i32.and', ir.op('i32.popcnt', byte), ir.i32(1));
        return ir.op('i32.xor', odd, ir.i32(1));
    }
}

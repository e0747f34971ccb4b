/**
 * String instructions (SDM Vol. 2: MOVS, STOS, LODS, CMPS, SCAS and REP; Vol. 1, 7.3.9).
 *
 * A repeated instruction is a loop over elements that writes rSI, rDI and rCX after each, so that a fault leaves it
 * restartable. It comes up for air whenever rCX reaches a multiple of {@link CHUNK}: then it jumps to itself, and interrupts
 * are taken. Where that happens depends on rCX alone, so that instruction counts are the same in every tier, however the
 * elements were moved and wherever a tier was left in the middle.
 *
 * CMPS and SCAS keep the flags while they may still fault: SDM Vol. 2 (REP) has a fault restore them.
 */
import { Gpr, RepeatPrefix, Segment } from '../../../isa/x86/instruction';
import { Flag, StateOffset } from '../../../machine/state';
import { type Value } from '../../ir/function';
import { StateAccess } from '../../ir/opcodes';
import { type LiftContext } from '../context';
import { type Width } from '../flags';
import { type SemanticTable } from '../semantics';
import { setFlagsWhen } from './partial-flags';
import { copyBulk, fillBulk, isOneByteRepeated } from './string-bulk';
import { advance, destinationAddress, directionFlag, elementStep, isFlat, sourceAddress } from './string-operands';

/** At most so many elements are handled before a repeated instruction lets interrupts in; a power of two. */
export const CHUNK = 4096;

/** Handles several elements at once if it can. Given how many at most, and the i32 variable to be set to how many it did. */
type Bulk = (limit: Value, done: Value) => void;

/**
 * The loop of a repeated instruction. `element` handles one element and returns an i32 that is zero to stop, or undefined
 * if only the count stops it. Returns whether the loop stopped with elements left to do (i32).
 */
function repeat(c: LiftContext, element: () => Value | undefined, bulk?: Bulk): Value {
    const { ir } = c;
    const width = c.instruction.addressSize;
    const again = ir.variable(ir.i32(0));
    const counter = (): Value => c.resizeUnsigned(c.gpr(Gpr.Rcx, width), width, 64);
    ir.if(ir.op('i64.ne', counter(), ir.i64(0)), () => {
        // With TF set there is a trap after each element.
        const trapping = ir.op('i32.and', ir.get(StateOffset.rflags, StateAccess.I32), ir.i32(Flag.TF));
        const done = ir.variable(ir.i32(0));
        const goOn = ir.variable(ir.i32(1));
        const one = (): void => {
            const condition = element();
            if (condition !== undefined) {
                ir.setVariable(goOn, condition);
            }
            ir.setVariable(done, ir.i32(1));
        };
        ir.loop(() => {
            if (bulk === undefined) {
                one();
            } else {
                ir.setVariable(done, ir.i32(0));
                const before = ir.op('i32.and', ir.op('i32.sub', ir.wrap(counter()), ir.i32(1)), ir.i32(CHUNK - 1));
                bulk(ir.select(trapping, ir.i32(1), ir.op('i32.add', before, ir.i32(1))), done);
                ir.if(ir.not(ir.getVariable(done)), one);
            }
            const rest = ir.op('i64.sub', counter(), ir.extendU(ir.getVariable(done)));
            c.setGpr(Gpr.Rcx, width, c.resizeUnsigned(rest, 64, width));
            const more = ir.op('i32.and', ir.op('i64.ne', rest, ir.i64(0)), ir.getVariable(goOn));
            ir.setVariable(again, more);
            const inChunk = ir.op('i32.ne', ir.op('i32.and', ir.wrap(rest), ir.i32(CHUNK - 1)), ir.i32(0));
            return c.unlessStopped(ir.select(trapping, ir.i32(0), ir.op('i32.and', more, inChunk)));
        });
    });
    return ir.getVariable(again);
}

function isRepeated(c: LiftContext): boolean {
    return c.instruction.repeat !== RepeatPrefix.None;
}

/** Goes to this instruction again if elements are left (i32). Flags are final. */
function comeBack(c: LiftContext, again: Value): void {
    c.flushFlags();
    c.ir.if(again, () => c.jumpToSelf());
}

function repeatUnconditionally(c: LiftContext, element: () => void, bulk?: Bulk): void {
    if (!isRepeated(c)) {
        element();
        return;
    }
    const again = repeat(
        c,
        () => {
            element();
            return undefined;
        },
        bulk,
    );
    comeBack(c, again);
}

function moveString(c: LiftContext): void {
    const width = c.widthOf(0);
    const bytes = width / 8;
    const step = elementStep(c, bytes);
    const element = (): void => {
        const value = c.load(width, sourceAddress(c, bytes));
        c.store(width, destinationAddress(c, bytes, true), value);
        advance(c, Gpr.Rsi, step);
        advance(c, Gpr.Rdi, step);
    };
    if (!isRepeated(c) || !isFlat(c, c.instruction.segment) || !isFlat(c, Segment.Es)) {
        repeatUnconditionally(c, element);
        return;
    }
    const forward = c.ir.not(directionFlag(c));
    repeatUnconditionally(c, element, (limit, done) => copyBulk(c, bytes, forward, limit, done));
}

function storeString(c: LiftContext): void {
    const width = c.widthOf(0);
    const bytes = width / 8;
    const step = elementStep(c, bytes);
    const value = c.read(1);
    const element = (): void => {
        c.store(width, destinationAddress(c, bytes, true), value);
        advance(c, Gpr.Rdi, step);
    };
    if (!isRepeated(c) || !isFlat(c, Segment.Es)) {
        repeatUnconditionally(c, element);
        return;
    }
    const fillable = c.ir.op('i32.and', c.ir.not(directionFlag(c)), isOneByteRepeated(c, width, value));
    repeatUnconditionally(c, element, (limit, done) => fillBulk(c, bytes, value, fillable, limit, done));
}

function loadString(c: LiftContext): void {
    const width = c.widthOf(1);
    const bytes = width / 8;
    const step = elementStep(c, bytes);
    repeatUnconditionally(c, () => {
        c.write(0, c.load(width, sourceAddress(c, bytes)));
        advance(c, Gpr.Rsi, step);
    });
}

/** A comparison of two elements; the flags are those of first − second. */
interface Compared {
    readonly first: Value;
    readonly second: Value;
}

/** CMPS and SCAS: `element` loads what is compared and advances. */
function compareElements(c: LiftContext, width: Width, element: () => Compared): void {
    const { ir } = c;
    const setFlags = (first: Value, second: Value): void =>
        c.setFlagsSubtract(width, first, second, c.integer(width, 'sub', first, second));
    if (!isRepeated(c)) {
        const { first, second } = element();
        setFlags(first, second);
        return;
    }
    const comparison = width === 64 ? 'i64' : 'i32';
    const relation = c.instruction.repeat === RepeatPrefix.Repe ? 'eq' : 'ne';
    const lastFirst = ir.variable(c.constant(width, 0));
    const lastSecond = ir.variable(c.constant(width, 0));
    const any = ir.variable(ir.i32(0));
    const again = repeat(c, () => {
        const { first, second } = element();
        ir.setVariable(lastFirst, first);
        ir.setVariable(lastSecond, second);
        ir.setVariable(any, ir.i32(1));
        return ir.op(`${comparison}.${relation}`, first, second);
    });
    setFlagsWhen(c, ir.getVariable(any), () => setFlags(ir.getVariable(lastFirst), ir.getVariable(lastSecond)));
    comeBack(c, again);
}

function compareStrings(c: LiftContext): void {
    const width = c.widthOf(0);
    const bytes = width / 8;
    const step = elementStep(c, bytes);
    compareElements(c, width, () => {
        // The manual leaves open which one is read, and may fault, first: processors begin with ES:rDI.
        const second = c.load(width, destinationAddress(c, bytes, false));
        const first = c.load(width, sourceAddress(c, bytes));
        advance(c, Gpr.Rsi, step);
        advance(c, Gpr.Rdi, step);
        return { first, second };
    });
}

function scanString(c: LiftContext): void {
    const width = c.widthOf(0);
    const bytes = width / 8;
    const step = elementStep(c, bytes);
    const accumulator = c.read(0);
    compareElements(c, width, () => {
        const second = c.load(width, destinationAddress(c, bytes, false));
        advance(c, Gpr.Rdi, step);
        return { first: accumulator, second };
    });
}

export const STRING: SemanticTable = {
    MOVS: moveString,
    STOS: storeString,
    LODS: loadString,
    CMPS: compareStrings,
    SCAS: scanString,
};

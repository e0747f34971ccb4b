/** Exchanges (SDM Vol. 2: XCHG, XADD, CMPXCHG, CMPXCHG8B, CMPXCHG16B). LOCK needs nothing: vCPUs take turns. */
import { Gpr } from '../../../isa/x86/instruction';
import { Flag } from '../../../machine/state';
import { type Value } from '../../ir/function';
import { type LiftContext, Vector } from '../context';
import { type SemanticTable } from '../semantics';

function exchange(c: LiftContext): void {
    const first = c.readForWrite(0);
    const second = c.read(1);
    c.write(0, second);
    c.write(1, first);
}

function exchangeAndAdd(c: LiftContext): void {
    const width = c.widthOf(0);
    const a = c.readForWrite(0);
    const b = c.read(1);
    const sum = c.integer(width, 'add', a, b);
    // A store may fault and comes first; of two equal registers the sum stays.
    if (c.isMemory(0)) {
        c.write(0, sum);
        c.write(1, a);
    } else {
        c.write(1, a);
        c.write(0, sum);
    }
    c.setFlagsAdd(width, a, b, sum);
}

/**
 * Memory is written in both cases. Of the registers only the one that changes is, so that the other keeps its upper half
 * after a 32-bit comparison.
 */
function compareAndExchange(c: LiftContext): void {
    const { ir } = c;
    const width = c.widthOf(0);
    const accumulator = c.gpr(Gpr.Rax, width);
    const destination = c.readForWrite(0);
    const source = c.read(1);
    const equal = ir.op(width === 64 ? 'i64.eq' : 'i32.eq', accumulator, destination);
    if (c.isMemory(0)) {
        c.write(0, ir.select(equal, source, destination));
        ir.if(ir.not(equal), () => c.setGpr(Gpr.Rax, width, destination));
    } else {
        ir.if(
            equal,
            () => c.write(0, source),
            () => c.setGpr(Gpr.Rax, width, destination),
        );
    }
    c.setFlagsSubtract(width, accumulator, destination, c.integer(width, 'sub', accumulator, destination));
}

/** Writes ZF and keeps the other flags. */
function setZero(c: LiftContext, zero: Value): void {
    const { ir } = c;
    const others = ir.op('i32.and', c.flagsAsBits(), ir.i32(~Flag.ZF));
    c.setFlagsFromBits(ir.op('i32.or', others, ir.op('i32.shl', zero, ir.i32(6))));
}

function compareAndExchange8Bytes(c: LiftContext): void {
    const { ir } = c;
    const join = (high: Gpr, low: Gpr): Value =>
        ir.op('i64.or', ir.op('i64.shl', c.gpr(high, 64), ir.i64(32)), ir.extendU(c.gpr(low, 32)));
    const destination = c.readForWrite(0);
    const equal = ir.op('i64.eq', join(Gpr.Rdx, Gpr.Rax), destination);
    c.write(0, ir.select(equal, join(Gpr.Rcx, Gpr.Rbx), destination));
    ir.if(ir.not(equal), () => {
        c.setGpr(Gpr.Rax, 32, ir.wrap(destination));
        c.setGpr(Gpr.Rdx, 32, ir.wrap(ir.op('i64.shr_u', destination, ir.i64(32))));
    });
    setZero(c, equal);
}

function compareAndExchange16Bytes(c: LiftContext): void {
    const { ir } = c;
    const address = c.memoryOperand(16, true);
    ir.if(ir.op('i32.and', ir.wrap(address), ir.i32(15)), () => c.raise(Vector.GP, ir.i32(0)));
    const destination = c.load(128, address, true);
    const low = ir.lane('i64x2.extract_lane', destination, 0);
    const high = ir.lane('i64x2.extract_lane', destination, 1);
    const equal = ir.op('i32.and', ir.op('i64.eq', low, c.gpr(Gpr.Rax, 64)), ir.op('i64.eq', high, c.gpr(Gpr.Rdx, 64)));
    const exchanged = ir.lane('i64x2.replace_lane', ir.op('i64x2.splat', c.gpr(Gpr.Rbx, 64)), 1, c.gpr(Gpr.Rcx, 64));
    c.store(128, address, ir.select(equal, exchanged, destination));
    ir.if(ir.not(equal), () => {
        c.setGpr(Gpr.Rax, 64, low);
        c.setGpr(Gpr.Rdx, 64, high);
    });
    setZero(c, equal);
}

export const EXCHANGE: SemanticTable = {
    XCHG: exchange,
    XADD: exchangeAndAdd,
    CMPXCHG: compareAndExchange,
    CMPXCHG8B: compareAndExchange8Bytes,
    CMPXCHG16B: compareAndExchange16Bytes,
};

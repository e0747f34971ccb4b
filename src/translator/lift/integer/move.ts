/** Data movement and conversion (SDM Vol. 2: MOV, MOVZX, MOVSX, MOVSXD, MOVNTI, LEA, CMOVcc, SETcc, XLAT, CBW… CQO). */
import { Gpr } from '../../../isa/x86/instruction';
import { type LiftContext } from '../context';
import { type Condition, type Width } from '../flags';
import { type Semantic, type SemanticTable } from '../semantics';
import { forEachCondition } from './conditions';

/** The source is narrower than the destination only when it is a selector, which is zero-extended. */
function move(c: LiftContext): void {
    c.write(0, c.resizeUnsigned(c.read(1), c.widthOf(1), c.widthOf(0)));
}

function moveSignExtended(c: LiftContext): void {
    c.write(0, c.resizeSigned(c.read(1), c.widthOf(1), c.widthOf(0)));
}

function loadEffectiveAddress(c: LiftContext): void {
    c.write(0, c.resizeUnsigned(c.effectiveAddress(), 64, c.widthOf(0)));
}

/** The source is read, and the upper half of a 32-bit destination cleared, whether or not the condition holds. */
function conditionalMove(code: Condition): Semantic {
    return c => {
        const source = c.read(1);
        c.write(0, c.ir.select(c.condition(code), source, c.read(0)));
    };
}

function setByCondition(code: Condition): Semantic {
    return c => c.write(0, c.condition(code));
}

/** AL = byte at DS:[rBX + AL]. */
function translate(c: LiftContext): void {
    const { ir } = c;
    const addressSize = c.instruction.addressSize;
    const index = ir.extendU(c.gpr(Gpr.Rax, 8));
    const offset = c.cutToAddressSize(
        ir.op('i64.add', c.resizeUnsigned(c.gpr(Gpr.Rbx, addressSize), addressSize, 64), index),
    );
    c.setGpr(Gpr.Rax, 8, c.load(8, c.linear(offset, 1, false)));
}

/** CBW, CWDE, CDQE: rAX from its lower half. */
function extendAccumulator(width: 16 | 32 | 64): Semantic {
    const half = (width / 2) as Width;
    return c => c.setGpr(Gpr.Rax, width, c.resizeSigned(c.gpr(Gpr.Rax, half), half, width));
}

/** CWD, CDQ, CQO: rDX from the sign of rAX. */
function extendIntoData(width: 16 | 32 | 64): Semantic {
    return c => {
        const accumulator = c.gpr(Gpr.Rax, width);
        const sign =
            width === 64
                ? c.ir.op('i64.shr_s', accumulator, c.ir.i64(63))
                : c.truncate(width, c.ir.op('i32.shr_s', c.signed(width, accumulator), c.ir.i32(31)));
        c.setGpr(Gpr.Rdx, width, sign);
    };
}

export const MOVE: SemanticTable = {
    MOV: move,
    MOVZX: move,
    MOVNTI: move,
    MOVSX: moveSignExtended,
    MOVSXD: moveSignExtended,
    LEA: loadEffectiveAddress,
    ...forEachCondition('CMOV', conditionalMove),
    ...forEachCondition('SET', setByCondition),
    XLAT: translate,
    CBW: extendAccumulator(16),
    CWDE: extendAccumulator(32),
    CDQE: extendAccumulator(64),
    CWD: extendIntoData(16),
    CDQ: extendIntoData(32),
    CQO: extendIntoData(64),
};

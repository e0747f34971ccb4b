/** Moves between vector registers, general registers and memory (SDM Vol. 1, 10.4.1.1, 11.4.1.1, 12.3). */
import { Gpr, OperandKind } from '../../../isa/x86/instruction';
import { StateOffset } from '../../../machine/state';
import { type Value } from '../../ir/function';
import { StateAccess } from '../../ir/opcodes';
import { type LiftContext, Vector } from '../context';
import { type Semantic, type SemanticTable } from '../semantics';
import {
    binary,
    checkAlignment,
    fromDword,
    fromQword,
    kindOf,
    lowQword,
    readDword,
    readQword,
    readVector,
    unary,
    writeInteger,
} from './operands';

/** Bits of MXCSR that may be set; MXCSR_MASK of FXSAVE tells the guest the same. */
const MXCSR_MASK = 0xffff;

/** Where MASKMOVDQU keeps its data: beyond what the slow path of a store uses. */
const MASKED_DATA = StateOffset.scratch + 64;

const move: Semantic = c => {
    checkAlignment(c, c.isMemory(0));
    c.write(0, c.read(1));
};

/** MOVQ in all its forms: into an XMM register the upper half becomes zero. */
const moveQword: Semantic = c => {
    const value = readQword(c, 1);
    c.write(0, kindOf(c, 0) === OperandKind.Xmm ? fromQword(c.ir, value) : value);
};

/** MOVD in all its forms: registers wider than 32 bits are zero-extended. */
const moveDword: Semantic = c => {
    const value = readDword(c, 1);
    switch (kindOf(c, 0)) {
        case OperandKind.Xmm:
            c.write(0, fromDword(c.ir, value));
            break;
        case OperandKind.Mmx:
            c.write(0, c.ir.extendU(value));
            break;
        default:
            c.write(0, value);
    }
};

/** MOVSS and MOVSD: a load clears the rest of the register, a move between registers keeps it. */
function moveScalar(bits: 32 | 64): Semantic {
    const shape = bits === 32 ? 'i32x4' : 'i64x2';
    const read = bits === 32 ? readDword : readQword;
    const widen = bits === 32 ? fromDword : fromQword;
    return c => {
        const value = read(c, 1);
        if (c.isMemory(0)) {
            c.write(0, value);
        } else if (c.isMemory(1)) {
            c.write(0, widen(c.ir, value));
        } else {
            c.write(0, c.ir.lane(`${shape}.replace_lane`, c.read(0), 0, value));
        }
    };
}

/** MOVLPx, MOVHPx: between half `half` of an XMM register and m64. */
function moveHalf(half: 0 | 1): Semantic {
    return c => {
        if (c.isMemory(0)) {
            c.write(0, c.ir.lane('i64x2.extract_lane', c.read(1), half));
        } else {
            const value = c.read(1);
            c.write(0, c.ir.lane('i64x2.replace_lane', c.read(0), half, value));
        }
    };
}

const moveDoubleDuplicate: Semantic = c => c.write(0, c.ir.op('i64x2.splat', readQword(c, 1)));

/** MOVMSKPS, MOVMSKPD, PMOVMSKB: the lanes' top bits. */
function moveMask(shape: string): Semantic {
    return c => {
        const ir = c.ir;
        const mask = ir.op(`${shape}.bitmask`, readVector(c, 1));
        const isMmx = kindOf(c, 1) === OperandKind.Mmx;
        writeInteger(c, 0, isMmx ? ir.op('i32.and', mask, ir.i32(0xff)) : mask);
    };
}

/**
 * MASKMOVQ, MASKMOVDQU: stores to DS:rDI the bytes whose mask bytes have the top bit set. Bytes that are not selected
 * are not accessed, so a fault can only come from a selected one.
 */
function maskedStore(bytes: 8 | 16): Semantic {
    return c => {
        const ir = c.ir;
        const selected = ir.op(
            'i32.and',
            ir.op('i8x16.bitmask', readVector(c, 1)),
            ir.i32(bytes === 8 ? 0xff : 0xffff),
        );
        const data = readVector(c, 0);
        ir.if(selected, () => {
            const start = c.linear(c.cutToAddressSize(c.gpr(Gpr.Rdi, 64)), bytes, true);
            ir.set(MASKED_DATA, StateAccess.V128, data);
            const rest = ir.variable(selected);
            ir.loop(() => {
                const bits = ir.getVariable(rest);
                const position = ir.op('i32.ctz', bits);
                const address = ir.op('i64.add', start, ir.extendU(position));
                c.store(8, wrapLinear(c, address), ir.getIndexed(MASKED_DATA, position, StateAccess.U8));
                const remaining = ir.op('i32.and', bits, ir.op('i32.sub', bits, ir.i32(1)));
                ir.setVariable(rest, remaining);
                return remaining;
            });
        });
    };
}

/** Linear addresses have 32 bits outside 64-bit mode. */
function wrapLinear(c: LiftContext, address: Value): Value {
    return c.is64 ? address : c.ir.op('i64.and', address, c.ir.i64(-1, 0));
}

/** LDMXCSR: #GP(0) if a reserved bit is set. */
const loadMxcsr: Semantic = c => {
    const ir = c.ir;
    const value = c.read(0);
    ir.if(ir.op('i32.and', value, ir.i32(~MXCSR_MASK)), () => c.raise(Vector.GP, ir.i32(0)));
    ir.set(StateOffset.mxcsr, StateAccess.I32, value);
};

const storeMxcsr: Semantic = c => c.write(0, c.ir.get(StateOffset.mxcsr, StateAccess.I32));

export const MOVES: SemanticTable = {
    MOVAPS: move,
    MOVAPD: move,
    MOVUPS: move,
    MOVUPD: move,
    MOVDQA: move,
    MOVDQU: move,
    LDDQU: move,
    MOVNTPS: move,
    MOVNTPD: move,
    MOVNTDQ: move,
    MOVNTDQA: move,
    MOVNTQ: move,
    MOVQ: moveQword,
    MOVQ2DQ: moveQword,
    MOVDQ2Q: moveQword,
    MOVD: moveDword,
    MOVSS: moveScalar(32),
    MOVSD: moveScalar(64),
    MOVLPS: moveHalf(0),
    MOVLPD: moveHalf(0),
    MOVHPS: moveHalf(1),
    MOVHPD: moveHalf(1),
    MOVHLPS: binary((ir, a, b) => ir.shuffle(a, b, [24, 25, 26, 27, 28, 29, 30, 31, 8, 9, 10, 11, 12, 13, 14, 15])),
    MOVLHPS: binary((ir, a, b) => ir.lane('i64x2.replace_lane', a, 1, lowQword(ir, b))),
    MOVDDUP: moveDoubleDuplicate,
    MOVSLDUP: unary((ir, x) => ir.shuffle(x, x, [0, 1, 2, 3, 0, 1, 2, 3, 8, 9, 10, 11, 8, 9, 10, 11])),
    MOVSHDUP: unary((ir, x) => ir.shuffle(x, x, [4, 5, 6, 7, 4, 5, 6, 7, 12, 13, 14, 15, 12, 13, 14, 15])),
    MOVMSKPS: moveMask('i32x4'),
    MOVMSKPD: moveMask('i64x2'),
    PMOVMSKB: moveMask('i8x16'),
    MASKMOVQ: maskedStore(8),
    MASKMOVDQU: maskedStore(16),
    LDMXCSR: loadMxcsr,
    STMXCSR: storeMxcsr,
};

/**
 * The environment and the whole state in memory (Intel SDM Vol. 1, 8.1.10, figures 8-9 to 8-12; Vol. 2: FLDENV, FNSTENV,
 * FRSTOR, FNSAVE). The image has one of four layouts, by operand size and mode; the state appends ST(0)–ST(7), 10 bytes
 * each. Images pass through the scratch area at {@link RESULT}.
 */

import { StateOffset } from '../../../machine/state';
import { ExamineClass, examine } from '../../../softfloat';
import { type Value } from '../../ir/function';
import { StateAccess } from '../../ir/opcodes';
import { type LiftContext } from '../context';
import { type Semantic } from '../semantics';
import { initialize } from './control';
import { deliverPending, memoryOperand, probeCrossing, wrapLinear } from './frame';
import { type X87Family, type X87Helper, routine } from './helper';
import { CONTROL_WORD_BITS, CONTROL_WORD_FIXED, RESULT, Status, type X87Registers } from './registers';

/** Bits of the layout argument of the helpers. */
const WIDE = 1;
const PROTECTED = 2;

const STACK_BYTES = 80;

/** Tags of the tag word, two bits each (SDM Vol. 1, 8.1.7). */
const enum Tag {
    Valid,
    Zero,
    Special,
    Empty,
}

/** Reserved upper halves of the wide layouts' words read as ones. */
const RESERVED = 0xffff0000;

/** 64-bit mode has no layout of its own. */
function layoutOf(c: LiftContext): number {
    return (c.operandWidth === 16 ? 0 : WIDE) | (c.isProtected ? PROTECTED : 0);
}

function environmentBytes(layout: number): number {
    return layout & WIDE ? 28 : 14;
}

// --- image -----------------------------------------------------------------------------------------------------------------

/** Tag word, tags recomputed from the contents; two bits for each physical register. */
export function tagWord(fpu: X87Registers): number {
    let word = 0;
    for (let i = 0; i < 8; i++) {
        word |= tagOf(fpu, i) << (2 * ((fpu.top + i) & 7));
    }
    return word;
}

function tagOf(fpu: X87Registers, i: number): Tag {
    if (fpu.isEmpty(i)) {
        return Tag.Empty;
    }
    switch (examine(fpu.read(i))) {
        case ExamineClass.normal:
            return Tag.Valid;
        case ExamineClass.zero:
            return Tag.Zero;
        default:
            return Tag.Special;
    }
}

/** Writes the environment at {@link RESULT}. */
function storeEnvironment(fpu: X87Registers, layout: number): void {
    const status = fpu.status | (fpu.top << Status.TopShift);
    const tags = tagWord(fpu);
    const fop = fpu.field(StateOffset.fop);
    const [fip, fdp, fcs, fds] = pointers(fpu, layout);
    if (layout & WIDE) {
        const last =
            layout & PROTECTED
                ? [fip, (fop << 16) | fcs, fdp, RESERVED | fds]
                : [
                      RESERVED | (fip & 0xffff),
                      ((fip >>> 16) << 12) | fop,
                      RESERVED | (fdp & 0xffff),
                      (fdp >>> 16) << 12,
                  ];
        [RESERVED | fpu.control, RESERVED | status, RESERVED | tags, ...last].forEach((word, i) =>
            fpu.setField(RESULT + 4 * i, word),
        );
    } else {
        const last =
            layout & PROTECTED
                ? [fip, fcs, fdp, fds]
                : [fip, (((fip >>> 16) & 0xf) << 12) | fop, fdp, ((fdp >>> 16) & 0xf) << 12];
        [fpu.control, status, tags, ...last].forEach((word, i) => fpu.setHalf(RESULT + 2 * i, word));
    }
}

/** FIP, FDP, FCS and FDS; in real-address and virtual-8086 mode the first two as linear addresses. */
function pointers(fpu: X87Registers, layout: number): [fip: number, fdp: number, fcs: number, fds: number] {
    const fcs = fpu.field(StateOffset.fcs) & 0xffff;
    const fds = fpu.field(StateOffset.fds) & 0xffff;
    const fip = fpu.field(StateOffset.fip);
    const fdp = fpu.field(StateOffset.fdp);
    return layout & PROTECTED ? [fip, fdp, fcs, fds] : [fip + (fcs << 4), fdp + (fds << 4), fcs, fds];
}

/** Takes the environment at {@link RESULT} over. Of the tags only "empty" counts. */
function loadEnvironment(fpu: X87Registers, layout: number): void {
    const wide = (layout & WIDE) !== 0;
    const word = (i: number): number => (wide ? fpu.field(RESULT + 4 * i) : fpu.half(RESULT + 2 * i));
    const status = word(1);
    const tags = word(2);
    fpu.setField(StateOffset.fcw, (word(0) & CONTROL_WORD_BITS) | CONTROL_WORD_FIXED);
    fpu.top = status >>> Status.TopShift;
    fpu.status = fpu.summarized(status & (Status.Conditions | Status.StackFault | Status.Exceptions));
    for (let i = 0; i < 8; i++) {
        fpu.setEmpty(i, ((tags >>> (2 * ((fpu.top + i) & 7))) & 3) === Tag.Empty);
    }
    const [fip, fdp, fcs, fds, fop] = loadedPointers(word, layout);
    fpu.setWide(StateOffset.fip, fip);
    fpu.setWide(StateOffset.fdp, fdp);
    fpu.setField(StateOffset.fcs, fcs & 0xffff);
    fpu.setField(StateOffset.fds, fds & 0xffff);
    fpu.setField(StateOffset.fop, fop & 0x7ff);
}

function loadedPointers(
    word: (i: number) => number,
    layout: number,
): [fip: number, fdp: number, fcs: number, fds: number, fop: number] {
    if (layout & PROTECTED) {
        // The narrow layout has no FOP.
        return [word(3), word(5), word(4), word(6), layout & WIDE ? word(4) >>> 16 : 0];
    }
    const upper = (i: number): number => ((word(i) >>> 12) << 16) | (word(i - 1) & 0xffff);
    return [upper(4), upper(6), 0, 0, word(4)];
}

const STORE_ENVIRONMENT = routine('StoreEnvironment', 1, storeEnvironment);
const LOAD_ENVIRONMENT = routine('LoadEnvironment', 1, loadEnvironment);

const SAVE = routine('Save', 1, (fpu, layout) => {
    storeEnvironment(fpu, layout);
    const registers = RESULT + environmentBytes(layout);
    for (let i = 0; i < 8; i++) {
        const at = registers + 10 * i;
        const words = [fpu.low(i), fpu.low(i) >>> 16, fpu.high(i), fpu.high(i) >>> 16, fpu.signExponent(i)];
        words.forEach((word, k) => fpu.setHalf(at + 2 * k, word));
    }
});

const RESTORE = routine('Restore', 1, (fpu, layout) => {
    loadEnvironment(fpu, layout);
    const registers = RESULT + environmentBytes(layout);
    for (let i = 0; i < 8; i++) {
        const word = (k: number): number => fpu.half(registers + 10 * i + 2 * k);
        const empty = fpu.isEmpty(i);
        fpu.writeParts(i, word(4), (word(3) << 16) | word(2), (word(1) << 16) | word(0));
        fpu.setEmpty(i, empty);
    }
});

// --- transfer ------------------------------------------------------------------------------------------------------------------

/**
 * Emits accesses that cover an operand of `bytes` and the image: a loop of 64-bit ones, then 32 and 16 bits as needed.
 * @param access is given the width, the chunk's linear address and its place in the image, an i32 value.
 */
function forEachChunk(
    c: LiftContext,
    linear: Value,
    bytes: number,
    access: (bits: 16 | 32 | 64, address: Value, place: Value) => void,
): void {
    const { ir } = c;
    const addressAt = (place: Value): Value => wrapLinear(c, ir.op('i64.add', linear, ir.extendU(place)));
    const looped = bytes & ~7;
    const index = ir.variable(ir.i32(0));
    ir.loop(() => {
        const place = ir.getVariable(index);
        access(64, addressAt(place), place);
        const next = ir.op('i32.add', place, ir.i32(8));
        ir.setVariable(index, next);
        return ir.op('i32.lt_u', next, ir.i32(looped));
    });
    let done = looped;
    for (const bits of [32, 16] as const) {
        if (bytes - done >= bits / 8) {
            const place = ir.i32(done);
            access(bits, addressAt(place), place);
            done += bits / 8;
        }
    }
}

const CHUNK_ACCESS = { 16: StateAccess.U16, 32: StateAccess.I32, 64: StateAccess.I64 } as const;

/** Stores an image that `helper` prepares, with `extra` bytes after the environment. */
function storeImage(c: LiftContext, helper: X87Helper, extra: number): void {
    const { ir } = c;
    const layout = layoutOf(c);
    const bytes = environmentBytes(layout) + extra;
    const { linear } = memoryOperand(c, bytes, true);
    c.checkNaturalAlignment(c.operandWidth === 16 ? 16 : 32, linear, true);
    probeCrossing(c, linear, bytes);
    c.call(helper, [ir.i32(layout)]);
    forEachChunk(c, linear, bytes, (bits, address, place) =>
        c.storeUnaligned(bits, address, ir.getIndexed(RESULT, place, CHUNK_ACCESS[bits])),
    );
}

/** Loads an image and has `helper` take it over. */
function loadImage(helper: X87Helper, extra: number): Semantic {
    return c => {
        const { ir } = c;
        const layout = layoutOf(c);
        const bytes = environmentBytes(layout) + extra;
        deliverPending(c);
        const { linear } = memoryOperand(c, bytes, false);
        c.checkNaturalAlignment(c.operandWidth === 16 ? 16 : 32, linear, false);
        forEachChunk(c, linear, bytes, (bits, address, place) =>
            ir.setIndexed(RESULT, place, CHUNK_ACCESS[bits], c.loadUnaligned(bits, address)),
        );
        c.call(helper, [ir.i32(layout)]);
    };
}

/** After the store, FNSTENV masks all exceptions. */
function storeEnvironmentAndMask(c: LiftContext): void {
    const { ir } = c;
    storeImage(c, STORE_ENVIRONMENT, 0);
    const control = ir.get(StateOffset.fcw, StateAccess.I32);
    ir.set(StateOffset.fcw, StateAccess.I32, ir.op('i32.or', control, ir.i32(Status.Exceptions)));
    const status = ir.get(StateOffset.fsw, StateAccess.I32);
    const kept = ir.i32(~(Status.ErrorSummary | Status.Busy));
    ir.set(StateOffset.fsw, StateAccess.I32, ir.op('i32.and', status, kept));
}

export const ENVIRONMENT: X87Family = {
    semantics: {
        FLDENV: loadImage(LOAD_ENVIRONMENT, 0),
        FRSTOR: loadImage(RESTORE, STACK_BYTES),
        FNSTENV: storeEnvironmentAndMask,
        FNSAVE: c => {
            storeImage(c, SAVE, STACK_BYTES);
            initialize(c);
        },
    },
    helpers: [STORE_ENVIRONMENT, LOAD_ENVIRONMENT, SAVE, RESTORE],
};

/**
 * Comparison and classification (Intel SDM Vol. 1, 8.3.6; Vol. 2: FCOM, FUCOM, FICOM, FCOMI, FUCOMI, their popping forms,
 * FTST, FXAM).
 */

import { type Operand, type Relation, compareOperands, examine, float80, integerOperand } from '../../../softfloat';
import { Flag } from '../../../machine/state';
import { type Semantic } from '../semantics';
import { waiting } from './frame';
import { type X87Family, type X87Helper, query, routine } from './helper';
import { compareLimbs, Limbs } from './limbs';
import { type MemoryForms, memoryForms, withFloat, withInteger } from './memory-source';
import { Status, type X87Registers } from './registers';

/** SDM Vol. 2, table "FCOM/FCOMP/FCOMPP Results". */
const CONDITIONS: Readonly<Record<Relation, number>> = {
    greater: 0,
    less: Status.C0,
    equal: Status.C3,
    unordered: Status.C0 | Status.C2 | Status.C3,
};

/** SDM Vol. 2, table "FCOMI/FCOMIP/FUCOMI/FUCOMIP Results". */
const FLAGS: Readonly<Record<Relation, number>> = {
    greater: 0,
    less: Flag.CF,
    equal: Flag.ZF,
    unordered: Flag.CF | Flag.PF | Flag.ZF,
};

const ZERO = integerOperand(0, 0n);

/** Registers to pop after a comparison. */
function popMany(fpu: X87Registers, count: number): void {
    for (let i = 0; i < count; i++) {
        fpu.pop();
    }
}

/** Compares ST(0), which is not empty, and sets the condition codes. */
function compareTop(fpu: X87Registers, operand: Operand, signalling: boolean, pops: number): void {
    const environment = fpu.begin();
    const relation = compareOperands(float80.unpack(fpu.read(0)), operand, environment, signalling);
    if (!environment.suppressed) {
        popMany(fpu, pops);
    }
    fpu.finish(CONDITIONS[relation], Status.Conditions);
}

const left = new Limbs();
const right = new Limbs();

/** {@link compareTop} for ordinary operands; false if these are not, and nothing was done. */
function compareQuickly(fpu: X87Registers, operand: Limbs, pops: number): boolean {
    if (!fpu.readLimbs(0, left)) {
        return false;
    }
    const conditions = CONDITIONS[relationOf(compareLimbs(left, operand))];
    popMany(fpu, pops);
    fpu.status = (fpu.status & ~Status.Conditions) | conditions;
    return true;
}

function relationOf(sign: number): Relation {
    return sign === 0 ? 'equal' : sign < 0 ? 'less' : 'greater';
}

/** An empty operand compares as unordered. */
function compareEmpty(fpu: X87Registers, pops: number): void {
    const masked = fpu.underflow();
    fpu.status |= CONDITIONS.unordered;
    if (masked) {
        popMany(fpu, pops);
    }
}

function compareRegisters(fpu: X87Registers, i: number, signalling: boolean, pops: number): void {
    if (fpu.readLimbs(i, right) && compareQuickly(fpu, right, pops)) {
        return;
    }
    if (fpu.isEmpty(0) || fpu.isEmpty(i)) {
        compareEmpty(fpu, pops);
    } else {
        compareTop(fpu, float80.unpack(fpu.read(i)), signalling, pops);
    }
}

const COMPARE = routine('Compare', 2, (fpu, i, pops) => compareRegisters(fpu, i, true, pops));
const COMPARE_QUIET = routine('CompareQuiet', 2, (fpu, i, pops) => compareRegisters(fpu, i, false, pops));

function compareMemory(name: string, pops: number): MemoryForms {
    return memoryForms(
        name,
        (fpu, operand) => {
            if (fpu.isEmpty(0)) {
                compareEmpty(fpu, pops);
            } else {
                compareTop(fpu, operand, true, pops);
            }
        },
        (fpu, operand) => compareQuickly(fpu, operand, pops),
    );
}

const WITH_MEMORY = compareMemory('Compare', 0);
const WITH_MEMORY_POP = compareMemory('ComparePop', 1);

/** All condition codes stay, C1 as far as the stack does not underflow. */
function compareToFlags(fpu: X87Registers, i: number, signalling: boolean, pops: number): number {
    if (fpu.readLimbs(0, left) && fpu.readLimbs(i, right)) {
        popMany(fpu, pops);
        return FLAGS[relationOf(compareLimbs(left, right))];
    }
    if (fpu.isEmpty(0) || fpu.isEmpty(i)) {
        if (fpu.underflow()) {
            popMany(fpu, pops);
        }
        return FLAGS.unordered;
    }
    const environment = fpu.begin();
    const a = float80.unpack(fpu.read(0));
    const relation = compareOperands(a, float80.unpack(fpu.read(i)), environment, signalling);
    if (!environment.suppressed) {
        popMany(fpu, pops);
    }
    fpu.finish(0, 0);
    return FLAGS[relation];
}

const COMPARE_TO_FLAGS = query('CompareToFlags', 2, (fpu, i, pops) => compareToFlags(fpu, i, true, pops));
const COMPARE_TO_FLAGS_QUIET = query('CompareToFlagsQuiet', 2, (fpu, i, pops) => compareToFlags(fpu, i, false, pops));

const TEST = routine('Test', 0, fpu => {
    if (fpu.isEmpty(0)) {
        compareEmpty(fpu, 0);
    } else {
        compareTop(fpu, ZERO, true, 0);
    }
});

/** FXAM looks at an empty register, too; C1 is the sign, C3, C2, C0 are the class. */
const EXAMINE = routine('Examine', 0, fpu => {
    const kind = fpu.isEmpty(0) ? 0b101 : examine(fpu.read(0));
    const conditions =
        (kind & 4 ? Status.C3 : 0) |
        (kind & 2 ? Status.C2 : 0) |
        (kind & 1 ? Status.C0 : 0) |
        (fpu.signExponent(0) & 0x8000 ? Status.C1 : 0);
    fpu.status = (fpu.status & ~Status.Conditions) | conditions;
});

function withRegister(helper: X87Helper, pops: number): Semantic {
    return waiting(c => c.call(helper, [c.stackRegister(1), c.ir.i32(pops)]));
}

/** FCOMPP and FUCOMPP: ST(1), and both are popped. */
function withNext(helper: X87Helper): Semantic {
    return waiting(c => c.call(helper, [c.ir.i32(1), c.ir.i32(2)]));
}

function compareFloat(memory: MemoryForms, pops: number): Semantic {
    const registers = withRegister(COMPARE, pops);
    return c => (c.isMemory(0) ? withFloat(c, memory) : registers(c));
}

function toFlags(helper: X87Helper, pops: number): Semantic {
    return waiting(c => c.setFlagsFromBits(c.call(helper, [c.stackRegister(1), c.ir.i32(pops)])));
}

export const COMPARE_FAMILY: X87Family = {
    semantics: {
        FCOM: compareFloat(WITH_MEMORY, 0),
        FCOMP: compareFloat(WITH_MEMORY_POP, 1),
        FCOMPP: withNext(COMPARE),
        FUCOM: withRegister(COMPARE_QUIET, 0),
        FUCOMP: withRegister(COMPARE_QUIET, 1),
        FUCOMPP: withNext(COMPARE_QUIET),
        FICOM: c => withInteger(c, WITH_MEMORY),
        FICOMP: c => withInteger(c, WITH_MEMORY_POP),
        FCOMI: toFlags(COMPARE_TO_FLAGS, 0),
        FCOMIP: toFlags(COMPARE_TO_FLAGS, 1),
        FUCOMI: toFlags(COMPARE_TO_FLAGS_QUIET, 0),
        FUCOMIP: toFlags(COMPARE_TO_FLAGS_QUIET, 1),
        FTST: waiting(c => c.call(TEST, [])),
        FXAM: waiting(c => c.call(EXAMINE, [])),
    },
    helpers: [
        COMPARE,
        COMPARE_QUIET,
        ...Object.values(WITH_MEMORY),
        ...Object.values(WITH_MEMORY_POP),
        COMPARE_TO_FLAGS,
        COMPARE_TO_FLAGS_QUIET,
        TEST,
        EXAMINE,
    ] as readonly X87Helper[],
};

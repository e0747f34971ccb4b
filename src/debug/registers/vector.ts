/** The x87 FPU and the SSE registers (SDM Vol. 1, chapters 8 and 10). */
import type { Cpu } from '../../machine/cpu/cpu';
import { StateOffset, vectorOffset } from '../../machine/state';
import { formatExtended } from './extended';
import { laneRegister } from './lanes';
import { bits, field, type FieldOfBits, namesOfBits, type Register, type RegisterGroup, withParts } from './register';

const X87_SIZE = 16;

/** Physical register behind ST(i). */
function stackRegister(cpu: Cpu, index: number): number {
    return (cpu.lo(StateOffset.ftop) + index) & 7;
}

function stack(index: number): Register {
    const at = (cpu: Cpu): number => StateOffset.x87 + stackRegister(cpu, index) * X87_SIZE;
    const exponent = (cpu: Cpu): number => cpu.words[(at(cpu) + 8) >> 1];
    return {
        name: `st${index}`,
        width: 80,
        format: 'hex',
        read: cpu => (BigInt(exponent(cpu)) << 64n) | cpu.get64(at(cpu)),
        write: (cpu, value) => {
            cpu.set64(at(cpu), BigInt.asUintN(64, value));
            cpu.words[(at(cpu) + 8) >> 1] = Number(value >> 64n);
            cpu.bytes[StateOffset.fempty + stackRegister(cpu, index)] = 0;
        },
        describe: cpu =>
            cpu.bytes[StateOffset.fempty + stackRegister(cpu, index)] !== 0
                ? 'empty'
                : formatExtended(cpu.get64(at(cpu)), exponent(cpu)),
    };
}

/** Exceptions, in the low bits of the control and status words and of MXCSR (SDM Vol. 1, 8.1.3, 8.1.5, 10.2.3). */
const EXCEPTIONS = ['I', 'D', 'Z', 'O', 'U', 'P'];
const flags = EXCEPTIONS.map((name, bit): FieldOfBits => [`${name}E`, bit]);
const masks = (first: number): FieldOfBits[] => EXCEPTIONS.map((name, bit) => [`${name}M`, first + bit]);
const ROUNDING = ['nearest', 'down', 'up', 'towards zero'];
const PRECISION = ['24 bits', 'reserved', '53 bits', '64 bits'];
const rounding = (value: bigint): string => ROUNDING[Number(value)];

const CONTROL_FIELDS: readonly FieldOfBits[] = [
    ...masks(0),
    ['PC', 8, 2, value => PRECISION[Number(value)]],
    ['RC', 10, 2, rounding],
];
const STATUS_FIELDS: readonly FieldOfBits[] = [
    ...flags,
    ['SF', 6],
    ['ES', 7],
    ['C0', 8],
    ['C1', 9],
    ['C2', 10],
    ['TOP', 11, 3],
    ['C3', 14],
    ['B', 15],
];
const MXCSR_FIELDS: readonly FieldOfBits[] = [...flags, ['DAZ', 6], ...masks(7), ['RC', 13, 2, rounding], ['FZ', 15]];

/** The set bits among a register's fields. */
function setBits(fields: readonly FieldOfBits[]): Register['describe'] {
    return namesOfBits(fields.filter(([, , width = 1]) => width === 1).map(([name, bit]) => [name, bit] as const));
}

/** The full tag word, which FNSTENV stores (SDM Vol. 1, 8.1.7); of what is written only empty or not is kept. */
const TAGS: Register = {
    name: 'ftw',
    width: 16,
    format: 'hex',
    read: cpu => {
        let tags = 0;
        for (let physical = 0; physical < 8; physical++) {
            tags |= tagOf(cpu, physical) << (2 * physical);
        }
        return BigInt(tags);
    },
    write: (cpu, value) => {
        for (let physical = 0; physical < 8; physical++) {
            cpu.bytes[StateOffset.fempty + physical] = ((Number(value) >> (2 * physical)) & 3) === 3 ? 1 : 0;
        }
    },
    describe: cpu => {
        const full = [0, 1, 2, 3, 4, 5, 6, 7].filter(physical => cpu.bytes[StateOffset.fempty + physical] === 0);
        return full.length === 0 ? 'all empty' : `in use: ${full.map(physical => `R${physical}`).join(' ')}`;
    },
};

function tagOf(cpu: Cpu, physical: number): number {
    if (cpu.bytes[StateOffset.fempty + physical] !== 0) return 3;
    const at = StateOffset.x87 + physical * X87_SIZE;
    const exponent = cpu.words[(at + 8) >> 1] & 0x7fff;
    const significand = cpu.get64(at);
    if (exponent === 0 && significand === 0n) return 1;
    return exponent === 0 || exponent === 0x7fff || significand >> 63n === 0n ? 2 : 0;
}

const STATUS: Register = {
    name: 'fsw',
    width: 16,
    format: 'hex',
    read: cpu => BigInt(((cpu.lo(StateOffset.fsw) & ~0x3800) | (cpu.lo(StateOffset.ftop) << 11)) & 0xffff),
    write: (cpu, value) => {
        cpu.setLo(StateOffset.fsw, Number(value) & ~0x3800);
        cpu.setLo(StateOffset.ftop, (Number(value) >> 11) & 7);
    },
};

function lanes(name: string, offset: number): Register[] {
    const quad = (index: number): Register => {
        const plain = field(`${name}.q${index}`, 64, offset + 8 * index);
        return { ...plain, describe: (_cpu, value) => `${asDouble(value)}` };
    };
    const doubles = [quad(0), quad(1)];
    const singles = doubles.flatMap((whole, index) =>
        [0, 1].map(half => ({
            ...bits(`${name}.d${2 * index + half}`, whole, 32 * half, 32),
            describe: (_cpu: Cpu, value: bigint) => `${asSingle(value)}`,
        })),
    );
    return [...doubles, ...singles];
}

const scratch = new DataView(new ArrayBuffer(8));

function asDouble(value: bigint): number {
    scratch.setBigUint64(0, value);
    return scratch.getFloat64(0);
}

function asSingle(value: bigint): number {
    scratch.setUint32(0, Number(value));
    return scratch.getFloat32(0);
}

function xmm(index: number): Register {
    const name = `xmm${index}`;
    const offset = vectorOffset(index);
    return {
        name,
        width: 128,
        format: 'hex',
        read: cpu => (cpu.get64(offset + 8) << 64n) | cpu.get64(offset),
        write: (cpu, value) => {
            cpu.set64(offset, BigInt.asUintN(64, value));
            cpu.set64(offset + 8, value >> 64n);
        },
        parts: lanes(name, offset),
    };
}

const numbers = (count: number): number[] => Array.from({ length: count }, (_, index) => index);

export const X87_GROUP: RegisterGroup = {
    name: 'x87',
    registers: [
        ...numbers(8).map(stack),
        withParts(field('fcw', 16, StateOffset.fcw, { describe: setBits(CONTROL_FIELDS) }), CONTROL_FIELDS),
        withParts({ ...STATUS, describe: setBits(STATUS_FIELDS) }, STATUS_FIELDS),
        TAGS,
        field('fop', 16, StateOffset.fop),
        field('fcs', 16, StateOffset.fcs),
        field('fip', 64, StateOffset.fip),
        field('fds', 16, StateOffset.fds),
        field('fdp', 64, StateOffset.fdp),
    ],
};

export const SSE_GROUP: RegisterGroup = {
    name: 'SSE',
    registers: [
        ...numbers(16).map(xmm),
        withParts(field('mxcsr', 32, StateOffset.mxcsr, { describe: setBits(MXCSR_FIELDS) }), MXCSR_FIELDS),
    ],
};

/** MMn is the significand of physical register Rn. */
export const MMX: readonly Register[] = numbers(8).map(index =>
    field(`mm${index}`, 64, StateOffset.x87 + index * X87_SIZE),
);

/** A lane such as `xmm3.u16.5`. */
export function findLane(name: string): Register | undefined {
    const whole = SSE_GROUP.registers.find(register => name.startsWith(`${register.name}.`));
    return whole && laneRegister(whole, name);
}

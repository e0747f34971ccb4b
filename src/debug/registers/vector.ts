/** The x87 FPU and the SSE registers (SDM Vol. 1, chapters 8 and 10). */
import type { Cpu } from '../../machine/cpu/cpu';
import { StateOffset, vectorOffset } from '../../machine/state';
import { bits, field, type Register, type RegisterGroup } from './register';

const X87_SIZE = 16;
const SIGN = 0x8000;
const EXPONENT_BIAS = 16383;

/** Physical register behind ST(i). */
function stackRegister(cpu: Cpu, index: number): number {
    return (cpu.lo(StateOffset.ftop) + index) & 7;
}

/** Decimal digits of a double-extended number, as precisely as a double shows them. */
function describeExtended(significand: bigint, signAndExponent: number): string {
    const sign = signAndExponent & SIGN ? '-' : '';
    const exponent = signAndExponent & 0x7fff;
    if (exponent === 0x7fff) {
        return BigInt.asUintN(63, significand) === 0n ? `${sign}Infinity` : 'NaN';
    }
    const number = (Number(significand) / 2 ** 63) * 2 ** (exponent - EXPONENT_BIAS);
    return `${sign}${number}`;
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
                : describeExtended(cpu.get64(at(cpu)), exponent(cpu)),
    };
}

const STATUS: Register = {
    name: 'fsw',
    width: 16,
    format: 'hex',
    read: cpu => BigInt((cpu.lo(StateOffset.fsw) & ~0x3800) | (cpu.lo(StateOffset.ftop) << 11)),
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
        field('fcw', 16, StateOffset.fcw),
        STATUS,
        field('fip', 64, StateOffset.fip),
        field('fdp', 64, StateOffset.fdp),
    ],
};

export const SSE_GROUP: RegisterGroup = {
    name: 'SSE',
    registers: [...numbers(16).map(xmm), field('mxcsr', 32, StateOffset.mxcsr)],
};

/** MMn is the significand of physical register Rn. */
export const MMX: readonly Register[] = numbers(8).map(index =>
    field(`mm${index}`, 64, StateOffset.x87 + index * X87_SIZE),
);

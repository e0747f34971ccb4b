/** General-purpose registers, RIP and RFLAGS (SDM Vol. 1, 3.4). */
import { FLAG_BITS, GPR_NAMES, HIGH_BYTE_NAMES } from '../../isa/x86';
import { segmentLinear } from '../address';
import { gprOffset, ModeKey, StateOffset } from '../../machine/state';
import { Segment } from '../../isa/x86/instruction';
import { bits, field, namesOfBits, type Register, type RegisterGroup } from './register';

export const GENERAL: readonly Register[] = GPR_NAMES[8].map((name, index) =>
    field(name, 64, gprOffset(index), { address: 'linear' }),
);

export const RIP = field('rip', 64, StateOffset.rip, {
    condition: { kind: 'rip' },
    address: 'linear',
    locate: (cpu, value) => segmentLinear(cpu, Segment.Cs, value),
});

export const RFLAGS: Register = {
    name: 'rflags',
    width: 64,
    format: 'hex',
    condition: { kind: 'rflags' },
    read: cpu => BigInt(cpu.rflags),
    write: (cpu, value) => cpu.writeFlags(Number(BigInt.asUintN(32, value))),
    describe: (cpu, value) => `IOPL=${(value >> 12n) & 3n} ${describeFlags(cpu, value)}`.trimEnd(),
};

const describeFlags = namesOfBits(FLAG_BITS.map(([name, bit]) => [name.toUpperCase(), bit] as const))!;

const FLAGS: readonly Register[] = [
    ...FLAG_BITS.slice(0, 9).map(([name, bit]) => bits(name, RFLAGS, bit, 1)),
    bits('iopl', RFLAGS, 12, 2),
    ...FLAG_BITS.slice(9).map(([name, bit]) => bits(name, RFLAGS, bit, 1)),
];

/** Narrower names of the same registers. */
const NARROW: readonly Register[] = [
    ...GENERAL.flatMap((whole, index) => [
        // A 32-bit write clears the upper half, as the processor's own do.
        { ...bits(GPR_NAMES[4][index], whole, 0, 32), write: whole.write },
        bits(GPR_NAMES[2][index], whole, 0, 16),
        bits(GPR_NAMES[1][index], whole, 0, 8),
    ]),
    ...HIGH_BYTE_NAMES.map((name, index) => bits(name, GENERAL[index], 8, 8)),
    bits('eip', RIP, 0, 32),
    bits('ip', RIP, 0, 16),
    { ...RFLAGS, name: 'eflags', width: 32 },
    bits('flags', RFLAGS, 0, 16),
];

/** Registers of our own making, which views and conditions want. */
const DERIVED: readonly Register[] = [
    {
        name: 'pc',
        width: 64,
        format: 'hex',
        condition: { kind: 'pc' },
        read: cpu => segmentLinear(cpu, Segment.Cs, RIP.read(cpu)),
        address: 'linear',
    },
    {
        ...bits('cpl', field('mode', 32, StateOffset.mode), ModeKey.CplShift, 2),
        width: 8,
        read: cpu => BigInt(cpu.cpl),
        write: undefined,
    },
];

export const GENERAL_GROUP: RegisterGroup = { name: 'General', registers: [...GENERAL, RIP] };
export const FLAGS_GROUP: RegisterGroup = { name: 'Flags', registers: [RFLAGS, ...FLAGS] };
export const UNLISTED_GENERAL: readonly Register[] = [...NARROW, ...DERIVED];

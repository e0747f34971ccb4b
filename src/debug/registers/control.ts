/** Control and debug registers and MSRs; writing them has the effects and the limits that instructions have. */
import type { Cpu } from '../../machine/cpu/cpu';
import { writableDr6, writableDr7, writeCr0, writeCr3, writeCr4, writeCr8 } from '../../machine/cpu/control';
import { GuestFault } from '../../machine/cpu/fault';
import { knownMsrs, readMsr, writeMsr } from '../../machine/cpu/msr';
import { StateOffset } from '../../machine/state';
import { halves } from '../address';
import { field, namesOfBits, type Register, type RegisterGroup } from './register';

type BitNames = ReadonlyArray<readonly [name: string, bit: number]>;

/** SDM Vol. 3, 2.5. */
const CR0_BITS: BitNames = [
    ['PG', 31],
    ['CD', 30],
    ['NW', 29],
    ['AM', 18],
    ['WP', 16],
    ['NE', 5],
    ['ET', 4],
    ['TS', 3],
    ['EM', 2],
    ['MP', 1],
    ['PE', 0],
];
const CR4_BITS: BitNames = [
    ['SMAP', 21],
    ['SMEP', 20],
    ['OSXSAVE', 18],
    ['PCIDE', 17],
    ['FSGSBASE', 16],
    ['LA57', 12],
    ['UMIP', 11],
    ['OSXMMEXCPT', 10],
    ['OSFXSR', 9],
    ['PCE', 8],
    ['PGE', 7],
    ['MCE', 6],
    ['PAE', 5],
    ['PSE', 4],
    ['DE', 3],
    ['TSD', 2],
    ['PVI', 1],
    ['VME', 0],
];
/** SDM Vol. 3, 2.2.1. */
const EFER_BITS: BitNames = [
    ['NXE', 11],
    ['LMA', 10],
    ['LME', 8],
    ['SCE', 0],
];
/** SDM Vol. 3, 18.2.3 and 18.2.4. */
const DR6_BITS: BitNames = [
    ['BT', 15],
    ['BS', 14],
    ['BD', 13],
    ['B3', 3],
    ['B2', 2],
    ['B1', 1],
    ['B0', 0],
];
const DR7_BITS: BitNames = [
    ['GD', 13],
    ['GE', 9],
    ['LE', 8],
    ...[3, 2, 1, 0].flatMap((n): BitNames => [
        [`G${n}`, 2 * n + 1],
        [`L${n}`, 2 * n],
    ]),
];

type HalvesWriter = (cpu: Cpu, lo: number, hi: number) => void;

function written(write: HalvesWriter): Register['write'] {
    return (cpu, value) => write(cpu, ...halves(value));
}

function debugRegister(number: number): Register {
    const offset = StateOffset.dr + number * 8;
    const allowed = number === 6 ? writableDr6 : number === 7 ? writableDr7 : undefined;
    return field(`dr${number}`, 64, offset, {
        write: written((cpu, lo, hi) => {
            cpu.set(offset, allowed === undefined ? lo : allowed(lo), allowed === undefined ? hi : 0);
            cpu.debugRegistersChanged();
        }),
        describe: number === 6 ? namesOfBits(DR6_BITS) : number === 7 ? namesOfBits(DR7_BITS) : undefined,
        address: number < 4 ? 'linear' : undefined,
    });
}

const value = { lo: 0, hi: 0 };

function msr(index: number, name: string): Register {
    return {
        name: name.toLowerCase(),
        width: 64,
        format: 'hex',
        read: cpu => {
            try {
                readMsr(cpu, index, value);
            } catch (error) {
                // Those that can only be written, and those of a disabled local APIC.
                if (error instanceof GuestFault) return 0n;
                throw error;
            }
            return (BigInt(value.hi >>> 0) << 32n) | BigInt(value.lo >>> 0);
        },
        write: written((cpu, lo, hi) => writeMsr(cpu, index, lo, hi)),
        describe: () => `MSR 0x${index.toString(16)}`,
    };
}

const EFER = 0xc0000080;

export const CONTROL_GROUP: RegisterGroup = {
    name: 'Control',
    registers: [
        field('cr0', 64, StateOffset.cr0, { write: written(writeCr0), describe: namesOfBits(CR0_BITS) }),
        field('cr2', 64, StateOffset.cr2, { address: 'linear' }),
        field('cr3', 64, StateOffset.cr3, { write: written(writeCr3), address: 'physical' }),
        field('cr4', 64, StateOffset.cr4, { write: written(writeCr4), describe: namesOfBits(CR4_BITS) }),
        {
            name: 'cr8',
            width: 64,
            format: 'hex',
            read: cpu => BigInt(cpu.hooks.apic.readTaskPriority() >> 4),
            write: written(writeCr8),
        },
        { ...msr(EFER, 'efer'), describe: namesOfBits(EFER_BITS) },
        field('xcr0', 64, StateOffset.xcr0, { write: undefined }),
    ],
};

export const DEBUG_GROUP: RegisterGroup = { name: 'Debug', registers: [0, 1, 2, 3, 6, 7].map(debugRegister) };

export const MSR_GROUP: RegisterGroup = {
    name: 'MSRs',
    registers: [...knownMsrs()].map(([index, name]) => msr(index, name)),
};

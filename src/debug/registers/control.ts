/** Control and debug registers and MSRs; writing them has the effects and the limits that instructions have. */
import type { Cpu } from '../../machine/cpu/cpu';
import { writableDr6, writableDr7, writeCr0, writeCr3, writeCr4, writeCr8 } from '../../machine/cpu/control';
import { GuestFault } from '../../machine/cpu/fault';
import { FLAG_BITS } from '../../isa/x86';
import { knownMsrs, readMsr, writeMsr } from '../../machine/cpu/msr';
import { StateOffset } from '../../machine/state';
import { halves } from '../address';
import { field, type FieldOfBits, namesOfBits, type Register, type RegisterGroup, withParts } from './register';

type BitNames = ReadonlyArray<readonly [name: string, bit: number]>;

/** SDM Vol. 3, 2.5. */
export const CR0_BITS: BitNames = [
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
/** Also those that only processors behind a gdb stub have. */
export const CR4_BITS: BitNames = [
    ['PKS', 24],
    ['CET', 23],
    ['PKE', 22],
    ['SMAP', 21],
    ['SMEP', 20],
    ['OSXSAVE', 18],
    ['PCIDE', 17],
    ['FSGSBASE', 16],
    ['SMXE', 14],
    ['VMXE', 13],
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
export const EFER_BITS: BitNames = [
    ['NXE', 11],
    ['LMA', 10],
    ['LME', 8],
    ['SCE', 0],
];
/** SDM Vol. 3, 2.6. */
const XCR0_BITS: BitNames = [
    ['X87', 0],
    ['SSE', 1],
    ['AVX', 2],
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

/** SDM Vol. 3, 18.2.4. */
const WATCHED = ['execute', 'write', 'I/O', 'read or write'];
const LENGTHS = [1, 2, 8, 4];
const DR7_FIELDS: readonly FieldOfBits[] = [
    ...[...DR7_BITS].reverse(),
    ...[0, 1, 2, 3].flatMap((n): FieldOfBits[] => [
        [`RW${n}`, 16 + 4 * n, 2, value => WATCHED[Number(value)]],
        [`LEN${n}`, 18 + 4 * n, 2, value => `${LENGTHS[Number(value)]} bytes`],
    ]),
];

/** SDM Vol. 3, table 11-10. */
const MEMORY_TYPES: Readonly<Record<number, string>> = { 0: 'UC', 1: 'WC', 4: 'WT', 5: 'WP', 6: 'WB', 7: 'UC-' };
const memoryType = (value: bigint): string => MEMORY_TYPES[Number(value)] ?? 'reserved';

/** Parts of MSRs (SDM Vol. 4, table 2-2; Vol. 3, sections named in the order of the lines). */
const MSR_FIELDS: Readonly<Record<string, readonly FieldOfBits[]>> = {
    IA32_APIC_BASE: [
        ['BSP', 8],
        ['EXTD', 10],
        ['EN', 11],
        ['base', 12, 40],
    ],
    IA32_SPEC_CTRL: [
        ['IBRS', 0],
        ['STIBP', 1],
        ['SSBD', 2],
    ],
    IA32_MISC_ENABLE: [
        ['fast_strings', 0],
        ['TCC', 3],
        ['BTS_unavailable', 11],
        ['PEBS_unavailable', 12],
        ['EIST', 16],
        ['MONITOR', 18],
        ['limit_CPUID', 22],
        ['XD_disable', 34],
    ],
    IA32_DEBUGCTL: [
        ['LBR', 0],
        ['BTF', 1],
    ],
    IA32_PAT: [0, 1, 2, 3, 4, 5, 6, 7].map((n): FieldOfBits => [`PA${n}`, 8 * n, 3, memoryType]),
    IA32_MTRR_DEF_TYPE: [
        ['type', 0, 8, memoryType],
        ['FE', 10],
        ['E', 11],
    ],
    ...Object.fromEntries(
        [0, 1, 2, 3, 4, 5, 6, 7].flatMap((n): [string, readonly FieldOfBits[]][] => [
            [
                `IA32_MTRR_PHYSBASE${n}`,
                [
                    ['type', 0, 8, memoryType],
                    ['base', 12, 40],
                ],
            ],
            [
                `IA32_MTRR_PHYSMASK${n}`,
                [
                    ['V', 11],
                    ['mask', 12, 40],
                ],
            ],
        ]),
    ),
    IA32_EFER: [...EFER_BITS].reverse(),
    IA32_STAR: [
        ['EIP', 0, 32],
        ['SYSCALL_CS', 32, 16],
        ['SYSRET_CS', 48, 16],
    ],
    IA32_FMASK: FLAG_BITS.map(([name, bit]): FieldOfBits => [name, bit]),
    IA32_TSC_AUX: [['PID', 0, 32]],
};

/** MSRs that hold linear addresses. */
const ADDRESS_MSRS = /^IA32_([LC]STAR|SYSENTER_E[IS]P|FS_BASE|GS_BASE|KERNEL_GS_BASE)$/;

/** The named bits of `bits` in CR0 or CR4; none for other registers. */
export function describeControlBits(register: number, bits: bigint): (readonly [name: string, bit: number])[] {
    const names = register === 0 ? CR0_BITS : register === 4 ? CR4_BITS : [];
    return names.filter(([, bit]) => (bits >> BigInt(bit)) & 1n);
}

type HalvesWriter = (cpu: Cpu, lo: number, hi: number) => void;

function written(write: HalvesWriter): Register['write'] {
    return (cpu, value) => write(cpu, ...halves(value));
}

function debugRegister(number: number): Register {
    const offset = StateOffset.dr + number * 8;
    const allowed = number === 6 ? writableDr6 : number === 7 ? writableDr7 : undefined;
    const whole = field(`dr${number}`, 64, offset, {
        write: written((cpu, lo, hi) => {
            cpu.set(offset, allowed === undefined ? lo : allowed(lo), allowed === undefined ? hi : 0);
            cpu.debugRegistersChanged();
        }),
        describe: number === 6 ? namesOfBits(DR6_BITS) : number === 7 ? namesOfBits(DR7_BITS) : undefined,
        address: number < 4 ? 'linear' : undefined,
    });
    return number === 6
        ? withParts(whole, [...DR6_BITS].reverse())
        : number === 7
          ? withParts(whole, DR7_FIELDS)
          : whole;
}

const value = { lo: 0, hi: 0 };

function msr(index: number, name: string): Register {
    const fields = MSR_FIELDS[name] ?? [];
    const set = namesOfBits(
        fields.filter(([, , width = 1]) => width === 1).map(([part, bit]) => [part, bit] as const),
    )!;
    const whole: Register = {
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
        describe: (cpu, bits) => `MSR 0x${index.toString(16)} ${set(cpu, bits)}`.trimEnd(),
        address: ADDRESS_MSRS.test(name) ? 'linear' : undefined,
    };
    return fields.length === 0 ? whole : withParts(whole, fields);
}

const EFER = 0xc0000080;

export const CONTROL_GROUP: RegisterGroup = {
    name: 'Control',
    registers: [
        withParts(
            field('cr0', 64, StateOffset.cr0, { write: written(writeCr0), describe: namesOfBits(CR0_BITS) }),
            [...CR0_BITS].reverse(),
        ),
        field('cr2', 64, StateOffset.cr2, { address: 'linear' }),
        withParts(field('cr3', 64, StateOffset.cr3, { write: written(writeCr3), address: 'physical' }), [
            ['PWT', 3],
            ['PCD', 4],
            ['PCID', 0, 12],
            ['base', 12, 40],
        ]),
        withParts(
            field('cr4', 64, StateOffset.cr4, { write: written(writeCr4), describe: namesOfBits(CR4_BITS) }),
            [...CR4_BITS].reverse(),
        ),
        {
            name: 'cr8',
            width: 64,
            format: 'hex',
            read: cpu => BigInt(cpu.hooks.apic.readTaskPriority() >> 4),
            write: written(writeCr8),
        },
        withParts({ ...msr(EFER, 'efer'), describe: namesOfBits(EFER_BITS) }, [...EFER_BITS].reverse()),
        withParts(
            field('xcr0', 64, StateOffset.xcr0, { write: undefined, describe: namesOfBits(XCR0_BITS) }),
            XCR0_BITS,
        ),
    ],
};

export const DEBUG_GROUP: RegisterGroup = { name: 'Debug', registers: [0, 1, 2, 3, 6, 7].map(debugRegister) };

export const MSR_GROUP: RegisterGroup = {
    name: 'MSRs',
    registers: [...knownMsrs()].map(([index, name]) => msr(index, name)),
};

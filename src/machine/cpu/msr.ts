/** Model-specific registers (SDM Vol. 4, table 2-2). What is not in the table is #GP(0). */

import { Gpr } from '../../isa/x86/instruction';
import { StateOffset } from '../state';
import type { Cpu } from './cpu';
import { Cr0, Efer } from './cpu-state';
import { isStorableAddress } from './cpuid';
import { raise, Vector } from './fault';
import type { Halves } from './operands';
import { PHYSICAL_ADDRESS_HIGH_MASK } from './physical';

interface Msr {
    readonly name: string;
    /** Absent: write-only. */
    readonly read?: (cpu: Cpu, value: Halves) => void;
    /** Absent: read-only. Throws #GP(0) for values that cannot be. */
    readonly write?: (cpu: Cpu, lo: number, hi: number) => void;
}

/** IA32_ARCH_CAPABILITIES: none of the speculation problems, as nothing here speculates. */
const ARCH_CAPABILITIES_LO = [
    0, // RDCL_NO
    1, // IBRS_ALL
    3, // SKIP_L1DFL_VMENTRY
    4, // SSB_NO
    5, // MDS_NO
    6, // IF_PSCHANGE_MC_NO
    8, // TAA_NO
    13, // SBDR_SSDP_NO
    14, // FBSDP_NO
    15, // PSDP_NO
    20, // BHI_NO
    24, // PBRSB_NO
    26, // GDS_NO
    27, // RFDS_NO
].reduce((word, bit) => word | (1 << bit), 0);
/** ITS_NO is bit 62. */
const ARCH_CAPABILITIES_HI = 1 << 30;

const MICROCODE_REVISION = 1;
/** IBRS, STIBP, BHI_DIS_S: kept, with nothing to restrict. */
const SPEC_CTRL_WRITABLE = (1 << 0) | (1 << 1) | (1 << 10);
/** 8 variable ranges, fixed ranges, write-combining. */
const MTRR_CAPABILITIES = 0x508;
/** IA32_MCG_CAP: no bank of error-reporting registers, as nothing here breaks, and no IA32_MCG_CTL. */
const MACHINE_CHECK_CAPABILITIES = 0;

/** What the processor does not have (TCC, SpeedStep, xTPR messages) may still be asked for: software does, by habit. */
const MISC_ENABLE_WRITABLE_LO =
    (1 << 0) | // fast strings
    (1 << 3) | // automatic thermal control
    (1 << 16) | // Enhanced Intel SpeedStep
    (1 << 18) | // MONITOR
    (1 << 22) | // limit CPUID
    (1 << 23); // xTPR message disable
/** Performance monitoring and its buffers: what is said to be missing reads 1 and cannot be changed. */
const MISC_ENABLE_FIXED_LO = (1 << 11) | (1 << 12);
/** XD bit disable. */
const MISC_ENABLE_WRITABLE_HI = 1 << 2;

const APIC_ENABLE = 1 << 11;
const APIC_X2 = 1 << 10;
const APIC_RESERVED = 0x2ff;

/** Memory types that MTRRs know (bit set), and those of the PAT, which adds UC-. */
const MTRR_TYPES = 0b1110011;
const PAT_TYPES = 0b11110011;

/** A field of the state with the given bits writable; others are #GP. */
function register(name: string, offset: number, maskLo = 0xffffffff, maskHi = 0xffffffff): Msr {
    return {
        name,
        read: readField(offset),
        write: (cpu, lo, hi) => {
            if (lo & ~maskLo || hi & ~maskHi) raise(Vector.GP);
            cpu.set(offset, lo, hi);
        },
    };
}

function readField(offset: number): NonNullable<Msr['read']> {
    return (cpu, value) => {
        value.lo = cpu.lo(offset);
        value.hi = cpu.hi(offset);
    };
}

function address(name: string, offset: number): Msr {
    return {
        name,
        read: readField(offset),
        write: (cpu, lo, hi) => {
            if (!isStorableAddress(cpu, hi)) raise(Vector.GP);
            cpu.set(offset, lo, hi);
        },
    };
}

function constant(name: string, lo: number, hi = 0): Msr {
    return {
        name,
        read: (_cpu, value) => {
            value.lo = lo >>> 0;
            value.hi = hi >>> 0;
        },
    };
}

/** Each byte is a memory type. */
function memoryTypes(name: string, offset: number, types: number): Msr {
    const allowed = (word: number): boolean => {
        for (let shift = 0; shift < 32; shift += 8) {
            const type = (word >>> shift) & 0xff;
            if (type > 7 || ((types >> type) & 1) === 0) return false;
        }
        return true;
    };
    return {
        name,
        read: readField(offset),
        write: (cpu, lo, hi) => {
            if (!allowed(lo) || !allowed(hi)) raise(Vector.GP);
            cpu.set(offset, lo, hi);
        },
    };
}

function isMtrrType(type: number): boolean {
    return type < 7 && ((MTRR_TYPES >> type) & 1) !== 0;
}

/** IA32_MTRR_PHYSBASEn and PHYSMASKn (SDM Vol. 3, 11.11.2.3). */
function variableRange(index: number): [number, Msr][] {
    const base = StateOffset.mtrrVariable + index * 16;
    const mask = base + 8;
    return [
        [
            0x200 + index * 2,
            {
                name: `IA32_MTRR_PHYSBASE${index}`,
                read: readField(base),
                write: (cpu, lo, hi) => {
                    if (lo & 0xf00 || !isMtrrType(lo & 0xff) || hi & ~PHYSICAL_ADDRESS_HIGH_MASK) raise(Vector.GP);
                    cpu.set(base, lo, hi);
                },
            },
        ],
        [0x201 + index * 2, register(`IA32_MTRR_PHYSMASK${index}`, mask, 0xfffff800, PHYSICAL_ADDRESS_HIGH_MASK)],
    ];
}

const FIXED_MTRRS = [0x250, 0x258, 0x259, 0x268, 0x269, 0x26a, 0x26b, 0x26c, 0x26d, 0x26e, 0x26f];

/** The guest's TSC: the machine's plus IA32_TSC_ADJUST. */
export function readTsc(cpu: Cpu, target: Halves): void {
    const ticks = cpu.hooks.tsc();
    const lo = ticks % 0x100000000;
    const sum = lo + cpu.lo(StateOffset.tscOffset);
    target.lo = sum >>> 0;
    target.hi = (Math.floor(ticks / 0x100000000) + cpu.hi(StateOffset.tscOffset) + (sum > 0xffffffff ? 1 : 0)) >>> 0;
}

/** WRMSR to the TSC moves IA32_TSC_ADJUST by as much (SDM Vol. 3, 17.17.3). */
function writeTsc(cpu: Cpu, lo: number, hi: number): void {
    const target = (BigInt(hi) << 32n) | BigInt(lo);
    cpu.set64(StateOffset.tscOffset, BigInt.asUintN(64, target - BigInt(cpu.hooks.tsc())));
    cpu.hooks.apic.tscMoved();
}

/** IA32_EFER (SDM Vol. 3, 2.2.1): LME cannot change under paging, LMA not at all. */
function writeEfer(cpu: Cpu, lo: number, hi: number): void {
    const old = cpu.efer;
    if (hi !== 0 || lo & ~(Efer.SCE | Efer.LME | Efer.LMA | Efer.NXE)) raise(Vector.GP);
    if ((old ^ lo) & Efer.LME && cpu.cr0 & Cr0.PG) raise(Vector.GP);
    cpu.setLo(StateOffset.efer, (lo & ~Efer.LMA) | (old & Efer.LMA));
    if ((old ^ lo) & Efer.NXE) cpu.mmu.flushAll();
    cpu.updateMode();
}

/** Transitions between xAPIC, x2APIC and disabled (SDM Vol. 3, 10.12.5). */
function writeApicBase(cpu: Cpu, lo: number, hi: number): void {
    if (lo & APIC_RESERVED || hi & ~PHYSICAL_ADDRESS_HIGH_MASK) raise(Vector.GP);
    const old = cpu.lo(StateOffset.apicBase);
    if (lo & APIC_X2) {
        if (!(lo & APIC_ENABLE)) raise(Vector.GP);
        if (!(old & APIC_ENABLE)) raise(Vector.GP);
    } else if (old & APIC_X2 && lo & APIC_ENABLE) {
        raise(Vector.GP);
    }
    cpu.set(StateOffset.apicBase, lo, hi);
    cpu.hooks.apic.baseChanged();
}

const TABLE = new Map<number, Msr>([
    [0x0, constant('IA32_P5_MC_ADDR', 0)],
    [0x1, constant('IA32_P5_MC_TYPE', 0)],
    [0x10, { name: 'IA32_TIME_STAMP_COUNTER', read: readTsc, write: writeTsc }],
    [0x17, constant('IA32_PLATFORM_ID', 0)],
    [0x1b, { name: 'IA32_APIC_BASE', read: readField(StateOffset.apicBase), write: writeApicBase }],
    [0x3a, constant('IA32_FEATURE_CONTROL', 1)],
    [
        0x3b,
        {
            name: 'IA32_TSC_ADJUST',
            read: readField(StateOffset.tscOffset),
            write: (cpu, lo, hi) => {
                cpu.set(StateOffset.tscOffset, lo, hi);
                cpu.hooks.apic.tscMoved();
            },
        },
    ],
    [0x48, register('IA32_SPEC_CTRL', StateOffset.specCtrl, SPEC_CTRL_WRITABLE, 0)],
    [
        0x49,
        {
            name: 'IA32_PRED_CMD',
            write: (_cpu, lo, hi) => {
                if (lo & ~1 || hi) raise(Vector.GP);
            },
        },
    ],
    [0x79, { name: 'IA32_BIOS_UPDT_TRIG', write: () => {} }],
    [
        0x8b,
        {
            name: 'IA32_BIOS_SIGN_ID',
            read: (_cpu, value) => {
                value.lo = 0;
                value.hi = MICROCODE_REVISION;
            },
            write: () => {},
        },
    ],
    [0xfe, constant('IA32_MTRRCAP', MTRR_CAPABILITIES)],
    [0x10a, constant('IA32_ARCH_CAPABILITIES', ARCH_CAPABILITIES_LO, ARCH_CAPABILITIES_HI)],
    [0x174, register('IA32_SYSENTER_CS', StateOffset.sysenterCs)],
    [0x175, address('IA32_SYSENTER_ESP', StateOffset.sysenterEsp)],
    [0x176, address('IA32_SYSENTER_EIP', StateOffset.sysenterEip)],
    [0x179, constant('IA32_MCG_CAP', MACHINE_CHECK_CAPABILITIES)],
    [0x17a, register('IA32_MCG_STATUS', StateOffset.mcgStatus, 7, 0)],
    [
        0x1a0,
        {
            name: 'IA32_MISC_ENABLE',
            read: (cpu, value) => {
                value.lo = cpu.lo(StateOffset.miscEnable) | MISC_ENABLE_FIXED_LO;
                value.hi = cpu.hi(StateOffset.miscEnable);
            },
            write: (cpu, lo, hi) => {
                if (lo & ~(MISC_ENABLE_WRITABLE_LO | MISC_ENABLE_FIXED_LO) || hi & ~MISC_ENABLE_WRITABLE_HI) {
                    raise(Vector.GP);
                }
                cpu.set(StateOffset.miscEnable, lo & MISC_ENABLE_WRITABLE_LO, hi);
            },
        },
    ],
    // LBR and BTF; the last-branch records themselves are not there, as with LBR format 0 of PDCM-less processors.
    [0x1d9, register('IA32_DEBUGCTL', StateOffset.debugControl, 3, 0)],
    ...Array.from({ length: 8 }, (_, index) => variableRange(index)).flat(),
    ...FIXED_MTRRS.map((index, number): [number, Msr] => [
        index,
        memoryTypes(`IA32_MTRR_FIX_${index.toString(16)}`, StateOffset.mtrrFixed + number * 8, MTRR_TYPES),
    ]),
    [0x277, memoryTypes('IA32_PAT', StateOffset.pat, PAT_TYPES)],
    [
        0x2ff,
        {
            name: 'IA32_MTRR_DEF_TYPE',
            read: readField(StateOffset.mtrrDefType),
            write: (cpu, lo, hi) => {
                if (lo & ~0xcff || hi || !isMtrrType(lo & 0xff)) raise(Vector.GP);
                cpu.set(StateOffset.mtrrDefType, lo, hi);
            },
        },
    ],
    [
        0x6e0,
        {
            name: 'IA32_TSC_DEADLINE',
            read: (cpu, value) => {
                value.lo = cpu.hooks.apic.readTscDeadline(false);
                value.hi = cpu.hooks.apic.readTscDeadline(true);
            },
            write: (cpu, lo, hi) => {
                cpu.set(StateOffset.tscDeadline, lo, hi);
                cpu.hooks.apic.writeTscDeadline(lo, hi);
            },
        },
    ],
    [0xc0000080, { name: 'IA32_EFER', read: readField(StateOffset.efer), write: writeEfer }],
    [0xc0000081, register('IA32_STAR', StateOffset.star)],
    [0xc0000082, address('IA32_LSTAR', StateOffset.lstar)],
    [0xc0000083, address('IA32_CSTAR', StateOffset.cstar)],
    [0xc0000084, register('IA32_FMASK', StateOffset.sfmask, 0xffffffff, 0)],
    [0xc0000100, address('IA32_FS_BASE', StateOffset.segments + 4 * 32)],
    [0xc0000101, address('IA32_GS_BASE', StateOffset.segments + 5 * 32)],
    [0xc0000102, address('IA32_KERNEL_GS_BASE', StateOffset.kernelGsBase)],
    [0xc0000103, register('IA32_TSC_AUX', StateOffset.tscAux, 0xffffffff, 0)],
]);

const X2APIC_FIRST = 0x800;
const X2APIC_LAST = 0x8ff;

/** The MSRs that exist, for the debugger: address and name. */
export function knownMsrs(): ReadonlyMap<number, string> {
    return new Map([...TABLE].map(([index, msr]) => [index, msr.name]));
}

/** Reads an MSR. @throws GuestFault #GP(0) if there is none to read */
export function readMsr(cpu: Cpu, index: number, target: Halves): void {
    if (index >= X2APIC_FIRST && index <= X2APIC_LAST) {
        const enabled = cpu.lo(StateOffset.apicBase) & APIC_X2;
        const lo = enabled ? cpu.hooks.apic.readX2apic(index - X2APIC_FIRST, false) : -1;
        if (lo < 0) raise(Vector.GP);
        target.lo = lo;
        target.hi = Math.max(0, cpu.hooks.apic.readX2apic(index - X2APIC_FIRST, true));
        return;
    }
    const read = TABLE.get(index)?.read;
    if (read === undefined) raise(Vector.GP);
    read(cpu, target);
}

/** Writes an MSR. @throws GuestFault #GP(0) if there is none to write, or not with this value */
export function writeMsr(cpu: Cpu, index: number, lo: number, hi: number): void {
    if (index >= X2APIC_FIRST && index <= X2APIC_LAST) {
        const enabled = cpu.lo(StateOffset.apicBase) & APIC_X2;
        if (!enabled || !cpu.hooks.apic.writeX2apic(index - X2APIC_FIRST, lo, hi)) raise(Vector.GP);
        cpu.hooks.attention();
        return;
    }
    const write = TABLE.get(index)?.write;
    if (write === undefined) raise(Vector.GP);
    write(cpu, lo, hi);
}

const moved: Halves = { lo: 0, hi: 0 };

/** RDMSR, CPL already checked. */
export function rdmsr(cpu: Cpu): void {
    const index = cpu.gpr(Gpr.Rcx);
    readMsr(cpu, index, moved);
    cpu.hooks.observer?.msrRead(cpu, index, moved.lo, moved.hi);
    cpu.setGpr32(Gpr.Rax, moved.lo);
    cpu.setGpr32(Gpr.Rdx, moved.hi);
}

/** WRMSR, CPL already checked. */
export function wrmsr(cpu: Cpu): void {
    const index = cpu.gpr(Gpr.Rcx);
    const lo = cpu.gpr(Gpr.Rax);
    const hi = cpu.gpr(Gpr.Rdx);
    const { observer } = cpu.hooks;
    if (observer === undefined) {
        writeMsr(cpu, index, lo, hi);
        return;
    }
    const read = TABLE.get(index)?.read;
    read?.(cpu, moved);
    const { lo: oldLo, hi: oldHi } = moved;
    writeMsr(cpu, index, lo, hi);
    observer.msrWritten(cpu, index, read !== undefined, oldLo, oldHi, lo, hi);
}

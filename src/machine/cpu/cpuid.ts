/**
 * CPUID (SDM Vol. 2A, CPUID; tables 3-8 to 3-20): what is there, and nothing else.
 *
 * The processor calls itself an Intel of family 6 because that is what guests treat as the plain case, with a model
 * number no product has, so that no guest applies a product's errata. It does not speculate, and says so in
 * IA32_ARCH_CAPABILITIES (msr.ts).
 */

import { Gpr } from '../../isa/x86/instruction';
import { StateOffset } from '../state';
import { isCanonical } from './access';
import type { Cpu } from './cpu';
import { Cr4 } from './cpu-state';
import { PHYSICAL_ADDRESS_BITS } from './physical';
import { XSAVE_SUPPORTED, xsaveAreaSize } from './xsave-layout';

/** Family 6, model F0h, stepping 1: CPUID.1:EAX, and EDX after reset. */
export const PROCESSOR_SIGNATURE = 0x000f0601;

/** Frequency of the virtual TSC, and of the crystal that the local APIC timer counts (leaf 15h). */
export const TSC_HZ = 1_000_000_000;

const VENDOR = 'GenuineIntel';
const BRAND = 'Hyperscope Virtual CPU';
const HYPERVISOR_SIGNATURE = 'Hyperscope\0\0';

/** Bits of CPUID.1:ECX. */
const FEATURES_1_ECX = {
    sse3: 0,
    pclmulqdq: 1,
    monitor: 3,
    ssse3: 9,
    cmpxchg16b: 13,
    pcid: 17,
    sse41: 19,
    sse42: 20,
    x2apic: 21,
    movbe: 22,
    popcnt: 23,
    tscDeadline: 24,
    aes: 25,
    xsave: 26,
    rdrand: 30,
} as const;

const OSXSAVE = 1 << 27;
const HYPERVISOR = 1 << 31;

/** Bits of CPUID.1:EDX; APIC (9) and HTT (28) depend on state. */
const FEATURES_1_EDX = {
    fpu: 0,
    vme: 1,
    de: 2,
    pse: 3,
    tsc: 4,
    msr: 5,
    pae: 6,
    mce: 7,
    cx8: 8,
    sep: 11,
    mtrr: 12,
    pge: 13,
    mca: 14,
    cmov: 15,
    pat: 16,
    pse36: 17,
    clflush: 19,
    mmx: 23,
    fxsr: 24,
    sse: 25,
    sse2: 26,
} as const;

const APIC = 1 << 9;
const HTT = 1 << 28;

/** Bits of CPUID.7.0. */
const FEATURES_7_EBX = {
    fsgsbase: 0,
    tscAdjust: 1,
    bmi1: 3,
    smep: 7,
    bmi2: 8,
    erms: 9,
    invpcid: 10,
    rdseed: 18,
    adx: 19,
    smap: 20,
    clflushopt: 23,
    clwb: 24,
    sha: 29,
} as const;
const FEATURES_7_ECX = { umip: 2, la57: 16, rdpid: 22 } as const;
const FEATURES_7_EDX = { ibrs: 26, archCapabilities: 29 } as const;
/** CPUID.7.2: IA32_SPEC_CTRL.BHI_DIS_S, without which Linux runs a loop of branches at each system call. */
const FEATURES_7_2_EDX = { bhiControl: 4 } as const;

const FEATURES_EXTENDED_ECX = { lahf64: 0, lzcnt: 5, prefetchw: 8 } as const;
/** SYSCALL (11) is reported in 64-bit mode only, where alone it works on Intel processors. */
const FEATURES_EXTENDED_EDX = { nx: 20, page1gb: 26, rdtscp: 27, lm: 29 } as const;
const SYSCALL = 1 << 11;
const NX = 1 << 20;

function bits(features: Readonly<Record<string, number>>): number {
    return Object.values(features).reduce((word, bit) => word | (1 << bit), 0);
}

const WORD_1_ECX = bits(FEATURES_1_ECX);
const WORD_1_EDX = bits(FEATURES_1_EDX);
const WORD_7_EBX = bits(FEATURES_7_EBX);
const WORD_7_ECX = bits(FEATURES_7_ECX);
const WORD_7_EDX = bits(FEATURES_7_EDX);
const WORD_7_2_EDX = bits(FEATURES_7_2_EDX);
const WORD_EXTENDED_ECX = bits(FEATURES_EXTENDED_ECX);
const WORD_EXTENDED_EDX = bits(FEATURES_EXTENDED_EDX);

/** The feature words of CPUID.1, CPUID.7.0 and CPUID.80000001h: what is offered, or a mask on it. */
export interface FeatureWords {
    readonly ecx1: number;
    readonly edx1: number;
    readonly ebx7: number;
    readonly ecx7: number;
    readonly edx7: number;
    readonly extendedEcx: number;
    readonly extendedEdx: number;
}

/** Everything that this processor can do. */
export const ALL_FEATURES: FeatureWords = {
    ecx1: WORD_1_ECX,
    edx1: WORD_1_EDX,
    ebx7: WORD_7_EBX,
    ecx7: WORD_7_ECX,
    edx7: WORD_7_EDX,
    extendedEcx: WORD_EXTENDED_ECX,
    extendedEdx: WORD_EXTENDED_EDX | SYSCALL,
};

/** Names of the features in `words`, of those that this processor knows. */
export function featureNames(words: FeatureWords): string[] {
    const named = (features: Readonly<Record<string, number>>, word: number): string[] =>
        Object.entries(features)
            .filter(([, bit]) => (word >>> bit) & 1)
            .map(([name]) => name);
    return [
        ...named(FEATURES_1_EDX, words.edx1),
        ...named(FEATURES_1_ECX, words.ecx1),
        ...named(FEATURES_7_EBX, words.ebx7),
        ...named(FEATURES_7_ECX, words.ecx7),
        ...named(FEATURES_7_EDX, words.edx7),
        ...named(FEATURES_EXTENDED_ECX, words.extendedEcx),
        ...named({ ...FEATURES_EXTENDED_EDX, syscall: 11 }, words.extendedEdx),
    ];
}

const MAX_BASIC = 0x16;
const MAX_EXTENDED = 0x80000008;
const HYPERVISOR_BASE = 0x40000000;

/** IA32_MISC_ENABLE: bit 18 turns MONITOR on, 22 limits the leaves to 3, 34 hides NX (SDM Vol. 4, table 2-2). */
const MONITOR_ENABLE = 1 << 18;
const LIMIT_CPUID = 1 << 22;
const XD_DISABLE_HI = 1 << 2;

const LINE = 64;
/** Leaf 4: level, type (1 data, 2 instruction, 3 unified), ways, sets. */
const CACHES = [
    { level: 1, type: 1, ways: 8, sets: 64, shared: false },
    { level: 1, type: 2, ways: 8, sets: 64, shared: false },
    { level: 2, type: 3, ways: 16, sets: 1024, shared: false },
    { level: 3, type: 3, ways: 16, sets: 8192, shared: true },
] as const;

type Registers = readonly [eax: number, ebx: number, ecx: number, edx: number];
const NOTHING: Registers = [0, 0, 0, 0];

/** Four characters as a little-endian doubleword. */
function text(source: string, at: number): number {
    let word = 0;
    for (let index = 0; index < 4; index++) word |= (source.charCodeAt(at + index) || 0) << (8 * index);
    return word;
}

/** Bits of the x2APIC id that number the processors of the package. */
function packageShift(cpu: Cpu): number {
    return Math.ceil(Math.log2(Math.max(1, cpu.options.processors)));
}

function offered(cpu: Cpu): FeatureWords {
    return cpu.options.features ?? ALL_FEATURES;
}

/**
 * Whether a linear address may be put into a register that the processor keeps: an MSR, a base of a descriptor table or
 * segment, INVPCID's operand. What such checks take for canonical is what the processor has, 57 bits or 48, whether
 * CR4.LA57 is set or not: software prepares registers before it changes the paging mode.
 * @param hi the address's upper half
 */
export function isStorableAddress(cpu: Cpu, hi: number): boolean {
    return isCanonical(hi, ((offered(cpu).ecx7 >> FEATURES_7_ECX.la57) & 1) !== 0);
}

function features(cpu: Cpu): Registers {
    const { ecx1, edx1 } = offered(cpu);
    const apicId = cpu.lo(StateOffset.apicId);
    // The field is 8 bits wide and counts ids, not processors.
    const addressable = Math.min(255, 1 << packageShift(cpu));
    const ebx = (apicId << 24) | (addressable << 16) | ((LINE / 8) << 8);
    let ecx = WORD_1_ECX & ecx1;
    if ((cpu.lo(StateOffset.miscEnable) & MONITOR_ENABLE) === 0) ecx &= ~(1 << FEATURES_1_ECX.monitor);
    if (cpu.cr4 & Cr4.OSXSAVE) ecx |= OSXSAVE;
    if (cpu.options.hypervisor) ecx |= HYPERVISOR;
    let edx = WORD_1_EDX & edx1;
    if (cpu.lo(StateOffset.apicBase) & 0x800) edx |= APIC;
    if (cpu.options.processors > 1) edx |= HTT;
    return [PROCESSOR_SIGNATURE, ebx, ecx, edx];
}

function cache(cpu: Cpu, index: number): Registers {
    if (index >= CACHES.length) return NOTHING;
    const { level, type, ways, sets, shared } = CACHES[index];
    const ids = (1 << packageShift(cpu)) - 1;
    const selfInitializing = 1 << 8;
    const eax = type | (level << 5) | selfInitializing | ((shared ? ids : 0) << 14) | (ids << 26);
    return [eax, ((ways - 1) << 22) | (LINE - 1), sets - 1, 0];
}

/** Leaf Bh: one thread a core, cores beneath one package. */
function topology(cpu: Cpu, level: number): Registers {
    const apicId = cpu.lo(StateOffset.apicId);
    const smt = 1;
    const core = 2;
    if (level === 0) return [0, 1, smt << 8, apicId];
    if (level === 1) return [packageShift(cpu), cpu.options.processors, (core << 8) | 1, apicId];
    return [0, 0, level & 0xff, apicId];
}

function extendedState(cpu: Cpu, leaf: number): Registers {
    if (((offered(cpu).ecx1 >> FEATURES_1_ECX.xsave) & 1) === 0) return NOTHING;
    if (leaf === 0) {
        return [XSAVE_SUPPORTED, xsaveAreaSize(cpu.lo(StateOffset.xcr0)), xsaveAreaSize(XSAVE_SUPPORTED), 0];
    }
    // XSAVEOPT, XSAVEC, XGETBV with ECX = 1; no XSAVES. With XSAVEC, EBX is the size of the compacted area.
    return leaf === 1 ? [7, xsaveAreaSize(cpu.lo(StateOffset.xcr0)), 0, 0] : NOTHING;
}

function structuredFeatures(cpu: Cpu): Registers {
    const { ebx7, ecx7, edx7 } = offered(cpu);
    return [2, WORD_7_EBX & ebx7, WORD_7_ECX & ecx7, WORD_7_EDX & edx7];
}

function basic(cpu: Cpu, leaf: number, subleaf: number): Registers {
    switch (leaf) {
        case 0: {
            const limited = (cpu.lo(StateOffset.miscEnable) & LIMIT_CPUID) !== 0;
            return [limited ? 3 : MAX_BASIC, text(VENDOR, 0), text(VENDOR, 8), text(VENDOR, 4)];
        }
        case 1:
            return features(cpu);
        case 2:
            // "See leaf 4."
            return [0x0000ff01, 0, 0, 0];
        case 4:
            return cache(cpu, subleaf);
        case 5:
            // MONITOR works on a cache line; extensions enumerated, none of the C-states: idle loops prefer HLT.
            return [LINE, LINE, 3, 0];
        case 6:
            // ARAT: the APIC timer always runs.
            return [1 << 2, 0, 0, 0];
        case 7:
            if (subleaf === 0) return structuredFeatures(cpu);
            return subleaf === 2 ? [0, 0, 0, WORD_7_2_EDX] : NOTHING;
        case 0xb:
            return topology(cpu, subleaf);
        case 0xd:
            return extendedState(cpu, subleaf);
        case 0x15:
            return [1, 1, TSC_HZ, 0];
        case 0x16:
            return [TSC_HZ / 1e6, TSC_HZ / 1e6, 100, 0];
        default:
            return NOTHING;
    }
}

function extended(cpu: Cpu, leaf: number): Registers {
    switch (leaf) {
        case 0x80000000:
            return [MAX_EXTENDED, 0, 0, 0];
        case 0x80000001: {
            const { extendedEcx, extendedEdx } = offered(cpu);
            let edx = WORD_EXTENDED_EDX & extendedEdx;
            if (cpu.code64) edx |= SYSCALL;
            if (cpu.hi(StateOffset.miscEnable) & XD_DISABLE_HI) edx &= ~NX;
            return [0, 0, WORD_EXTENDED_ECX & extendedEcx, edx];
        }
        case 0x80000002:
        case 0x80000003:
        case 0x80000004: {
            const at = (leaf - 0x80000002) * 16;
            return [text(BRAND, at), text(BRAND, at + 4), text(BRAND, at + 8), text(BRAND, at + 12)];
        }
        case 0x80000006:
            // L2: 1 MiB, 16 ways (encoded 8), 64-byte lines.
            return [0, 0, (1024 << 16) | (8 << 12) | LINE, 0];
        case 0x80000007:
            // Invariant TSC.
            return [0, 0, 0, 1 << 8];
        case 0x80000008:
            return [PHYSICAL_ADDRESS_BITS | (57 << 8), 0, 0, 0];
        default:
            return NOTHING;
    }
}

/** The four registers for a leaf and subleaf; a leaf beyond the last gives the last basic one. */
export function cpuidLeaf(cpu: Cpu, leaf: number, subleaf: number): Registers {
    leaf >>>= 0;
    subleaf >>>= 0;
    if (leaf >= 0x80000000 && leaf <= MAX_EXTENDED) return extended(cpu, leaf);
    if (cpu.options.hypervisor && leaf >= HYPERVISOR_BASE && leaf < HYPERVISOR_BASE + 0x100) {
        if (leaf !== HYPERVISOR_BASE) return NOTHING;
        const signature = HYPERVISOR_SIGNATURE;
        return [HYPERVISOR_BASE, text(signature, 0), text(signature, 4), text(signature, 8)];
    }
    return basic(cpu, leaf <= MAX_BASIC ? leaf : MAX_BASIC, subleaf);
}

/** CPUID: EAX and ECX in, four registers out. */
export function cpuid(cpu: Cpu): void {
    const [eax, ebx, ecx, edx] = cpuidLeaf(cpu, cpu.gpr(Gpr.Rax), cpu.gpr(Gpr.Rcx));
    cpu.setGpr32(Gpr.Rax, eax);
    cpu.setGpr32(Gpr.Rbx, ebx);
    cpu.setGpr32(Gpr.Rcx, ecx);
    cpu.setGpr32(Gpr.Rdx, edx);
}

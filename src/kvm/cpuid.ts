/** The processor that a guest on KVM sees: the machine's own, less what this host's KVM lacks. */
import type { Cpu } from '../machine/cpu/cpu';
import { ALL_FEATURES, cpuidLeaf, type FeatureWords } from '../machine/cpu/cpuid';
import { Ioctl } from './abi';
import { ioctl, NativeBuffer } from './libc';

/** `kvm_cpuid2`. */
const enum CpuidField {
    count = 0,
    entries = 8,
}

/** `kvm_cpuid_entry2`. */
const enum Entry {
    function = 0,
    index = 4,
    flags = 8,
    eax = 12,
    ebx = 16,
    ecx = 20,
    edx = 24,
    size = 40,
}

/** KVM_CPUID_FLAG_SIGNIFCANT_INDEX: the entry holds for one value of ECX. */
const SIGNIFICANT_INDEX = 1;
const MAX_ENTRIES = 256;

/** Leaves with subleaves: how many of them to describe. */
const SUBLEAVES: ReadonlyMap<number, number> = new Map([
    [4, 5],
    [7, 3],
    [0xb, 3],
    [0xd, 3],
]);
const MAX_BASIC = 0x16;
const HYPERVISOR_LEAF = 0x40000000;
const FIRST_EXTENDED = 0x80000000;
const LAST_EXTENDED = 0x80000008;

function bufferOf(entries: number): NativeBuffer {
    const buffer = new NativeBuffer(CpuidField.entries + entries * Entry.size);
    buffer.view.setUint32(CpuidField.count, entries, true);
    return buffer;
}

/**
 * What KVM can give a guest of the features in `ALL_FEATURES`.
 * @throws KvmError
 */
export function supportedFeatures(kvm: number): FeatureWords {
    const buffer = bufferOf(MAX_ENTRIES);
    const { view } = buffer;
    ioctl(kvm, Ioctl.GetSupportedCpuid, buffer.address);
    const register = (leaf: number, subleaf: number, field: Entry): number => {
        for (let entry = 0; entry < view.getUint32(CpuidField.count, true); entry++) {
            const at = CpuidField.entries + entry * Entry.size;
            if (
                view.getUint32(at + Entry.function, true) === leaf &&
                view.getUint32(at + Entry.index, true) === subleaf
            ) {
                return view.getUint32(at + field, true);
            }
        }
        return 0;
    };
    return {
        ecx1: ALL_FEATURES.ecx1 & register(1, 0, Entry.ecx),
        edx1: ALL_FEATURES.edx1 & register(1, 0, Entry.edx),
        ebx7: ALL_FEATURES.ebx7 & register(7, 0, Entry.ebx),
        ecx7: ALL_FEATURES.ecx7 & register(7, 0, Entry.ecx),
        edx7: ALL_FEATURES.edx7 & register(7, 0, Entry.edx),
        extendedEcx: ALL_FEATURES.extendedEcx & register(0x80000001, 0, Entry.ecx),
        extendedEdx: ALL_FEATURES.extendedEdx & register(0x80000001, 0, Entry.edx),
    };
}

/** The features of `all` that `offered` lacks. */
export function missingFeatures(all: FeatureWords, offered: FeatureWords): FeatureWords {
    return {
        ecx1: all.ecx1 & ~offered.ecx1,
        edx1: all.edx1 & ~offered.edx1,
        ebx7: all.ebx7 & ~offered.ebx7,
        ecx7: all.ecx7 & ~offered.ecx7,
        edx7: all.edx7 & ~offered.edx7,
        extendedEcx: all.extendedEcx & ~offered.extendedEcx,
        extendedEdx: all.extendedEdx & ~offered.extendedEdx,
    };
}

const SYSCALL = 1 << 11;

/**
 * Tells KVM what CPUID is to answer. The bits that follow other state (OSXSAVE, APIC) KVM keeps itself.
 * @throws KvmError
 */
export function setCpuid(vcpu: number, cpu: Cpu): void {
    const leaves: (readonly [leaf: number, subleaf: number])[] = [];
    const add = (leaf: number): void => {
        for (let subleaf = 0; subleaf < (SUBLEAVES.get(leaf) ?? 1); subleaf++) leaves.push([leaf, subleaf]);
    };
    for (let leaf = 0; leaf <= MAX_BASIC; leaf++) add(leaf);
    if (cpu.options.hypervisor) add(HYPERVISOR_LEAF);
    for (let leaf = FIRST_EXTENDED; leaf <= LAST_EXTENDED; leaf++) add(leaf);

    const buffer = bufferOf(leaves.length);
    const { view } = buffer;
    leaves.forEach(([leaf, subleaf], index) => {
        const at = CpuidField.entries + index * Entry.size;
        const registers = [...cpuidLeaf(cpu, leaf, subleaf)];
        if (leaf === 0x80000001) {
            // The machine shows it in 64-bit mode only, KVM where the processor does.
            registers[3] |= SYSCALL & (cpu.options.features ?? ALL_FEATURES).extendedEdx;
        }
        view.setUint32(at + Entry.function, leaf, true);
        view.setUint32(at + Entry.index, subleaf, true);
        view.setUint32(at + Entry.flags, SUBLEAVES.has(leaf) ? SIGNIFICANT_INDEX : 0, true);
        registers.forEach((value, number) => view.setUint32(at + Entry.eax + number * 4, value, true));
    });
    ioctl(vcpu, Ioctl.SetCpuid2, buffer.address, `${leaves.length} CPUID leaves`);
}

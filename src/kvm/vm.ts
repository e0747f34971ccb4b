/** A virtual machine and its vCPUs: the file descriptors, and what is set up once. */
import type { GuestMemory } from '../machine/memory';
import { Ioctl, MsrExitReason, RUN_SIZE } from './abi';
import { KvmError, KvmUnavailableError } from './errors';
import { addressOf, closeDescriptor, ioctl, mapDescriptor, mapPlainMemory, NativeBuffer } from './libc';
import { type KvmCapabilities, openKvm } from './probe';
import { nativeMsrs } from './state-transfer';

/** Where the processor may keep three pages and a page table of its own, as QEMU's `pc` has them: below the BIOS. */
const IDENTITY_MAP = 0xfeffc000;
const TASK_STATE = 0xfeffd000;

const CAPABILITY_USER_SPACE_MSR = 188;

/** `kvm_enable_cap`. */
const ENABLE_CAP_SIZE = 0x68;
/** `kvm_msr_filter`. */
const enum FilterField {
    flags = 0,
    ranges = 8,
    size = 0x188,
}
/** `kvm_msr_filter_range`. */
const enum RangeField {
    flags = 0,
    count = 4,
    base = 8,
    bitmap = 16,
    size = 24,
}
const DEFAULT_DENY = 1;
const FILTER_READ_WRITE = 3;
const MOST_RANGES = 16;

export class KvmVm {
    readonly kvm: number;
    readonly fd: number;
    readonly capabilities: KvmCapabilities;
    /** Address of the shared memory in the host's address space. */
    readonly hostBase: number;
    /** MSRs that this KVM knows. */
    readonly msrs: ReadonlySet<number>;
    private readonly vcpus: { readonly fd: number; readonly run: number }[] = [];
    private open = true;

    /**
     * @throws KvmUnavailableError if KVM cannot be used here
     * @throws KvmError
     */
    constructor(memory: GuestMemory) {
        const { fd, capabilities } = openKvm();
        this.kvm = fd;
        this.capabilities = capabilities;
        this.hostBase = addressOf(memory.memory.buffer);
        try {
            this.fd = ioctl(fd, Ioctl.CreateVm);
        } catch (error) {
            closeDescriptor(fd);
            throw error;
        }
        try {
            this.msrs = new Set(listMsrs(fd));
            const identity = new NativeBuffer(8);
            identity.view.setBigUint64(0, BigInt(IDENTITY_MAP), true);
            ioctl(this.fd, Ioctl.SetIdentityMapAddr, identity.address);
            ioctl(this.fd, Ioctl.SetTssAddr, TASK_STATE);
            this.sendMsrsToUserSpace();
        } catch (error) {
            this.dispose();
            throw error;
        }
    }

    /**
     * Creates a vCPU and maps its `kvm_run` over pages of the shared memory.
     * @param run their address there; {@link RUN_SIZE} bytes
     * @throws KvmError
     */
    createVcpu(index: number, run: number): number {
        if (index >= this.capabilities.maxVcpus) {
            throw new KvmUnavailableError(
                `KVM gives a machine at most ${this.capabilities.maxVcpus} vCPUs: vCPU ${index} is one too many`,
            );
        }
        const fd = ioctl(this.fd, Ioctl.CreateVcpu, index, `vCPU ${index}`);
        const size = ioctl(this.kvm, Ioctl.GetVcpuMmapSize);
        if (size > RUN_SIZE) {
            closeDescriptor(fd);
            throw new KvmUnavailableError(`this kernel's kvm_run has ${size} bytes; there is room for ${RUN_SIZE}`);
        }
        try {
            mapDescriptor(this.hostBase + run, size, fd, `kvm_run of vCPU ${index}`);
        } catch (error) {
            closeDescriptor(fd);
            throw error;
        }
        this.vcpus.push({ fd, run });
        return fd;
    }

    /** The memory keeps what it holds. */
    dispose(): void {
        if (!this.open) {
            return;
        }
        this.open = false;
        for (const { fd, run } of this.vcpus) {
            // The pages must stay readable: they are part of the shared memory.
            mapPlainMemory(this.hostBase + run, RUN_SIZE, 'the pages of kvm_run');
            closeDescriptor(fd);
        }
        closeDescriptor(this.fd);
        closeDescriptor(this.kvm);
    }

    /** Every MSR that the guest may not reach by itself comes to the machine's own table, as on the translator. */
    private sendMsrsToUserSpace(): void {
        const enable = new NativeBuffer(ENABLE_CAP_SIZE);
        enable.view.setUint32(0, CAPABILITY_USER_SPACE_MSR, true);
        enable.view.setBigUint64(8, BigInt(MsrExitReason.Invalid | MsrExitReason.Unknown | MsrExitReason.Filter), true);
        ioctl(this.fd, Ioctl.EnableCap, enable.address, 'KVM_CAP_X86_USER_SPACE_MSR');

        const ranges = rangesOf(nativeMsrs(this.msrs));
        if (ranges.length > MOST_RANGES) {
            throw new KvmError('KVM_X86_SET_MSR_FILTER', 7);
        }
        const filter = new NativeBuffer(FilterField.size);
        const bitmaps = new NativeBuffer(8 * MOST_RANGES);
        filter.view.setUint32(FilterField.flags, DEFAULT_DENY, true);
        ranges.forEach(({ base, count }, index) => {
            const at = FilterField.ranges + index * RangeField.size;
            filter.view.setUint32(at + RangeField.flags, FILTER_READ_WRITE, true);
            filter.view.setUint32(at + RangeField.count, count, true);
            filter.view.setUint32(at + RangeField.base, base, true);
            filter.view.setBigUint64(at + RangeField.bitmap, BigInt(bitmaps.address + index * 8), true);
            bitmaps.view.setBigUint64(index * 8, (1n << BigInt(count)) - 1n, true);
        });
        ioctl(this.fd, Ioctl.SetMsrFilter, filter.address);
    }
}

function listMsrs(kvm: number): number[] {
    const most = 1024;
    const list = new NativeBuffer(4 + most * 4);
    list.view.setUint32(0, most, true);
    ioctl(kvm, Ioctl.GetMsrIndexList, list.address);
    return Array.from({ length: list.view.getUint32(0, true) }, (_, index) => list.view.getUint32(4 + index * 4, true));
}

/** Runs of adjacent numbers, of at most 64. */
function rangesOf(numbers: readonly number[]): { readonly base: number; readonly count: number }[] {
    const ranges: { base: number; count: number }[] = [];
    for (const number of [...numbers].sort((a, b) => a - b)) {
        const last = ranges.at(-1);
        if (last !== undefined && number === last.base + last.count && last.count < 64) {
            last.count++;
        } else {
            ranges.push({ base: number, count: 1 });
        }
    }
    return ranges;
}

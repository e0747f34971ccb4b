/**
 * What this host's KVM does with debug registers, SYSCALL and CPUID, tried with guests of two instructions: KVM that has no
 * hardware beneath it may take debug registers over and never look at them, may enter the kernel at CPL 3, and may have user
 * code see the host's processor.
 */
import { readFileSync } from 'node:fs';
import {
    ExitReason,
    GuestDebug,
    GuestDebugField,
    Ioctl,
    MsrEntry,
    MsrField,
    RegsOffset,
    RunOffset,
    SegmentField,
    SregsOffset,
} from './abi';
import { KvmError, KvmUnavailableError } from './errors';
import { hostNanoseconds } from './guest-time';
import { closeDescriptor, ioctl, mapDescriptor, mapPlainMemory, NativeBuffer, rawIoctl, ThreadAlarm } from './libc';
import { openKvm } from './probe';

/** Whether this host's KVM has no VT-x or AMD-V beneath it: it emulates the guest, and is slower than the translator. */
export function isEmulated(): boolean {
    try {
        const flags = /^flags\s*:(.*)$/m.exec(readFileSync('/proc/cpuinfo', 'latin1'))?.[1] ?? '';
        return !/\b(?:vmx|svm)\b/.test(flags);
    } catch {
        return false;
    }
}

export interface HostAbilities {
    /** Breakpoints on execution stop the guest at CPL 0: they always should. */
    readonly kernelCode: boolean;
    /** Data breakpoints stop the guest. */
    readonly data: boolean;
    /** Breakpoints on execution stop the guest also at CPL 3. */
    readonly userCode: boolean;
    /** SYSCALL of 64-bit code leads to CPL 0. */
    readonly syscall: boolean;
    /** CPUID at CPL 3 tells what KVM was told to tell, not what the host's processor is. */
    readonly userCpuid: boolean;
}

const NONE: HostAbilities = { kernelCode: false, data: false, userCode: false, syscall: false, userCpuid: true };

let abilities: HostAbilities | undefined;

/** Tries once; a host on which the trial itself fails has none of them, and nothing is said of its CPUID. */
export function hostAbilities(): HostAbilities {
    abilities ??= tryAbilities();
    return abilities;
}

/** The guest's memory: three tables that map it to itself, code, data. */
const enum Place {
    pml4 = 0x1000,
    pdpt = 0x2000,
    pageDirectory = 0x3000,
    store = 0x4000,
    kernelCode = 0x4100,
    userCode = 0x4200,
    systemCall = 0x4300,
    systemCallEntry = 0x4400,
    cpuid = 0x4500,
    data = 0x5000,
    size = 0x6000,
}

const PAGE = 0x1000;
const PRESENT_WRITABLE_USER = 7;
const LARGE = 0x80;
/** mov [0x5000], eax; hlt */
const STORE = [0x89, 0x04, 0x25, 0x00, 0x50, 0x00, 0x00, 0xf4];
/** nop; nop; hlt, which is a triple fault at CPL 3 */
const NOTHING = [0x90, 0x90, 0xf4];
const SYSCALL = [0x0f, 0x05];
/** cpuid; hlt, which is a triple fault at CPL 3 */
const CPUID = [0x0f, 0xa2, 0xf4];
/** hlt, which is a triple fault at CPL 3 */
const HALT = [0xf4];
const CR0 = 0x80010033; // PG, WP, NE, ET, MP, PE
const CR4_PAE = 0x20;
const EFER_LONG = 0x501; // LMA, LME, SCE
const MSR_STAR = 0xc0000081;
const MSR_LSTAR = 0xc0000082;
/** SYSCALL takes CS 8 and SS 16. */
const STAR = 8n << 32n;
/** DR7: breakpoint 0, global; a write of four bytes, or execution. */
const WRITE = 0x000d0402;
const EXECUTION = 0x00000402;
/** A guest of two instructions that takes longer has gone astray. */
const LONGEST_RUN = 500e6;

function tryAbilities(): HostAbilities {
    const descriptors: number[] = [];
    let run: AlignedMemory | undefined;
    let alarm: ThreadAlarm | undefined;
    try {
        const { fd: kvm } = openKvm();
        descriptors.push(kvm);
        const vm = ioctl(kvm, Ioctl.CreateVm);
        descriptors.push(vm);
        const memory = alignedMemory(Place.size);
        layOut(memory.view);
        const region = new NativeBuffer(32);
        region.view.setBigUint64(16, BigInt(Place.size), true);
        region.view.setBigUint64(24, BigInt(memory.address), true);
        ioctl(vm, Ioctl.SetUserMemoryRegion, region.address, 'memory of a trial');
        const vcpu = ioctl(vm, Ioctl.CreateVcpu, 0);
        descriptors.push(vcpu);
        run = alignedMemory(ioctl(kvm, Ioctl.GetVcpuMmapSize));
        mapDescriptor(run.address, run.size, vcpu, 'kvm_run of a trial');
        alarm = new ThreadAlarm();
        alarm.letInterrupt(vcpu);
        const { view } = run;
        const ring = alarm;
        const tries = (trial: Trial): boolean => exitOf(vcpu, view, ring, trial) === ExitReason.Debug;
        setSystemCallMsrs(vcpu);
        return {
            kernelCode: tries({ rip: Place.kernelCode, cpl: 0, breakpoint: Place.kernelCode + 1, dr7: EXECUTION }),
            data: tries({ rip: Place.store, cpl: 0, breakpoint: Place.data, dr7: WRITE }),
            syscall: exitOf(vcpu, view, ring, { rip: Place.systemCall, cpl: 3 }) === ExitReason.Hlt,
            userCpuid: !seesHost(vcpu, view, ring),
            userCode: tries({ rip: Place.userCode, cpl: 3, breakpoint: Place.userCode + 1, dr7: EXECUTION }),
        };
    } catch (error) {
        if (!(error instanceof KvmError) && !(error instanceof KvmUnavailableError)) throw error;
        return NONE;
    } finally {
        alarm?.dispose();
        if (run !== undefined) {
            mapPlainMemory(run.address, run.size, 'the pages of kvm_run');
        }
        descriptors.reverse().forEach(closeDescriptor);
    }
}

interface Trial {
    readonly rip: number;
    readonly cpl: number;
    readonly breakpoint?: number;
    readonly dr7?: number;
}

/** What the guest comes back for; undefined if it does not. @throws KvmError */
function exitOf(vcpu: number, run: DataView, alarm: ThreadAlarm, trial: Trial): number | undefined {
    const { rip, cpl, breakpoint, dr7 } = trial;
    setRegisters(vcpu, rip, cpl);
    const debug = new NativeBuffer(GuestDebugField.size);
    if (breakpoint !== undefined && dr7 !== undefined) {
        debug.view.setUint32(0, GuestDebug.Enable | GuestDebug.HardwareBreakpoints, true);
        debug.view.setBigUint64(GuestDebugField.dr0, BigInt(breakpoint), true);
        debug.view.setBigUint64(GuestDebugField.dr7, BigInt(dr7), true);
    }
    ioctl(vcpu, Ioctl.SetGuestDebug, debug.address);
    const end = hostNanoseconds() + LONGEST_RUN;
    do {
        alarm.set(LONGEST_RUN);
        if (rawIoctl(vcpu, Ioctl.Run, 0) === 0) {
            return run.getUint32(RunOffset.exitReason, true);
        }
        // The signal may be one that an engine's alarm has left behind.
        alarm.consume();
    } while (hostNanoseconds() < end);
    return undefined;
}

/** Whether CPUID of user code answers although KVM has been told no leaf: leaf 0 names the maker in EBX. @throws KvmError */
function seesHost(vcpu: number, run: DataView, alarm: ThreadAlarm): boolean {
    exitOf(vcpu, run, alarm, { rip: Place.cpuid, cpl: 3 });
    const general = new NativeBuffer(RegsOffset.size);
    ioctl(vcpu, Ioctl.GetRegs, general.address);
    return general.view.getUint32(RegsOffset.rbx, true) !== 0;
}

interface AlignedMemory {
    readonly view: DataView;
    readonly address: number;
    readonly size: number;
}

/** Whole pages, for the kernel to map. */
function alignedMemory(size: number): AlignedMemory {
    const buffer = new NativeBuffer(size + PAGE);
    const offset = (PAGE - (buffer.address % PAGE)) % PAGE;
    return { view: new DataView(buffer.bytes.buffer, offset, size), address: buffer.address + offset, size };
}

function layOut(view: DataView): void {
    view.setUint32(Place.pml4, Place.pdpt | PRESENT_WRITABLE_USER, true);
    view.setUint32(Place.pdpt, Place.pageDirectory | PRESENT_WRITABLE_USER, true);
    view.setUint32(Place.pageDirectory, LARGE | PRESENT_WRITABLE_USER, true);
    const put = (at: number, code: readonly number[]): void =>
        code.forEach((byte, index) => view.setUint8(at + index, byte));
    put(Place.store, STORE);
    put(Place.kernelCode, NOTHING);
    put(Place.userCode, NOTHING);
    put(Place.systemCall, SYSCALL);
    put(Place.systemCallEntry, HALT);
    put(Place.cpuid, CPUID);
}

/** @throws KvmError */
function setSystemCallMsrs(vcpu: number): void {
    const values = [
        [MSR_STAR, STAR],
        [MSR_LSTAR, BigInt(Place.systemCallEntry)],
    ] as const;
    const msrs = new NativeBuffer(MsrField.entries + values.length * MsrEntry.size);
    msrs.view.setUint32(MsrField.count, values.length, true);
    values.forEach(([index, value], number) => {
        const at = MsrField.entries + number * MsrEntry.size;
        msrs.view.setUint32(at + MsrEntry.index, index, true);
        msrs.view.setBigUint64(at + MsrEntry.data, value, true);
    });
    if (ioctl(vcpu, Ioctl.SetMsrs, msrs.address) < values.length) {
        throw new KvmError('KVM_SET_MSRS', 22, 'MSRs of a trial');
    }
}

/** 64-bit mode at a privilege level, as reset left everything else. @throws KvmError */
function setRegisters(vcpu: number, rip: number, cpl: number): void {
    const system = new NativeBuffer(SregsOffset.size);
    ioctl(vcpu, Ioctl.GetSregs, system.address);
    const { view } = system;
    view.setBigUint64(SregsOffset.cr0, BigInt(CR0), true);
    view.setBigUint64(SregsOffset.cr3, BigInt(Place.pml4), true);
    view.setBigUint64(SregsOffset.cr4, BigInt(CR4_PAE), true);
    view.setBigUint64(SregsOffset.efer, BigInt(EFER_LONG), true);
    // CS, DS, ES, FS, GS, SS.
    for (let index = 0; index < 6; index++) {
        const at = index * SegmentField.size;
        const isCode = index === 0;
        view.setBigUint64(at + SegmentField.base, 0n, true);
        view.setUint32(at + SegmentField.limit, 0xffffffff, true);
        view.setUint16(at + SegmentField.selector, (isCode ? 8 : 16) | cpl, true);
        view.setUint8(at + SegmentField.type, isCode ? 11 : 3);
        view.setUint8(at + SegmentField.present, 1);
        view.setUint8(at + SegmentField.dpl, cpl);
        view.setUint8(at + SegmentField.db, isCode ? 0 : 1);
        view.setUint8(at + SegmentField.s, 1);
        view.setUint8(at + SegmentField.l, isCode ? 1 : 0);
        view.setUint8(at + SegmentField.g, 1);
    }
    ioctl(vcpu, Ioctl.SetSregs, system.address, 'registers of a trial');
    const general = new NativeBuffer(RegsOffset.size);
    general.view.setBigUint64(RegsOffset.rip, BigInt(rip), true);
    general.view.setBigUint64(RegsOffset.rflags, 2n, true);
    ioctl(vcpu, Ioctl.SetRegs, general.address, 'registers of a trial');
}

/** One vCPU of a machine on KVM: its file descriptor, its `kvm_run` page, and which copy of its state is current. */
import type { Cpu } from '../machine/cpu/cpu';
import type { Processor } from '../machine/processor';
import { StateOffset } from '../machine/state';
import { EventField, GuestDebug, GuestDebugField, Ioctl, RunOffset, SyncRegisters } from './abi';
import { setCpuid } from './cpuid';
import { EAGAIN, EINTR, KvmError } from './errors';
import { type CommonTsc, TimeStampCounter } from './guest-time';
import { ioctl, lastErrno, NativeBuffer, rawIoctl, type ThreadAlarm } from './libc';
import { StateTransfer } from './state-transfer';
import type { VcpuThread } from './vcpu-thread';
import type { KvmVm } from './vm';

/** What the debugger wants of KVM_SET_GUEST_DEBUG. */
export interface DebugSetting {
    readonly control: number;
    /** DR0–DR3 and DR7, with `GuestDebug.HardwareBreakpoints`. */
    readonly addresses: readonly bigint[];
    readonly dr7: number;
}

export const NO_DEBUG: DebugSetting = { control: 0, addresses: [], dr7: 0 };

/** CPUID.1:ECX.XSAVE. */
const XSAVE_BIT = 26;

export class KvmVcpu {
    readonly fd: number;
    readonly cpu: Cpu;
    readonly transfer: StateTransfer;
    readonly tsc: TimeStampCounter;
    readonly view: DataView;
    /** Address of the `kvm_run` page in the shared memory. */
    readonly run: number;
    private readonly bytes: Uint8Array;
    /** The state area is newer than what KVM has of the shared registers. */
    private stale = true;
    /** KVM's copy of x87, SSE, debug registers and MSRs is the current one. */
    private restInKvm = false;
    private debug: DebugSetting = NO_DEBUG;
    private readonly debugRequest = new NativeBuffer(GuestDebugField.size);
    private readonly vector = new NativeBuffer(16);
    /** An access that user space has answered waits for the next KVM_RUN to be finished. */
    private unfinished = false;
    private stepped = false;
    /** {@link load} had put down registers when the vCPU was entered. */
    private given = false;
    /** CR8 when the vCPU was entered. */
    givenPriority = 0;
    /** Executes KVM_RUN: always the same, since the kernel takes long to notice another one. Without it, the machine's own. */
    thread: VcpuThread | undefined;

    /** @throws KvmError */
    constructor(
        vm: KvmVm,
        readonly processor: Processor,
        run: number,
        alarm: ThreadAlarm,
        tsc: CommonTsc,
    ) {
        const { cpu, index } = processor;
        this.cpu = cpu;
        this.run = run;
        this.fd = vm.createVcpu(index, run);
        this.view = new DataView(cpu.buffer);
        this.bytes = new Uint8Array(cpu.buffer);
        const { capabilities } = vm;
        setCpuid(this.fd, cpu);
        this.transfer = new StateTransfer(this.fd, cpu, run, vm.hostBase + run, vm.msrs, {
            xcr0: capabilities.xcrs && hasXsave(cpu),
            sregs2: capabilities.sregs2,
        });
        this.tsc = new TimeStampCounter(this.fd, tsc, capabilities.tscControl);
        alarm.letInterrupt(this.fd);
        this.view.setBigUint64(run + RunOffset.validRegisters, BigInt(SyncRegisters.All), true);
    }

    // ---- state ---------------------------------------------------------------------------------------------------

    /** Registers were changed in the shared memory. */
    markChanged(): void {
        this.stale = true;
    }

    /** All of the state in the shared memory counts: another engine ran, or the debugger had its way. */
    takeBack(): void {
        this.stale = true;
        this.restInKvm = false;
    }

    get holdsRest(): boolean {
        return this.restInKvm;
    }

    get isStale(): boolean {
        return this.stale;
    }

    /** Hands KVM what has changed. @throws KvmError */
    load(): void {
        if (!this.restInKvm) {
            this.transfer.loadRest();
            this.restInKvm = true;
            this.stale = true;
        }
        if (this.stale) {
            this.transfer.loadShared();
            this.view.setBigUint64(this.run + RunOffset.dirtyRegisters, BigInt(SyncRegisters.All), true);
            this.stale = false;
        }
    }

    /** Copies what the last KVM_RUN left. */
    saveShared(): void {
        if (!this.stale) {
            this.transfer.saveShared(this.cpu.hooks.retired());
        }
    }

    /** The same for what only requests to KVM reach. @throws KvmError */
    saveRest(): void {
        if (this.restInKvm) {
            this.transfer.saveRest();
            this.restInKvm = false;
        }
    }

    // ---- running -------------------------------------------------------------------------------------------------

    /**
     * KVM_RUN.
     * @param immediate come back as soon as what is unfinished has been finished
     * @returns 0 for an exit, or EINTR
     * @throws KvmError
     */
    enter(immediate: boolean): number {
        this.beginEntry(immediate);
        const { thread } = this;
        if (thread === undefined) {
            return this.endEntry(rawIoctl(this.fd, Ioctl.Run, 0) === 0 ? 0 : lastErrno());
        }
        thread.start();
        thread.finish();
        return this.endEntry(thread.errno);
    }

    /** Has the vCPU's thread execute KVM_RUN; {@link leave} follows when that is done. */
    start(): void {
        this.beginEntry(false);
        this.thread!.start();
    }

    /** Makes the KVM_RUN that {@link start} has begun come back, also where the thread has yet to get to it. */
    interrupt(): void {
        // A thread that is about to enter the guest takes old signals back, and this one with them: KVM looks here after that.
        this.bytes[this.run + RunOffset.immediateExit] = 1;
        this.thread!.interrupt();
    }

    /** As {@link enter} does, once the thread is done. @throws KvmError */
    leave(): number {
        return this.endEntry(this.thread!.errno);
    }

    private beginEntry(immediate: boolean): void {
        const { run } = this;
        this.bytes[run + RunOffset.immediateExit] = immediate ? 1 : 0;
        this.unfinished = false;
        const steps = (this.debug.control & GuestDebug.SingleStep) !== 0;
        this.stepped = steps || (immediate && this.stepped);
        this.given = this.hasUnreadRegisters;
    }

    private endEntry(errno: number): number {
        const { run, view } = this;
        if (errno === 0) {
            return 0;
        }
        if (errno === EINTR || errno === EAGAIN) {
            return EINTR;
        }
        // Where it was not the registers that KVM has refused, the guest may have executed with them.
        const isRefused = this.given && this.hasUnreadRegisters;
        view.setBigUint64(run + RunOffset.dirtyRegisters, 0n, true);
        if (isRefused) {
            // KVM has written what it has over what it was given.
            this.stale = true;
            this.transfer.loadShared();
            this.transfer.explainRefusal();
        }
        throw new KvmError('KVM_RUN', errno, `vCPU ${this.processor.index}`);
    }

    /** {@link load} has put down registers that no KVM_RUN has taken over yet. */
    get hasUnreadRegisters(): boolean {
        return this.view.getUint32(this.run + RunOffset.dirtyRegisters, true) !== 0;
    }

    /** It was the debugger's step that the vCPU has executed last: a #DB on its way may be that step's. */
    get hasStepped(): boolean {
        return this.stepped;
    }

    get isUnfinished(): boolean {
        return this.unfinished;
    }

    markUnfinished(): void {
        this.unfinished = true;
    }

    get exitReason(): number {
        return this.view.getUint32(this.run + RunOffset.exitReason, true);
    }

    get readyForInterrupt(): boolean {
        return this.bytes[this.run + RunOffset.readyForInterrupt] !== 0;
    }

    set wantsInterruptWindow(wanted: boolean) {
        this.bytes[this.run + RunOffset.requestInterruptWindow] = wanted ? 1 : 0;
    }

    get wantsInterruptWindow(): boolean {
        return this.bytes[this.run + RunOffset.requestInterruptWindow] !== 0;
    }

    get taskPriority(): number {
        return this.bytes[this.run + RunOffset.cr8] & 0xf;
    }

    set taskPriority(value: number) {
        this.view.setBigUint64(this.run + RunOffset.cr8, BigInt(value), true);
    }

    /** @throws KvmError */
    injectInterrupt(vector: number): void {
        if (this.hasUnreadRegisters) {
            // What is about to be taken over includes the events.
            const at = this.run + RunOffset.events;
            this.bytes[at + EventField.interruptInjected] = 1;
            this.bytes[at + EventField.interruptNumber] = vector;
            return;
        }
        this.vector.view.setUint32(0, vector, true);
        ioctl(this.fd, Ioctl.Interrupt, this.vector.address, `vector ${vector}`);
    }

    /** @throws KvmError */
    injectNmi(): void {
        if (this.hasUnreadRegisters) {
            this.bytes[this.run + RunOffset.events + EventField.nmiPending] = 1;
            return;
        }
        ioctl(this.fd, Ioctl.Nmi);
    }

    // ---- debugging -----------------------------------------------------------------------------------------------

    /**
     * KVM_SET_GUEST_DEBUG, if it differs from what is set. Registers that wait to be taken over must have been: KVM
     * notes where a step begins.
     * @throws KvmError
     */
    setDebug(setting: DebugSetting, again = false): void {
        if (!again && sameDebug(setting, this.debug)) {
            return;
        }
        const { view, address } = this.debugRequest.clear();
        view.setUint32(0, setting.control, true);
        setting.addresses.forEach((value, index) => view.setBigUint64(GuestDebugField.dr0 + index * 8, value, true));
        view.setBigUint64(GuestDebugField.dr7, BigInt(setting.dr7 >>> 0), true);
        ioctl(this.fd, Ioctl.SetGuestDebug, address);
        this.debug = setting;
    }

    get debugSetting(): DebugSetting {
        return this.debug;
    }
}

function hasXsave(cpu: Cpu): boolean {
    // What CPUID offers decides whether the guest can ever change XCR0.
    return cpu.options.features === undefined || (cpu.options.features.ecx1 & (1 << XSAVE_BIT)) !== 0;
}

function sameDebug(a: DebugSetting, b: DebugSetting): boolean {
    return (
        a.control === b.control &&
        a.dr7 === b.dr7 &&
        a.addresses.length === b.addresses.length &&
        a.addresses.every((address, index) => address === b.addresses[index])
    );
}

/** Instructions (here: ticks) that a vCPU has run, as a number. */
export function instructionsOf(cpu: Cpu): number {
    return cpu.lo(StateOffset.instructions) + cpu.hi(StateOffset.instructions) * 0x100000000;
}

export function addInstructions(cpu: Cpu, count: number): void {
    const total = instructionsOf(cpu) + count;
    cpu.set(StateOffset.instructions, total % 0x100000000, Math.floor(total / 0x100000000));
}

/** Linear address of the next instruction. */
export function linearRip(cpu: Cpu): bigint {
    if (cpu.code64) {
        return (BigInt(cpu.ripHi) << 32n) | BigInt(cpu.ripLo);
    }
    return BigInt((cpu.segmentBase(1) + cpu.ripLo) >>> 0);
}

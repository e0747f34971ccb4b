/**
 * Time on KVM: a virtual nanosecond is a tick of the guest's own TSC. Where the host can scale it, that is a real one;
 * elsewhere virtual time runs as fast as the host's TSC counts. Either way the guest's clocks agree with each other, and
 * a machine that moves between engines keeps one time.
 *
 * The engine adds the ticks that pass to the instructions that its vCPUs "retired": this is what drives the machine's
 * clock. While the guest does not run, time stands still; the few microseconds between two slices count.
 */
import { performance } from 'node:perf_hooks';
import type { Cpu } from '../machine/cpu/cpu';
import { StateOffset } from '../machine/state';
import { Ioctl } from './abi';
import { ioctl, NativeBuffer, rawIoctl } from './libc';

/** The machine's TSC counts at 1 GHz. */
const TSC_KHZ = 1_000_000;

/** Longer than this outside of the guest, host nanoseconds, is a stop: it does not count. */
const LONGEST_PAUSE = 200_000;

/** How far the guest's TSC may be off, in ticks, before it is set again. */
const TOLERANCE = 20_000;
/** How far it may be off right after it has been set, in ticks: the host may have been busy elsewhere. */
const FARTHEST = 100e6;
/** The host's clock and its TSC drift apart: look again after so many host nanoseconds. */
const RESYNCHRONIZE_AFTER = 50e6;

/** KVM_VCPU_TSC_CTRL and KVM_VCPU_TSC_OFFSET are both 0: a `kvm_device_attr` that names the TSC's offset. */
const ATTRIBUTE_SIZE = 24;
const MSR_TSC = 0x10;

export function hostNanoseconds(): number {
    return performance.now() * 1e6;
}

/** Host time turned into ticks, for all vCPUs of a machine. */
export class GuestTime {
    /** Host time up to which ticks have been counted. */
    private counted = 0;

    constructor(readonly ticksPerNanosecond: number) {}

    /** The guest is about to run: the time since it ran last counts if that was a moment ago. Returns ticks. */
    resume(): number {
        const now = hostNanoseconds();
        if (now - this.counted > LONGEST_PAUSE) {
            this.counted = now;
            return 0;
        }
        return this.take(now);
    }

    /** Ticks since the last call. */
    advance(): number {
        return this.take(hostNanoseconds());
    }

    /** Host nanoseconds that so many ticks take. */
    hostTime(ticks: number): number {
        return ticks / this.ticksPerNanosecond;
    }

    private take(now: number): number {
        const ticks = Math.floor((now - this.counted) * this.ticksPerNanosecond);
        this.counted += ticks / this.ticksPerNanosecond;
        return Math.max(0, ticks);
    }
}

/** The TSC of one vCPU. */
export class TimeStampCounter {
    readonly ticksPerNanosecond: number;
    private readonly msr = new NativeBuffer(24);
    private readonly attribute = new NativeBuffer(ATTRIBUTE_SIZE + 8);
    private readonly hasOffset: boolean;
    /** KVM does as if it set the TSC, and the guest goes on to read the host's. Found out when it is first set. */
    private fixed: boolean | undefined;
    /** What the TSC was at {@link at} in host nanoseconds. */
    private value = 0;
    private at = -Infinity;
    /** The most that the guest can have read. */
    private seen = 0;

    constructor(
        private readonly vcpu: number,
        scalable: boolean,
    ) {
        if (scalable) {
            // Refused where the frequency is out of the processor's range: then it stays the host's.
            rawIoctl(vcpu, Ioctl.SetTscKhz, TSC_KHZ);
        }
        const khz = rawIoctl(vcpu, Ioctl.GetTscKhz, 0);
        this.ticksPerNanosecond = khz > 0 ? khz / 1e6 : 1;
        this.msr.view.setUint32(0, 1, true);
        this.msr.view.setUint32(8, MSR_TSC, true);
        this.attribute.view.setBigUint64(16, BigInt(this.attribute.address + ATTRIBUTE_SIZE), true);
        this.hasOffset = rawIoctl(vcpu, Ioctl.HasDeviceAttr, this.attribute.address) === 0;
    }

    /**
     * Makes the guest's TSC what the machine's clock says it is, unless it is near that already. Where that has no effect,
     * the machine takes over the TSC that the guest reads.
     * @param force the guest or the clock has moved it
     * @throws KvmError
     */
    align(cpu: Cpu, force: boolean): void {
        if (this.fixed === true) {
            this.follow(cpu);
            return;
        }
        const now = hostNanoseconds();
        // It must not go back in the guest's eyes.
        const wanted = Math.max(cpu.hooks.tsc(), this.seen);
        const expected = this.value + (now - this.at) * this.ticksPerNanosecond;
        if (!force && Math.abs(wanted - expected) < TOLERANCE && now - this.at < RESYNCHRONIZE_AFTER) {
            return;
        }
        this.set(BigInt.asUintN(64, BigInt(wanted) + cpu.get64(StateOffset.tscOffset)));
        this.value = wanted;
        this.at = now;
        this.fixed ??= Math.abs(this.machineValue(cpu) - wanted) > FARTHEST;
        if (this.fixed) this.follow(cpu);
    }

    private follow(cpu: Cpu): void {
        const value = this.machineValue(cpu);
        const ahead = value - cpu.hooks.tsc();
        // It must not go back in the guest's eyes.
        if ((ahead > 0 || ahead < -TOLERANCE) && value <= Number.MAX_SAFE_INTEGER) {
            cpu.hooks.moveTsc(value);
        }
    }

    /** What the guest's TSC makes the machine's. @throws KvmError */
    private machineValue(cpu: Cpu): number {
        return Number(BigInt.asUintN(64, this.read() - cpu.get64(StateOffset.tscOffset)));
    }

    /** The guest has been left. */
    left(cpu: Cpu): void {
        if (this.fixed === true) this.follow(cpu);
        this.seen = Math.floor(this.value + (hostNanoseconds() - this.at) * this.ticksPerNanosecond);
    }

    /** The machine was reset or restored: its clock may be anywhere. */
    forget(): void {
        this.seen = 0;
        this.at = -Infinity;
    }

    /** The TSC as the guest would read it now. @throws KvmError */
    read(): bigint {
        ioctl(this.vcpu, Ioctl.GetMsrs, this.msr.address);
        return this.msr.view.getBigUint64(16, true);
    }

    private set(value: bigint): void {
        if (!this.hasOffset) {
            this.msr.view.setBigUint64(16, value, true);
            ioctl(this.vcpu, Ioctl.SetMsrs, this.msr.address);
            return;
        }
        const { view, address } = this.attribute;
        ioctl(this.vcpu, Ioctl.GetDeviceAttr, address);
        const offset = view.getBigUint64(ATTRIBUTE_SIZE, true);
        view.setBigUint64(ATTRIBUTE_SIZE, BigInt.asUintN(64, offset + value - this.read()), true);
        ioctl(this.vcpu, Ioctl.SetDeviceAttr, address, 'the offset of the TSC');
    }
}

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

/** What the TSCs of a machine have in common: they run together, however far the guest has moved each. */
export class CommonTsc {
    /** KVM does as if it set the TSC, and the guest goes on to read the host's. Found out when it is first set. */
    fixed: boolean | undefined;
    /** What the TSC was at {@link at} in host nanoseconds, without what the guest has added. */
    value = 0;
    at = -Infinity;
    /** The most that the guest can have read. */
    seen = 0;
    /** How far it is ahead of the host's TSC, as KVM counts that; modulo 2^64. */
    lead: bigint | undefined;
}

/** The TSC of one vCPU. */
export class TimeStampCounter {
    readonly ticksPerNanosecond: number;
    private readonly msr = new NativeBuffer(24);
    private readonly attribute = new NativeBuffer(ATTRIBUTE_SIZE + 8);
    private readonly hasOffset: boolean;
    /** What {@link set} has made it. */
    private offset: bigint | undefined;
    /** {@link CommonTsc.at} when it was set last. */
    private setAt = -Infinity;

    constructor(
        private readonly vcpu: number,
        private readonly common: CommonTsc,
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
        const { common } = this;
        if (common.fixed === true) {
            this.follow(cpu);
            return;
        }
        const now = hostNanoseconds();
        // It must not go back in the guest's eyes.
        const wanted = Math.max(cpu.hooks.tsc(), common.seen);
        const expected = common.value + (now - common.at) * this.ticksPerNanosecond;
        if (!force && Math.abs(wanted - expected) < TOLERANCE && now - common.at < RESYNCHRONIZE_AFTER) {
            this.joinOthers(cpu);
            return;
        }
        this.set(BigInt.asUintN(64, BigInt(wanted) + cpu.get64(StateOffset.tscOffset)));
        if (this.offset !== undefined) {
            common.lead = BigInt.asUintN(64, this.offset - cpu.get64(StateOffset.tscOffset));
        }
        common.value = wanted;
        common.at = now;
        this.setAt = now;
        common.fixed ??= Math.abs(this.machineValue(cpu) - wanted) > FARTHEST;
        if (common.fixed) this.follow(cpu);
    }

    /**
     * Makes the TSC run together with those of vCPUs that may be in the guest already.
     * @param guestMoved the guest has moved this one
     * @throws KvmError
     */
    join(cpu: Cpu, guestMoved = false): void {
        if (this.common.fixed === true) {
            this.follow(cpu);
        } else if (this.common.at === -Infinity) {
            this.align(cpu, true);
        } else {
            this.joinOthers(cpu, guestMoved);
        }
    }

    private joinOthers(cpu: Cpu, guestMoved = false): void {
        const { common } = this;
        const ahead = cpu.get64(StateOffset.tscOffset);
        if (this.hasOffset && common.lead !== undefined) {
            const offset = BigInt.asUintN(64, common.lead + ahead);
            if (offset !== this.offset) this.setOffset(offset);
        } else if (guestMoved || this.setAt !== common.at) {
            // KVM makes TSCs that are set to nearly the same run together.
            const now = common.value + (hostNanoseconds() - common.at) * this.ticksPerNanosecond;
            this.set(BigInt.asUintN(64, BigInt(Math.floor(now)) + ahead));
            this.setAt = common.at;
        }
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
        const { common } = this;
        if (common.fixed === true) this.follow(cpu);
        common.seen = Math.floor(common.value + (hostNanoseconds() - common.at) * this.ticksPerNanosecond);
    }

    /** The machine was reset or restored: its clock may be anywhere. */
    forget(): void {
        this.common.seen = 0;
        this.common.at = -Infinity;
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
        this.setOffset(BigInt.asUintN(64, offset + value - this.read()));
    }

    private setOffset(offset: bigint): void {
        const { view, address } = this.attribute;
        view.setBigUint64(ATTRIBUTE_SIZE, offset, true);
        ioctl(this.vcpu, Ioctl.SetDeviceAttr, address, 'the offset of the TSC');
        this.offset = offset;
    }
}

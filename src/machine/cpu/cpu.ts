import { Segment } from '../../isa/x86/instruction';
import type { StateRecord } from '../../devices/device';
import {
    ActivityState,
    CpuArea,
    Flag,
    MmuMode,
    ModeKey,
    SegmentAttribute,
    SegmentOffset,
    segmentOffset,
    StateOffset,
    Tlb,
} from '../state';
import { type AccessHooks, LinearMemory } from './access';
import { watchesCode, watchesData } from './breakpoints';
import { saveCpu, restoreCpu } from './cpu-record';
import type { FeatureWords } from './cpuid';
import { Cr0, Cr4, CpuState, Efer } from './cpu-state';
import { readRflags, storeRflags } from './flags';
import type { ShutdownReport } from './interrupts';
import { Mmu } from './paging';
import { type PhysicalMemory, PhysicalPort } from './physical';
import type { CpuObserver } from '../observation/cpu-observer';
import { initialize, powerOn, startUp } from './reset';

/** The local APIC of this vCPU, as far as the processor itself talks to it. */
export interface ApicPort {
    /** Task priority register, 8 bits; CR8 is its upper nibble (SDM Vol. 3, 10.8.6). */
    readTaskPriority(): number;
    writeTaskPriority(value: number): void;
    /**
     * Reads x2APIC register `register` = MSR address − 800h (SDM Vol. 3, table 10-6): the doubleword that `high`
     * chooses (only ICR has a high one), unsigned, or -1 if there is no such register or it cannot be read: #GP.
     */
    readX2apic(register: number, high: boolean): number;
    /** Writes an x2APIC register; false if there is none, it is read-only, or reserved bits are set: #GP. */
    writeX2apic(register: number, lo: number, hi: number): boolean;
    /** IA32_APIC_BASE (`StateOffset.apicBase`) has changed: address, global enable, x2APIC mode. */
    baseChanged(): void;
    /** IA32_TSC_DEADLINE, in ticks of the guest's TSC; 0 when disarmed (SDM Vol. 3, 10.5.4.1). */
    readTscDeadline(high: boolean): number;
    writeTscDeadline(lo: number, hi: number): void;
    /** The guest moved its TSC: an armed deadline falls due at another time. */
    tscMoved(): void;
}

/** The I/O port space; accesses of 1, 2 or 4 bytes. */
export interface PortSpace {
    read(port: number, size: number): number;
    write(port: number, size: number, value: number): void;
}

/** Everything a vCPU needs from the machine and from the engine that runs it. */
export interface CpuHooks extends AccessHooks {
    readonly apic: ApicPort;
    readonly ports: PortSpace;
    /** Hears of what the guest does to its machine. */
    readonly observer?: CpuObserver;
    /** Ticks of the machine's TSC (1 GHz), an integer below 2^53; the vCPU adds its own offset. */
    tsc(): number;
    /** Makes {@link tsc} another value from now on, for all vCPUs: an engine has a TSC that it cannot move. */
    moveTsc(value: number): void;
    /** Instructions this vCPU has retired, exact at every instruction boundary; an integer below 2^53. */
    retired(): number;
    /** 32 random bits for RDRAND and RDSEED (recorded and replayed by the machine). */
    random(): number;
    /** CPUID is about to execute. */
    readonly identifying?: () => void;
    /** The program waits in a loop of PAUSE instructions. */
    readonly waiting?: () => void;
    /**
     * `StateOffset.mode` or `StateOffset.tlb` has changed: code specialised on the old values must be left.
     */
    modeChanged(): void;
    /**
     * The run loop has to look at the vCPU before its next instruction: interrupts may have become possible, it halts
     * or shuts down, single-stepping or a shadow begins, a debug trap is pending.
     */
    attention(): void;
}

/** What distinguishes one vCPU from another. */
export interface CpuOptions {
    readonly apicId: number;
    /** vCPUs in the machine: what the topology leaves of CPUID tell. */
    readonly processors: number;
    /** Whether CPUID shows the hypervisor bit. */
    readonly hypervisor?: boolean;
    /** Mask on the features that CPUID shows; everything unless told otherwise. */
    readonly features?: FeatureWords;
}

/**
 * A vCPU: its registers in the shared memory, its MMU, and what follows from changing them. Instructions and events
 * are functions over it: `system.ts` (instructions), `interrupts.ts` (exceptions and interrupts).
 */
export class Cpu extends CpuState {
    readonly hooks: CpuHooks;
    readonly options: CpuOptions;
    readonly port: PhysicalPort;
    readonly mmu: Mmu;
    readonly memory: LinearMemory;
    /** Why the vCPU is in the shutdown state. */
    shutdownReport: ShutdownReport | undefined;
    /** The instruction in progress began with RFLAGS.TF set; see boundary.ts. */
    singleStepping = false;

    /** @param base address of the vCPU's area (`CpuArea.size` bytes, 8-byte aligned) in the shared memory */
    constructor(
        buffer: ArrayBufferLike,
        base: number,
        physical: PhysicalMemory,
        hooks: CpuHooks,
        options: CpuOptions = { apicId: 0, processors: 1 },
    ) {
        super(buffer, base);
        this.setLo(StateOffset.one, 1);
        this.hooks = hooks;
        this.options = options;
        this.port = new PhysicalPort(buffer, physical);
        this.mmu = new Mmu(this, this.port, hooks);
        this.memory = new LinearMemory(this, this.mmu, this.port, hooks);
        this.reset();
    }

    // ---- life ----------------------------------------------------------------------------------------------------

    /** Power-on or RESET# (SDM Vol. 3, 9.1.1). vCPUs other than the first wait for a start-up IPI. */
    reset(): void {
        powerOn(this);
        this.stateReplaced();
    }

    /** INIT, by pin or IPI: the bootstrap processor starts at the reset vector, others wait for SIPI. */
    init(): void {
        initialize(this);
        this.stateReplaced();
    }

    /** Start-up IPI: begins in real mode at `vector` × 4 KiB; ignored unless the vCPU waits for it. */
    sipi(vector: number): void {
        if (this.activity !== ActivityState.WaitForSipi) return;
        startUp(this, vector);
        this.stateReplaced();
    }

    save(): StateRecord {
        return saveCpu(this);
    }

    /** @throws SnapshotError */
    restore(record: StateRecord): void {
        restoreCpu(this, record);
        this.stateReplaced();
    }

    /** To be called after anything other than this class's own methods has changed registers: a debugger, KVM. */
    stateReplaced(): void {
        this.debugRegistersChanged();
        this.mmu.flushAll();
        this.updateMode();
        this.hooks.modeChanged();
        this.hooks.observer?.modeMayHaveChanged(this);
        this.hooks.attention();
    }

    // ---- what follows from other state ---------------------------------------------------------------------------

    /**
     * Recomputes `StateOffset.mode` and `StateOffset.tlb`. To be called after any change of CS, SS, DS, ES, CR0, CR4,
     * EFER, or of the flags VM and AC.
     */
    updateMode(): void {
        const cr0 = this.cr0;
        const cr4 = this.cr4;
        const flags = this.systemFlags;
        const cpl = this.cpl;
        let mode = cpl << ModeKey.CplShift;
        const long = (this.efer & Efer.LMA) !== 0;
        const code = this.segmentAttributes(Segment.Cs);
        if (long) mode |= ModeKey.Long;
        if (cr0 & Cr0.PE) mode |= ModeKey.Protected;
        if (flags & Flag.VM) mode |= ModeKey.Virtual8086;
        if (long && code & SegmentAttribute.Long) {
            // Limits and the bases of ES, CS, SS and DS play no part in 64-bit mode (SDM Vol. 1, 3.4.2.1).
            mode |= 2 | (2 << ModeKey.StackSizeShift) | ModeKey.Flat | ModeKey.FlatCode;
        } else {
            if (code & SegmentAttribute.Big) mode |= 1;
            if (this.segmentAttributes(Segment.Ss) & SegmentAttribute.Big) mode |= 1 << ModeKey.StackSizeShift;
            if (this.isFlatData(Segment.Es) && this.isFlatData(Segment.Ss) && this.isFlatData(Segment.Ds)) {
                mode |= ModeKey.Flat;
            }
            if (this.segmentBase(Segment.Cs) === 0 && this.segmentLimit(Segment.Cs) === 0xffffffff) {
                mode |= ModeKey.FlatCode;
            }
        }
        if ((cr0 & (Cr0.EM | Cr0.TS)) === 0) {
            mode |= ModeKey.X87Usable;
            if (cr4 & Cr4.OSFXSR) mode |= ModeKey.SseUsable;
        }
        if (cr0 & Cr0.AM && flags & Flag.AC && cpl === 3) mode |= ModeKey.AlignmentCheck;
        const mmu = cpl === 3 ? MmuMode.User : this.mmuModeOf(cpl);
        const tlb = (this.base + CpuArea.tlb + mmu * Tlb.modeSize) >>> 0;
        if (mode !== this.mode || tlb !== this.lo(StateOffset.tlb)) {
            this.setLo(StateOffset.mode, mode);
            this.setLo(StateOffset.tlb, tlb);
            this.hooks.modeChanged();
            this.hooks.observer?.modeMayHaveChanged(this);
        }
    }

    private isFlatData(segment: number): boolean {
        const at = segmentOffset(segment) >> 2;
        const attributes = this.u32[at + (SegmentOffset.attributes >> 2)];
        const wanted = SegmentAttribute.Present | SegmentAttribute.NonSystem | SegmentAttribute.WritableOrReadable;
        const relevant =
            wanted | SegmentAttribute.Code | SegmentAttribute.ExpandDownOrConforming | SegmentAttribute.Unusable;
        return (
            this.u32[at] === 0 &&
            this.u32[at + (SegmentOffset.limit >> 2)] === 0xffffffff &&
            (attributes & relevant) === wanted
        );
    }

    /** DR7 or DR0–DR3 have changed: pages with data breakpoints leave the soft TLB, the others may return. */
    debugRegistersChanged(): void {
        const dr7 = this.lo(StateOffset.dr + 7 * 8);
        const data = watchesData(dr7);
        if (data || this.mmu.dataBreakpoints) this.mmu.tlb.flushAll();
        this.mmu.dataBreakpoints = data;
        this.hooks.attention();
    }

    /** Whether the run loop has to ask `matchCodeBreakpoints` before each instruction. */
    get hasCodeBreakpoints(): boolean {
        return watchesCode(this.lo(StateOffset.dr + 7 * 8));
    }

    // ---- flags, activity -----------------------------------------------------------------------------------------

    /** RFLAGS, low 32 bits. */
    get rflags(): number {
        return readRflags(this);
    }

    /** Replaces RFLAGS and does what follows from it. Instructions and debugger write through this. */
    writeFlags(value: number): void {
        const old = this.systemFlags;
        storeRflags(this, value);
        if (value & Flag.RF) this.f64[StateOffset.resumeFlagSet >> 3] = this.hooks.retired();
        const changed = old ^ value;
        if (changed & (Flag.VM | Flag.AC)) this.updateMode();
        if (
            changed & (Flag.IF | Flag.TF | Flag.RF | Flag.VIP | Flag.VIF) &&
            value & (Flag.IF | Flag.TF | Flag.RF | Flag.VIP)
        ) {
            this.hooks.attention();
        }
    }

    /**
     * RFLAGS.RF holds for one instruction only (SDM Vol. 3, 18.3.1.1). Translated code does not clear it; it counts as
     * clear once an instruction after the one that set it has retired.
     */
    expireResumeFlag(): void {
        const flags = this.systemFlags;
        if (flags & Flag.RF && this.hooks.retired() > this.f64[StateOffset.resumeFlagSet >> 3] + 1) {
            this.systemFlags = flags & ~Flag.RF;
        }
    }

    get activity(): ActivityState {
        return this.lo(StateOffset.activity);
    }

    set activity(value: ActivityState) {
        this.setLo(StateOffset.activity, value);
        this.hooks.attention();
    }

    /** Records debug traps (bits of DR6) that are due when the current instruction has completed. */
    pendDebug(status: number): void {
        if (status === 0) return;
        this.setLo(StateOffset.pendingDebug, this.lo(StateOffset.pendingDebug) | status);
        this.hooks.attention();
    }
}

import type { ApicBus } from '../devices/apic-bus';
import type { StateRecord } from '../devices/device';
import { type ApicCpu, LocalApic } from '../devices/local-apic';
import { StateReader } from '../devices/state-reader';
import { TSC_FREQUENCY, type VirtualClock } from './clock';
import { type ApicPort, Cpu, type CpuHooks, type PortSpace } from './cpu/cpu';
import type { FeatureWords } from './cpu/cpuid';
import { wake } from './cpu/interrupts';
import type { Observation } from './observation/observation';
import { PHYSICAL_ADDRESS_BITS } from './cpu/physical';
import type { EngineCpuHooks } from './engine';
import type { GuestMemory } from './memory';
import { ActivityState, MonitorState, StateOffset } from './state';

/** Virtual time is in nanoseconds, and so are the ticks of the TSC: `timeOfTsc` relies on it. */
const TSC_TICKS_PER_NANOSECOND = BigInt(TSC_FREQUENCY / 1e9);

const IA32_APIC_BASE = 0x1b;
const IA32_TSC_DEADLINE = 0x6e0;
const X2APIC_FIRST = 0x800;
const X2APIC_ICR = 0x30;

const RECORD_KIND = 'processor';
const RECORD_VERSION = 1;

/** What a processor is connected to. */
export interface ProcessorOptions {
    readonly index: number;
    readonly count: number;
    readonly memory: GuestMemory;
    readonly clock: VirtualClock;
    readonly ports: PortSpace;
    readonly apicBus: ApicBus;
    /** INTA cycles go to the PIC: the bootstrap processor's only. */
    readonly pic?: { acknowledge(): number };
    readonly engine: EngineCpuHooks;
    readonly random: () => number;
    /** CPUID is about to execute. */
    readonly identifying?: () => void;
    /** The program waits in a loop of PAUSE instructions. */
    readonly waiting: () => void;
    /** The local APIC answers at another address, or no more. */
    readonly apicMoved: () => void;
    /** Whether this processor may be in the middle of an instruction. */
    readonly executing: () => boolean;
    /** Ends the slice in progress after the current instruction. */
    readonly requestExit: () => void;
    /** Brings the vCPU's state into the shared memory, from wherever the engine keeps it. */
    readonly synchronize: () => void;
    readonly hypervisor?: boolean;
    readonly observer?: Observation;
    readonly features?: FeatureWords;
}

/**
 * A processor: a vCPU with its local APIC and the signals between them. Interrupts are level-like (see
 * {@link interruptPending}); NMI, INIT and start-up IPIs are remembered until the processor is at an instruction
 * boundary.
 */
export class Processor implements ApicCpu {
    readonly index: number;
    readonly cpu: Cpu;
    readonly apic: LocalApic;
    /** An NMI is waiting; whoever delivers it clears this. */
    nmiPending = false;
    /** Something has happened since the engine last found nothing to do for this processor. */
    wake = true;

    private initPending = false;
    private startUpVector = -1;
    private othersHaveRun = false;
    private readonly options: ProcessorOptions;

    constructor(options: ProcessorOptions) {
        const { index, memory, clock } = options;
        this.index = index;
        this.options = options;
        this.apic = new LocalApic({
            id: index,
            bootstrap: index === 0,
            clock,
            bus: options.apicBus,
            cpu: this,
            pic: options.pic,
            physicalAddressBits: PHYSICAL_ADDRESS_BITS,
            timeOfTsc: (low, high) => this.timeOfTsc(low, high),
        });
        clock.onTimeStampMoved.push(() => this.apic.tscChanged());
        this.cpu = new Cpu(memory.memory.buffer, memory.layout.cpus[index], memory, this.hooks(), {
            apicId: index,
            processors: options.count,
            hypervisor: options.hypervisor,
            features: options.features,
        });
    }

    /** Sees what this processor does. */
    get observation(): Observation | undefined {
        return this.options.observer;
    }

    // ---- for the engine ------------------------------------------------------------------------------------------

    /** Whether the local APIC or the PIC requests an interrupt that the TPR lets through; RFLAGS.IF is the CPU's. */
    get interruptPending(): boolean {
        return this.apic.interruptPending;
    }

    /** Takes the pending interrupt; returns its vector. */
    acknowledgeInterrupt(): number {
        return this.apic.acknowledge();
    }

    // ---- for the run loop ----------------------------------------------------------------------------------------

    /** Carries out INIT and start-up IPIs that came while the processor was executing. */
    applySignals(): void {
        if (this.initPending) {
            this.options.synchronize();
            this.initPending = false;
            this.nmiPending = false;
            this.cpu.init();
            this.wake = true;
        }
        if (this.startUpVector >= 0) {
            this.options.synchronize();
            const vector = this.startUpVector;
            this.startUpVector = -1;
            this.cpu.sipi(vector);
            this.wake = true;
        }
    }

    /** Whether running the processor could get it any further. */
    get runnable(): boolean {
        return this.cpu.activity === ActivityState.Active || (this.wake && this.cpu.activity === ActivityState.Halted);
    }

    /** Time has passed in the middle of a slice: translated code counts the TSC down to the slice's end. */
    advanceTsc(nanoseconds: number): void {
        const { cpu } = this;
        const low = cpu.lo(StateOffset.tscAtSliceEnd) + nanoseconds * Number(TSC_TICKS_PER_NANOSECOND);
        const carry = low > 0xffffffff ? 1 : 0;
        cpu.set(StateOffset.tscAtSliceEnd, low >>> 0, (cpu.hi(StateOffset.tscAtSliceEnd) + carry) >>> 0);
    }

    /** Another processor has executed instructions: it may have stored to a line that this one monitors. */
    othersRan(): void {
        this.othersHaveRun = true;
    }

    /** Ends an MWAIT if the monitored line may have changed (SDM Vol. 2, MWAIT). */
    endMonitorWait(): void {
        if (this.othersHaveRun && this.cpu.lo(StateOffset.monitor) === MonitorState.Waiting) {
            wake(this.cpu);
        }
        this.othersHaveRun = false;
    }

    reset(): void {
        this.nmiPending = false;
        this.initPending = false;
        this.startUpVector = -1;
        this.othersHaveRun = false;
        this.wake = true;
        this.cpu.reset();
        this.apic.reset();
    }

    /** The signals on their way; the CPU and the local APIC have records of their own. */
    save(): StateRecord {
        const { nmiPending, wake, initPending, startUpVector, othersHaveRun } = this;
        const fields = { nmiPending, wake, initPending, startUpVector, othersHaveRun };
        return { kind: RECORD_KIND, version: RECORD_VERSION, fields };
    }

    restore(record: StateRecord): void {
        const state = new StateReader(record, RECORD_KIND, RECORD_VERSION);
        this.nmiPending = state.boolean('nmiPending');
        this.initPending = state.boolean('initPending');
        this.startUpVector = state.integer('startUpVector', -1, 0xff);
        this.othersHaveRun = state.boolean('othersHaveRun');
        this.wake = state.boolean('wake');
    }

    // ---- what the local APIC says --------------------------------------------------------------------------------

    interruptsChanged(): void {
        this.signal();
    }

    nmi(): void {
        this.nmiPending = true;
        this.signal();
    }

    init(): void {
        this.initPending = true;
        this.startUpVector = -1;
        this.resetSignal();
    }

    startUp(vector: number): void {
        // It takes the first only: from then on it does not wait for another one.
        if (this.startUpVector < 0) {
            this.startUpVector = vector;
        }
        this.resetSignal();
    }

    apicBaseChanged(): void {
        this.options.apicMoved();
    }

    ipiSent(icrLow: number, destination: number): void {
        this.options.observer?.ipi(icrLow, destination);
    }

    private signal(): void {
        this.wake = true;
        // The local APIC speaks up while both are still being built.
        if (this.cpu !== undefined) {
            this.options.engine.attention();
        }
    }

    /** At once if possible: what the guest sees must not depend on where slices end. */
    private resetSignal(): void {
        if (this.options.executing()) {
            this.options.requestExit();
        } else {
            this.applySignals();
        }
    }

    // ---- what the CPU asks ---------------------------------------------------------------------------------------

    private hooks(): CpuHooks {
        const { engine, clock, ports, random, observer, identifying, waiting } = this.options;
        return {
            ...engine,
            identifying,
            waiting,
            apic: this.apicPort(),
            ports,
            observer,
            random,
            tsc: () => clock.timeStamp(),
            moveTsc: value => clock.moveTimeStamp(value),
            watch: engine.watch ?? (() => 0),
            accessed: engine.accessed ?? (() => undefined),
        };
    }

    private apicPort(): ApicPort {
        const { apic } = this;
        const read = (msr: number, high: boolean): number => {
            if (apic.readMsr(msr)) {
                return -1;
            }
            return (high ? apic.msrHigh : apic.msrLow) >>> 0;
        };
        return {
            readTaskPriority: () => apic.readCr8() << 4,
            writeTaskPriority: value => apic.writeCr8(value >>> 4),
            readX2apic: (register, high) => (high && register !== X2APIC_ICR ? 0 : read(X2APIC_FIRST + register, high)),
            writeX2apic: (register, lo, hi) => !apic.writeMsr(X2APIC_FIRST + register, lo, hi),
            baseChanged: () => {
                const { cpu } = this;
                apic.writeMsr(IA32_APIC_BASE, cpu.lo(StateOffset.apicBase), cpu.hi(StateOffset.apicBase));
            },
            readTscDeadline: high => Math.max(0, read(IA32_TSC_DEADLINE, high)),
            writeTscDeadline: (lo, hi) => {
                apic.writeMsr(IA32_TSC_DEADLINE, lo, hi);
            },
            tscMoved: () => apic.tscChanged(),
        };
    }

    /** Virtual time at which this processor's TSC, compared as an unsigned number, reaches a value. */
    private timeOfTsc(low: number, high: number): number {
        const { clock } = this.options;
        const now = clock.now();
        const offset = this.cpu.get64(StateOffset.tscOffset);
        const tsc = BigInt.asUintN(64, BigInt(clock.timeStamp()) + offset);
        const deadline = (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0);
        const remaining = (deadline - tsc) / TSC_TICKS_PER_NANOSECOND;
        const time = BigInt(now) + remaining;
        return remaining <= 0n ? now : time > BigInt(Number.MAX_SAFE_INTEGER) ? Infinity : Number(time);
    }
}

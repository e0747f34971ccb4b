import { Gpr, Segment } from '../../isa/x86/instruction';
import type { AccessObserver } from '../bus';
import { Cr0 } from '../cpu/cpu-state';
import type { Cpu } from '../cpu/cpu';
import { ModeKey } from '../state';
import { type CpuObserver, stopBeforeEvent } from './cpu-observer';
import { MachineEvent } from './event';
import { EventJournal } from './journal';
import { MachineEventKind, OperatingMode } from './kinds';

/** Register blocks up to this size are counted by register, larger ones (video memory) by page. */
const SMALL_DEVICE = 0x1000;
const PAGE = 0x1000;

/** Kinds of events that debuggers always want to hear of. */
const SELDOM =
    (1 << MachineEventKind.Exception) | (1 << MachineEventKind.ExternalInterrupt) | (1 << MachineEventKind.Reset);

/** What the observation asks of the machine. */
export interface ObservedMachine {
    /** The vCPU that is executing an instruction, or -1: accesses are then none of the guest's. */
    executing(): number;
    cpu(vcpu: number): Cpu;
    /** Instructions retired by all vCPUs. */
    retired(): number;
    /** Virtual time (ns), given the instructions retired by now. */
    time(retired: number): number;
    /**
     * Writes RIP of the instruction that a vCPU executes in the middle of translated code; false if it executes none.
     * An offset in CS.
     */
    locate(vcpu: number, target: { ripLo: number; ripHi: number }): boolean;
    /** Ends the run after the current instruction, with `EVENT_STOP`. */
    requestStop(vcpu: number): void;
    /** Size of the device's register block at a physical address. */
    deviceSize(address: number): number;
    /** Where an interrupt that is being delivered comes from. */
    interruptSource(vcpu: number, vector: number): string | undefined;
    /** Monotonic host nanoseconds. */
    hostTime?: () => number;
}

/**
 * Everything that {@link MachineEventKind} names, as it happens: taken down in the {@link journal}, and shown to those who
 * want to stop there. Observing changes nothing that the guest could notice.
 */
export class Observation implements CpuObserver {
    readonly journal: EventJournal;
    /** Whether to stop at an event of one of {@link stopKinds}. */
    onEvent: ((event: MachineEvent) => boolean) | undefined;

    private readonly event = new MachineEvent();
    /** Bit set of kinds that {@link onEvent} is asked about. */
    private stopKinds = 0;

    /** Linear address of the instruction that TypeScript executes. */
    private operationLo = 0;
    private operationHi = 0;
    private readonly located = { ripLo: 0, ripHi: 0 };
    private readonly modes: number[] = [];

    /** The operation in progress is a memory access. */
    private timesAccess = false;

    constructor(private readonly machine: ObservedMachine) {
        this.journal = new EventJournal(machine.hostTime);
    }

    // ---- for those who look --------------------------------------------------------------------------------------

    /** The kinds at which {@link onEvent} is asked whether to stop. */
    setStopKinds(kinds: Iterable<MachineEventKind>): void {
        this.stopKinds = 0;
        for (const kind of kinds) {
            this.stopKinds |= 1 << kind;
        }
    }

    /** Whether anything but an exception, an interrupt or a reset may stop the guest. */
    get stopsAtAccesses(): boolean {
        return (this.stopKinds & ~SELDOM) !== 0;
    }

    // ---- what the vCPUs tell -------------------------------------------------------------------------------------

    beginOperation(cpu: Cpu): void {
        this.locateAt(cpu, cpu.ripLo, cpu.ripHi);
        this.journal.begin();
    }

    endOperation(): void {
        this.journal.end();
    }

    controlWritten(cpu: Cpu, register: number, oldLo: number, oldHi: number, lo: number, hi: number): void {
        const event = this.start(MachineEventKind.CrWrite, cpu, register);
        setOld(event, oldLo, oldHi);
        setValue(event, lo, hi);
        this.emit(register);
        // Paging is none of what the mode key holds.
        this.modeMayHaveChanged(cpu);
    }

    msrRead(cpu: Cpu, index: number, lo: number, hi: number): void {
        setValue(this.start(MachineEventKind.MsrRead, cpu, index), lo, hi);
        this.emit(index);
    }

    msrWritten(cpu: Cpu, index: number, hasOld: boolean, oldLo: number, oldHi: number, lo: number, hi: number): void {
        const event = this.start(MachineEventKind.MsrWrite, cpu, index);
        if (hasOld) {
            setOld(event, oldLo, oldHi);
        }
        setValue(event, lo, hi);
        this.emit(index);
    }

    identified(cpu: Cpu, leaf: number, subleaf: number): void {
        const event = this.start(MachineEventKind.Cpuid, cpu, leaf);
        event.addressLo = subleaf;
        this.emit(leaf);
    }

    halted(cpu: Cpu, byMwait: boolean): void {
        this.start(byMwait ? MachineEventKind.Mwait : MachineEventKind.Hlt, cpu, 0);
        this.emit(0);
    }

    exception(
        cpu: Cpu,
        vector: number,
        errorCode: number,
        addressLo: number,
        addressHi: number,
        preventable: boolean,
    ): void {
        this.locateAt(cpu, cpu.ripLo, cpu.ripHi);
        const event = this.start(MachineEventKind.Exception, cpu, vector);
        event.addressLo = addressLo;
        event.addressHi = addressHi;
        if (errorCode >= 0) {
            setValue(event, errorCode, 0);
        }
        this.emitPreventable(preventable);
    }

    softwareInterrupt(cpu: Cpu, vector: number): void {
        const event = this.start(MachineEventKind.SoftwareInterrupt, cpu, vector);
        setValue(event, cpu.gpr(Gpr.Rax), cpu.gprHi(Gpr.Rax));
        this.emitPreventable(true);
    }

    interrupt(cpu: Cpu, vector: number, nmi: boolean): void {
        this.locateAt(cpu, cpu.ripLo, cpu.ripHi);
        this.start(nmi ? MachineEventKind.Nmi : MachineEventKind.ExternalInterrupt, cpu, vector);
        this.emit(vector);
    }

    modeMayHaveChanged(cpu: Cpu): void {
        const vcpu = cpu.options.apicId;
        const mode = operatingMode(cpu);
        const before = this.modes[vcpu] as number | undefined;
        if (mode === before) {
            return;
        }
        this.modes[vcpu] = mode;
        // Between instructions it is a loader, a reset or a debugger that changes it.
        if (before !== undefined && this.machine.executing() === vcpu) {
            const cause = before * 0x100 + mode;
            this.start(MachineEventKind.ModeSwitch, cpu, cause);
            this.emit(cause);
        }
    }

    shutDown(cpu: Cpu): void {
        this.locateAt(cpu, cpu.ripLo, cpu.ripHi);
        this.start(MachineEventKind.TripleFault, cpu, 0);
        this.emit(0);
    }

    // ---- what the buses tell -------------------------------------------------------------------------------------

    readonly ports: AccessObserver = {
        accessed: (kind, port, size, value, region) => {
            const vcpu = this.machine.executing();
            if (vcpu >= 0) {
                const write = kind === 'write';
                const event = this.startAt(write ? MachineEventKind.PortOut : MachineEventKind.PortIn, vcpu, port);
                event.size = size;
                event.device = region;
                setValue(event, value, 0);
                this.emit(port);
            }
        },
    };

    readonly mmio: AccessObserver = {
        before: () => {
            const vcpu = this.machine.executing();
            // Accesses of a system operation are part of it.
            if (vcpu >= 0 && this.machine.locate(vcpu, this.located)) {
                this.locateAt(this.machine.cpu(vcpu), this.located.ripLo, this.located.ripHi);
                this.journal.begin();
                this.timesAccess = true;
            }
        },
        accessed: (kind, address, size, value, region) => {
            const vcpu = this.machine.executing();
            if (vcpu >= 0) {
                const write = kind === 'write';
                const event = this.startAt(
                    write ? MachineEventKind.MmioWrite : MachineEventKind.MmioRead,
                    vcpu,
                    address,
                );
                event.size = size;
                event.device = region;
                event.addressLo = address >>> 0;
                event.addressHi = Math.floor(address / 0x100000000);
                setValue(event, value, 0);
                const small = this.machine.deviceSize(address) <= SMALL_DEVICE;
                this.emit(small ? address : address - (address % PAGE), small ? 1 : PAGE);
            }
        },
        after: () => {
            if (this.timesAccess) {
                this.timesAccess = false;
                this.journal.end();
            }
        },
    };

    // ---- what the board and the engine tell ----------------------------------------------------------------------

    /** A local APIC sends an IPI: low half of its ICR, and the destination. */
    ipi(icr: number, destination: number): void {
        const vcpu = this.machine.executing();
        if (vcpu >= 0) {
            const cause = icr & 0x7ff;
            const event = this.startAt(MachineEventKind.Ipi, vcpu, cause);
            setValue(event, icr, 0);
            event.addressLo = destination >>> 0;
            this.emit(cause);
        }
    }

    reset(): void {
        this.boardEvent(MachineEventKind.Reset);
    }

    powerOff(): void {
        this.boardEvent(MachineEventKind.PowerOff);
    }

    /** An exit that only hardware makes: `value` is what it came with. */
    exit(kind: MachineEventKind, cpu: Cpu, cause: number, value?: bigint): void {
        this.locateAt(cpu, cpu.ripLo, cpu.ripHi);
        const event = this.start(kind, cpu, cause);
        if (value !== undefined) {
            setValue(event, Number(value & 0xffffffffn), Number((value >> 32n) & 0xffffffffn));
        }
        this.emit(cause);
    }

    private boardEvent(kind: MachineEventKind): void {
        const vcpu = this.machine.executing();
        if (vcpu >= 0) {
            this.startAt(kind, vcpu, 0);
            this.emit(0);
        }
    }

    // ---- one event -----------------------------------------------------------------------------------------------

    private locateAt(cpu: Cpu, ripLo: number, ripHi: number): void {
        if ((cpu.mode & ModeKey.CodeSizeMask) === 2) {
            this.operationLo = ripLo;
            this.operationHi = ripHi;
        } else {
            this.operationLo = (ripLo + cpu.segmentBase(Segment.Cs)) >>> 0;
            this.operationHi = 0;
        }
    }

    private start(kind: MachineEventKind, cpu: Cpu, cause: number): MachineEvent {
        return this.startAt(kind, cpu.options.apicId, cause);
    }

    private startAt(kind: MachineEventKind, vcpu: number, cause: number): MachineEvent {
        const { event } = this;
        event.kind = kind;
        event.vcpu = vcpu;
        event.cause = cause;
        event.size = 0;
        event.valueLo = 0;
        event.valueHi = 0;
        event.hasValue = false;
        event.oldLo = 0;
        event.oldHi = 0;
        event.hasOld = false;
        event.addressLo = 0;
        event.addressHi = 0;
        event.preventable = false;
        event.device = undefined;
        event.ripLo = this.operationLo;
        event.ripHi = this.operationHi;
        return event;
    }

    /** Counts the event under `cause`, and stops the vCPU behind its instruction if somebody wants that. */
    private emit(cause: number, span = 1): void {
        this.record(cause, span);
        if (this.isStopWanted()) {
            this.machine.requestStop(this.event.vcpu);
        }
    }

    /** Not between instructions: an engine that finishes something there tells what it has told before. */
    private isStopWanted(): boolean {
        const { event, machine } = this;
        const wanted = (this.stopKinds & (1 << event.kind)) !== 0 && machine.executing() >= 0;
        return wanted && this.onEvent?.(event) === true;
    }

    /** The same for an event that can be stopped at before it happens. Then it has not been counted: it comes again. */
    private emitPreventable(preventable: boolean): void {
        const { event } = this;
        event.preventable = preventable;
        const stops = this.isStopWanted();
        if (stops && preventable) {
            throw stopBeforeEvent;
        }
        this.record(event.cause, 1);
        if (stops) {
            this.machine.requestStop(event.vcpu);
        }
    }

    private record(cause: number, span: number): void {
        const { event, machine } = this;
        event.instructions = machine.retired();
        event.time = machine.time(event.instructions);
        const row = this.journal.record(event, cause, span);
        if (row.count === 1 && event.kind === MachineEventKind.ExternalInterrupt) {
            row.device = machine.interruptSource(event.vcpu, cause);
        }
    }
}

function setValue(event: MachineEvent, lo: number, hi: number): void {
    event.valueLo = lo >>> 0;
    event.valueHi = hi >>> 0;
    event.hasValue = true;
}

function setOld(event: MachineEvent, lo: number, hi: number): void {
    event.oldLo = lo >>> 0;
    event.oldHi = hi >>> 0;
    event.hasOld = true;
}

/** {@link OperatingMode} of a vCPU, with the paging bit. */
export function operatingMode(cpu: Cpu): number {
    const { mode } = cpu;
    if (mode & ModeKey.Long) {
        const code = (mode & ModeKey.CodeSizeMask) === 2 ? OperatingMode.Long : OperatingMode.Compatibility;
        return code | OperatingMode.Paging;
    }
    if ((mode & ModeKey.Protected) === 0) {
        return OperatingMode.Real;
    }
    const paging = cpu.cr0 & Cr0.PG ? OperatingMode.Paging : 0;
    return (mode & ModeKey.Virtual8086 ? OperatingMode.Virtual8086 : OperatingMode.Protected) | paging;
}

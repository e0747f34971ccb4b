/**
 * What the parts of the engine on KVM share: the machine's vCPUs, which copy of their state is current, guest time, and
 * the debugger's breakpoints.
 */
import type { RunStop } from '../machine/engine';
import { MachineEventKind } from '../machine/observation/kinds';
import { deliverInterrupt, deliverNmi, interruptsOpen, nmiOpen, wake } from '../machine/cpu/interrupts';
import type { Cpu } from '../machine/cpu/cpu';
import { DebugStatus } from '../machine/cpu/breakpoints';
import { Vector } from '../machine/cpu/fault';
import type { Block } from '../machine/layout';
import type { GuestMemory } from '../machine/memory';
import type { Processor } from '../machine/processor';
import { ActivityState, Flag, StateOffset } from '../machine/state';
import { GuestDebug, RUN_SIZE } from './abi';
import { CodeBreakpoints } from './breakpoints';
import { decodeExit, explainExit } from './exits';
import { ExceptionTraps } from './exception-traps';
import { CommonTsc, GuestTime } from './guest-time';
import { undoHalfSyscall } from './half-syscall';
import { hostAbilities } from './host-trial';
import { ThreadAlarm } from './libc';
import { MemorySlots } from './memory-slots';
import { addInstructions, type DebugSetting, instructionsOf, KvmVcpu } from './vcpu';
import { KvmVm } from './vm';
import { RegisterWatchpoints } from './watchpoints';

/** Bits of DR6 that tell of traps: B0–B3, BS, BT. */
const DEBUG_TRAPS = DebugStatus.Breakpoints | DebugStatus.SingleStep | DebugStatus.TaskSwitch;

export interface KvmEngineOptions {
    readonly memory: GuestMemory;
    /** {@link kvmArenaSize} bytes of the shared memory. */
    readonly arena: Block;
    /**
     * Executes one instruction that KVM cannot, or shows which exceptions end in a triple fault, on the state in the
     * shared memory; undefined if that is impossible too. Without it, such an instruction ends the run.
     */
    readonly executeElsewhere?: (vcpu: number) => RunStop | undefined;
    /**
     * Executes instruction by instruction and counts them, as the translator does: for comparing the two. Slow. Events
     * are delivered by `machine/cpu`, and a run leaves x87, SSE and MSRs in KVM until {@link KvmEngine.settle}.
     */
    readonly counted?: boolean;
    /** vCPUs run at the same time, a thread each, rather than in turn. */
    readonly parallel?: boolean;
    /** A file: what the threads of vCPUs execute, if not `vcpu-worker.js`. */
    readonly threadProgram?: string;
    /**
     * KVM has no VT-x or AMD-V beneath it: single steps over some instructions execute one more, so those are
     * left to {@link executeElsewhere}.
     */
    readonly emulated?: boolean;
}

/** What handling an exit leads to. */
export type Outcome = RunStop | undefined;

export class RunState {
    readonly timed: boolean;
    readonly vm: KvmVm;
    readonly alarm: ThreadAlarm;
    readonly slots: MemorySlots;
    readonly processors: Processor[] = [];
    readonly vcpus: KvmVcpu[] = [];
    readonly breakpoints: CodeBreakpoints;
    readonly watchpoints: RegisterWatchpoints;
    readonly traps: ExceptionTraps;
    /** See half-syscall.ts. */
    private readonly halfSyscalls: boolean;
    /** vCPUs at the handler of an exception that has been told already. */
    readonly told = new Set<number>();
    time = new GuestTime(1);
    /** The vCPU that KVM executes, or, where several run, the one whose exit is looked at; -1 for none. */
    current = -1;
    /** vCPUs that run at the same time: breakpoints are laid out for all of them. */
    group: readonly KvmVcpu[] | undefined;
    exitRequested = false;
    /** State is being copied out of KVM: nobody has changed it. */
    copying = false;
    /** vCPUs whose next run begins with the instruction at RIP, whatever breakpoint stands there. */
    readonly passing = new Set<number>();
    readonly counts = {
        io: 0,
        mmio: 0,
        msr: 0,
        hlt: 0,
        interruptWindow: 0,
        interrupted: 0,
        debug: 0,
        internalError: 0,
        other: 0,
        executedElsewhere: 0,
    };

    /**
     * @throws KvmUnavailableError if KVM cannot be used here
     * @throws KvmError
     */
    constructor(readonly options: KvmEngineOptions) {
        const { memory } = options;
        this.timed = options.counted !== true;
        this.vm = new KvmVm(memory);
        try {
            this.alarm = new ThreadAlarm();
        } catch (error) {
            this.vm.dispose();
            throw error;
        }
        this.slots = new MemorySlots(this.vm.fd, memory, this.vm.hostBase);
        this.breakpoints = new CodeBreakpoints(memory);
        this.watchpoints = new RegisterWatchpoints(memory);
        this.halfSyscalls = this.timed && options.emulated === true && !hostAbilities().syscall;
        this.traps = new ExceptionTraps(memory, this.halfSyscalls);
    }

    retiredBy(vcpu: number): number {
        if (vcpu === this.current) this.countTime();
        return instructionsOf(this.processors[vcpu].cpu);
    }

    countTime(): void {
        if (this.current >= 0) {
            const ticks = this.time.advance();
            addInstructions(this.processors[this.current].cpu, ticks);
        }
    }

    createVcpus(): void {
        if (this.vcpus.length > 0) {
            return;
        }
        const tsc = new CommonTsc();
        const created = this.processors.map(processor => {
            const run = this.options.arena.base + processor.index * RUN_SIZE;
            return new KvmVcpu(this.vm, processor, run, this.alarm, tsc);
        });
        this.vcpus.push(...created);
        this.time = new GuestTime(created[0].tsc.ticksPerNanosecond);
    }

    copyShared(vcpu: KvmVcpu): void {
        this.copying = true;
        vcpu.saveShared();
        this.copying = false;
    }

    /** All state of a vCPU into the shared memory, with events on their way delivered: there is no field for those. */
    bringBack(vcpu: KvmVcpu): void {
        const { cpu, transfer, processor } = vcpu;
        this.copying = true;
        try {
            vcpu.saveRest();
            const events = vcpu.isStale ? undefined : transfer.pendingEvents();
            cpu.stateReplaced();
            if (events !== undefined) {
                // Faults come again with their instruction; so do INT3 and INTO.
                // Behind the POPF that has cleared TF, the guest asks for none any more.
                if (events.exception === Vector.DB && (asksForDebugTraps(cpu) || !vcpu.hasStepped)) {
                    cpu.pendDebug(cpu.lo(StateOffset.dr + 6 * 8) & DEBUG_TRAPS);
                }
                if (events.nmi) deliverNmi(cpu);
                if (events.nmiPending) processor.nmiPending = true;
                if (events.interrupt >= 0) deliverInterrupt(cpu, events.interrupt);
            }
        } finally {
            this.copying = false;
        }
        vcpu.takeBack();
    }

    /** KVM_SET_GUEST_DEBUG looks at registers: those that wait to be taken over go first. */
    takeOver(vcpu: KvmVcpu): void {
        if (vcpu.hasUnreadRegisters) {
            vcpu.enter(true);
        }
    }

    /** KVM_RUN with the patches in memory. */
    enter(vcpu: KvmVcpu, immediate: boolean): number {
        this.beforeEntry(vcpu);
        let result: number;
        try {
            result = vcpu.enter(immediate);
        } finally {
            this.breakpoints.remove();
        }
        this.afterEntry(vcpu);
        return result;
    }

    /** Has the vCPU's own thread enter the guest; {@link left} follows. */
    start(vcpu: KvmVcpu): void {
        this.beforeEntry(vcpu);
        vcpu.start();
    }

    /** The vCPU's thread has left the guest. The patches stay in memory, for the others. @returns what `enter` does */
    left(vcpu: KvmVcpu): number {
        const result = vcpu.leave();
        this.afterEntry(vcpu);
        return result;
    }

    private beforeEntry(vcpu: KvmVcpu): void {
        vcpu.givenPriority = vcpu.processor.apic.readCr8();
        vcpu.taskPriority = vcpu.givenPriority;
        if (!this.watchpoints.isEmpty) {
            if (!vcpu.hasUnreadRegisters) this.copyShared(vcpu);
            this.watchpoints.note(vcpu.cpu);
        }
        this.breakpoints.insert();
    }

    private afterEntry(vcpu: KvmVcpu): void {
        if (vcpu.taskPriority !== vcpu.givenPriority) {
            vcpu.processor.apic.writeCr8(vcpu.taskPriority);
        }
    }

    /** Has a vCPU stop where the debugger wants it to, and all that run together with it. Nobody is in the guest. */
    arm(vcpu: KvmVcpu): void {
        const group = this.group ?? [vcpu];
        this.breakpoints.begin();
        const settings = group.map(each => this.layOut(each));
        const software = this.breakpoints.hasPatches ? GuestDebug.Enable | GuestDebug.SoftwareBreakpoints : 0;
        group.forEach((each, index) => {
            const setting = { ...settings[index], control: settings[index].control | software };
            if (setting.control !== each.debugSetting.control || setting.control !== 0) {
                this.takeOver(each);
            }
            each.setDebug(setting);
        });
    }

    private layOut(vcpu: KvmVcpu): DebugSetting {
        const { traps } = this;
        const { cpu } = vcpu;
        // Its page tables and debug registers count; the others' are not at hand when one of several has left the guest.
        if (this.group !== undefined && !vcpu.hasUnreadRegisters) this.copyShared(vcpu);
        traps.look(cpu);
        if (this.hasStops(vcpu) && vcpu.holdsRest) {
            vcpu.transfer.saveDebugRegisters();
        }
        return this.breakpoints.prepare(cpu, this.watchpoints.registers, [...traps.addresses(cpu)]);
    }

    /** Whether a vCPU has to be told where to stop, as of the last look at its exception handlers. */
    hasStops({ cpu }: KvmVcpu): boolean {
        return !(this.breakpoints.isEmpty && this.watchpoints.isEmpty && this.traps.hasNoHandlers(cpu));
    }

    /** Has the instruction at RIP executed by somebody else. */
    elsewhere(vcpu: KvmVcpu): Outcome {
        this.bringBack(vcpu);
        if (this.halfSyscalls) undoHalfSyscall(vcpu.cpu, this.options.memory);
        const { current } = this;
        this.countTime();
        this.current = -1;
        const stop = this.options.executeElsewhere?.(vcpu.processor.index);
        this.current = current;
        if (this.traps.isAt(vcpu.cpu)) this.told.add(vcpu.processor.index);
        vcpu.takeBack();
        return stop;
    }

    /** Leaves no vCPU in the middle of half a SYSCALL. */
    undoSyscall(vcpu: KvmVcpu): void {
        const { cpu } = vcpu;
        const { memory } = this.options;
        const faulted = this.traps.maybeAtSyscall(cpu);
        if (!faulted && !(this.halfSyscalls && cpu.cpl === 3 && cpu.ripHi >>> 31 === 1)) return;
        this.bringBack(vcpu);
        const saved = cpu.bytes.slice();
        if ((faulted && !this.traps.undo(cpu)) || !undoHalfSyscall(cpu, memory)) {
            cpu.bytes.set(saved);
            cpu.stateReplaced();
        }
    }

    /** Why a vCPU has nothing to execute, if so; a halted one is woken if there is an event to take. */
    idleStop({ cpu, processor }: KvmVcpu): Outcome {
        switch (cpu.activity) {
            case ActivityState.Halted:
                if ((processor.interruptPending && interruptsOpen(cpu)) || (processor.nmiPending && nmiOpen(cpu))) {
                    wake(cpu);
                    return undefined;
                }
                return { reason: 'halted' };
            case ActivityState.WaitForSipi:
                return { reason: 'waiting' };
            case ActivityState.Shutdown:
                return { reason: 'shutdown' };
            default:
                return undefined;
        }
    }

    /** Hands KVM what a vCPU can take of what has come for it, just before it enters the guest. */
    offerEvents(vcpu: KvmVcpu): void {
        const { processor, cpu } = vcpu;
        // KVM knows, unless it has yet to be told the registers.
        const ready = vcpu.hasUnreadRegisters ? interruptsOpen(cpu) : vcpu.readyForInterrupt;
        if (processor.nmiPending) {
            processor.nmiPending = false;
            vcpu.injectNmi();
            processor.observation?.interrupt(cpu, Vector.NMI, true);
        }
        if (processor.interruptPending && ready) {
            const vector = processor.acknowledgeInterrupt();
            vcpu.injectInterrupt(vector);
            processor.observation?.interrupt(cpu, vector, false);
        }
        vcpu.wantsInterruptWindow = processor.interruptPending;
    }

    /** Exits that only KVM has. */
    noteExit(vcpu: KvmVcpu, kind: MachineEventKind, cause: number, value?: bigint): void {
        vcpu.processor.observation?.exit(kind, vcpu.cpu, cause, value);
    }

    /** RIP is behind the HLT by now. */
    noteHalt({ cpu, processor }: KvmVcpu): void {
        const { observation } = processor;
        if (observation !== undefined) {
            const { ripLo, ripHi } = cpu;
            cpu.setRip((ripLo - 1) >>> 0, ripLo === 0 ? (ripHi - 1) >>> 0 : ripHi);
            observation.beginOperation(cpu);
            observation.halted(cpu, false);
            cpu.setRip(ripLo, ripHi);
        }
    }

    /** An exit that the guest cannot go on from. */
    unusableExit(vcpu: KvmVcpu): RunStop {
        const exit = decodeExit(vcpu.view, vcpu.run);
        if (exit.kind === 'failEntry') {
            this.noteExit(vcpu, MachineEventKind.FailEntry, Number(exit.reason & 0xffffffffn), exit.reason);
        } else {
            this.noteExit(vcpu, MachineEventKind.Other, vcpu.exitReason);
        }
        return { reason: 'failed', problem: explainExit(exit) };
    }

    isAtBreakpoint(cpu: Cpu): boolean {
        return this.breakpoints.at(cpu).length > 0 || this.traps.isAtHandler(cpu);
    }

    /** Asks the breakpoints at RIP whether to stop, and stops at the first that says so. */
    breakpointStop(cpu: Cpu, vcpu: number): Outcome {
        for (const { id, condition } of this.breakpoints.at(cpu)) {
            if (condition?.(vcpu, false) ?? true) {
                this.passing.add(vcpu);
                return { reason: 'breakpoint', id };
            }
        }
        return undefined;
    }
}

/** Whether the guest itself has debug exceptions enabled. */
export function asksForDebugTraps(cpu: Cpu): boolean {
    return (cpu.systemFlags & Flag.TF) !== 0 || (cpu.lo(StateOffset.dr + 7 * 8) & 0xff) !== 0;
}

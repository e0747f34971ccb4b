/**
 * Runs a vCPU for a slice: enters translated code, and deals with every way in which it comes back. What happens in
 * between (decoding, system operations, delivery of faults and interrupts) is exact at the instruction.
 */
import { type RunStop, EVENT_STOP, WATCH_STOP } from '../../machine/engine';
import { StopBeforeEvent } from '../../machine/observation/cpu-observer';
import type { Cpu } from '../../machine/cpu/cpu';
import { GuestFault } from '../../machine/cpu/fault';
import { afterInstruction, beforeInstruction, mustStep } from '../../machine/cpu/boundary';
import { deliverException } from '../../machine/cpu/interrupts';
import { ActivityState, ModeKey, StateOffset, Tier } from '../../machine/state';
import { ExitReason } from '../codegen/exit';
import { FixedHandler } from '../codegen/handler-emitter';
import { RecordOffset } from '../codegen/record';
import type { RegionTranslator } from '../region/translate';
import { type Block } from './blocks';
import type { InstructionBoundary } from './boundary';
import type { BreakpointStops } from './breakpoint-stops';
import type { EarlyExit } from './early-exit';
import { FruitlessFaults } from './fruitless-faults';
import type { CodeTable } from './handlers';
import type { KnownCode } from './known-code';
import type { RunningInstruction } from './running-instruction';
import { SliceBudget } from './slice-budget';
import type { WatchedAccesses } from './watched-accesses';

/** No value that `remaining` has when breakpoints are checked. */
const NEVER_CHECKED = -1;

type EnterCode = (cpu: number, record: number) => number;

/** What it works with. */
export interface DispatcherParts {
    readonly known: KnownCode;
    readonly regions: RegionTranslator;
    readonly running: RunningInstruction;
    readonly early: EarlyExit;
    readonly stops: BreakpointStops;
    readonly watched: WatchedAccesses;
    readonly codeTable: CodeTable;
    /** False: everything stays in the interpreter tier. */
    readonly translates: boolean;
    /** See `EngineOptions.notesTier`. */
    readonly notesTier: boolean;
}

export class Dispatcher {
    readonly cpus: Cpu[] = [];
    readonly exits = { miss: 0, budget: 0, hot: 0, system: 0, stale: 0, fault: 0, step: 0, breakpoint: 0 };
    /** A region asks for a page: no record says which instruction is running. */
    inRegion = false;
    private readonly known: KnownCode;
    private readonly regions: RegionTranslator;
    private readonly running: RunningInstruction;
    private readonly early: EarlyExit;
    private readonly stops: BreakpointStops;
    private readonly watched: WatchedAccesses;
    private readonly budget = new SliceBudget();
    private readonly faults = new FruitlessFaults();
    private readonly enterFlat: EnterCode;
    private readonly enterSegmented: EnterCode;
    private readonly boundaries: InstructionBoundary[] = [];
    /** The vCPU that runs, or -1. */
    private current = -1;
    /** Instructions retired by all vCPUs when the slice in progress began. */
    private sliceBase = 0;
    /** Translated code is running (a helper was called from it). */
    private inCode = false;
    private exitRequested = false;
    /** The vCPU must be looked at before its next instruction. */
    private attentionNeeded = false;
    /** Set when the slice in progress has to end with a stop. */
    private stop: RunStop | undefined;

    constructor(private readonly parts: DispatcherParts) {
        ({
            known: this.known,
            regions: this.regions,
            running: this.running,
            early: this.early,
            stops: this.stops,
            watched: this.watched,
        } = parts);
        const { table } = parts.codeTable;
        this.enterFlat = table.get(FixedHandler.EnterFlat) as EnterCode;
        this.enterSegmented = table.get(FixedHandler.EnterSegmented) as EnterCode;
    }

    add(cpu: Cpu, boundary: InstructionBoundary): void {
        this.cpus.push(cpu);
        this.boundaries.push(boundary);
    }

    /** See `Engine.run`. */
    run(vcpu: number, budget: number): RunStop {
        const cpu = this.cpus[vcpu];
        this.sliceBase = this.retired();
        this.current = vcpu;
        this.exitRequested = false;
        this.attentionNeeded = true;
        this.budget.begin(cpu, budget);
        this.regions.flushIfDue(this.sliceBase);
        this.stop = undefined;
        this.faults.begin();
        cpu.set(StateOffset.checkedAt, NEVER_CHECKED, NEVER_CHECKED);
        const stop = this.slice(cpu);
        this.budget.end(cpu);
        this.current = -1;
        return stop;
    }

    /** Instructions that all vCPUs have retired, exact at the instruction that is running. */
    retired(): number {
        let total = 0;
        for (let i = 0; i < this.cpus.length; i++) {
            total += this.retiredBy(i);
        }
        return total;
    }

    /** Has the slice in progress end as soon as it can. */
    requestExit(): void {
        this.exitRequested = true;
        if (this.current >= 0) {
            this.attention(this.current);
        }
    }

    /** A device is about to access physical memory by itself. */
    deviceAccess(address: number, size: number, write: boolean): void {
        const vcpu = Math.max(this.current, 0);
        if (size > 0 && this.watched.deviceAccess(vcpu, address, size, write)) {
            this.attention(vcpu);
        }
    }

    /** A vCPU is about to make an access that may be watched, see {@link Watchpoints.matching}. */
    accessed(vcpu: number, lo: number, hi: number, size: number, write: boolean, physical: number, rest: number): void {
        const watchpoints = this.watched.watchpoints.matching(lo, hi, size, write, physical, rest);
        if (watchpoints.length === 0 || this.watched.observer === undefined) {
            return;
        }
        const cpu = this.cpus[vcpu];
        if (this.inCode) {
            this.running.noteRip(cpu);
        }
        this.watched.tell(vcpu, watchpoints, { linear: { lo, hi }, physical, size, write });
        this.attention(vcpu);
        if (this.inCode) {
            this.early.afterElement(cpu);
        }
    }

    /** RIP of the instruction that a vCPU executes, if it is in translated code. */
    locate(vcpu: number, target: { ripLo: number; ripHi: number }): boolean {
        if (vcpu !== this.current || !this.inCode) {
            return false;
        }
        this.running.locate(this.cpus[vcpu], target);
        return true;
    }

    /** Instructions a vCPU has retired, exact at the instruction that is running. */
    retiredBy(vcpu: number): number {
        const cpu = this.cpus[vcpu];
        if (cpu === undefined) {
            return 0;
        }
        const base = cpu.lo(StateOffset.instructions) + cpu.hi(StateOffset.instructions) * 0x100000000;
        if (vcpu !== this.current) {
            return base;
        }
        return base + this.budget.done(cpu) - (this.inCode ? this.running.unexecuted(cpu) : 0);
    }

    /** The vCPU must be looked at as soon as the current instruction is done. */
    attention(vcpu: number): void {
        this.attentionNeeded = true;
        this.cpus[vcpu]?.setLo(StateOffset.eventPending, 1);
        if (vcpu !== this.current || !this.inCode) {
            return;
        }
        const cpu = this.cpus[vcpu];
        this.budget.hold(cpu);
        if (!this.inRegion) {
            this.early.afterInstruction(cpu);
            if (cpu.lo(StateOffset.pendingDebug) !== 0) {
                this.early.afterElement(cpu);
            }
        }
    }

    // --- running -----------------------------------------------------------------------------------------------------

    private slice(cpu: Cpu): RunStop {
        const boundary = this.boundaries[this.current];
        for (;;) {
            if (this.watched.hit && this.watched.complete(this.current)) {
                this.stop = { reason: 'breakpoint', id: WATCH_STOP };
            }
            if (this.stop !== undefined) {
                return this.stop;
            }
            if (this.attentionNeeded) {
                if (this.exitRequested) {
                    return { reason: 'exit' };
                }
                this.attentionNeeded = false;
                while (!this.exitRequested && this.service(cpu, boundary)) {
                    // One event at a time: delivering one may open or close the way for the next.
                }
                if (this.stop !== undefined || this.exitRequested) {
                    continue;
                }
                cpu.setLo(StateOffset.eventPending, boundary.eventPending(cpu) ? 1 : 0);
                switch (cpu.activity) {
                    case ActivityState.Halted:
                        return { reason: 'halted' };
                    case ActivityState.WaitForSipi:
                        return { reason: 'waiting' };
                    case ActivityState.Shutdown:
                        return { reason: 'shutdown' };
                }
                if (this.budget.remaining(cpu) > 0 && mustStep(cpu)) {
                    this.attentionNeeded = true;
                    this.stepUnlessBreakpoint(cpu);
                }
            }
            if (this.watched.hit || this.stop !== undefined) {
                continue;
            }
            if (this.budget.remaining(cpu) <= 0) {
                return { reason: 'budget' };
            }
            if (this.attentionNeeded) {
                continue;
            }
            if (this.stops.departs(this.current, cpu)) {
                this.step(cpu);
                continue;
            }
            cpu.set(StateOffset.blockRip, cpu.ripLo, cpu.ripHi);
            for (let record = this.execute(cpu, 0); record !== 0;) {
                record = this.execute(cpu, record);
            }
        }
    }

    private service(cpu: Cpu, boundary: InstructionBoundary): boolean {
        try {
            return boundary.service(cpu);
        } catch (error) {
            this.stopBefore(error);
            return false;
        }
    }

    private stepUnlessBreakpoint(cpu: Cpu): void {
        if (!this.hitsBreakpoint(cpu)) {
            this.step(cpu);
        }
    }

    /** Ends the run if there is a breakpoint at RIP whose condition holds. To be asked once before an instruction. */
    private hitsBreakpoint(cpu: Cpu): boolean {
        return this.stopsAt(this.stops.find(this.current, cpu));
    }

    private stopsAt(breakpoint: number | undefined): boolean {
        if (breakpoint !== undefined) {
            this.stop = { reason: 'breakpoint', id: breakpoint };
        }
        return breakpoint !== undefined;
    }

    /** The check of the block at RIP has not let it go on. Returns what {@link execute} does. */
    private breakpoint(cpu: Cpu): number {
        let block: Block;
        try {
            block = this.known.lookUp(cpu, false);
        } catch (error) {
            this.deliver(cpu, error);
            return 0;
        }
        if (
            !this.stops.departs(this.current, cpu) &&
            this.stopsAt(this.stops.ask(this.current, cpu, block.physical, true))
        ) {
            return 0;
        }
        return this.interpret(cpu, block);
    }

    /** Whether the breakpoints at RIP have been asked and have nothing against going on. */
    private isChecked(cpu: Cpu): boolean {
        return (cpu.lo(StateOffset.checkedAt) | 0) === this.budget.remaining(cpu);
    }

    /**
     * The block or region at RIP may need more instructions than are left: goes on block by block in the interpreter
     * tier, which stops exactly, and for less than a block instruction by instruction. Returns what {@link execute} does.
     */
    private runOut(cpu: Cpu): number {
        let block: Block;
        try {
            block = this.known.lookUp(cpu, false);
        } catch (error) {
            this.deliver(cpu, error);
            return 0;
        }
        return block.check === 0 || this.isChecked(cpu) || !this.hitsBreakpoint(cpu) ? this.interpret(cpu, block) : 0;
    }

    /**
     * Has the block at RIP run in the interpreter tier: returns the record to be entered. If less than the block is left
     * of the budget, runs one instruction.
     */
    private interpret(cpu: Cpu, block: Block): number {
        const left = this.budget.remaining(cpu) - block.count;
        if (left < 0) {
            this.step(cpu);
            return 0;
        }
        this.budget.setRemaining(cpu, left);
        cpu.set(StateOffset.blockRip, cpu.ripLo, cpu.ripHi);
        // Past the header, which might enter a region.
        return block.record + RecordOffset.size;
    }

    /** Runs exactly one instruction, with what belongs to its boundaries. */
    private step(cpu: Cpu): void {
        this.exits.step++;
        try {
            if (beforeInstruction(cpu)) {
                this.noteFault();
                return;
            }
        } catch (error) {
            this.stopBefore(error);
            return;
        }
        let block: Block;
        try {
            block = this.known.lookUp(cpu, true);
        } catch (error) {
            this.deliver(cpu, error);
            return;
        }
        cpu.set(StateOffset.blockRip, cpu.ripLo, cpu.ripHi);
        const executed = this.budget.single(cpu, () => this.execute(cpu, block.record));
        afterInstruction(cpu, executed > 0);
    }

    /**
     * Enters code at `record` (0: at blockRip) and deals with the way it comes back. Returns the record that is to be
     * entered next, before anything else happens, or 0.
     */
    private execute(cpu: Cpu, record: number): number {
        this.inCode = true;
        if (this.parts.notesTier) {
            cpu.setLo(StateOffset.tier, Tier.Interpreter);
        }
        let reason: ExitReason;
        try {
            reason =
                (cpu.mode & ModeKey.FlatCode) !== 0
                    ? this.enterFlat(cpu.base, record)
                    : this.enterSegmented(cpu.base, record);
        } catch (error) {
            this.noteOutside(cpu);
            this.early.restore();
            this.early.abandonRepeat(cpu);
            this.backOut(cpu);
            this.deliver(cpu, error);
            return 0;
        }
        this.noteOutside(cpu);
        this.early.restore();
        switch (reason) {
            case ExitReason.System:
                this.system(cpu);
                return 0;
            case ExitReason.Miss:
                this.exits.miss++;
                this.budget.unhold(cpu);
                this.leaveAtBlock(cpu);
                this.miss(cpu);
                this.endRepeat(cpu);
                return 0;
            case ExitReason.Budget:
                this.exits.budget++;
                this.budget.unhold(cpu);
                this.leaveAtBlock(cpu);
                this.endRepeat(cpu);
                if (!this.attentionNeeded && (record === 0 || this.isChecked(cpu)) && this.budget.remaining(cpu) > 0) {
                    return this.runOut(cpu);
                }
                return 0;
            case ExitReason.Hot:
                this.exits.hot++;
                this.leaveAtBlock(cpu);
                return this.translateHot(cpu);
            case ExitReason.Breakpoint:
                this.exits.breakpoint++;
                this.leaveAtBlock(cpu);
                return this.breakpoint(cpu);
            case ExitReason.Stale:
                this.exits.stale++;
                this.backOut(cpu);
                return 0;
        }
    }

    private noteOutside(cpu: Cpu): void {
        if (this.parts.notesTier) {
            cpu.setLo(StateOffset.tier, Tier.None);
        }
    }

    /** Code has come back at a block boundary. */
    private leaveAtBlock(cpu: Cpu): void {
        this.inCode = false;
        cpu.setRip(cpu.lo(StateOffset.blockRip), cpu.hi(StateOffset.blockRip));
    }

    /** RIP at the instruction of currentRecord, which has not been executed: gives its block's rest back. */
    private backOut(cpu: Cpu): void {
        const unexecuted = this.running.unexecuted(cpu);
        this.inCode = false;
        this.budget.unhold(cpu);
        this.budget.setRemaining(cpu, this.budget.remaining(cpu) + unexecuted);
        this.running.noteRip(cpu);
    }

    /** A repeated instruction that ended early and goes on at once is not counted yet. */
    private endRepeat(cpu: Cpu): void {
        if (this.early.endRepeat(cpu)) {
            this.budget.setRemaining(cpu, this.budget.remaining(cpu) + 1);
        }
    }

    private system(cpu: Cpu): void {
        this.exits.system++;
        this.backOut(cpu);
        const instruction = this.running.of(cpu);
        try {
            this.boundaries[this.current].execute(cpu, instruction);
        } catch (error) {
            this.deliver(cpu, error);
            return;
        }
        this.budget.setRemaining(cpu, this.budget.remaining(cpu) - 1);
        if (instruction.row.mnemonic === 'WRMSR') {
            this.budget.alignTimeStamp(cpu); // it may have been the TSC or its offset
        }
    }

    private miss(cpu: Cpu): void {
        if (this.budget.remaining(cpu) <= 0) {
            return;
        }
        try {
            this.known.enter(this.current);
        } catch (error) {
            this.deliver(cpu, error);
        }
    }

    /** The block at RIP asks to be translated. Returns what {@link execute} does. */
    private translateHot(cpu: Cpu): number {
        const block = this.known.lookUp(cpu, false);
        if (!this.parts.translates || !this.regions.request(block, this.known.placeOf(this.current), this.sliceBase)) {
            this.known.cache.keepCold(block);
        }
        // Entering it anew would check and count again.
        return block.check === 0 ? 0 : this.interpret(cpu, block);
    }

    private deliver(cpu: Cpu, error: unknown): void {
        this.inCode = false;
        if (!(error instanceof GuestFault)) {
            this.stopBefore(error);
            return;
        }
        this.exits.fault++;
        this.attentionNeeded = true;
        this.noteFault();
        cpu.set(StateOffset.checkedAt, NEVER_CHECKED, NEVER_CHECKED);
        this.watched.abandon();
        const { observer } = cpu.hooks;
        observer?.beginOperation(cpu);
        try {
            deliverException(cpu, error);
        } catch (stop) {
            this.stopBefore(stop);
        }
        observer?.endOperation();
    }

    /** An exception is delivered. */
    private noteFault(): void {
        if (this.faults.note(this.retiredBy(this.current))) {
            this.stop ??= { reason: 'faulting' };
        }
    }

    /** An observer wants to stop before what the instruction at RIP leads to. */
    private stopBefore(error: unknown): void {
        if (!(error instanceof StopBeforeEvent)) {
            throw error;
        }
        this.attentionNeeded = true;
        this.watched.abandon();
        this.stop = { reason: 'breakpoint', id: EVENT_STOP };
    }
}

/**
 * The translator engine: runs vCPUs by interpreting cold blocks and entering translated regions for hot ones, and does
 * between them what only TypeScript can: faults, interrupts, system operations, decoding, stepping.
 */
import type { CodeBreakpoint } from '../../machine/breakpoint';
import {
    type Engine,
    type EngineCpuHooks,
    type EngineStatistics,
    EVENT_STOP,
    type RunStop,
    WATCH_STOP,
} from '../../machine/engine';
import { StopBeforeEvent } from '../../machine/observation/cpu-observer';
import type { Cpu } from '../../machine/cpu/cpu';
import type { Processor } from '../../machine/processor';
import type { AccessObserver, Watchpoint } from '../../machine/watchpoints';
import { GuestFault } from '../../machine/cpu/fault';
import type { SystemOperation } from '../../machine/cpu/operation';
import { afterInstruction, beforeInstruction, mustStep } from '../../machine/cpu/boundary';
import { deliverException } from '../../machine/cpu/interrupts';
import { ActivityState, ModeKey, StateOffset, Tier } from '../../machine/state';
import { ExitReason } from '../codegen/exit';
import { FixedHandler } from '../codegen/handler-emitter';
import { RecordOffset } from '../codegen/record';
import { type CodePlace, RegionTranslator } from '../region/translate';
import { type SemanticTable } from '../lift/semantics';
import { type Block, type CodeCache } from './blocks';
import { type EventSource, InstructionBoundary } from './boundary';
import { BreakpointStops } from './breakpoint-stops';
import { CodeInspector } from './code-view';
import { EarlyExit } from './early-exit';
import { CodeTable, type HelperFunctions, Handlers } from './handlers';
import { CodeArena, KnownCode } from './known-code';
import { type RamMap, refillHelpers } from './refill';
import { RunningInstruction } from './running-instruction';
import { SliceBudget } from './slice-budget';
import { slowPaths } from './slow-paths';
import { WatchedAccesses } from './watched-accesses';

/** Times a block is entered before it is worth translating. */
const HOT_THRESHOLD = 2000;

/** No value that `remaining` has when breakpoints are checked. */
const NEVER_CHECKED = -1;

/** What the engine is made of. */
export interface EngineOptions {
    readonly memory: WebAssembly.Memory;
    readonly arena: { readonly base: number; readonly size: number };
    /** Where guest RAM is: without it every soft TLB miss comes to TypeScript. */
    readonly ram?: RamMap;
    readonly semantics: SemanticTable;
    readonly helpers: HelperFunctions;
    readonly systemOperations: ReadonlyMap<string, SystemOperation>;
    /** Host milliseconds, for statistics only. */
    readonly now: () => number;
    /** False: everything stays in the interpreter tier. */
    readonly translate?: boolean;
    /** Times a block is entered before it is translated. */
    readonly hotThreshold?: number;
    /** {@link StateOffset.tier} tells which tier runs: a store at the start of each block and region. */
    readonly notesTier?: boolean;
}

type EnterCode = (cpu: number, record: number) => number;

export class TranslatorEngine implements Engine {
    readonly handlers: Handlers;
    private readonly known: KnownCode;
    private readonly regions: RegionTranslator;
    private readonly running: RunningInstruction;
    private readonly early: EarlyExit;
    private readonly stops: BreakpointStops;
    private readonly watched: WatchedAccesses;
    private readonly budget = new SliceBudget();
    private readonly enterFlat: EnterCode;
    private readonly enterSegmented: EnterCode;
    private readonly cpus: Cpu[] = [];
    private readonly byBase = new Map<number, Cpu>();
    private readonly boundaries: InstructionBoundary[] = [];
    /** The vCPU that runs, or -1. */
    private current = -1;
    /** Instructions retired by all vCPUs when the slice in progress began. */
    private sliceBase = 0;
    /** Translated code is running (a helper was called from it). */
    private inCode = false;
    /** A region asks for a page: no record says which instruction is running. */
    private inRegion = false;
    private exitRequested = false;
    /** The vCPU must be looked at before its next instruction. */
    private attentionNeeded = false;
    /** Set when the slice in progress has to end with a stop. */
    private stop: RunStop | undefined;
    /** Host seconds spent in {@link run}. */
    private runSeconds = 0;
    private readonly hotThreshold: number;
    private readonly exits = { miss: 0, budget: 0, hot: 0, system: 0, stale: 0, fault: 0, step: 0, breakpoint: 0 };

    constructor(private readonly options: EngineOptions) {
        const { memory, ram, hotThreshold = HOT_THRESHOLD } = options;
        this.hotThreshold = hotThreshold;
        const arena = new CodeArena(memory.buffer, options.arena, ram);
        const slow: HelperFunctions = { ...options.helpers, ...this.slowPaths() };
        const helpers = arena.pages === undefined ? slow : { ...slow, ...refillHelpers(memory, arena.pages, slow) };
        const codeTable = new CodeTable();
        this.handlers = new Handlers(
            memory,
            codeTable,
            options.semantics,
            helpers,
            { hotThreshold, blockTable: arena.blockTable?.base, notesTier: options.notesTier },
            options.now,
        );
        this.known = new KnownCode(memory.buffer, arena, ram, this.handlers, () => this.regions.clear());
        const { cache } = this.known;
        this.regions = new RegionTranslator(
            cache,
            { blockAt: (vcpu, lo, hi, mode) => this.known.blockAt(vcpu, lo, hi, mode), hotThreshold },
            this.handlers,
            options.semantics,
            helpers,
            memory,
            options.now,
            options.notesTier === true,
        );
        this.running = new RunningInstruction(memory.buffer, cache);
        this.early = new EarlyExit(memory.buffer, cache, this.running);
        this.stops = new BreakpointStops(this.known);
        this.watched = new WatchedAccesses(this.known, ram);
        this.enterFlat = codeTable.table.get(FixedHandler.EnterFlat) as EnterCode;
        this.enterSegmented = codeTable.table.get(FixedHandler.EnterSegmented) as EnterCode;
    }

    private slowPaths(): HelperFunctions {
        return slowPaths({
            cpuAt: base => this.byBase.get(base)!,
            running: cpu => this.running.of(cpu),
            regionAsks: asks => {
                this.inRegion = asks;
            },
        });
    }

    /** All blocks that are known. */
    get cache(): CodeCache {
        return this.known.cache;
    }

    /** The hooks that vCPUs are to be constructed with (see `CpuHooks`): those that concern translated code. */
    mmuHooks(vcpu: number): EngineCpuHooks {
        return {
            watch: (lo, hi, page) => this.watched.watchpoints.watch(lo, hi, page),
            accessed: (lo, hi, size, write, physical, rest) => {
                if (!this.watched.watchpoints.isEmpty) {
                    this.accessed(vcpu, lo, hi, size, write, physical, rest);
                }
            },
            isCodePage: page => this.known.cache.isCodePage(page),
            codeWritten: (address, size) => {
                this.known.cache.invalidate(address, size);
            },
            translationsFlushed: keepGlobal => this.known.forgetTranslations(vcpu, keepGlobal),
            pageInvalidated: (lo, hi) => this.known.forgetPage(vcpu, lo, hi),
            attention: () => this.attention(vcpu),
            modeChanged: () => undefined,
            retired: () => this.retiredBy(vcpu),
        };
    }

    addProcessor(processor: EventSource & Pick<Processor, 'cpu'>): void {
        const { cpu } = processor;
        this.cpus.push(cpu);
        this.byBase.set(cpu.base, cpu);
        this.boundaries.push(new InstructionBoundary(processor, this.options.systemOperations));
        this.known.addCpu(cpu);
    }

    // --- Engine ------------------------------------------------------------------------------------------------------

    run(vcpu: number, budget: number): RunStop {
        const started = this.options.now();
        const cpu = this.cpus[vcpu];
        this.sliceBase = this.retired();
        this.current = vcpu;
        this.exitRequested = false;
        this.attentionNeeded = true;
        this.budget.begin(cpu, budget);
        this.regions.flushIfDue(this.sliceBase);
        this.stop = undefined;
        cpu.set(StateOffset.checkedAt, NEVER_CHECKED, NEVER_CHECKED);
        const stop = this.slice(cpu);
        this.budget.end(cpu);
        this.current = -1;
        this.runSeconds += (this.options.now() - started) / 1000;
        return stop;
    }

    retired(): number {
        let total = 0;
        for (let i = 0; i < this.cpus.length; i++) {
            total += this.retiredBy(i);
        }
        return total;
    }

    requestExit(): void {
        this.exitRequested = true;
        if (this.current >= 0) {
            this.attention(this.current);
        }
    }

    invalidatePage(page: number): void {
        this.known.invalidatePage(page);
    }

    mapChanged(): void {
        this.known.mapChanged();
    }

    /** Replaces the breakpoints. Code is decoded anew only in pages where they have changed. Not while a vCPU runs. */
    setBreakpoints(breakpoints: readonly CodeBreakpoint[]): void {
        this.known.setBreakpoints(breakpoints);
    }

    /**
     * Replaces the watchpoints. Pages that none touches go on as before. Not while a vCPU runs. Devices' accesses have to
     * be told by {@link deviceAccess}.
     */
    setWatchpoints(watchpoints: readonly Watchpoint[]): void {
        this.watched.replace(watchpoints, this.cpus);
    }

    /** A device is about to access physical memory by itself. */
    deviceAccess(address: number, size: number, write: boolean): void {
        const vcpu = Math.max(this.current, 0);
        if (size > 0 && this.watched.deviceAccess(vcpu, address, size, write)) {
            this.attention(vcpu);
        }
    }

    /** Hears of accesses to what {@link setWatchpoints} names; where it says so the run ends with {@link WATCH_STOP}. */
    get accessObserver(): AccessObserver | undefined {
        return this.watched.observer;
    }

    set accessObserver(observer: AccessObserver | undefined) {
        this.watched.observer = observer;
    }

    private accessed(
        vcpu: number,
        lo: number,
        hi: number,
        size: number,
        write: boolean,
        physical: number,
        rest: number,
    ): void {
        const watchpoints = this.watched.watchpoints.matching(lo, hi, size, write, physical, rest);
        if (watchpoints.length === 0 || this.accessObserver === undefined) {
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

    /** The instruction at RIP of a vCPU is next, whatever breakpoint stands there: its user has seen it. */
    passBreakpoint(vcpu: number): void {
        this.stops.pass(vcpu, this.cpus[vcpu]);
    }

    /** Takes {@link passBreakpoint} back: the vCPU has gone on from there. */
    passNothing(vcpu: number): void {
        this.stops.passNothing(vcpu);
    }

    stateChanged(vcpu: number): void {
        this.stops.passNothing(vcpu); // RIP may be elsewhere
        this.known.forgetJumps(vcpu);
    }

    locate(vcpu: number, target: { ripLo: number; ripHi: number }): boolean {
        if (vcpu !== this.current || !this.inCode) {
            return false;
        }
        this.running.locate(this.cpus[vcpu], target);
        return true;
    }

    /** What has become of guest code; looking changes nothing. */
    get code(): CodeInspector {
        const { semantics, memory } = this.options;
        return new CodeInspector(this.cache, semantics, memory, this.hotThreshold);
    }

    statistics(): EngineStatistics {
        const retired = this.retired();
        const interpreted = Math.min(retired, this.cache.interpretedInstructions());
        return {
            ...this.exits,
            runSeconds: this.runSeconds,
            interpretedInstructions: interpreted,
            translatedInstructions: retired - interpreted,
            interpretedShare: retired === 0 ? 0 : interpreted / retired,
            translationShare: this.runSeconds === 0 ? 0 : this.regions.seconds / this.runSeconds,
            handlerShare: this.runSeconds === 0 ? 0 : this.handlers.seconds / this.runSeconds,
            blocks: this.cache.blocks.length,
            decodedInstructions: this.cache.decodedInstructions,
            handlers: this.handlers.generated,
            handlerSeconds: this.handlers.seconds,
            regions: this.regions.translated,
            regionInstructions: this.regions.instructions,
            translationSeconds: this.regions.seconds,
        };
    }

    // --- accounting --------------------------------------------------------------------------------------------------

    /** Instructions a vCPU has retired, exact at the instruction that is running. */
    private retiredBy(vcpu: number): number {
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
    private attention(vcpu: number): void {
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
        if (this.options.notesTier === true) {
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
                this.inCode = false;
                this.exits.miss++;
                this.budget.unhold(cpu);
                this.leaveAtBlock(cpu);
                this.miss(cpu);
                this.endRepeat(cpu);
                return 0;
            case ExitReason.Budget:
                this.inCode = false;
                this.exits.budget++;
                this.budget.unhold(cpu);
                this.leaveAtBlock(cpu);
                this.endRepeat(cpu);
                if (!this.attentionNeeded && (record === 0 || this.isChecked(cpu)) && this.budget.remaining(cpu) > 0) {
                    return this.runOut(cpu);
                }
                return 0;
            case ExitReason.Hot:
                this.inCode = false;
                this.exits.hot++;
                this.leaveAtBlock(cpu);
                return this.translateHot(cpu);
            case ExitReason.Breakpoint:
                this.inCode = false;
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
        if (this.options.notesTier === true) {
            cpu.setLo(StateOffset.tier, Tier.None);
        }
    }

    /** RIP at a block boundary. */
    private leaveAtBlock(cpu: Cpu): void {
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
        if (
            this.options.translate === false ||
            !this.regions.request(block, this.place(this.current), this.sliceBase)
        ) {
            this.cache.keepCold(block);
        }
        // Entering it anew would check and count again.
        return block.check === 0 ? 0 : this.interpret(cpu, block);
    }

    /** Where the block that was last fetched is. */
    private place(vcpu: number): CodePlace {
        const { linearLo: lo, linearHi: hi } = this.known.fetcher;
        return { vcpu, lo, hi };
    }

    /**
     * Has the block at a vCPU's RIP translated with the next batch, hot or not. To be called while nothing runs.
     *
     * @returns false if nothing can be translated there
     */
    requestTranslation(vcpu: number): boolean {
        try {
            const block = this.known.lookUp(this.cpus[vcpu], false);
            return this.regions.request(block, this.place(vcpu), this.retired());
        } catch (error) {
            if (error instanceof GuestFault) {
                return false;
            }
            throw error;
        }
    }

    /** Compiles the blocks that wait for their batch to become full. To be called while nothing runs. */
    flushTranslations(): void {
        this.regions.flush();
    }

    private deliver(cpu: Cpu, error: unknown): void {
        this.inCode = false;
        if (!(error instanceof GuestFault)) {
            this.stopBefore(error);
            return;
        }
        this.exits.fault++;
        this.attentionNeeded = true;
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

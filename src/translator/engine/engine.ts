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
import { Gpr, type Instruction, RepeatPrefix } from '../../isa/x86/instruction';
import type { Cpu } from '../../machine/cpu/cpu';
import type { Processor } from '../../machine/processor';
import { type AccessObserver, type Watchpoint, Watchpoints } from '../../machine/watchpoints';
import { GuestFault, raise, Vector } from '../../machine/cpu/fault';
import type { SystemOperation } from '../../machine/cpu/operation';
import { afterInstruction, beforeInstruction, mustStep } from '../../machine/cpu/boundary';
import { deliverException } from '../../machine/cpu/interrupts';
import {
    ActivityState,
    CpuArea,
    Flag,
    type MmuMode,
    ModeKey,
    RefillObstacle,
    StateOffset,
    Tlb,
} from '../../machine/state';
import { HIGH_RAM_BASE } from '../../machine/layout';
import { CHUNK } from '../lift/integer/string';
import { breakpointCheck, Verdict } from '../codegen/breakpoint-check';
import { ExitReason } from '../codegen/exit';
import { PageFlag } from '../codegen/refill-emitter';
import { FixedHandler, LOAD_MISS, RAISE, STORE_MISS } from '../codegen/handler-emitter';
import { HeaderOffset, RecordOffset } from '../codegen/record';
import { ALIGNMENT_FAULT, SEGMENT_CHECK } from '../lift/handler-context';
import { type SemanticTable } from '../lift/semantics';
import { checkAddress } from './address-check';
import { type Block, CodeCache } from './blocks';
import { Breakpoints } from './breakpoints';
import { BlockPlace } from '../codegen/lookup-emitter';
import { BlockTable } from './block-table';
import { CodeTlb } from './code-tlb';
import { CodeInspector } from './code-view';
import { Fetcher } from './fetch';
import { RegionTranslator } from '../region/translate';
import { REGION_MISS } from '../codegen/region-emitter';
import { Access } from '../../machine/cpu/paging';
import { CodeTable, type HelperFunctions, Handlers } from './handlers';
import { JumpCacheTable } from './jump-cache';
import { type EventSource, InstructionBoundary } from './boundary';
import { CodePages, type RamMap, refillHelpers } from './refill';

/** Times a block is entered before it is worth translating. */
const HOT_THRESHOLD = 500;

/** Low half of `remaining` while an early exit is requested: every block finds too little left. */
const NOTHING_LEFT = -0x40000000;

/** Bytes at the start of the arena for what the checks of breakpoints count. */
const CHECK_CELLS = 0x2000;

/** No value that `remaining` has when breakpoints are checked. */
const NEVER_CHECKED = -1;

/** Where a vCPU goes on from: the breakpoints there have had their say. */
interface Departure {
    readonly ripLo: number;
    readonly ripHi: number;
    readonly rspLo: number;
    readonly rspHi: number;
}

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
}

type EnterCode = (cpu: number, record: number) => number;

export class TranslatorEngine implements Engine {
    readonly cache: CodeCache;
    readonly handlers: Handlers;
    private readonly codeTable = new CodeTable();
    private readonly codePages: CodePages | undefined;
    private readonly blockTable: BlockTable | undefined;
    private readonly fetcher: Fetcher;
    private readonly regions: RegionTranslator;
    private readonly enterFlat: EnterCode;
    private readonly enterSegmented: EnterCode;
    private readonly view: DataView;
    private readonly cpus: Cpu[] = [];
    private readonly byBase = new Map<number, Cpu>();
    private readonly boundaries: InstructionBoundary[] = [];
    private readonly jumpCaches: JumpCacheTable[] = [];
    private readonly codeTlbs: CodeTlb[] = [];
    private current = -1;
    /** Instructions retired by all vCPUs when the slice in progress began. */
    private sliceBase = 0;
    /** Budget of the slice in progress. */
    private budget = 0;
    /** Translated code is running (a helper was called from it). */
    private inCode = false;
    /** `remaining` was set aside because an early exit was requested. */
    private held = false;
    private heldRemaining = 0;
    private exitRequested = false;
    /** Host seconds spent in {@link run}. */
    private runSeconds = 0;
    /** The vCPU must be looked at before its next instruction. */
    private attentionNeeded = false;
    readonly physicalBreakpoints = true;
    private readonly breakpoints: Breakpoints;
    private readonly watchpoints = new Watchpoints();
    /** Hears of accesses to what {@link setWatchpoints} names; where it says so the run ends with {@link WATCH_STOP}. */
    accessObserver: AccessObserver | undefined;
    /** The instruction in progress, or the last one, has made a watched access. */
    private watchHit = false;
    /** That instruction is a repeated one that has been told to end early. */
    private repeatStopped = false;
    private repeatRip = { lo: 0, hi: 0 };
    /** By vCPU: the instruction that breakpoints do not hold up once more. */
    private readonly departures: (Departure | undefined)[] = [];
    /** Address of a record whose handler is overwritten so that translated code leaves there, or 0. */
    private leaveAt = 0;
    /** The handler that stood there. */
    private leaveHandler = 0;
    /** A region asks for a page: no record says which instruction is running. */
    private inRegion = false;
    /** Set when the slice in progress has to end with a stop. */
    private stop: RunStop | undefined;
    private readonly words: Uint32Array;
    private readonly exits = { miss: 0, budget: 0, hot: 0, system: 0, stale: 0, fault: 0, step: 0, breakpoint: 0 };

    constructor(private readonly options: EngineOptions) {
        const { memory } = options;
        this.view = new DataView(memory.buffer);
        this.words = new Uint32Array(memory.buffer);
        const slow: HelperFunctions = { ...options.helpers, ...this.slowPaths() };
        this.codePages = options.ram && new CodePages(memory.buffer, options.arena, options.ram);
        let { base, size } = this.codePages?.rest ?? options.arena;
        if (this.codePages !== undefined) {
            this.blockTable = new BlockTable(memory.buffer, base);
            base += BlockPlace.tableSize;
            size -= BlockPlace.tableSize;
        }
        const helpers =
            this.codePages === undefined ? slow : { ...slow, ...refillHelpers(memory, this.codePages, slow) };
        this.handlers = new Handlers(
            memory,
            this.codeTable,
            options.semantics,
            helpers,
            { hotThreshold: options.hotThreshold ?? HOT_THRESHOLD, blockTable: this.blockTable?.base },
            options.now,
        );
        this.breakpoints = new Breakpoints(
            memory.buffer,
            { base, size: CHECK_CELLS },
            {
                compile: breakpoints => this.handlers.compile(target => breakpointCheck(target, breakpoints)),
                release: tableIndex => this.codeTable.release(tableIndex),
            },
        );
        this.cache = new CodeCache(
            memory.buffer,
            { base: base + CHECK_CELLS, size: size - CHECK_CELLS },
            this.handlers,
            (page, holdsCode) => this.codePageChanged(page, holdsCode),
            region => this.codeTable.release(region.tableIndex),
        );
        this.regions = new RegionTranslator(this.cache, this.handlers, options.semantics, helpers, memory, options.now);
        this.fetcher = new Fetcher(
            memory.buffer,
            this.cache,
            this.handlers,
            this.breakpoints,
            cpu => this.codeTlbs[this.cpus.indexOf(cpu)],
        );
        this.enterFlat = this.codeTable.table.get(FixedHandler.EnterFlat) as EnterCode;
        this.enterSegmented = this.codeTable.table.get(FixedHandler.EnterSegmented) as EnterCode;
    }

    /** The hooks that vCPUs are to be constructed with (see `CpuHooks`): those that concern translated code. */
    mmuHooks(vcpu: number): EngineCpuHooks {
        return {
            watch: (lo, hi, page) => (this.watchpoints.isEmpty ? 0 : this.watchpoints.watch(lo, hi, page)),
            accessed: (lo, hi, size, write, physical, rest) => {
                if (!this.watchpoints.isEmpty) {
                    this.accessed(vcpu, lo, hi, size, write, physical, rest);
                }
            },
            isCodePage: page => this.cache.isCodePage(page),
            codeWritten: (address, size) => {
                this.cache.invalidate(address, size);
            },
            translationsFlushed: keepGlobal => this.forgetTranslations(vcpu, keepGlobal),
            pageInvalidated: (lo, hi) => {
                this.jumpCaches[vcpu]?.flushPage(lo, hi);
                this.codeTlbs[vcpu]?.flushPage(lo, hi);
            },
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
        this.codeTlbs.push(new CodeTlb(cpu.buffer, cpu.base));
        this.jumpCaches.push(new JumpCacheTable(cpu.buffer, cpu.base));
        this.noteMap(cpu);
    }

    private forgetTranslations(vcpu: number, keepGlobal: boolean): void {
        this.jumpCaches[vcpu]?.flush(keepGlobal);
        this.codeTlbs[vcpu]?.flush(keepGlobal);
    }

    // --- Engine ------------------------------------------------------------------------------------------------------

    run(vcpu: number, budget: number): RunStop {
        const started = this.options.now();
        const cpu = this.cpus[vcpu];
        this.sliceBase = this.retired();
        this.current = vcpu;
        this.budget = budget;
        this.exitRequested = false;
        this.attentionNeeded = true;
        this.held = false;
        this.setRemaining(cpu, budget);
        this.alignTimeStamp(cpu);
        this.regions.flushIfDue(this.sliceBase);
        this.stop = undefined;
        cpu.set(StateOffset.checkedAt, NEVER_CHECKED, NEVER_CHECKED);
        const stop = this.slice(cpu);
        this.settle(cpu);
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
        if (this.cache.isCodePage(page)) {
            this.cache.invalidate(page, 0x1000);
        }
    }

    mapChanged(): void {
        for (const cpu of this.cpus) {
            cpu.mmu.flushAll();
            this.noteMap(cpu);
        }
    }

    /** Page walks in WebAssembly take RAM to be where it usually is. */
    private noteMap(cpu: Cpu): void {
        cpu.mmu.tlb.setObstacle(RefillObstacle.Map, this.options.ram?.isPlain() !== true);
    }

    private codePageChanged(page: number, holdsCode: boolean): void {
        this.codePages?.set(page, PageFlag.Code, holdsCode);
        if (holdsCode) {
            for (const cpu of this.cpus) {
                cpu.mmu.protectCodePage(page);
            }
        }
    }

    /** Replaces the breakpoints. Code is decoded anew only in pages where they have changed. Not while a vCPU runs. */
    setBreakpoints(breakpoints: readonly CodeBreakpoint[]): void {
        const { linearPages, codePages } = this.breakpoints.replace(breakpoints);
        codePages.forEach(page => this.invalidatePage(page));
        if (linearPages.size > 0) {
            this.jumpCaches.forEach(cache => cache.dropPages(linearPages));
            this.codeTlbs.forEach(tlb => tlb.flush(false)); // fetching binds pages to breakpoints
        }
    }

    /**
     * Replaces the watchpoints. Pages that none touches go on as before. Not while a vCPU runs. Devices' accesses have to
     * be told by {@link deviceAccess}.
     */
    setWatchpoints(watchpoints: readonly Watchpoint[]): void {
        this.watchPages(false);
        this.watchpoints.replace(watchpoints);
        this.watchPages(true);
        const { lo, hi } = this.watchpoints.linearFilter;
        this.cpus.forEach(cpu => cpu.mmu.watchChanged(lo, hi));
    }

    /** Marks the physical pages of watchpoints for page walks in WebAssembly. */
    private watchPages(watched: boolean): void {
        const { ram } = this.options;
        if (ram !== undefined) {
            const pages = (ram.high > 0 ? HIGH_RAM_BASE + ram.high : ram.low) / 0x1000;
            for (const page of this.watchpoints.physicalPages(pages)) {
                this.codePages?.set(page * 0x1000, PageFlag.Watched, watched);
            }
        }
    }

    /** A device is about to access physical memory by itself. */
    deviceAccess(address: number, size: number, write: boolean): void {
        if (this.watchpoints.isEmpty || size === 0) {
            return;
        }
        const vcpu = Math.max(this.current, 0);
        for (const watchpoint of this.watchpoints.matchingDma(address, size, write)) {
            this.accessObserver?.accessed(vcpu, watchpoint, { linear: undefined, physical: address, size, write });
            this.watchHit = true;
        }
        if (this.watchHit) {
            this.attention(vcpu);
        }
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
        const watchpoints = this.watchpoints.matching(lo, hi, size, write, physical, rest);
        if (watchpoints.length === 0 || this.accessObserver === undefined) {
            return;
        }
        const cpu = this.cpus[vcpu];
        if (this.inCode) {
            this.noteRip(cpu);
        }
        for (const watchpoint of watchpoints) {
            this.accessObserver.accessed(vcpu, watchpoint, { linear: { lo, hi }, physical, size, write });
        }
        this.watchHit = true;
        this.attention(vcpu);
        if (this.inCode) {
            this.stopRepeat(cpu);
        }
    }

    /** Has a repeated string instruction end after the present element. */
    private stopRepeat(cpu: Cpu): void {
        if (this.running(cpu).repeat !== RepeatPrefix.None) {
            this.noteRip(cpu);
            this.repeatStopped = true;
            this.repeatRip = { lo: cpu.ripLo, hi: cpu.ripHi };
            cpu.setLo(StateOffset.repeatStop, 1);
        }
    }

    /** Makes RIP that of the instruction in progress, for whoever looks. */
    private noteRip(cpu: Cpu): void {
        const record = cpu.lo(StateOffset.currentRecord);
        const lo = cpu.lo(StateOffset.blockRip) + this.view.getUint16(record + RecordOffset.ipOffset, true);
        const long = (cpu.mode & ModeKey.CodeSizeMask) === 2;
        cpu.setRip(lo, lo > 0xffffffff && long ? cpu.hi(StateOffset.blockRip) + 1 : cpu.hi(StateOffset.blockRip));
    }

    /** The instruction that made a watched access is complete. */
    private endWatch(): void {
        this.watchHit = false;
        if (this.accessObserver?.completed(this.current) === true) {
            this.stop = { reason: 'breakpoint', id: WATCH_STOP };
        }
    }

    /** The instruction that made a watched access has not been done after all. */
    private abandonWatch(): void {
        if (this.watchHit) {
            this.watchHit = this.accessObserver?.abandoned() === true;
        }
    }

    /**
     * A repeated string instruction has ended early. If it would have gone on at once, it is as if it had not begun: it
     * counts when it does the rest.
     */
    private endRepeat(cpu: Cpu): void {
        this.repeatStopped = false;
        cpu.setLo(StateOffset.repeatStop, 0);
        const { lo, hi } = this.repeatRip;
        const comesUpForAir =
            (cpu.lo(StateOffset.gpr + 8 * Gpr.Rcx) & (CHUNK - 1)) === 0 ||
            (cpu.systemFlags & Flag.TF) !== 0 ||
            cpu.lo(StateOffset.pendingDebug) !== 0;
        if (cpu.ripLo === lo && cpu.ripHi === hi && !comesUpForAir) {
            this.setRemaining(cpu, this.remaining(cpu) + 1);
        }
    }

    /** The instruction at RIP of a vCPU is next, whatever breakpoint stands there: its user has seen it. */
    passBreakpoint(vcpu: number): void {
        const cpu = this.cpus[vcpu];
        this.departures[vcpu] = {
            ripLo: cpu.ripLo,
            ripHi: cpu.ripHi,
            rspLo: cpu.lo(StateOffset.gpr + 8 * Gpr.Rsp),
            rspHi: cpu.hi(StateOffset.gpr + 8 * Gpr.Rsp),
        };
    }

    /** Takes {@link passBreakpoint} back: the vCPU has gone on from there. */
    passNothing(vcpu: number): void {
        this.departures[vcpu] = undefined;
    }

    stateChanged(vcpu: number): void {
        this.departures[vcpu] = undefined; // RIP may be elsewhere
        this.jumpCaches[vcpu].flush(false);
    }

    locate(vcpu: number, target: { ripLo: number; ripHi: number }): boolean {
        if (vcpu !== this.current || !this.inCode) {
            return false;
        }
        const cpu = this.cpus[vcpu];
        const record = cpu.lo(StateOffset.currentRecord);
        const lo = cpu.lo(StateOffset.blockRip) + this.view.getUint16(record + RecordOffset.ipOffset, true);
        target.ripLo = lo >>> 0;
        target.ripHi = cpu.hi(StateOffset.blockRip) + (lo > 0xffffffff ? 1 : 0);
        return true;
    }

    /** What has become of guest code; looking changes nothing. */
    get code(): CodeInspector {
        const { semantics, memory, hotThreshold } = this.options;
        return new CodeInspector(this.cache, semantics, memory, hotThreshold ?? HOT_THRESHOLD);
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
        const unexecuted = this.inCode ? this.unexecuted(cpu) : 0;
        return base + this.budget - this.remaining(cpu) - unexecuted;
    }

    /** Instructions of the running block that its header has accounted for but that have not completed. */
    private unexecuted(cpu: Cpu): number {
        const record = cpu.lo(StateOffset.currentRecord);
        const ordinal = this.view.getUint8(record + RecordOffset.ordinal);
        const header = record - (ordinal + 1) * RecordOffset.size;
        return this.view.getUint32(header + HeaderOffset.count, true) - ordinal;
    }

    private remaining(cpu: Cpu): number {
        return this.held ? this.heldRemaining : cpu.lo(StateOffset.remaining) | 0;
    }

    /** Accounts for instructions: `value` of the slice are left. Not while `remaining` is held. */
    private setRemaining(cpu: Cpu, value: number): void {
        cpu.set(StateOffset.remaining, value, value < 0 ? -1 : 0);
    }

    /** Changes `remaining` without any instruction having run: the TSC stays what it is. */
    private rebase(cpu: Cpu, value: number): void {
        const shift = value - (cpu.lo(StateOffset.remaining) | 0);
        cpu.set64(StateOffset.tscAtSliceEnd, cpu.get64(StateOffset.tscAtSliceEnd) + BigInt(shift));
        this.setRemaining(cpu, value);
    }

    /** The TSC as translated code computes it is that of the machine's clock. */
    private alignTimeStamp(cpu: Cpu): void {
        const now = BigInt(cpu.hooks.tsc()) + cpu.get64(StateOffset.tscOffset);
        const left = BigInt(cpu.lo(StateOffset.remaining) | 0);
        cpu.set64(StateOffset.tscAtSliceEnd, BigInt.asUintN(64, now + left));
    }

    private settle(cpu: Cpu): void {
        const done = this.budget - this.remaining(cpu);
        const total = cpu.lo(StateOffset.instructions) + cpu.hi(StateOffset.instructions) * 0x100000000 + done;
        cpu.set(StateOffset.instructions, total % 0x100000000, Math.floor(total / 0x100000000));
        this.unhold(cpu);
        this.setRemaining(cpu, 0);
        this.budget = 0;
    }

    /** The vCPU must be looked at as soon as the current instruction is done. */
    private attention(vcpu: number): void {
        this.attentionNeeded = true;
        this.cpus[vcpu]?.setLo(StateOffset.eventPending, 1);
        if (vcpu === this.current && this.inCode && !this.held) {
            const cpu = this.cpus[vcpu];
            this.heldRemaining = this.remaining(cpu);
            this.held = true;
            this.rebase(cpu, NOTHING_LEFT);
        }
        if (vcpu === this.current && this.inCode && !this.inRegion) {
            this.leaveAfterInstruction(this.cpus[vcpu]);
            if (this.cpus[vcpu].lo(StateOffset.pendingDebug) !== 0) {
                this.stopRepeat(this.cpus[vcpu]);
            }
        }
    }

    /**
     * Has translated code leave before the next instruction of the block, too: blocks that run to their end would make
     * the moment depend on where they happen to end.
     */
    private leaveAfterInstruction(cpu: Cpu): void {
        if (this.leaveAt !== 0) {
            return;
        }
        const record = cpu.lo(StateOffset.currentRecord) + RecordOffset.size;
        const { block, index } = this.cache.blockOf(record);
        // The end record finds nothing left, and those of a block that is gone leave anyway.
        if (index < block.count && block.valid) {
            this.leaveAt = record;
            this.leaveHandler = this.words[record >>> 2];
            this.words[record >>> 2] = FixedHandler.Stale;
        }
    }

    private restoreLeft(): void {
        if (this.cache.blockOf(this.leaveAt).block.valid) {
            this.words[this.leaveAt >>> 2] = this.leaveHandler;
        }
        this.leaveAt = 0;
    }

    /** Takes back a request for an early exit. */
    private unhold(cpu: Cpu): void {
        if (this.held) {
            // Blocks entered since then would have found nothing left: none was.
            this.held = false;
            this.rebase(cpu, this.heldRemaining);
        }
    }

    // --- running -----------------------------------------------------------------------------------------------------

    private slice(cpu: Cpu): RunStop {
        const boundary = this.boundaries[this.current];
        for (;;) {
            if (this.watchHit) {
                this.endWatch();
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
                if (this.remaining(cpu) > 0 && mustStep(cpu)) {
                    this.attentionNeeded = true;
                    this.stepUnlessBreakpoint(cpu);
                }
            }
            if (this.watchHit || this.stop !== undefined) {
                continue;
            }
            if (this.remaining(cpu) <= 0) {
                return { reason: 'budget' };
            }
            if (this.attentionNeeded) {
                continue;
            }
            if (this.departs(cpu)) {
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

    /** Whether the vCPU goes on from here after it was stopped; it does so once. */
    private departs(cpu: Cpu): boolean {
        const departure = this.departures[this.current];
        if (
            departure === undefined ||
            departure.ripLo !== cpu.ripLo ||
            departure.ripHi !== cpu.ripHi ||
            // The way back to the instruction may lead through interrupt handlers, but none that are still running.
            departure.rspLo !== cpu.lo(StateOffset.gpr + 8 * Gpr.Rsp) ||
            departure.rspHi !== cpu.hi(StateOffset.gpr + 8 * Gpr.Rsp)
        ) {
            return false;
        }
        this.departures[this.current] = undefined;
        return true;
    }

    /** Ends the run if there is a breakpoint at RIP whose condition holds. To be asked once before an instruction. */
    private hitsBreakpoint(cpu: Cpu): boolean {
        if (this.breakpoints.isEmpty || this.departs(cpu)) {
            return false;
        }
        let physical: number;
        try {
            physical = this.fetcher.physical(cpu);
        } catch (error) {
            if (error instanceof GuestFault) {
                return false; // whoever executes the instruction delivers it
            }
            throw error;
        }
        return this.asksBreakpoints(physical, false);
    }

    /**
     * Asks the breakpoints at the instruction that was last fetched.
     * @param checked whether translated code has checked them already
     */
    private asksBreakpoints(physical: number, checked: boolean): boolean {
        const { linearLo, linearHi } = this.fetcher;
        let id: number | undefined;
        for (const entry of this.breakpoints.at(linearLo, linearHi, physical)) {
            const verdict = checked ? this.breakpoints.verdict(entry) : Verdict.Unknown;
            const { breakpoint } = entry;
            if (verdict !== Verdict.No && breakpoint.condition?.(this.current, verdict === Verdict.Yes) !== false) {
                id ??= breakpoint.id;
            }
        }
        if (id === undefined) {
            return false;
        }
        this.passBreakpoint(this.current);
        this.stop = { reason: 'breakpoint', id };
        return true;
    }

    /** The check of the block at RIP has not let it go on. Returns what {@link execute} does. */
    private breakpoint(cpu: Cpu): number {
        let block: Block;
        try {
            block = this.lookUp(cpu, false);
        } catch (error) {
            this.deliver(cpu, error);
            return 0;
        }
        return this.departs(cpu) || !this.asksBreakpoints(block.physical, true) ? this.interpret(cpu, block) : 0;
    }

    /** Whether the breakpoints at RIP have been asked and have nothing against going on. */
    private isChecked(cpu: Cpu): boolean {
        return (cpu.lo(StateOffset.checkedAt) | 0) === this.remaining(cpu);
    }

    /**
     * The block or region at RIP may need more instructions than are left: goes on block by block in the interpreter
     * tier, which stops exactly, and for less than a block instruction by instruction. Returns what {@link execute} does.
     */
    private runOut(cpu: Cpu): number {
        let block: Block;
        try {
            block = this.lookUp(cpu, false);
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
        const left = this.remaining(cpu) - block.count;
        if (left < 0) {
            this.step(cpu);
            return 0;
        }
        this.setRemaining(cpu, left);
        cpu.set(StateOffset.blockRip, cpu.ripLo, cpu.ripHi);
        // Past the header, which might enter a region.
        return block.record + RecordOffset.size;
    }

    /** Runs exactly one instruction, with what belongs to its boundaries. */
    private step(cpu: Cpu): void {
        this.exits.step++;
        const remaining = this.remaining(cpu);
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
            block = this.lookUp(cpu, true);
        } catch (error) {
            this.deliver(cpu, error);
            return;
        }
        cpu.set(StateOffset.blockRip, cpu.ripLo, cpu.ripHi);
        // A budget of one: the next block finds nothing left.
        const budget = this.budget;
        this.budget = budget - remaining + 1;
        this.rebase(cpu, 1);
        this.execute(cpu, block.record);
        const executed = 1 - this.remaining(cpu);
        this.budget = budget;
        this.unhold(cpu);
        this.rebase(cpu, remaining - executed);
        afterInstruction(cpu, executed > 0);
    }

    private lookUp(cpu: Cpu, single: boolean): Block {
        if (this.cache.isFull) {
            this.dropEverything();
        }
        return this.fetcher.block(cpu, single);
    }

    private dropEverything(): void {
        this.jumpCaches.forEach(cache => cache.flush(false));
        this.cache.clear();
        this.blockTable?.clear();
        this.regions.clear();
        this.cpus.forEach(cpu => cpu.mmu.flushAll());
    }

    /**
     * Enters code at `record` (0: at blockRip) and deals with the way it comes back. Returns the record that is to be
     * entered next, before anything else happens, or 0.
     */
    private execute(cpu: Cpu, record: number): number {
        let reason: ExitReason;
        this.inCode = true;
        try {
            reason =
                (cpu.mode & ModeKey.FlatCode) !== 0
                    ? this.enterFlat(cpu.base, record)
                    : this.enterSegmented(cpu.base, record);
        } catch (error) {
            if (this.leaveAt !== 0) {
                this.restoreLeft();
            }
            this.repeatStopped = false;
            cpu.setLo(StateOffset.repeatStop, 0);
            this.backOut(cpu);
            this.deliver(cpu, error);
            return 0;
        }
        if (this.leaveAt !== 0) {
            this.restoreLeft();
        }
        switch (reason) {
            case ExitReason.System:
                this.system(cpu);
                return 0;
            case ExitReason.Miss:
                this.inCode = false;
                this.exits.miss++;
                this.unhold(cpu);
                this.leaveAtBlock(cpu);
                this.miss(cpu);
                if (this.repeatStopped) {
                    this.endRepeat(cpu);
                }
                return 0;
            case ExitReason.Budget:
                this.inCode = false;
                this.exits.budget++;
                this.unhold(cpu);
                this.leaveAtBlock(cpu);
                if (this.repeatStopped) {
                    this.endRepeat(cpu);
                }
                if (!this.attentionNeeded && (record === 0 || this.isChecked(cpu)) && this.remaining(cpu) > 0) {
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

    /** RIP at a block boundary. */
    private leaveAtBlock(cpu: Cpu): void {
        cpu.setRip(cpu.lo(StateOffset.blockRip), cpu.hi(StateOffset.blockRip));
    }

    /** RIP at the instruction of currentRecord, which has not been executed: gives its block's rest back. */
    private backOut(cpu: Cpu): void {
        const unexecuted = this.unexecuted(cpu);
        this.inCode = false;
        this.unhold(cpu);
        this.setRemaining(cpu, this.remaining(cpu) + unexecuted);
        this.noteRip(cpu);
    }

    /** The instruction of currentRecord. */
    private running(cpu: Cpu): Instruction {
        return this.cache.instructionOf(cpu.lo(StateOffset.currentRecord));
    }

    private system(cpu: Cpu): void {
        this.exits.system++;
        this.backOut(cpu);
        const instruction = this.running(cpu);
        try {
            this.boundaries[this.current].execute(cpu, instruction);
        } catch (error) {
            this.deliver(cpu, error);
            return;
        }
        this.setRemaining(cpu, this.remaining(cpu) - 1);
        if (instruction.row.mnemonic === 'WRMSR') {
            this.alignTimeStamp(cpu); // it may have been the TSC or its offset
        }
    }

    private miss(cpu: Cpu): void {
        if (this.remaining(cpu) <= 0) {
            return;
        }
        try {
            const block = this.lookUp(cpu, false);
            const { linearLo, linearHi, isGlobal, isLarge } = this.fetcher;
            this.jumpCaches[this.current].enter(linearLo, linearHi, block.mode, block.record, isGlobal, isLarge);
            if (block.secondPage < 0 && !block.single) {
                this.blockTable?.enter(block.physical, block.mode, block.record);
            }
        } catch (error) {
            this.deliver(cpu, error);
        }
    }

    /** The block at RIP asks to be translated. Returns what {@link execute} does. */
    private translateHot(cpu: Cpu): number {
        const block = this.lookUp(cpu, false);
        if (this.options.translate === false || !this.regions.request(block, this.sliceBase)) {
            this.cache.keepCold(block);
        }
        // Entering it anew would check and count again.
        return block.check === 0 ? 0 : this.interpret(cpu, block);
    }

    /**
     * Has the block at a vCPU's RIP translated with the next batch, hot or not. To be called while nothing runs.
     *
     * @returns false if nothing can be translated there
     */
    requestTranslation(vcpu: number): boolean {
        try {
            return this.regions.request(this.lookUp(this.cpus[vcpu], false), this.retired());
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
        this.abandonWatch();
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
        this.abandonWatch();
        this.stop = { reason: 'breakpoint', id: EVENT_STOP };
    }

    /** Fills the soft TLB for a region. 0: the access faults or needs more than plain memory. */
    private regionMiss(cpu: Cpu, access: number, forWrite: boolean): number {
        const lo = cpu.lo(StateOffset.accessAddress);
        const hi = cpu.hi(StateOffset.accessAddress);
        if ((lo & 0xfff) + (1 << access) > 0x1000 || !cpu.memory.isCanonical(lo, hi)) {
            return 0;
        }
        const mode = mmuMode(cpu);
        this.inRegion = true;
        try {
            cpu.mmu.translate(lo, hi, forWrite ? Access.Write : Access.Read, mode);
        } catch {
            return 0; // the interpreter tier meets the same fault and delivers it
        } finally {
            this.inRegion = false;
        }
        return cpu.mmu.entered(lo, hi, forWrite, mode);
    }

    // --- slow paths of the interpreter tier --------------------------------------------------------------------------

    private slowPaths(): HelperFunctions {
        const sizes = [1, 2, 4, 8, 16];
        return {
            [LOAD_MISS.name]: (base, kind) => {
                const cpu = this.byBase.get(base)!;
                const size = sizes[kind & 7];
                const lo = cpu.lo(StateOffset.accessAddress);
                const hi = cpu.hi(StateOffset.accessAddress);
                const mode = mmuMode(cpu);
                checkAddress(cpu, this.running(cpu), lo, hi, size, (kind & 8) !== 0);
                if ((kind & 8) !== 0) {
                    cpu.memory.probeWrite(lo, hi, size, mode);
                }
                cpu.setLo(StateOffset.scratch, 0); // narrow loads zero-extend
                cpu.memory.readInto(base + StateOffset.scratch, lo, hi, size, mode);
            },
            [STORE_MISS.name]: (base, access) => {
                const cpu = this.byBase.get(base)!;
                const lo = cpu.lo(StateOffset.accessAddress);
                const hi = cpu.hi(StateOffset.accessAddress);
                checkAddress(cpu, this.running(cpu), lo, hi, sizes[access], true);
                cpu.memory.writeFrom(base + StateOffset.scratch, lo, hi, sizes[access], mmuMode(cpu));
            },
            [REGION_MISS.name]: (base, kind) => this.regionMiss(this.byBase.get(base)!, kind & 7, (kind & 8) !== 0),
            [RAISE.name]: (_base, vector, errorCode) => raise(vector, Math.max(errorCode, 0)),
            [ALIGNMENT_FAULT.name]: (base, bytes, forWrite) => {
                const cpu = this.byBase.get(base)!;
                const { lo, hi } = { lo: cpu.lo(StateOffset.accessAddress), hi: cpu.hi(StateOffset.accessAddress) };
                checkAddress(cpu, this.running(cpu), lo, hi, bytes, forWrite !== 0);
                raise(Vector.AC);
            },
            [SEGMENT_CHECK.name]: (base, segment, bytes, forWrite) => {
                const boundary = this.boundaries[this.current];
                boundary.checkSegment(this.byBase.get(base)!, segment, bytes, forWrite !== 0);
            },
        };
    }
}

/** MMU mode of the current code's ordinary data accesses: the one whose soft TLB is selected. */
function mmuMode(cpu: Cpu): MmuMode {
    return (cpu.lo(StateOffset.tlb) - cpu.base - CpuArea.tlb) / Tlb.modeSize;
}

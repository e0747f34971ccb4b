/**
 * The translator engine: interprets cold blocks and enters translated regions for hot ones (see `dispatcher.ts`). This puts
 * its parts together, and is what the machine and the debugger see of them.
 */
import type { CodeBreakpoint } from '../../machine/breakpoint';
import type { Engine, EngineCpuHooks, EngineStatistics, RunStop } from '../../machine/engine';
import type { Cpu } from '../../machine/cpu/cpu';
import { GuestFault } from '../../machine/cpu/fault';
import type { SystemOperation } from '../../machine/cpu/operation';
import type { Processor } from '../../machine/processor';
import type { AccessObserver, Watchpoint } from '../../machine/watchpoints';
import { type SemanticTable } from '../lift/semantics';
import { RegionTranslator } from '../region/translate';
import type { CodeCache } from './blocks';
import { type EventSource, InstructionBoundary } from './boundary';
import { BreakpointStops } from './breakpoint-stops';
import { CodeInspector } from './code-view';
import { Dispatcher } from './dispatcher';
import { EarlyExit } from './early-exit';
import { CodeTable, type HelperFunctions, Handlers } from './handlers';
import { CodeArena, KnownCode } from './known-code';
import { type RamMap, refillHelpers } from './refill';
import { RunningInstruction } from './running-instruction';
import { slowPaths } from './slow-paths';
import { WatchedAccesses } from './watched-accesses';

/** Times a block is entered before it is worth translating. */
const HOT_THRESHOLD = 2000;

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
    /** `StateOffset.tier` tells which tier runs: a store at the start of each block and region. */
    readonly notesTier?: boolean;
}

export class TranslatorEngine implements Engine {
    readonly handlers: Handlers;
    private readonly known: KnownCode;
    private readonly regions: RegionTranslator;
    private readonly running: RunningInstruction;
    private readonly stops: BreakpointStops;
    private readonly watched: WatchedAccesses;
    private readonly dispatcher: Dispatcher;
    private readonly byBase = new Map<number, Cpu>();
    /** Host seconds spent in {@link run}. */
    private runSeconds = 0;
    private readonly hotThreshold: number;

    constructor(private readonly options: EngineOptions) {
        const { memory, ram, hotThreshold = HOT_THRESHOLD, notesTier = false } = options;
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
            { hotThreshold, blockTable: arena.blockTable?.base, notesTier },
            options.now,
        );
        this.known = new KnownCode(memory.buffer, arena, ram, this.handlers, () => this.regions.clear());
        const { cache } = this.known;
        this.running = new RunningInstruction(memory.buffer, cache);
        this.regions = new RegionTranslator(
            cache,
            { blockAt: (vcpu, lo, hi, mode) => this.known.blockAt(vcpu, lo, hi, mode), hotThreshold },
            this.handlers,
            options.semantics,
            helpers,
            memory,
            options.now,
            notesTier,
        );
        this.stops = new BreakpointStops(this.known);
        this.watched = new WatchedAccesses(this.known, ram);
        this.dispatcher = new Dispatcher({
            known: this.known,
            regions: this.regions,
            running: this.running,
            early: new EarlyExit(memory.buffer, cache, this.running),
            stops: this.stops,
            watched: this.watched,
            codeTable,
            translates: options.translate !== false,
            notesTier,
        });
    }

    private slowPaths(): HelperFunctions {
        return slowPaths({
            cpuAt: base => this.byBase.get(base)!,
            running: cpu => this.running.of(cpu),
            regionAsks: asks => {
                this.dispatcher.inRegion = asks;
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
                    this.dispatcher.accessed(vcpu, lo, hi, size, write, physical, rest);
                }
            },
            isCodePage: page => this.known.cache.isCodePage(page),
            codeWritten: (address, size) => {
                this.known.cache.invalidate(address, size);
            },
            translationsFlushed: keepGlobal => this.known.forgetTranslations(vcpu, keepGlobal),
            pageInvalidated: (lo, hi) => this.known.forgetPage(vcpu, lo, hi),
            attention: () => this.dispatcher.attention(vcpu),
            modeChanged: () => undefined,
            retired: () => this.dispatcher.retiredBy(vcpu),
        };
    }

    addProcessor(processor: EventSource & Pick<Processor, 'cpu'>): void {
        const { cpu } = processor;
        this.byBase.set(cpu.base, cpu);
        this.dispatcher.add(cpu, new InstructionBoundary(processor, this.options.systemOperations));
        this.known.addCpu(cpu);
    }

    // --- Engine ------------------------------------------------------------------------------------------------------

    run(vcpu: number, budget: number): RunStop {
        const started = this.options.now();
        const stop = this.dispatcher.run(vcpu, budget);
        this.runSeconds += (this.options.now() - started) / 1000;
        return stop;
    }

    retired(): number {
        return this.dispatcher.retired();
    }

    requestExit(): void {
        this.dispatcher.requestExit();
    }

    locate(vcpu: number, target: { ripLo: number; ripHi: number }): boolean {
        return this.dispatcher.locate(vcpu, target);
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
        this.watched.replace(watchpoints, this.dispatcher.cpus);
    }

    /** A device is about to access physical memory by itself. */
    deviceAccess(address: number, size: number, write: boolean): void {
        this.dispatcher.deviceAccess(address, size, write);
    }

    /** Hears of accesses to what {@link setWatchpoints} names; where it says so the run ends with `WATCH_STOP`. */
    get accessObserver(): AccessObserver | undefined {
        return this.watched.observer;
    }

    set accessObserver(observer: AccessObserver | undefined) {
        this.watched.observer = observer;
    }

    /** The instruction at RIP of a vCPU is next, whatever breakpoint stands there: its user has seen it. */
    passBreakpoint(vcpu: number): void {
        this.stops.pass(vcpu, this.dispatcher.cpus[vcpu]);
    }

    /** Takes {@link passBreakpoint} back: the vCPU has gone on from there. */
    passNothing(vcpu: number): void {
        this.stops.passNothing(vcpu);
    }

    stateChanged(vcpu: number): void {
        this.stops.passNothing(vcpu); // RIP may be elsewhere
        this.known.forgetJumps(vcpu);
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
            ...this.dispatcher.exits,
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

    /**
     * Has the block at a vCPU's RIP translated with the next batch, hot or not. To be called while nothing runs.
     *
     * @returns false if nothing can be translated there
     */
    requestTranslation(vcpu: number): boolean {
        try {
            const block = this.known.lookUp(this.dispatcher.cpus[vcpu], false);
            return this.regions.request(block, this.known.placeOf(vcpu), this.retired());
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
}

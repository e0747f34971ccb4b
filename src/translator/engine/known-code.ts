/**
 * All code that the engine knows, and the ways to find it: blocks by physical address, what leads to them from a vCPU's
 * linear address, and what has to be forgotten when memory, mappings or breakpoints change.
 */
import type { CodeBreakpoint } from '../../machine/breakpoint';
import type { Cpu } from '../../machine/cpu/cpu';
import { RefillObstacle } from '../../machine/state';
import { breakpointCheck } from '../codegen/breakpoint-check';
import { BlockPlace } from '../codegen/lookup-emitter';
import { PageFlag } from '../codegen/page-walk-emitter';
import type { CodePlace } from '../region/translate';
import { type Block, CodeCache } from './blocks';
import { BlockTable } from './block-table';
import { Breakpoints } from './breakpoints';
import { CodeTlb } from './code-tlb';
import { Fetcher } from './fetch';
import { type Handlers } from './handlers';
import { JumpCacheTable } from './jump-cache';
import { CodePages, type RamMap } from './refill';

/** Bytes for what the checks of breakpoints count. */
const CHECK_CELLS = 0x2000;

interface Area {
    readonly base: number;
    readonly size: number;
}

/** How the engine's part of the shared memory is shared out. */
export class CodeArena {
    /** What page walks in WebAssembly know of RAM, and where they find blocks: only where RAM's place is known. */
    readonly pages: CodePages | undefined;
    readonly blockTable: BlockTable | undefined;
    readonly checkCells: Area;
    readonly records: Area;

    constructor(buffer: ArrayBufferLike, arena: Area, ram: RamMap | undefined) {
        this.pages = ram && new CodePages(buffer, arena, ram);
        let { base, size } = this.pages?.rest ?? arena;
        const take = (bytes: number): number => {
            const start = base;
            base += bytes;
            size -= bytes;
            return start;
        };
        if (this.pages !== undefined) {
            this.blockTable = new BlockTable(buffer, take(BlockPlace.tableSize));
        }
        this.checkCells = { base: take(CHECK_CELLS), size: CHECK_CELLS };
        this.records = { base, size };
    }
}

/** What a vCPU finds code by. */
interface CodePaths {
    readonly cpu: Cpu;
    readonly jumpCache: JumpCacheTable;
    readonly tlb: CodeTlb;
}

export class KnownCode {
    readonly cache: CodeCache;
    readonly breakpoints: Breakpoints;
    readonly fetcher: Fetcher;
    private readonly paths: CodePaths[] = [];
    private readonly tlbs = new Map<Cpu, CodeTlb>();

    /** @param forgotten called when all code has been dropped */
    constructor(
        buffer: ArrayBufferLike,
        private readonly arena: CodeArena,
        private readonly ram: RamMap | undefined,
        handlers: Handlers,
        private readonly forgotten: () => void,
    ) {
        this.breakpoints = new Breakpoints(buffer, arena.checkCells, {
            compile: breakpoints => handlers.compile(target => breakpointCheck(target, breakpoints)),
            release: tableIndex => handlers.codeTable.release(tableIndex),
        });
        this.cache = new CodeCache(
            buffer,
            arena.records,
            handlers,
            (page, holdsCode) => this.codePageChanged(page, holdsCode),
            region => handlers.codeTable.release(region.tableIndex),
        );
        this.fetcher = new Fetcher(buffer, this.cache, handlers, this.breakpoints, cpu => this.tlbs.get(cpu)!);
    }

    addCpu(cpu: Cpu): void {
        const tlb = new CodeTlb(cpu.buffer, cpu.base);
        this.paths.push({ cpu, tlb, jumpCache: new JumpCacheTable(cpu.buffer, cpu.base) });
        this.tlbs.set(cpu, tlb);
        this.noteMap(cpu);
    }

    /**
     * The block at RIP; made if there is none. `single`: one instruction only, for stepping.
     * @throws GuestFault if the first instruction cannot be fetched or is not one
     */
    lookUp(cpu: Cpu, single: boolean): Block {
        if (this.cache.isFull) {
            this.dropEverything();
        }
        return this.fetcher.block(cpu, single);
    }

    /**
     * Like {@link lookUp}, and translated code finds the block by itself from now on.
     * @throws GuestFault
     */
    enter(vcpu: number): void {
        const { cpu, jumpCache } = this.paths[vcpu];
        const block = this.lookUp(cpu, false);
        const { linearLo, linearHi, isGlobal, isLarge } = this.fetcher;
        jumpCache.enter(linearLo, linearHi, block.mode, block.record, isGlobal, isLarge);
        if (block.secondPage < 0 && !block.single) {
            this.arena.blockTable?.enter(block.physical, block.mode, block.record);
        }
    }

    /** The block that a vCPU has lately gone to at a linear address, in a mode. */
    blockAt(vcpu: number, lo: number, hi: number, mode: number): Block | undefined {
        const record = this.paths[vcpu].jumpCache.find(lo, hi, mode);
        return record === 0 ? undefined : this.cache.blockWithHeader(record);
    }

    /** Where a vCPU has met the block that was last fetched. */
    placeOf(vcpu: number): CodePlace {
        const { linearLo: lo, linearHi: hi } = this.fetcher;
        return { vcpu, lo, hi };
    }

    /** Drops the code of a physical page. */
    invalidatePage(page: number): void {
        if (this.cache.isCodePage(page)) {
            this.cache.invalidate(page, 0x1000);
        }
    }

    /** A vCPU's translations have been flushed. */
    forgetTranslations(vcpu: number, keepGlobal: boolean): void {
        this.paths[vcpu]?.jumpCache.flush(keepGlobal);
        this.paths[vcpu]?.tlb.flush(keepGlobal);
    }

    /** A vCPU's translation of the linear page at `hi:lo` has been invalidated. */
    forgetPage(vcpu: number, lo: number, hi: number): void {
        this.paths[vcpu]?.jumpCache.flushPage(lo, hi);
        this.paths[vcpu]?.tlb.flushPage(lo, hi);
    }

    /** A vCPU may be anywhere, in any mode. */
    forgetJumps(vcpu: number): void {
        this.paths[vcpu].jumpCache.flush(false);
    }

    /** What stands at which physical addresses has changed. */
    mapChanged(): void {
        for (const { cpu } of this.paths) {
            cpu.mmu.flushAll();
            this.noteMap(cpu);
        }
    }

    /** Replaces the breakpoints. Code is decoded anew only in pages where they have changed. */
    setBreakpoints(breakpoints: readonly CodeBreakpoint[]): void {
        const { linearPages, codePages } = this.breakpoints.replace(breakpoints);
        codePages.forEach(page => this.invalidatePage(page));
        if (linearPages.size > 0) {
            for (const { jumpCache, tlb } of this.paths) {
                jumpCache.dropPages(linearPages);
                tlb.flush(false); // fetching binds pages to breakpoints
            }
        }
    }

    /** Tells page walks in WebAssembly to leave a physical page to TypeScript, or not to. */
    setWatched(page: number, watched: boolean): void {
        this.arena.pages?.set(page, PageFlag.Watched, watched);
    }

    private dropEverything(): void {
        this.paths.forEach(({ jumpCache }) => jumpCache.flush(false));
        this.cache.clear();
        this.arena.blockTable?.clear();
        this.forgotten();
        this.paths.forEach(({ cpu }) => cpu.mmu.flushAll());
    }

    /** Page walks in WebAssembly take RAM to be where it usually is. */
    private noteMap(cpu: Cpu): void {
        cpu.mmu.tlb.setObstacle(RefillObstacle.Map, this.ram?.isPlain() !== true);
    }

    private codePageChanged(page: number, holdsCode: boolean): void {
        this.arena.pages?.set(page, PageFlag.Code, holdsCode);
        if (holdsCode) {
            for (const { cpu } of this.paths) {
                cpu.mmu.protectCodePage(page);
            }
        }
    }
}

/** Translates hot blocks: builds a region, lifts it, and compiles it to one WebAssembly function. */
import { Attribute } from '../../isa/x86/instruction';
import { FixedHandler, type TranslatedModule } from '../codegen/handler-emitter';
import { RegionEmitter } from '../codegen/region-emitter';
import type { Block, CodeCache } from '../engine/blocks';
import { type HelperFunctions, type Handlers, semanticOf } from '../engine/handlers';
import { type IrFunction } from '../ir/function';
import { ModeKey } from '../../machine/state';
import { RegionContext } from '../lift/region-context';
import { type SemanticTable } from '../lift/semantics';
import { type CodeAround, type Graph, buildGraph } from './graph';

/** Regions in a module. */
const BATCH = 16;
/** Instructions after which a smaller batch is compiled too. */
const LONGEST_WAIT = 200_000;
const PAGE = 0x1000;

/** Where a vCPU meets a block. */
export interface CodePlace {
    readonly vcpu: number;
    /** Linear address. */
    readonly lo: number;
    readonly hi: number;
}

/** What regions that go beyond the page of their entry need to know. */
export interface CodePaths {
    /** The block that a vCPU has lately gone to at a linear address, in a mode. */
    blockAt(vcpu: number, lo: number, hi: number, mode: number): Block | undefined;
    readonly hotThreshold: number;
}

interface Request {
    readonly entry: Block;
    readonly place: CodePlace;
}

export class RegionTranslator {
    private pending: Request[] = [];
    private pendingSince = 0;
    translated = 0;
    instructions = 0;
    seconds = 0;

    constructor(
        private readonly cache: CodeCache,
        private readonly paths: CodePaths,
        private readonly handlers: Handlers,
        private readonly semantics: SemanticTable,
        private readonly helpers: HelperFunctions,
        private readonly memory: WebAssembly.Memory,
        private readonly now: () => number,
        private readonly notesTier: boolean,
    ) {}

    /**
     * Asks for the region entered at `entry`. Regions are compiled several at a time: a WebAssembly module has a cost of
     * its own, and adding an instance to a shared table gets dearer with each. What decides is counted in instructions,
     * so that runs repeat exactly. False if the block cannot be translated: it stays in the interpreter tier.
     *
     * @param retired instructions retired so far
     */
    request(entry: Block, place: CodePlace, retired: number): boolean {
        if (
            entry.secondPage >= 0 ||
            entry.single ||
            // Its check hardly ever goes on to it.
            entry.check === FixedHandler.Breakpoint ||
            this.firstIsSystem(entry)
        ) {
            return false;
        }
        if (this.pending.length === 0) {
            this.pendingSince = retired;
        }
        this.pending.push({ entry, place });
        if (this.pending.length >= BATCH) {
            this.flush();
        }
        return true;
    }

    /** Compiles what has waited for long enough. */
    flushIfDue(retired: number): void {
        if (this.pending.length > 0 && retired - this.pendingSince >= LONGEST_WAIT) {
            this.flush();
        }
    }

    /** Forgets all requests: their blocks are gone. */
    clear(): void {
        this.pending = [];
    }

    /** Compiles all requested regions. */
    flush(): void {
        const start = this.now();
        const target = this.handlers.newModule();
        const graphs: Graph[] = [];
        const bodies: Uint8Array[] = [];
        const covered = new Set<Block>();
        for (const { entry, place } of this.pending) {
            if (!entry.valid || entry.region !== undefined) {
                continue;
            }
            if (!entry.deferred && (entry.inside.size > 0 || covered.has(entry))) {
                // A region translated meanwhile goes through it, which may be all it needs: it has to become hot again.
                entry.deferred = true;
                this.cache.coolDown(entry);
                continue;
            }
            const graph = buildGraph(entry, this.codeAround(entry, place));
            graph.nodes.forEach(({ block }) => covered.add(block));
            graphs.push(graph);
            bodies.push(this.emit(graph, target, entry.mode));
        }
        this.pending = [];
        if (graphs.length === 0) {
            return;
        }
        bodies.forEach((body, i) => target.module.addFunction(target.functionType, body, `r${i}`));
        const module = new WebAssembly.Module(target.module.encode());
        const instance = new WebAssembly.Instance(module, {
            env: { memory: this.memory, table: this.handlers.codeTable.table },
            helpers: this.helpers as WebAssembly.ModuleImports,
        });
        graphs.forEach((graph, i) => {
            const tableIndex = this.handlers.codeTable.take();
            this.handlers.codeTable.set(tableIndex, instance.exports[`r${i}`]);
            this.cache.enterRegion({
                tableIndex,
                blocks: graph.nodes.map(node => node.block),
                offsets: graph.nodes.map(node => node.offset),
            });
            this.translated++;
            for (const node of graph.nodes) {
                this.instructions += node.block.count;
            }
        });
        this.seconds += (this.now() - start) / 1000;
    }

    /**
     * Known code as it is mapped around a place. Only the entry's page is certain; for others counts where the vCPU has
     * lately gone, and regions check that it still holds.
     */
    private codeAround(entry: Block, { vcpu, lo, hi }: CodePlace): CodeAround {
        const { mode } = entry;
        const inPage = entry.physical & 0xfff;
        const pages = new Map([[0, entry.physical - inPage]]);
        const isWide = (mode & ModeKey.CodeSizeMask) === 2;
        const isFlat = (mode & ModeKey.FlatCode) !== 0;
        return {
            find: offset => {
                const number = Math.floor(offset / PAGE);
                const page = pages.get(number);
                if (page !== undefined) {
                    return this.cache.find(page + (offset - number * PAGE), mode, false);
                }
                if (!isFlat) {
                    return undefined;
                }
                const low = lo - inPage + offset;
                const high = isWide ? hi + Math.floor(low / 0x100000000) : 0;
                const block = this.paths.blockAt(vcpu, low >>> 0, high >>> 0, mode);
                if (block !== undefined) {
                    pages.set(number, block.physical - (block.physical & 0xfff));
                }
                return block;
            },
            isHot: block =>
                block.region !== undefined ||
                block.inside.size > 0 ||
                this.cache.heatOf(block) >= this.paths.hotThreshold,
        };
    }

    private emit(graph: Graph, target: TranslatedModule, mode: number): Uint8Array {
        return new RegionEmitter(
            target,
            graph,
            ({ instructions, offset }) => liftBlock({ mode, instructions }, offset, this.semantics),
            mode,
            this.notesTier,
        ).emitRegion();
    }

    /** A region whose first instruction it can't do would only ever be left at once. */
    private firstIsSystem(block: Block): boolean {
        return semanticOf(block.instructions[0], block.mode, this.semantics) === undefined;
    }
}

/**
 * The IR of a block of a region, which starts at `offset` in its page.
 * @param starts receives the number of the first operation of each instruction
 */
export function liftBlock(
    { mode, instructions }: Pick<Block, 'mode' | 'instructions'>,
    offset: number,
    semantics: SemanticTable,
    starts?: number[],
): IrFunction {
    const context = new RegionContext(mode, instructions.length);
    let position = offset;
    let ended = false;
    instructions.forEach((instruction, ordinal) => {
        starts?.push(context.ir.ir.length);
        context.beginAt(instruction, position, ordinal);
        const semantic = semanticOf(instruction, mode, semantics);
        if (semantic === undefined) {
            context.leave();
            ended = true;
        } else {
            semantic(context);
            ended = (instruction.row.attributes & Attribute.Branch) !== 0;
        }
        position += instruction.length;
    });
    starts?.push(context.ir.ir.length);
    if (!ended) {
        context.jumpToNext();
    }
    return context.ir.ir;
}

/** Translates hot blocks: builds a region, lifts it, and compiles it to one WebAssembly function. */
import { Attribute } from '../../isa/x86/instruction';
import { type TranslatedModule } from '../codegen/handler-emitter';
import { RegionEmitter } from '../codegen/region-emitter';
import type { Block, CodeCache } from '../engine/blocks';
import { type HelperFunctions, type Handlers, semanticOf } from '../engine/handlers';
import { type IrFunction } from '../ir/function';
import { RegionContext } from '../lift/region-context';
import { type SemanticTable } from '../lift/semantics';
import { type Graph, type Node, buildGraph } from './graph';

export class RegionTranslator {
    translated = 0;
    instructions = 0;
    seconds = 0;

    constructor(
        private readonly cache: CodeCache,
        private readonly handlers: Handlers,
        private readonly semantics: SemanticTable,
        private readonly helpers: HelperFunctions,
        private readonly memory: WebAssembly.Memory,
        private readonly now: () => number,
    ) {}

    /** Translates the region entered at `entry`. False if it cannot be: it stays in the interpreter tier. */
    translate(entry: Block): boolean {
        if (entry.secondPage >= 0 || entry.single || this.firstIsSystem(entry)) {
            return false;
        }
        const start = this.now();
        const page = entry.physical - (entry.physical & 0xfff);
        const graph = buildGraph(entry, offset => this.cache.find(page + offset, entry.mode, false));
        const target = this.handlers.newModule();
        const body = this.emit(graph, target, entry.mode);
        target.module.addFunction(target.functionType, body, 'region');
        const module = new WebAssembly.Module(target.module.encode());
        const instance = new WebAssembly.Instance(module, {
            env: { memory: this.memory, table: this.handlers.codeTable.table },
            helpers: this.helpers as WebAssembly.ModuleImports,
        });
        const tableIndex = this.handlers.codeTable.take();
        this.handlers.codeTable.set(tableIndex, instance.exports.region);
        this.cache.enterRegion({ tableIndex, blocks: graph.nodes.map(node => node.block) });
        this.translated++;
        for (const node of graph.nodes) {
            this.instructions += node.block.instructions.length;
        }
        this.seconds += (this.now() - start) / 1000;
        return true;
    }

    private emit(graph: Graph, target: TranslatedModule, mode: number): Uint8Array {
        return new RegionEmitter(target, graph, node => this.lift(node), mode).emitRegion();
    }

    /** A region whose first instruction it can't do would only ever be left at once. */
    private firstIsSystem(block: Block): boolean {
        return semanticOf(block.instructions[0], block.mode, this.semantics) === undefined;
    }

    /** The IR of one block. */
    lift(node: Node): IrFunction {
        const { block } = node;
        const context = new RegionContext(block.mode);
        let offset = node.offset;
        let ended = false;
        block.instructions.forEach((instruction, ordinal) => {
            context.beginAt(instruction, offset, ordinal);
            const semantic = semanticOf(instruction, block.mode, this.semantics);
            if (semantic === undefined) {
                context.leave();
                ended = true;
            } else {
                semantic(context);
                ended = (instruction.row.attributes & Attribute.Branch) !== 0;
            }
            offset += instruction.length;
        });
        if (!ended) {
            context.jumpToNext();
        }
        return context.ir.ir;
    }
}

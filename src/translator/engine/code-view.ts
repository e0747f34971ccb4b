/**
 * What the translator has made of guest code, for the Translator view: the region and its blocks with their IR and
 * WebAssembly. Regions keep none of that: it is made again, in the same way, when somebody looks.
 */
import { Attribute } from '../../isa/x86/instruction';
import { type PrintedFunction, printFunction } from '../../wasm/printer';
import { LOCAL_CPU, LOCAL_RECORD } from '../codegen/function-writer';
import { RegionEmitter } from '../codegen/region-emitter';
import { type IrFunction } from '../ir/function';
import { printIr } from '../ir/text';
import { type SemanticTable } from '../lift/semantics';
import { buildGraph, type Graph, type Node, staticTargets } from '../region/graph';
import { liftBlock } from '../region/translate';
import { type Block, type CodeCache, type Region } from './blocks';
import { newModule, semanticOf } from './handlers';

/** Lines of the region's WebAssembly, first and last. */
export type LineRange = readonly [first: number, last: number];

export interface BlockView {
    readonly block: Block;
    /** Bytes from the start of the page of the region's entry. */
    readonly offset: number;
    readonly heat: number;
    readonly isLoopHeader: boolean;
    /** Where its end may go to directly, as offsets like {@link offset}. */
    readonly targets: readonly number[];
    /** Its end may also go where only running tells. */
    readonly isIndirect: boolean;
    /** By instruction: the system operations do it. */
    readonly system: readonly boolean[];
    /** Lines of IR; `starts` has the first line of each instruction, and behind the last one that of the block's end. */
    readonly ir?: { readonly lines: readonly string[]; readonly starts: readonly number[] };
    /** By instruction. */
    readonly wasmLines?: readonly (LineRange | undefined)[];
}

export interface CodeView {
    /** The block that the address lies in. */
    readonly block: Block;
    /** The region that is shown; undefined while the block is in the interpreter tier. */
    readonly region: Region | undefined;
    /** The entry first, in the order of the code. */
    readonly blocks: readonly BlockView[];
    readonly wasm?: PrintedFunction;
    /** Bytes of the function's body. */
    readonly wasmBytes?: number;
    readonly hotThreshold: number;
}

/** A region emitter that remembers which operation each piece of code came from. */
class TracingEmitter extends RegionEmitter {
    readonly marks: { readonly at: number; readonly node: Node; readonly operation: number }[] = [];

    protected override beginOperation(index: number): void {
        this.marks.push({ at: this.out.length, node: this.node, operation: index });
    }

    /** The function's body, and where the code that the marks count in begins. */
    trace(): { body: Uint8Array; start: number } {
        const body = this.emitRegion();
        // The end of the function's block is behind it.
        return { body, start: body.length - 1 - this.bodyLength };
    }
}

interface Lifted {
    readonly ir: IrFunction;
    readonly starts: readonly number[];
}

export class CodeInspector {
    constructor(
        private readonly cache: CodeCache,
        private readonly semantics: SemanticTable,
        private readonly memory: WebAssembly.Memory,
        private readonly hotThreshold: number,
    ) {}

    /**
     * @param mode `ModeKey` that the code runs in; code that was decoded for other modes only is not found
     * @param brief without IR and WebAssembly
     */
    explain(physical: number, mode: number, brief: boolean): CodeView | undefined {
        const block = this.blockAt(physical, mode);
        if (block === undefined) {
            return undefined;
        }
        const region = block.region ?? [...block.inside].at(0);
        const entry = region?.blocks[0] ?? block;
        const graph = this.graphOf(region ?? { blocks: [block], offsets: [block.physical & 0xfff] });
        const lifted = new Map<Node, Lifted>();
        for (const node of graph.nodes) {
            const starts: number[] = [];
            const ir = brief
                ? undefined
                : liftBlock({ mode: entry.mode, instructions: node.instructions }, node.offset, this.semantics, starts);
            if (ir !== undefined) lifted.set(node, { ir, starts });
        }
        const code = region === undefined || brief ? undefined : this.emit(graph, lifted, entry.mode);
        return {
            block,
            region,
            hotThreshold: this.hotThreshold,
            blocks: graph.nodes.map(node => this.view(node, lifted.get(node), code?.lines.get(node))),
            wasm: code?.wasm,
            wasmBytes: code?.bytes,
        };
    }

    /** The block that holds the byte; of several the one that begins nearest before it. */
    private blockAt(physical: number, mode: number): Block | undefined {
        let best: Block | undefined;
        for (const block of this.cache.blocksIn(physical - (physical & 0xfff))) {
            const distance = physical - block.physical;
            const holds =
                distance >= 0 && distance < block.length && block.valid && !block.single && block.mode === mode;
            if (holds && (best === undefined || block.physical > best.physical)) {
                best = block;
            }
        }
        return best;
    }

    private graphOf({ blocks, offsets }: Pick<Region, 'blocks' | 'offsets'>): Graph {
        const byOffset = new Map(offsets.map((offset, index) => [offset, blocks[index]]));
        return buildGraph(blocks[0], { find: offset => byOffset.get(offset), isHot: () => true });
    }

    private view(node: Node, lifted: Lifted | undefined, wasmLines: BlockView['wasmLines']): BlockView {
        const { block, instructions } = node;
        const { mode } = block;
        const last = instructions[instructions.length - 1];
        const branches = (last.row.attributes & Attribute.Branch) !== 0;
        const targets = staticTargets(node);
        const conditional = (last.row.attributes & Attribute.Conditional) !== 0;
        return {
            block,
            offset: node.offset,
            heat: this.cache.heatOf(block),
            isLoopHeader: node.isLoopHeader,
            targets,
            isIndirect: branches && !conditional && targets.length === 0,
            system: instructions.map(instruction => semanticOf(instruction, mode, this.semantics) === undefined),
            ir: lifted && { lines: printIr(lifted.ir).trimEnd().split('\n'), starts: lifted.starts },
            wasmLines,
        };
    }

    private emit(
        graph: Graph,
        lifted: ReadonlyMap<Node, Lifted>,
        mode: number,
    ): { wasm: PrintedFunction; bytes: number; lines: Map<Node, (LineRange | undefined)[]> } {
        const target = newModule(this.memory);
        const emitter = new TracingEmitter(target, graph, node => lifted.get(node)!.ir, mode);
        const { body, start } = emitter.trace();
        const locals = new Map([
            [LOCAL_CPU, 'cpu'],
            [LOCAL_RECORD, 'record'],
        ]);
        const wasm = printFunction(body, { locals, functions: target.helperNames });
        return { wasm, bytes: body.length, lines: linesOf(wasm, emitter.marks, start, lifted) };
    }
}

/** Which lines belong to each instruction: from its first operation up to the first one of another instruction. */
function linesOf(
    { offsets }: PrintedFunction,
    marks: TracingEmitter['marks'],
    start: number,
    lifted: ReadonlyMap<Node, Lifted>,
): Map<Node, (LineRange | undefined)[]> {
    const lines = new Map<Node, (LineRange | undefined)[]>();
    let line = 0;
    const lineAt = (offset: number): number => {
        while (line < offsets.length && offsets[line] < offset) line++;
        return line;
    };
    for (let index = 0; index < marks.length;) {
        const { node, at, operation } = marks[index];
        const ordinal = ordinalOf(lifted.get(node)!, operation);
        let next = index + 1;
        while (
            next < marks.length &&
            marks[next].node === node &&
            ordinalOf(lifted.get(node)!, marks[next].operation) === ordinal
        ) {
            next++;
        }
        const first = lineAt(start + at);
        const end = next < marks.length ? lineAt(start + marks[next].at) : first + 1;
        const own = lines.get(node) ?? [];
        if (ordinal < node.block.count && own[ordinal] === undefined && end > first) {
            own[ordinal] = [first, end - 1];
        }
        lines.set(node, own);
        index = next;
    }
    return lines;
}

function ordinalOf({ starts }: Lifted, operation: number): number {
    let ordinal = starts.length - 1;
    while (ordinal > 0 && starts[ordinal] > operation) ordinal--;
    return ordinal;
}

/**
 * The control flow of a region: which blocks belong to it, in what order they are emitted, and which of their edges
 * become structured WebAssembly branches (Ramsey, "Beyond Relooper", 2022: dominator tree and reverse postorder).
 */
import { Attribute, type Instruction } from '../../isa/x86/instruction';
import type { Block } from '../engine/blocks';

/** A block in a region. */
export interface Node {
    readonly block: Block;
    /** The block's: it decodes them anew each time it is asked. */
    readonly instructions: readonly Instruction[];
    /** Bytes from the start of the entry's page to the block, which may lie in another page. */
    readonly offset: number;
    /** Position in reverse postorder; the entry is 0. */
    order: number;
    successors: Node[];
    /** For a return: where calls of the region expect it to go. They are successors, too. */
    readonly returns: Node[];
    /** Forward edges that lead here. */
    forwardPredecessors: number;
    isLoopHeader: boolean;
    dominator: Node | undefined;
    /** Merge nodes that this one immediately dominates, in reverse postorder. */
    readonly mergeChildren: Node[];
    /** Most instructions that run from here before control leaves or reaches a loop header. */
    cost: number;
}

/** Bounds of a region: beyond them WebAssembly functions get slow to compile. */
const MAX_BLOCKS = 48;
const MAX_INSTRUCTIONS = 800;
/**
 * Of these, how much may lie in other pages than the entry: called functions, mostly. With 64 a boot translated a fifth
 * more, for the same results in `npm run bench -- compute`.
 */
const MAX_FOREIGN_INSTRUCTIONS = 16;
/** Return sites that a return is compared with. */
const MAX_RETURNS = 4;
/** Rounds of finding where calls return to: each may bring in more calls. */
const ROUNDS = 6;

const PAGE = 0x1000;

export interface Graph {
    /** Reverse postorder. */
    readonly nodes: readonly Node[];
    /** Node at an offset from the start of the entry's page. */
    at(offset: number): Node | undefined;
}

/** The code around a region's entry. */
export interface CodeAround {
    /** The known block at an offset from the start of the entry's page, in the same mode. */
    find(offset: number): Block | undefined;
    /** Whether a block in another page than the entry's is worth having. */
    isHot(block: Block): boolean;
}

/** Whether control goes to a page that may be mapped independently both of the one it comes from and of the entry's. */
export function leavesPage(from: Node, to: Node): boolean {
    const page = pageOf(to.offset);
    return page !== 0 && page !== pageOf(from.offset);
}

function pageOf(offset: number): number {
    return Math.floor(offset / PAGE);
}

/** Where the end of a block may go to directly, as offsets like the block's own. */
export function staticTargets(node: Node): number[] {
    const end = endOf(node);
    const last = lastOf(node);
    const attributes = last.row.attributes;
    const targets: number[] = [];
    if ((attributes & Attribute.Branch) === 0 || (attributes & Attribute.Conditional) !== 0) {
        targets.push(end);
    }
    if ((attributes & Attribute.Branch) !== 0 && isRelative(last)) {
        targets.push(end + last.immediate);
    }
    return targets;
}

function endOf({ offset, block }: Node): number {
    return offset + block.length;
}

function lastOf({ instructions }: Node): Instruction {
    return instructions[instructions.length - 1];
}

function isCall(node: Node): boolean {
    return lastOf(node).row.mnemonic === 'CALL';
}

function isReturn(node: Node): boolean {
    return lastOf(node).row.mnemonic === 'RET';
}

function isRelative(instruction: Instruction): boolean {
    return instruction.row.operands.length > 0 && instruction.row.operands[0].startsWith('J');
}

/** Builds the region entered at `entry`. */
export function buildGraph(entry: Block, code: CodeAround): Graph {
    const nodes = new Builder(code).build(entry);
    const ordered = reversePostorder(nodes.get(entry.physical & 0xfff)!);
    findDominators(ordered);
    classifyEdges(ordered);
    computeCosts(ordered);
    return { nodes: ordered, at: offset => nodes.get(offset) };
}

/** Collects the blocks of a region and their edges. */
class Builder {
    private readonly nodes = new Map<number, Node>();
    private readonly queue: Node[] = [];
    private instructions = 0;
    private foreignInstructions = 0;

    constructor(private readonly code: CodeAround) {}

    build(entry: Block): ReadonlyMap<number, Node> {
        this.include(entry, entry.physical & 0xfff);
        this.followBranches();
        for (let round = 0; round < ROUNDS && this.connectReturns(); round++) {
            this.followBranches();
        }
        return this.nodes;
    }

    private include(block: Block, offset: number): Node {
        const node: Node = {
            block,
            instructions: block.instructions,
            offset,
            order: -1,
            successors: [],
            returns: [],
            forwardPredecessors: 0,
            isLoopHeader: false,
            dominator: undefined,
            mergeChildren: [],
            cost: 0,
        };
        this.nodes.set(offset, node);
        this.instructions += block.count;
        if (pageOf(offset) !== 0) {
            this.foreignInstructions += block.count;
        }
        this.queue.push(node);
        return node;
    }

    /** Breadth first, so that what is near the entry gets in. */
    private followBranches(): void {
        for (let node = this.queue.shift(); node !== undefined; node = this.queue.shift()) {
            for (const target of staticTargets(node)) {
                const successor = this.reach(target);
                if (successor !== undefined) {
                    connect(node, successor);
                }
            }
        }
    }

    /** The node at an offset, included if it may be. */
    private reach(offset: number): Node | undefined {
        const known = this.nodes.get(offset);
        if (known !== undefined) {
            return known.block.check === 0 ? known : undefined; // only entering it anew asks its breakpoints
        }
        const block = this.code.find(offset);
        const isOwn = pageOf(offset) === 0;
        if (
            block === undefined ||
            block.secondPage >= 0 ||
            block.check !== 0 ||
            this.nodes.size >= MAX_BLOCKS ||
            this.instructions + block.count > MAX_INSTRUCTIONS ||
            (!isOwn && this.foreignInstructions + block.count > MAX_FOREIGN_INSTRUCTIONS) ||
            (!isOwn && !this.code.isHot(block))
        ) {
            return undefined;
        }
        return this.include(block, offset);
    }

    /** Leads the returns of called functions to behind the calls. Returns whether there is anything new. */
    private connectReturns(): boolean {
        let changed = false;
        for (const call of [...this.nodes.values()]) {
            if (!isCall(call)) {
                continue;
            }
            for (const callee of call.successors) {
                for (const exit of this.returnsOf(callee)) {
                    if (exit.returns.length >= MAX_RETURNS) {
                        continue;
                    }
                    const site = this.reach(endOf(call));
                    if (site !== undefined && !exit.returns.includes(site)) {
                        exit.returns.push(site);
                        connect(exit, site);
                        changed = true;
                    }
                }
            }
        }
        return changed;
    }

    /** The returns of a function, as far as it is in the region: calls in it are taken to come back. */
    private returnsOf(callee: Node): Node[] {
        const found: Node[] = [];
        const seen = new Set([callee]);
        for (const node of seen) {
            if (isReturn(node)) {
                found.push(node);
                continue;
            }
            const next = isCall(node) ? [this.nodes.get(endOf(node))] : node.successors;
            next.forEach(successor => successor && seen.add(successor));
        }
        return found;
    }
}

function connect(node: Node, successor: Node): void {
    if (!node.successors.includes(successor)) {
        node.successors.push(successor);
    }
}

function reversePostorder(entry: Node): Node[] {
    const postorder: Node[] = [];
    const seen = new Set([entry]);
    const stack: { node: Node; next: number }[] = [{ node: entry, next: 0 }];
    while (stack.length > 0) {
        const top = stack[stack.length - 1];
        if (top.next < top.node.successors.length) {
            const successor = top.node.successors[top.next++];
            if (!seen.has(successor)) {
                seen.add(successor);
                stack.push({ node: successor, next: 0 });
            }
        } else {
            postorder.push(top.node);
            stack.pop();
        }
    }
    postorder.reverse();
    postorder.forEach((node, order) => (node.order = order));
    return postorder;
}

/** Cooper, Harvey, Kennedy: "A Simple, Fast Dominance Algorithm". */
function findDominators(nodes: readonly Node[]): void {
    const predecessors = new Map<Node, Node[]>(nodes.map(node => [node, []]));
    for (const node of nodes) {
        node.successors.forEach(successor => predecessors.get(successor)!.push(node));
    }
    const intersect = (x: Node, y: Node): Node => {
        while (x !== y) {
            while (x.order > y.order) {
                x = x.dominator!;
            }
            while (y.order > x.order) {
                y = y.dominator!;
            }
        }
        return x;
    };
    nodes[0].dominator = nodes[0];
    for (let changed = true; changed;) {
        changed = false;
        for (const node of nodes.slice(1)) {
            let dominator: Node | undefined;
            for (const predecessor of predecessors.get(node)!) {
                if (predecessor.dominator !== undefined) {
                    dominator = dominator === undefined ? predecessor : intersect(predecessor, dominator);
                }
            }
            if (dominator !== node.dominator) {
                node.dominator = dominator;
                changed = true;
            }
        }
    }
}

export function dominates(x: Node, y: Node): boolean {
    let node = y;
    while (node.order > x.order) {
        node = node.dominator!;
    }
    return node === x;
}

/** A conditional jump to the instruction behind it leads there in two ways: an edge each. */
function waysTo(successor: Node, from: Node): number {
    return Math.max(1, staticTargets(from).filter(target => target === successor.offset).length);
}

/** Finds loops and merges; edges back to a node that does not dominate (irreducible) leave the region instead. */
function classifyEdges(nodes: readonly Node[]): void {
    for (const node of nodes) {
        node.successors = node.successors.filter(successor => {
            if (successor.order > node.order) {
                successor.forwardPredecessors += waysTo(successor, node);
                return true;
            }
            if (dominates(successor, node)) {
                successor.isLoopHeader = true;
                return true;
            }
            return false;
        });
    }
    for (const node of nodes) {
        if (node.forwardPredecessors > 1) {
            node.dominator!.mergeChildren.push(node);
        }
    }
}

function computeCosts(nodes: readonly Node[]): void {
    for (let i = nodes.length - 1; i >= 0; i--) {
        const node = nodes[i];
        let rest = 0;
        for (const successor of node.successors) {
            if (successor.order > node.order && !successor.isLoopHeader) {
                rest = Math.max(rest, successor.cost);
            }
        }
        node.cost = node.block.count + rest;
    }
}

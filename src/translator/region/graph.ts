/**
 * The control flow of a region: which blocks belong to it, in what order they are emitted, and which of their edges
 * become structured WebAssembly branches (Ramsey, "Beyond Relooper", 2022: dominator tree and reverse postorder).
 */
import { Attribute, type Instruction } from '../../isa/x86/instruction';
import type { Block } from '../engine/blocks';

/** A block in a region. */
export interface Node {
    readonly block: Block;
    /** Offset of the block in its page. */
    readonly offset: number;
    /** Position in reverse postorder; the entry is 0. */
    order: number;
    successors: Node[];
    /** Predecessors by forward edges. */
    forwardPredecessors: number;
    isLoopHeader: boolean;
    dominator: Node | undefined;
    /** Merge nodes that this one immediately dominates, in reverse postorder. */
    readonly mergeChildren: Node[];
    /** Most instructions that run from here before control leaves or reaches a loop header. */
    cost: number;
}

/** Bounds of a region: beyond them WebAssembly functions get slow to compile. */
const MAX_BLOCKS = 96;
const MAX_INSTRUCTIONS = 800;

export interface Graph {
    /** Reverse postorder. */
    readonly nodes: readonly Node[];
    /** Node at an offset in the page. */
    at(offset: number): Node | undefined;
}

/** Offsets in the page that the block's end may go to directly, and that are worth having in the region. */
export function staticTargets(block: Block): number[] {
    const offset = block.physical & 0xfff;
    const end = offset + block.length;
    const last = block.instructions[block.count - 1];
    const attributes = last.row.attributes;
    const targets: number[] = [];
    if ((attributes & Attribute.Branch) === 0 || (attributes & Attribute.Conditional) !== 0) {
        targets.push(end);
    }
    if ((attributes & Attribute.Branch) !== 0 && isRelative(last)) {
        targets.push(end + last.immediate);
    }
    return targets.filter(target => target >= 0 && target < 0x1000);
}

function isRelative(instruction: Instruction): boolean {
    return instruction.row.operands.length > 0 && instruction.row.operands[0].startsWith('J');
}

/** Builds the region entered at `entry`. `find` gives the known block at an offset of the same page and mode. */
export function buildGraph(entry: Block, find: (offset: number) => Block | undefined): Graph {
    const byOffset = new Map<number, Node>();
    let instructions = 0;
    const include = (block: Block): Node => {
        const node: Node = {
            block,
            offset: block.physical & 0xfff,
            order: -1,
            successors: [],
            forwardPredecessors: 0,
            isLoopHeader: false,
            dominator: undefined,
            mergeChildren: [],
            cost: 0,
        };
        byOffset.set(node.offset, node);
        instructions += block.count;
        return node;
    };
    // Breadth first, so that what is near the entry gets in.
    const queue = [include(entry)];
    for (let node = queue.shift(); node !== undefined; node = queue.shift()) {
        for (const target of staticTargets(node.block)) {
            let successor = byOffset.get(target);
            if (successor !== undefined && successor.block.check !== 0) {
                continue; // only entering it anew asks its breakpoints
            }
            if (successor === undefined) {
                const block = find(target);
                if (
                    block === undefined ||
                    block.secondPage >= 0 ||
                    block.check !== 0 ||
                    byOffset.size >= MAX_BLOCKS ||
                    instructions + block.count > MAX_INSTRUCTIONS
                ) {
                    continue;
                }
                successor = include(block);
                queue.push(successor);
            }
            if (!node.successors.includes(successor)) {
                node.successors.push(successor);
            }
        }
    }
    const nodes = reversePostorder(byOffset.get(entry.physical & 0xfff)!);
    findDominators(nodes);
    classifyEdges(nodes);
    computeCosts(nodes);
    return { nodes, at: offset => byOffset.get(offset) };
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

/** Finds loops and merges; edges back to a node that does not dominate (irreducible) leave the region instead. */
function classifyEdges(nodes: readonly Node[]): void {
    for (const node of nodes) {
        node.successors = node.successors.filter(successor => {
            if (successor.order > node.order) {
                successor.forwardPredecessors++;
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

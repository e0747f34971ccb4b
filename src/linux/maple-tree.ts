/**
 * Maple trees (lib/maple_tree.c, since 6.1): what keeps a process's memory areas by address. Addresses of nodes carry the
 * kind of the node in their low bits; how many slots a node has is read from the kernel's types.
 */
import { hex } from '../inspect/hex';
import { LinuxError } from './errors';
import type { Listed, Structure } from './structure';
import { isKernelAddress, type KernelReader } from './structure';

/** Nodes are aligned to 256 bytes: below is their kind. */
const NODE_MASK = 0xffn;
const KIND_SHIFT = 3n;
const KIND_MASK = 0xfn;

const enum NodeKind {
    Dense = 0,
    Leaf64 = 1,
    Range64 = 2,
    Arange64 = 3,
}

/** 16 slots a node make 2^40 entries in 10 levels. */
const DEEPEST = 12;
const MOST_ENTRIES = 0x10000;

/** The pointers in a tree, in the order of their keys. */
export function mapleEntries(tree: Structure): Listed<bigint> {
    const walk = new MapleWalk(tree.reader);
    const root = tree.big('ma_root');
    if (isNode(root)) {
        walk.node(root, 0xffffffffffffffffn, 0);
    } else {
        walk.entry(root);
    }
    return { items: walk.items, problem: walk.problem };
}

/** Internal entries of an XArray are marked by two bits, and small ones are no nodes. */
function isNode(entry: bigint): boolean {
    return (entry & 3n) === 2n && entry > 4096n;
}

class MapleWalk {
    readonly items: bigint[] = [];
    problem: string | undefined;
    private readonly seen = new Set<bigint>();

    constructor(private readonly reader: KernelReader) {}

    entry(entry: bigint): void {
        // Numbers and reserved entries stand for nothing here.
        if (entry !== 0n && (entry & 3n) === 0n) this.items.push(entry);
    }

    /** @param last highest key that the node covers */
    node(encoded: bigint, last: bigint, depth: number): void {
        const address = encoded & ~NODE_MASK;
        const kind = Number((encoded >> KIND_SHIFT) & KIND_MASK) as NodeKind;
        const problem = !isKernelAddress(address)
            ? `the tree leads to ${hex(address)}, which is no kernel address`
            : this.seen.has(address)
              ? `the tree comes back to the node at ${hex(address)}`
              : depth > DEEPEST || this.seen.size > MOST_ENTRIES || this.items.length > MOST_ENTRIES
                ? 'the tree is too large to be one'
                : undefined;
        if (problem !== undefined) {
            this.problem ??= problem;
            return;
        }
        this.seen.add(address);
        try {
            if (kind === NodeKind.Dense) {
                this.dense(address);
            } else if (kind <= NodeKind.Arange64) {
                this.ranges(address, kind, last, depth);
            } else {
                this.problem ??= `the node at ${hex(address)} is of kind ${kind}, which is none that is known`;
            }
        } catch (error) {
            if (!(error instanceof LinuxError)) throw error;
            this.problem ??= error.message;
        }
    }

    private dense(address: bigint): void {
        const node = this.reader.at('maple_node', address);
        const { size } = node.field('slot');
        for (let index = 0; index < size / 8; index++) {
            this.entry(this.reader.number(node.addressOf(`slot[${index}]`), 8));
        }
    }

    private ranges(address: bigint, kind: NodeKind, last: bigint, depth: number): void {
        const node = this.reader.at(kind === NodeKind.Arange64 ? 'maple_arange_64' : 'maple_range_64', address);
        const pivots = node.field('pivot').size / 8;
        const slots = node.field('slot').size / 8;
        for (let index = 0; index < slots && this.problem === undefined; index++) {
            // The node ends where its keys do; a pivot of 0 stands for that too.
            const pivot = index < pivots ? node.big(`pivot[${index}]`) : last;
            const isLast = index >= pivots || pivot >= last || (pivot === 0n && index > 0);
            const slot = node.big(`slot[${index}]`);
            if (kind === NodeKind.Leaf64) {
                this.entry(slot);
            } else if (slot !== 0n) {
                this.node(slot, isLast ? last : pivot, depth + 1);
            }
            if (isLast) break;
        }
    }
}

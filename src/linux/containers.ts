/** Trees of the kernel's: red-black trees, and XArrays, which radix trees have become in 4.20. */
import { hex } from '../inspect/hex';
import { LinuxError } from './errors';
import { isKernelAddress, type KernelReader, type Listed } from './structure';

const MOST_ENTRIES = 0x10000;
/** 2^40 entries of a balanced binary tree. */
const DEEPEST = 80;
/** Levels of a tree over indices: each takes 4 bits of one at least. */
const DEEPEST_ARRAY = 16;

/**
 * Addresses of the nodes of a red-black tree in their order.
 * @param root address of the pointer to the topmost `struct rb_node`
 */
export function treeNodes(reader: KernelReader, root: bigint): Listed<bigint> {
    const node = reader.layout.required('rb_node');
    const items: bigint[] = [];
    const seen = new Set<bigint>();
    let problem: string | undefined;
    const visit = (at: bigint, depth: number): void => {
        if (at === 0n || problem !== undefined) return;
        if (!isKernelAddress(at) || seen.has(at) || depth > DEEPEST || items.length > MOST_ENTRIES) {
            problem = `the tree is corrupt at ${hex(at)}`;
            return;
        }
        seen.add(at);
        try {
            const entry = reader.at(node, at);
            visit(entry.big('rb_left'), depth + 1);
            items.push(at);
            visit(entry.big('rb_right'), depth + 1);
        } catch (error) {
            if (!(error instanceof LinuxError)) throw error;
            problem ??= error.message;
        }
    };
    visit(reader.number(root, 8), 0);
    return { items, problem };
}

/** How a tree over indices is put together in one version of the kernel or another. */
interface ArrayKind {
    /** The structure of its nodes. */
    readonly node: string;
    /** What the root holds. */
    readonly head: bigint;
    /** The node that an entry leads to; undefined for what is none. @param depth nodes above */
    nodeOf(entry: bigint, depth: number): bigint | undefined;
}

/**
 * The entries of a tree over indices, in their order: of an XArray (since 4.20), or of a radix tree before.
 * @param root address of the `struct xarray`, or `struct radix_tree_root`
 */
export function arrayEntries(reader: KernelReader, root: bigint): Listed<bigint> {
    const { node, head, nodeOf } = kindOf(reader, root);
    const type = reader.layout.required(node);
    const slots = (reader.layout.field(type, 'slots')?.size ?? 0) / 8;
    const items: bigint[] = [];
    const seen = new Set<bigint>();
    let problem: string | undefined;
    const visit = (entry: bigint, depth: number): void => {
        if (entry === 0n || problem !== undefined) return;
        const at = nodeOf(entry, depth);
        if (at === undefined) {
            // Others than addresses stand for numbers, siblings and such.
            if ((entry & 3n) === 0n) items.push(entry);
            return;
        }
        const isTooLarge = depth > DEEPEST_ARRAY || seen.size > MOST_ENTRIES || items.length > MOST_ENTRIES;
        if (!isKernelAddress(at) || seen.has(at) || isTooLarge) {
            problem = `the array is corrupt at ${hex(at)}`;
            return;
        }
        seen.add(at);
        try {
            const first = reader.at(type, at).addressOf('slots');
            for (let index = 0; index < slots; index++) visit(reader.number(first + BigInt(index * 8), 8), depth + 1);
        } catch (error) {
            if (!(error instanceof LinuxError)) throw error;
            problem ??= error.message;
        }
    };
    visit(head, 0);
    return { items, problem };
}

function kindOf(reader: KernelReader, root: bigint): ArrayKind {
    if (reader.layout.record('xarray') !== undefined) {
        const head = reader.at('xarray', root).big('xa_head');
        // Small ones stand for siblings and such.
        const isNode = (entry: bigint): boolean => (entry & 3n) === 2n && entry >= 4096n;
        return { node: 'xa_node', head, nodeOf: entry => (isNode(entry) ? entry - 2n : undefined) };
    }
    const tree = reader.at('radix_tree_root', root);
    const node = 'radix_tree_node';
    const head = tree.big('rnode');
    if (!tree.has('height')) {
        return { node, head, nodeOf: entry => ((entry & 3n) === 1n ? entry - 1n : undefined) };
    }
    // Before 4.7 the root alone is marked, and says how many nodes lie above an entry.
    const height = tree.number('height');
    return {
        ...{ node, head },
        nodeOf: (entry, depth) => (depth < height ? entry & ~1n : undefined),
    };
}

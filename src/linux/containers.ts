/** Trees of the kernel's: red-black trees, and XArrays, which radix trees have become. */
import { hex } from '../inspect/hex';
import { LinuxError } from './errors';
import { isKernelAddress, type KernelReader, type Listed } from './structure';

const MOST_ENTRIES = 0x10000;
/** 2^40 entries of a balanced binary tree. */
const DEEPEST = 80;
/** Levels of an XArray: each takes 4 bits of an index at least. */
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

/** The entries of an XArray in the order of their indices. @param head what its `xa_head` holds */
export function arrayEntries(reader: KernelReader, head: bigint): Listed<bigint> {
    const type = reader.layout.required('xa_node');
    const slots = (reader.layout.field(type, 'slots')?.size ?? 0) / 8;
    const items: bigint[] = [];
    const seen = new Set<bigint>();
    let problem: string | undefined;
    const visit = (entry: bigint, depth: number): void => {
        if (entry === 0n || problem !== undefined) return;
        if ((entry & 3n) !== 2n) {
            if ((entry & 3n) === 0n) items.push(entry);
            return;
        }
        // Small internal entries stand for siblings and such.
        if (entry < 4096n) return;
        const at = entry - 2n;
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

/** Functions, inlined calls and lexical blocks: what code belongs to. */
import { partitionPoint } from '../../common/search';
import { SymbolFileError } from '../errors';
import { At, Tag } from './constants';
import type { Die } from './die';
import { type AddressRange, rangesOf } from './ranges';
import { selectSiblings } from './siblings';
import type { Unit } from './unit';

/** Deeper nesting is no program's. */
const DEEPEST = 200;

/** Entries of one function; abstract instances that refer to each other in a circle would have no end. */
const MOST_ENTRIES = 100_000;
let entriesLeft = 0;

/** A function's concrete instance, a function inlined into another, or a block between braces. */
export interface Block {
    readonly kind: 'function' | 'inlined' | 'lexical';
    readonly die: Die;
    readonly ranges: readonly AddressRange[];
    readonly parent: Block | undefined;
    readonly children: readonly Block[];
    /** Parameters and variables, in the order of their declarations. */
    readonly variables: readonly Die[];
    /** Where calls return to, and what is known of the arguments then. */
    readonly callSites: readonly Die[];
}

interface FunctionEntry extends AddressRange {
    readonly die: Die;
}

/** Languages in which functions stand inside of types (DWARF 5, table 7.17): Rust and D. */
const NESTING_LANGUAGES: ReadonlySet<number> = new Set([0x1c, 0x13]);

const FUNCTIONS_INSIDE: ReadonlySet<number> = new Set<number>([Tag.Subprogram, Tag.Namespace]);
const TYPES_INSIDE: ReadonlySet<number> = new Set<number>([
    Tag.StructureType,
    Tag.ClassType,
    Tag.EnumerationType,
    Tag.UnionType,
]);
const BLOCKS_INSIDE: ReadonlySet<number> = new Set<number>([Tag.LexicalBlock, Tag.InlinedSubroutine]);

/** The functions of a unit that have code. */
export class UnitFunctions {
    private entries: readonly FunctionEntry[];
    private readonly blocks = new Map<Die, Block>();
    private readonly root: Die;
    private hasNested = false;

    /** @throws SymbolFileError */
    constructor(unit: Unit) {
        this.root = unit.full.root;
        const nests = NESTING_LANGUAGES.has(this.root.number(At.Language) ?? 0);
        const wanted = (tag: number): boolean => FUNCTIONS_INSIDE.has(tag) || (nests && TYPES_INSIDE.has(tag));
        this.entries = this.collect(wanted, tag => tag !== (Tag.Subprogram as number));
    }

    /** The function that an address lies in, with everything inside. */
    at(address: number): Block | undefined {
        let found = this.find(address);
        if (found === undefined && !this.hasNested) {
            this.hasNested = true;
            // Lambdas and methods of local classes stand inside of functions. Few units have them, and it takes reading all.
            this.entries = this.collect(
                tag => FUNCTIONS_INSIDE.has(tag) || TYPES_INSIDE.has(tag) || BLOCKS_INSIDE.has(tag),
                () => true,
            );
            found = this.find(address);
        }
        return found && this.block(found.die);
    }

    private find(address: number): FunctionEntry | undefined {
        const { entries } = this;
        const low = partitionPoint(entries.length, index => entries[index].low <= address);
        for (let index = low - 1; index >= Math.max(0, low - 4); index--) {
            if (address < entries[index].high) return entries[index];
        }
        return undefined;
    }

    /** Where a function of this unit has its code; its entry may describe the function in the abstract. */
    entryAddress(die: Die): number | undefined {
        const found = this.entries.find(
            entry => entry.die.offset === die.offset || entry.die.reference(At.AbstractOrigin)?.offset === die.offset,
        );
        return found?.die.address(At.LowPc) ?? found?.low;
    }

    block(die: Die): Block {
        let block = this.blocks.get(die);
        if (block === undefined) {
            entriesLeft = MOST_ENTRIES;
            block = readBlock(die, 'function', undefined, 0);
            this.blocks.set(die, block);
        }
        return block;
    }

    /**
     * @param wanted tags of functions, and of what may have them inside
     * @param goesInto tags of what they are looked for in
     */
    private collect(wanted: (tag: number) => boolean, goesInto: (tag: number) => boolean): FunctionEntry[] {
        const entries: FunctionEntry[] = [];
        const visit = (parent: Die, depth: number): void => {
            if (depth > DEEPEST || !parent.hasChildren) return;
            for (const die of selectSiblings(parent.unit, parent.next, wanted)) {
                if (die.tag === (Tag.Subprogram as number)) {
                    for (const range of rangesOf(die)) entries.push({ ...range, die });
                }
                if (goesInto(die.tag)) visit(die, depth + 1);
            }
        };
        visit(this.root, 0);
        return entries.sort((a, b) => a.low - b.low);
    }
}

function readBlock(die: Die, kind: Block['kind'], parent: Block | undefined, depth: number): Block {
    const contents: Contents = { children: [], variables: [], callSites: [] };
    const block: Block = { kind, die, ranges: rangesOf(die), parent, ...contents };
    collectContents(die, block, contents, depth);
    return block;
}

interface Contents {
    readonly children: Block[];
    readonly variables: Die[];
    readonly callSites: Die[];
}

function collectContents(die: Die, block: Block, contents: Contents, depth: number): void {
    if (depth > DEEPEST) {
        throw new SymbolFileError(`${die.unit.what}: corrupt: blocks nested deeper than ${DEEPEST}`);
    }
    const described = new Set<number>();
    for (const child of die.children()) {
        if (!isCallSite(child)) {
            for (const origin of child.origins()) described.add(origin.offset);
        }
        collect(child, block, contents, depth);
    }
    // What the abstract instance has and this one does not mention was optimised out: it is still in scope.
    const origin = die.reference(At.AbstractOrigin);
    for (const child of origin?.children() ?? []) {
        const { tag } = child;
        const isInherited = !described.has(child.offset) && tag !== (Tag.InlinedSubroutine as number);
        if (isInherited && !isCallSite(child)) collect(child, block, contents, depth);
    }
}

function isCallSite({ tag }: Die): boolean {
    return tag === (Tag.CallSite as number) || tag === (Tag.GnuCallSite as number);
}

function collect(child: Die, block: Block, contents: Contents, depth: number): void {
    if (--entriesLeft < 0) {
        throw new SymbolFileError(`${child.unit.what}: corrupt: a function of more than ${MOST_ENTRIES} entries`);
    }
    switch (child.tag as Tag) {
        case Tag.FormalParameter:
        case Tag.Variable:
            contents.variables.push(child);
            break;
        case Tag.LexicalBlock:
            // A block without code is no scope of its own: it would never be entered.
            if (child.has(At.LowPc) || child.has(At.Ranges)) {
                contents.children.push(readBlock(child, 'lexical', block, depth + 1));
            } else {
                collectContents(child, block, contents, depth + 1);
            }
            break;
        case Tag.InlinedSubroutine:
            contents.children.push(readBlock(child, 'inlined', block, depth + 1));
            break;
        case Tag.CallSite:
        case Tag.GnuCallSite:
            contents.callSites.push(child);
    }
}

export function covers({ ranges }: Block, address: number): boolean {
    return ranges.some(({ low, high }) => address >= low && address < high);
}

/** The blocks that an address lies in, from the function inwards. */
export function blocksAt(root: Block, address: number): Block[] {
    const chain = [root];
    for (let block = root; ;) {
        const inner = block.children.find(child => covers(child, address));
        if (inner === undefined) {
            return chain;
        }
        chain.push(inner);
        block = inner;
    }
}

/** The address at which a function or an inlined call is entered. */
export function entryOf({ die, ranges }: Block): number | undefined {
    const entry = die.raw(At.EntryPc);
    if (entry !== undefined) {
        const address = die.address(At.EntryPc);
        if (address !== undefined) return address;
        // A constant is an offset from the entry's base.
        const base = die.address(At.LowPc) ?? ranges.at(0)?.low;
        if (base !== undefined && typeof entry.value === 'number') return base + entry.value;
    }
    return die.address(At.LowPc) ?? ranges.at(0)?.low;
}

/**
 * Blocks of decoded instructions in the arena of the shared memory, found by physical address and mode.
 */
import { type CodeSize, MAX_INSTRUCTION_LENGTH, decode } from '../../isa/x86';
import { Attribute, type Instruction, RepeatPrefix } from '../../isa/x86/instruction';
import { ModeKey } from '../../machine/state';
import { FixedHandler } from '../codegen/handler-emitter';
import { HeaderOffset, RecordOffset } from '../codegen/record';
import { type Handler, type Handlers } from './handlers';
import { writeRecord } from './record-writer';

export interface Block {
    /** Index in {@link CodeCache.blocks}, which header records hold. */
    readonly number: number;
    /** Physical address of the first byte. */
    readonly physical: number;
    readonly mode: number;
    /** Decoded anew at each use: blocks are many, and this is needed seldom. */
    readonly instructions: readonly Instruction[];
    /** Number of instructions. */
    readonly count: number;
    /** Bytes. */
    readonly length: number;
    /** Address of the header record in the shared memory. */
    readonly record: number;
    /** Physical page of the bytes after the page boundary, if the (only) instruction crosses it, else -1. */
    readonly secondPage: number;
    /** Made of one instruction for stepping: not found by ordinary look-ups. */
    readonly single: boolean;
    /** Table index of the check of the breakpoints at its start, which regions end before; 0: there are none. */
    readonly check: number;
    valid: boolean;
    /** It was hot once, but inside a region already. */
    deferred: boolean;
    /** The region that this block is the entry of, if it is translated. */
    region: Region | undefined;
    /** All valid regions that contain its code. */
    readonly inside: ReadonlySet<Region>;
}

/** A translated region: several blocks, of one page or more, in one function, entered at the first of them. */
export interface Region {
    readonly tableIndex: number;
    /** Every block whose code is inside; the entry is the first. */
    readonly blocks: readonly Block[];
    /** Where each of them lies: bytes from the start of the entry's page. */
    readonly offsets: readonly number[];
}

interface Page {
    /** Blocks by offset in the page and mode (and whether single). */
    readonly blocks: Map<number, CachedBlock>;
    /** All blocks with bytes in this page. */
    readonly all: Set<CachedBlock>;
    /** 1 for each 64-byte line that has held code since the page became a code page: most stores beside it miss all. */
    readonly lines: Uint8Array;
}

const LINE = 64;

/** Most instructions in a block: the ordinal in a record is a byte, and long blocks make late exits. */
const MAX_INSTRUCTIONS = 64;

/** A heat that does not reach the threshold in the life of a machine. */
const NEVER_HOT = 0x80000000;
/** Instructions kept for {@link CodeCache.instructionOf}. */
const MOST_RECENT = 4096;

/** Where a block's bytes are in the shared memory: the first one, and those beyond the page boundary. */
export interface BlockBytes {
    /** -1 if they are not plain memory. */
    readonly first: number;
    readonly second: number;
}

/** UD2: stands for bytes that are no instruction. */
const UNDEFINED_INSTRUCTION = decode(Uint8Array.of(0x0f, 0x0b), 0, 2, 32) as Instruction;

/** What most blocks are inside of. */
const NO_REGIONS: ReadonlySet<Region> = new Set();

class CachedBlock implements Block {
    readonly record: number;
    readonly number: number;
    readonly length: number;
    readonly count: number;
    valid = true;
    deferred = false;
    region: Region | undefined = undefined;
    inside: ReadonlySet<Region> = NO_REGIONS;
    private kept: readonly Instruction[] | undefined;

    constructor(
        place: { readonly record: number; readonly number: number; readonly length: number; readonly count: number },
        readonly physical: number,
        readonly mode: number,
        readonly secondPage: number,
        readonly single: boolean,
        readonly check: number,
        private readonly shared: Uint8Array,
        private readonly at: BlockBytes,
    ) {
        this.record = place.record;
        this.number = place.number;
        this.length = place.length;
        this.count = place.count;
    }

    join(region: Region): void {
        this.inside = new Set([...this.inside, region]);
    }

    leave(region: Region): void {
        this.inside = this.inside.size === 1 ? NO_REGIONS : new Set([...this.inside].filter(other => other !== region));
    }

    get instructions(): readonly Instruction[] {
        return this.kept ?? this.decode();
    }

    /** Holds on to instructions whose bytes cannot be read again, or are about to change. */
    keep(instructions: readonly Instruction[] = this.decode()): void {
        this.kept ??= instructions;
    }

    private decode(): Instruction[] {
        const codeSize = (16 << (this.mode & ModeKey.CodeSizeMask)) as CodeSize;
        let bytes = this.shared;
        let position = this.at.first;
        if (this.secondPage >= 0) {
            const inFirst = 0x1000 - (this.physical & 0xfff);
            bytes = new Uint8Array(2 * MAX_INSTRUCTION_LENGTH);
            bytes.set(this.shared.subarray(position, position + inFirst));
            bytes.set(this.shared.subarray(this.at.second, this.at.second + MAX_INSTRUCTION_LENGTH), inFirst);
            position = 0;
        }
        const end = position + this.length;
        const instructions: Instruction[] = [];
        while (position < end) {
            const instruction = decode(bytes, position, end, codeSize);
            if (typeof instruction === 'number') {
                break;
            }
            instructions.push(instruction);
            position += instruction.length;
        }
        // Only a store through an alias of the page (a closed A20 gate) escapes notice: then what is there now counts.
        while (instructions.length < this.count) {
            instructions.push(UNDEFINED_INSTRUCTION);
        }
        return instructions;
    }
}

export class CodeCache {
    readonly blocks: CachedBlock[] = [];
    /** Instructions that {@link instructionOf} was asked for lately, by record. */
    private readonly recent = new Map<number, Instruction>();
    private readonly pages = new Map<number, Page>();
    private readonly words: Uint32Array;
    private readonly bytes: Uint8Array;
    private readonly view: DataView;
    private next: number;
    decodedInstructions = 0;
    /** Instructions of blocks entered in the interpreter tier, as far as their heat has been forgotten. */
    private forgotten = 0;

    constructor(
        buffer: ArrayBufferLike,
        private readonly arena: { readonly base: number; readonly size: number },
        private readonly handlers: Handlers,
        /** A physical page begins to hold code, or no longer does. */
        private readonly codePageChanged: (page: number, holdsCode: boolean) => void,
        /** A region is not used any more. */
        private readonly release: (region: Region) => void,
    ) {
        this.words = new Uint32Array(buffer);
        this.bytes = new Uint8Array(buffer);
        this.view = new DataView(buffer);
        this.next = arena.base;
    }

    /** True if the arena cannot take a block of the largest size: the owner must {@link clear} first. */
    get isFull(): boolean {
        return this.next + (MAX_INSTRUCTIONS + 2) * RecordOffset.size > this.arena.base + this.arena.size;
    }

    isCodePage(page: number): boolean {
        return this.pages.has(page);
    }

    find(physical: number, mode: number, single: boolean): Block | undefined {
        const offset = physical & 0xfff;
        return this.pages.get(physical - offset)?.blocks.get(blockKey(offset, mode, single));
    }

    /** The valid blocks with bytes in a physical page. */
    blocksIn(page: number): Iterable<Block> {
        return this.pages.get(page)?.all ?? [];
    }

    /** Times that a block has been entered in the interpreter tier, up to the threshold. */
    heatOf(block: Block): number {
        const heat = this.words[(block.record + HeaderOffset.heat) >> 2];
        return heat >= NEVER_HOT ? heat - NEVER_HOT : heat;
    }

    /** The block with this header record, if it is valid. */
    blockWithHeader(record: number): Block | undefined {
        const block = this.blocks.at(this.words[(record + HeaderOffset.block) >>> 2]);
        return block?.record === record && block.valid ? block : undefined;
    }

    /** The block that a record (not a header) belongs to, and its index among the block's instructions. */
    blockOf(record: number): { readonly block: Block; readonly index: number } {
        const index = this.view.getUint8(record + RecordOffset.ordinal);
        const header = record - (index + 1) * RecordOffset.size;
        return { block: this.blocks[this.words[(header + HeaderOffset.block) >>> 2]], index };
    }

    /** The instruction of a record. */
    instructionOf(record: number): Instruction {
        let instruction = this.recent.get(record);
        if (instruction === undefined) {
            const { block, index } = this.blockOf(record);
            instruction = block.instructions[index];
            if (this.recent.size >= MOST_RECENT) {
                this.recent.clear();
            }
            this.recent.set(record, instruction);
        }
        return instruction;
    }

    /** Enters a block of decoded instructions (at least one). */
    add(
        physical: number,
        mode: number,
        instructions: readonly Instruction[],
        handlers: readonly Handler[],
        secondPage: number,
        single: boolean,
        check: number,
        bytes: BlockBytes,
    ): Block {
        const record = this.next;
        this.next += (instructions.length + 2) * RecordOffset.size;
        let length = 0;
        let at = record + RecordOffset.size;
        instructions.forEach((instruction, ordinal) => {
            const left = instructions.length - ordinal;
            writeRecord(this.view, at, instruction, handlers[ordinal], { ipOffset: length, ordinal, left });
            length += instruction.length;
            at += RecordOffset.size;
        });
        this.handlers.flush();
        this.words[at >> 2] = (mode & ModeKey.CodeSizeMask) === 2 ? FixedHandler.End64 : FixedHandler.End32;
        this.view.setUint16(at + RecordOffset.ipOffset, length, true);
        this.view.setUint8(at + RecordOffset.ordinal, instructions.length);
        const place = { record, number: this.blocks.length, length, count: instructions.length };
        const block = new CachedBlock(place, physical, mode, secondPage, single, check, this.bytes, bytes);
        if (bytes.first < 0) {
            block.keep(instructions);
        }
        this.blocks.push(block);
        this.words[record >> 2] = check;
        this.words[entryWord(block)] = FixedHandler.Header;
        this.words[(record + HeaderOffset.count) >> 2] = instructions.length;
        // A block of one instruction for stepping never becomes hot.
        this.words[(record + HeaderOffset.heat) >> 2] = single ? NEVER_HOT : 0;
        this.words[(record + HeaderOffset.block) >> 2] = block.number;
        const offset = physical & 0xfff;
        const page = this.page(physical - offset);
        page.blocks.set(blockKey(offset, mode, single), block);
        page.all.add(block);
        page.lines.fill(1, Math.floor(offset / LINE), Math.ceil(Math.min(0x1000, offset + length) / LINE));
        if (secondPage >= 0) {
            const second = this.page(secondPage);
            second.all.add(block);
            second.lines.fill(1, 0, Math.ceil((offset + length - 0x1000) / LINE));
        }
        this.decodedInstructions += instructions.length;
        return block;
    }

    /** Drops blocks that overlap physical [address, address + size). Returns whether there were any. */
    invalidate(address: number, size: number): boolean {
        let any = false;
        const last = address + size - 1;
        for (let page = address - (address & 0xfff); page <= last; page += 0x1000) {
            const entry = this.pages.get(page);
            if (
                entry === undefined ||
                !touchesCode(entry, Math.max(address, page) - page, Math.min(last - page, 0xfff))
            ) {
                continue;
            }
            for (const block of entry.all) {
                if (this.overlaps(block, address, last)) {
                    this.drop(block);
                    any = true;
                }
            }
            if (entry.all.size === 0) {
                this.pages.delete(page);
                this.codePageChanged(page, false);
            }
        }
        return any;
    }

    /** Forgets everything. No translated code may be running. */
    clear(): void {
        for (const block of this.blocks) {
            this.forgetHeat(block);
            if (block.region !== undefined) {
                this.release(block.region);
            }
        }
        this.blocks.length = 0;
        this.recent.clear();
        for (const page of this.pages.keys()) {
            this.codePageChanged(page, false);
        }
        this.pages.clear();
        this.next = this.arena.base;
    }

    /** Points the header of a region's entry at its code. */
    enterRegion(region: Region): void {
        const [entry] = region.blocks;
        if (entry.region !== undefined) {
            this.dropRegion(entry.region);
        }
        entry.region = region;
        for (const block of region.blocks) {
            this.blocks[block.number].join(region);
        }
        this.words[entryWord(entry)] = region.tableIndex;
    }

    /** Instructions that the interpreter tier has executed: of whole blocks, so that one left half-way counts as a whole. */
    interpretedInstructions(): number {
        return this.blocks.reduce((sum, block) => sum + this.heatOf(block) * block.count, this.forgotten);
    }

    private forgetHeat(block: Block): void {
        this.forgotten += this.heatOf(block) * block.count;
    }

    /** The block begins to count its heat anew. */
    coolDown(block: Block): void {
        this.forgetHeat(block);
        this.words[(block.record + HeaderOffset.heat) >> 2] = 0;
    }

    /** The block will not be translated: it stops asking. */
    keepCold(block: Block): void {
        this.forgetHeat(block);
        this.words[(block.record + HeaderOffset.heat) >> 2] = NEVER_HOT;
    }

    private overlaps(block: Block, first: number, last: number): boolean {
        const page = block.physical - (block.physical & 0xfff);
        const inFirst = block.secondPage < 0 ? block.length : page + 0x1000 - block.physical;
        if (first < block.physical + inFirst && last >= block.physical) {
            return true;
        }
        return block.secondPage >= 0 && first < block.secondPage + block.length - inFirst && last >= block.secondPage;
    }

    private drop(block: CachedBlock): void {
        if (!block.valid) {
            return;
        }
        block.valid = false;
        // It may be running: what it consists of is still asked for.
        block.keep();
        const offset = block.physical & 0xfff;
        const first = this.pages.get(block.physical - offset);
        first?.all.delete(block);
        const key = blockKey(offset, block.mode, block.single);
        if (first?.blocks.get(key) === block) {
            first.blocks.delete(key);
        }
        if (block.secondPage >= 0) {
            this.pages.get(block.secondPage)?.all.delete(block);
        }
        this.words[block.record >> 2] = FixedHandler.StaleHeader;
        // Every record leaves, the end record too: the block may be running, and is decoded again from where it is.
        for (let i = 1; i <= block.count + 1; i++) {
            this.words[(block.record + i * RecordOffset.size) >> 2] = FixedHandler.Stale;
        }
        block.inside.forEach(region => this.dropRegion(region));
    }

    /** A region is as valid as all its blocks: its entry goes back to the interpreter. */
    private dropRegion(region: Region): void {
        const [entry] = region.blocks;
        for (const block of region.blocks) {
            this.blocks[block.number].leave(region);
        }
        entry.region = undefined;
        if (entry.valid) {
            this.words[entryWord(entry)] = FixedHandler.Header;
            this.forgetHeat(entry);
            this.words[(entry.record + HeaderOffset.heat) >> 2] = 0;
        }
        this.release(region);
    }

    private page(page: number): Page {
        let entry = this.pages.get(page);
        if (entry === undefined) {
            entry = { blocks: new Map(), all: new Set(), lines: new Uint8Array(0x1000 / LINE) };
            this.pages.set(page, entry);
            this.codePageChanged(page, true);
        }
        return entry;
    }
}

/** Index of the word of a block's header that says what entering it runs, past any check. */
function entryWord({ record, check }: Block): number {
    return (check === 0 ? record + RecordOffset.handler : record + HeaderOffset.unchecked) >> 2;
}

/** Whether any of the page's bytes [first, last] may be code. */
function touchesCode(page: Page, first: number, last: number): boolean {
    for (let line = Math.floor(first / LINE); line * LINE <= last; line++) {
        if (page.lines[line] !== 0) {
            return true;
        }
    }
    return false;
}

/** True if a block must end with this instruction. */
export function endsBlock(instruction: Instruction, isSystem: boolean): boolean {
    // A repeated string instruction may go to itself again, after the whole block has been accounted for.
    return (
        isSystem || instruction.repeat !== RepeatPrefix.None || (instruction.row.attributes & Attribute.Branch) !== 0
    );
}

export { MAX_INSTRUCTIONS };

function blockKey(offset: number, mode: number, single: boolean): number {
    return (mode * 2 + (single ? 1 : 0)) * 0x1000 + offset;
}

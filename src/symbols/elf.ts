/** The named addresses of ELF files: `.symtab`, read when the first of them is asked for. */
import { partitionPoint } from '../common/search';
import { memorySource } from './byte-source';
import { decodeText, fromAddress, toAddress } from './cursor';
import { ElfFile, type ElfSection, ElfType, SectionFlag, SectionType } from './elf-file';
import { SymbolFileError } from './errors';
import { coveringSymbol, type GuestSymbol, PREFERENCE, type SymbolicAddress, type SymbolSource } from './symbol-table';

export { isElf } from './elf-file';
export { SymbolFileError } from './errors';

/** Section header indices that are no sections. */
const SHN_UNDEF = 0;
const SHN_ABS = 0xfff1;

/** Low four bits of st_info (gABI, "Symbol Table"). */
const enum SymbolType {
    None = 0,
    Object = 1,
    Function = 2,
}

/** Hash of a name's bytes (FNV-1a), and how one goes on. */
const HASH_START = 0x811c9dc5;
const HASH_FACTOR = 0x01000193;

/**
 * The named addresses of an ELF file's `.symtab`; none if it was stripped.
 * @param name of the file, for messages
 * @throws SymbolFileError
 */
export function readElfSymbols(name: string, data: Uint8Array): GuestSymbol[] {
    const symbols = new ElfSymbols(new ElfFile(memorySource(name, data)));
    return [...symbols.all()];
}

/** A symbol table's bytes and where each field of an entry lies. */
interface RawTable {
    readonly view: DataView;
    readonly text: Uint8Array;
    readonly entrySize: number;
    readonly infoAt: number;
    readonly sectionAt: number;
    readonly valueAt: number;
    readonly sizeAt: number;
    /** Indices of the entries that name something. */
    readonly entries: Uint32Array;
}

interface NameChains {
    /** By hash: 1 + the first symbol. */
    readonly heads: Int32Array;
    /** 1 + the next symbol of the same hash. */
    readonly next: Int32Array;
}

interface AddressOrder {
    /** Sorted, as `Cursor.address` has them. */
    readonly addresses: Float64Array;
    readonly symbols: Uint32Array;
}

/**
 * Symbols stay bytes until somebody asks for one: a kernel has more than a hundred thousand, and a session looks at
 * few of them. Symbols are numbered in the order of the file.
 */
export class ElfSymbols implements SymbolSource {
    private knownRaw: RawTable | undefined;
    private chains: NameChains | undefined;
    private order: AddressOrder | undefined;

    /**
     * @param slide what the guest has loaded the file above the addresses that it was linked at
     * @throws SymbolFileError where the table cannot be in the file
     */
    constructor(
        private readonly elf: ElfFile,
        private readonly slide: () => bigint = () => 0n,
    ) {
        const table = this.section;
        if (table === undefined) return;
        for (const { name, type, offset, size } of [table, this.stringsOf(table)]) {
            if (type !== (SectionType.NoBits as number) && !(offset + size <= elf.source.size)) {
                throw new SymbolFileError(
                    `${elf.name}: truncated: section ${name} ends at byte ${offset + size}, the file has ${elf.source.size}`,
                );
            }
        }
    }

    /** Sections are no longer loaded: what is in them has to go. */
    forget(): void {
        this.knownRaw = undefined;
        this.chains = undefined;
        this.order = undefined;
    }

    get size(): number {
        return this.raw.entries.length;
    }

    *all(): Generator<GuestSymbol> {
        for (let symbol = 0; symbol < this.size; symbol++) yield this.symbol(symbol);
    }

    named(name: string): GuestSymbol[] {
        const { raw } = this;
        const { heads, next } = (this.chains ??= this.chain());
        const wanted = new TextEncoder().encode(name);
        const found: GuestSymbol[] = [];
        for (let at = heads[hashOf(wanted, 0) & (heads.length - 1)]; at > 0; at = next[at - 1]) {
            const symbol = at - 1;
            if (isName(raw.text, nameAt(raw, symbol), wanted)) found.push(this.symbol(symbol));
        }
        return found;
    }

    at(address: bigint): SymbolicAddress | undefined {
        const slide = this.slide();
        const moved = this.search(BigInt.asUintN(64, address - slide), symbol => this.moves(symbol));
        const found = moved ?? (slide === 0n ? undefined : this.search(address, symbol => !this.moves(symbol)));
        return found && { symbol: this.placed(found.symbol), offset: found.offset };
    }

    *startingWith(prefix: string): Generator<GuestSymbol> {
        const { raw } = this;
        const wanted = new TextEncoder().encode(prefix);
        for (let symbol = 0; symbol < raw.entries.length; symbol++) {
            if (startsWith(raw.text, nameAt(raw, symbol), wanted)) yield this.symbol(symbol);
        }
    }

    private get section(): ElfSection | undefined {
        return symbolTableOf(this.elf);
    }

    private stringsOf(table: ElfSection): ElfSection {
        const strings = this.elf.sections.at(table.link);
        if (strings === undefined) {
            throw new SymbolFileError(
                `${this.elf.name}: corrupt: the symbol table names section ${table.link}, which does not exist`,
            );
        }
        return strings;
    }

    /** Nearest symbol below an address as it was linked. */
    private search(
        address: bigint,
        accepts: (symbol: { readonly address: bigint }) => boolean,
    ): SymbolicAddress | undefined {
        const { addresses, symbols } = (this.order ??= this.sort());
        const linked = fromAddress(address);
        const count = partitionPoint(addresses.length, index => addresses[index] <= linked);
        const found = coveringSymbol(count, index => this.linked(symbols[index]), address);
        return found !== undefined && accepts(found.symbol) ? found : undefined;
    }

    private symbol(symbol: number): GuestSymbol {
        return this.placed(this.linked(symbol));
    }

    /** Where the guest has it. */
    private placed(symbol: GuestSymbol): GuestSymbol {
        const slide = this.slide();
        if (slide === 0n || !this.moves(symbol)) {
            return symbol;
        }
        const { sectionEnd } = symbol;
        return {
            ...symbol,
            address: BigInt.asUintN(64, symbol.address + slide),
            sectionEnd: sectionEnd === undefined ? undefined : BigInt.asUintN(64, sectionEnd + slide),
        };
    }

    /** Only what lies in a section moves with the program: offsets of per-CPU variables do not. */
    private moves({ address }: { readonly address: bigint }): boolean {
        return this.slide() === 0n || isLoaded(this.elf, fromAddress(address));
    }

    private linked(symbol: number): GuestSymbol {
        const { raw, elf } = this;
        const { view, entrySize } = raw;
        const at = raw.entries[symbol] * entrySize;
        const is64 = entrySize === 24;
        const home = elf.sections.at(view.getUint16(at + raw.sectionAt, true));
        const value = is64 ? view.getBigUint64(at + raw.valueAt, true) : BigInt(view.getUint32(at + raw.valueAt, true));
        const size = is64 ? view.getBigUint64(at + raw.sizeAt, true) : BigInt(view.getUint32(at + raw.sizeAt, true));
        const base = this.baseOf(home);
        const address = base === 0 ? value : BigInt.asUintN(64, value + toAddress(base));
        const type = view.getUint8(at + raw.infoAt) & 0xf;
        return {
            name: nameIn(raw.text, nameAt(raw, symbol)),
            address,
            size,
            sectionEnd: home && endOfSection(home, address),
            kind: kindOf(type),
        };
    }

    /** In a file that was not linked values count from their sections. */
    private baseOf(home: ElfSection | undefined): number {
        return this.elf.type === (ElfType.Relocatable as number) ? (home?.address ?? 0) : 0;
    }

    /** A table that turns out to be unreadable names nothing: that may be found in the middle of a run. */
    private get raw(): RawTable {
        if (this.knownRaw === undefined) {
            try {
                this.knownRaw = this.read();
            } catch (error) {
                if (!(error instanceof SymbolFileError)) throw error;
                this.knownRaw = rawTable(new Uint8Array(0), new Uint8Array(0), this.elf.is64);
            }
        }
        return this.knownRaw;
    }

    private read(): RawTable {
        const { elf, section } = this;
        return section === undefined
            ? rawTable(new Uint8Array(0), new Uint8Array(0), elf.is64)
            : rawTable(elf.content(section), elf.content(this.stringsOf(section)), elf.is64, this.leftOut());
    }

    /** Sections that a loader has not loaded: symbols in them are nowhere. */
    private leftOut(): ReadonlySet<number> {
        const { sections, placement } = this.elf;
        const out = sections.filter(({ flags }) => placement !== undefined && (flags & SectionFlag.Alloc) === 0);
        return new Set(out.map(({ index }) => index));
    }

    private chain(): NameChains {
        const { raw } = this;
        const count = raw.entries.length;
        const heads = new Int32Array(1 << Math.max(4, 32 - Math.clz32(count)));
        const next = new Int32Array(count);
        // Backwards, so that the chains have the order of the file.
        for (let symbol = count - 1; symbol >= 0; symbol--) {
            const bucket = hashOf(raw.text, nameAt(raw, symbol)) & (heads.length - 1);
            next[symbol] = heads[bucket];
            heads[bucket] = symbol + 1;
        }
        return { heads, next };
    }

    private sort(): AddressOrder {
        const { raw, elf } = this;
        const { view, entrySize, entries } = raw;
        const count = entries.length;
        const unsorted = new Float64Array(count);
        const preference = new Uint8Array(count);
        const ordered = new Uint32Array(count);
        let places = 0;
        // Offsets from a base that each CPU has name no address.
        const perCpu = elf.sections.findIndex(({ name, address }) => name === '.data..percpu' && address === 0);
        for (let symbol = 0; symbol < count; symbol++) {
            const at = entries[symbol] * entrySize;
            if (perCpu >= 0 && view.getUint16(at + raw.sectionAt, true) === perCpu) continue;
            ordered[places++] = symbol;
            const low = view.getUint32(at + raw.valueAt, true);
            const value = entrySize === 24 ? view.getInt32(at + raw.valueAt + 4, true) * 0x100000000 + low : low;
            unsorted[symbol] = value + this.baseOf(elf.sections.at(view.getUint16(at + raw.sectionAt, true)));
            preference[symbol] = PREFERENCE[kindOf(view.getUint8(at + raw.infoAt) & 0xf)];
        }
        const symbols = ordered
            .slice(0, places)
            .sort((a, b) => unsorted[a] - unsorted[b] || preference[b] - preference[a] || a - b);
        return { addresses: Float64Array.from(symbols, symbol => unsorted[symbol]), symbols };
    }
}

/** Whether a file has a symbol table: others were stripped. */
export function hasSymbols(elf: ElfFile): boolean {
    return symbolTableOf(elf) !== undefined;
}

function symbolTableOf({ sections }: ElfFile): ElfSection | undefined {
    return sections.find(({ type }) => type === (SectionType.SymbolTable as number));
}

/** Whether a linked address lies in what a program occupies in memory. */
export function isLoaded(elf: Pick<ElfFile, 'sections'>, linked: number): boolean {
    let [first, end] = [Infinity, -Infinity];
    for (const { flags, address, size } of elf.sections) {
        if ((flags & SectionFlag.Alloc) === 0 || address === 0) continue;
        first = Math.min(first, address);
        end = Math.max(end, address + size);
    }
    return linked >= first && linked <= end;
}

function rawTable(
    table: Uint8Array,
    text: Uint8Array,
    is64: boolean,
    leftOut: ReadonlySet<number> = new Set(),
): RawTable {
    const view = new DataView(table.buffer, table.byteOffset, table.byteLength);
    const fields = is64
        ? { entrySize: 24, infoAt: 4, sectionAt: 6, valueAt: 8, sizeAt: 16 }
        : { entrySize: 16, infoAt: 12, sectionAt: 14, valueAt: 4, sizeAt: 8 };
    const total = Math.floor(table.length / fields.entrySize);
    const entries = new Uint32Array(total);
    let count = 0;
    for (let index = 0; index < total; index++) {
        const at = index * fields.entrySize;
        const section = view.getUint16(at + fields.sectionAt, true);
        const type = view.getUint8(at + fields.infoAt) & 0xf;
        if (section === SHN_UNDEF || section === SHN_ABS || type > SymbolType.Function) continue;
        if (leftOut.has(section)) continue;
        const name = view.getUint32(at, true);
        const first = text[name] as number | undefined;
        // Labels of assemblers, and ARM-style mapping symbols, name nothing.
        if (first === undefined || first === 0 || first === DOLLAR) continue;
        if (first === DOT && text[name + 1] === CAPITAL_L) continue;
        entries[count++] = index;
    }
    return { view, text, ...fields, entries: entries.slice(0, count) };
}

const DOLLAR = 0x24;
const DOT = 0x2e;
const CAPITAL_L = 0x4c;

function nameAt({ view, entries, entrySize }: RawTable, symbol: number): number {
    return view.getUint32(entries[symbol] * entrySize, true);
}

function kindOf(type: number): GuestSymbol['kind'] {
    return type === (SymbolType.Function as number)
        ? 'function'
        : type === (SymbolType.Object as number)
          ? 'object'
          : 'label';
}

/** Of the bytes up to a zero, or the end. */
function hashOf(text: Uint8Array, start: number): number {
    let hash = HASH_START;
    for (let at = start; at < text.length && text[at] !== 0; at++) {
        hash = Math.imul(hash ^ text[at], HASH_FACTOR);
    }
    return hash ^ (hash >>> 15);
}

function startsWith(text: Uint8Array, at: number, prefix: Uint8Array): boolean {
    for (let index = 0; index < prefix.length; index++) {
        if (text[at + index] !== prefix[index]) return false;
    }
    return true;
}

function isName(text: Uint8Array, at: number, name: Uint8Array): boolean {
    const end = at + name.length;
    return startsWith(text, at, name) && (end >= text.length || text[end] === 0);
}

/** Undefined for a symbol that lies elsewhere than where it says. */
function endOfSection(section: ElfSection, address: bigint): bigint | undefined {
    const start = toAddress(section.address);
    const end = start + BigInt(section.size);
    return address >= start && address <= end ? end : undefined;
}

function nameIn(text: Uint8Array, offset: number): string {
    const end = text.indexOf(0, offset);
    return decodeText(text, offset, end < 0 ? text.length : end);
}

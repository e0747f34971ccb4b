/** The DWARF sections of one file, each read when it is first needed. */
import { type ByteSource, readExactly } from '../byte-source';
import { Cursor, CursorEnd, decodeText } from '../cursor';
import type { ElfFile, ElfSection } from '../elf-file';

/** Larger sections are not kept in memory as a whole. */
const WHOLE = 48 * 2 ** 20;
/** Sections are read piece by piece at first: a line's breakpoint needs a few pieces of each. */
const PIECES = 48;
/** Smaller ones are read as a whole at once. */
const SMALL = 0x40000;
/** Objects are small: more of their debugging information than this is left out. */
const LARGEST_JOINED = 2 ** 28;
/** Bytes of a large section that are read at first where the length of an entry is not known. */
const WINDOW = 0x4000;

/** Names without the leading `.debug_`. */
export type DwarfSectionName =
    | 'info'
    | 'types'
    | 'abbrev'
    | 'line'
    | 'line_str'
    | 'str'
    | 'str_offsets'
    | 'addr'
    | 'ranges'
    | 'rnglists'
    | 'loc'
    | 'loclists'
    | 'aranges'
    | 'frame'
    | 'cu_index'
    | 'tu_index';

export class DwarfSection {
    private whole: Uint8Array | undefined;
    private pieces = 0;

    constructor(
        /** For messages: file and section. */
        readonly what: string,
        readonly size: number,
        private readonly load: () => Uint8Array,
        /** For sections that are stored as they are: reads a part. */
        private readonly part: ((offset: number, length: number) => Uint8Array) | undefined,
    ) {}

    private get bytes(): Uint8Array | undefined {
        if (this.whole === undefined && this.isWorthReading()) {
            this.whole = this.load();
        }
        return this.whole;
    }

    private isWorthReading(): boolean {
        if (this.part === undefined || this.size <= SMALL) {
            return true;
        }
        return this.size <= WHOLE && ++this.pieces > PIECES;
    }

    /** Exactly these bytes, which the caller must not change. @throws SymbolFileError */
    slice(offset: number, length: number): Uint8Array {
        const { bytes } = this;
        if (bytes === undefined) {
            return this.part!(offset, length);
        }
        if (!(offset >= 0 && length >= 0 && offset + length <= bytes.length)) {
            throw new CursorEnd(`${this.what}: truncated or corrupt: something lies at 0x${offset.toString(16)}`);
        }
        return bytes.subarray(offset, offset + length);
    }

    /** Reads an entry whose length shows only while reading it. `read` may be called again, with more bytes. */
    scan<T>(offset: number, read: (cursor: Cursor) => T): T {
        const { bytes } = this;
        if (bytes !== undefined) {
            return read(new Cursor(bytes, this.what, offset));
        }
        const left = this.size - offset;
        for (let length = WINDOW; ; length *= 16) {
            const available = Math.min(length, left);
            try {
                return read(new Cursor(this.slice(offset, available), this.what));
            } catch (error) {
                if (!(error instanceof CursorEnd) || available === left) throw error;
            }
        }
    }

    /** The section from `offset` on as a cursor, for reading in order. Not for sections larger than memory. */
    cursor(offset = 0, length = this.size - offset): Cursor {
        return new Cursor(this.slice(offset, length), this.what);
    }

    string(offset: number): string {
        const { bytes } = this;
        if (bytes === undefined) {
            return this.scan(offset, cursor => cursor.string());
        }
        const end = bytes.indexOf(0, offset);
        if (offset >= bytes.length || end < 0) {
            throw new CursorEnd(`${this.what}: corrupt: no string at 0x${offset.toString(16)}`);
        }
        return decodeText(bytes, offset, end);
    }
}

/** The sections of a file by name; `dwo`: those of split DWARF, whose names end in `.dwo`. */
export class DwarfSections {
    private readonly known = new Map<DwarfSectionName, DwarfSection | undefined>();

    constructor(
        readonly elf: ElfFile,
        readonly dwo: boolean,
    ) {}

    get name(): string {
        return this.elf.name;
    }

    get(name: DwarfSectionName): DwarfSection | undefined {
        if (!this.known.has(name)) {
            this.known.set(name, this.find(name));
        }
        return this.known.get(name);
    }

    private find(name: DwarfSectionName): DwarfSection | undefined {
        const { elf } = this;
        const suffix = this.dwo && !name.endsWith('_index') ? '.dwo' : '';
        const wanted = `.debug_${name}${suffix}`;
        const section = elf.section(wanted) ?? elf.section(`.zdebug_${name}${suffix}`);
        if (section === undefined) {
            return undefined;
        }
        // In objects each type unit is a section of its own, so that linkers can drop those that other objects have.
        const all = name === 'info' || name === 'types' ? elf.sections.filter(other => other.name === wanted) : [];
        return all.length > 1 ? joinedSections(elf, wanted, all) : elfSection(elf, section);
    }
}

/** Sections of one name as one, up to what memory should hold of them. */
function joinedSections(elf: ElfFile, name: string, sections: readonly ElfSection[]): DwarfSection | undefined {
    const parts: DwarfSection[] = [];
    let size = 0;
    for (const section of sections) {
        const part = elfSection(elf, section);
        if (part === undefined || size + part.size > LARGEST_JOINED) continue;
        parts.push(part);
        size += part.size;
    }
    const load = (): Uint8Array => {
        const bytes = new Uint8Array(size);
        let at = 0;
        for (const part of parts) {
            bytes.set(part.slice(0, part.size), at);
            at += part.size;
        }
        return bytes;
    };
    return parts.length === 0 ? undefined : new DwarfSection(`${elf.name}: ${name}`, size, load, undefined);
}

const SHT_NOBITS = 8;

/** A section of an ELF file to read lazily; undefined if the file holds no bytes of it. */
export function elfSection(elf: ElfFile, section: ElfSection): DwarfSection | undefined {
    if (section.type === SHT_NOBITS || section.size === 0) {
        return undefined;
    }
    const what = `${elf.name}: ${section.name}`;
    const stored = elf.isStored(section);
    const size = stored ? section.size : elf.content(section).length;
    return new DwarfSection(
        what,
        size,
        () => elf.content(section),
        stored ? (offset, length) => partOf(elf.source, section, offset, length, what) : undefined,
    );
}

function partOf(source: ByteSource, section: ElfSection, offset: number, length: number, what: string): Uint8Array {
    if (!(offset >= 0 && length >= 0 && offset + length <= section.size)) {
        throw new CursorEnd(`${what}: truncated or corrupt: something lies at 0x${offset.toString(16)}`);
    }
    return readExactly(source, section.offset + offset, length, section.name);
}

/** ELF files (System V gABI, chapters 4 and 5), read as far as one asks: headers at once, sections when needed. */
import { unzlibSync } from 'fflate';
import { decompress as unzstd } from 'fzstd';
import { type ByteSource, readExactly } from './byte-source';
import { Cursor, decodeText, fromAddress, toAddress } from './cursor';
import { SymbolFileError } from './errors';
import { applyRelocations } from './relocations';

const ELF_MAGIC = 0x464c457f;
const ELFCLASS64 = 2;
const ELFDATA2LSB = 1;

/** e_type. */
export const enum ElfType {
    Relocatable = 1,
    Executable = 2,
    Shared = 3,
    Core = 4,
}

/** sh_type. */
export const enum SectionType {
    SymbolTable = 2,
    Rela = 4,
    Note = 7,
    NoBits = 8,
    Rel = 9,
}

/** sh_flags. */
export const enum SectionFlag {
    Alloc = 2,
    Execute = 4,
    Compressed = 0x800,
}

/** ch_type. */
const ELFCOMPRESS_ZLIB = 1;
const ELFCOMPRESS_ZSTD = 2;

const NT_GNU_BUILD_ID = 3;

/** A section that claims to be larger once it is decompressed is corrupt. */
const LARGEST_DECOMPRESSED = 2 ** 30;
/** Header tables beyond this do not exist. */
const MOST_SECTIONS = 1_000_000;

export interface ElfSection {
    readonly index: number;
    readonly name: string;
    readonly type: number;
    readonly flags: number;
    /** As {@link Cursor.address} has it. */
    readonly address: number;
    readonly offset: number;
    /** In the file, compressed or not. */
    readonly size: number;
    readonly link: number;
    readonly info: number;
    readonly entrySize: number;
}

/** Linear addresses of sections. */
export type SectionPlacement = ReadonlyMap<string, bigint>;

/** Of `p_flags`, which is the second field of a 64-bit program header, and the last but one of a 32-bit one. */
const FLAGS_SIZE = 4;
/** Of `ch_reserved` in the 64-bit header of a compressed section. */
const RESERVED_SIZE = 4;

export interface ElfProgramHeader {
    readonly type: number;
    readonly offset: number;
    readonly address: number;
    readonly fileSize: number;
    readonly memorySize: number;
    readonly alignment: number;
}

/** Two digits a byte, as build-ids are written. */
export function hexadecimal(bytes: Uint8Array): string {
    return Array.from(bytes, byte => byte.toString(16).padStart(2, '0')).join('');
}

export function isElf(data: Uint8Array): boolean {
    return data.length >= 16 && new DataView(data.buffer, data.byteOffset).getUint32(0, true) === ELF_MAGIC;
}

export class ElfFile {
    readonly is64: boolean;
    readonly type: number;
    readonly machine: number;
    sections: readonly ElfSection[];
    readonly programHeaders: readonly ElfProgramHeader[];
    private readonly byName = new Map<string, ElfSection>();
    private readonly contents = new Map<number, Uint8Array>();
    private knownBuildId: string | undefined | null = null;

    /**
     * @param placement of a file that was not linked (a kernel module): the addresses that a loader has chosen for its
     * sections, by name; what is not among them is not loaded
     * @throws SymbolFileError
     */
    constructor(
        readonly source: ByteSource,
        readonly placement?: SectionPlacement,
    ) {
        const identification = source.read(0, 16);
        if (!isElf(identification)) {
            throw this.error('not an ELF file');
        }
        if (identification[5] !== ELFDATA2LSB) {
            throw this.error('an ELF file for a big-endian machine');
        }
        this.is64 = identification[4] === ELFCLASS64;
        const { is64 } = this;
        const size = is64 ? 64 : 52;
        const header = new Cursor(readExactly(source, 0, size, 'the ELF header'), this.name, 16);
        this.type = header.u16();
        this.machine = header.u16();
        header.skip(4 + (is64 ? 8 : 4));
        const programTable = this.word(header);
        const sectionTable = this.word(header);
        header.skip(6);
        const programEntry = header.u16();
        const programCount = header.u16();
        const sectionEntry = header.u16();
        const sectionCount = header.u16();
        const namesIndex = header.u16();
        this.sections = this.readSections(sectionTable, sectionEntry, sectionCount, namesIndex);
        this.programHeaders = this.readProgramHeaders(programTable, programEntry, programCount);
        this.nameSections();
    }

    /** The loader has freed sections of a placed file: they are treated as if it had left them out. */
    unload(isGone: (name: string) => boolean): void {
        this.sections = this.sections.map(section =>
            isGone(section.name) ? { ...section, flags: section.flags & ~SectionFlag.Alloc } : section,
        );
        this.nameSections();
    }

    private nameSections(): void {
        this.byName.clear();
        for (const section of this.sections) {
            if (!this.byName.has(section.name)) {
                this.byName.set(section.name, section);
            }
        }
    }

    get name(): string {
        return this.source.name;
    }

    get addressSize(): 4 | 8 {
        return this.is64 ? 8 : 4;
    }

    section(name: string): ElfSection | undefined {
        return this.byName.get(name);
    }

    /** Whether the section's bytes have to be made (decompressed, relocated) instead of read. */
    isStored(section: ElfSection): boolean {
        return !this.isCompressed(section) && this.relocationsOf(section) === undefined;
    }

    /** All bytes of a section: decompressed and, in a relocatable file, relocated. @throws SymbolFileError */
    content(section: ElfSection): Uint8Array {
        let bytes = this.contents.get(section.index);
        if (bytes === undefined) {
            bytes = this.relocated(section, this.decompressed(section));
            this.contents.set(section.index, bytes);
        }
        return bytes;
    }

    /** The GNU build-id in hexadecimal, if the file has one. */
    get buildId(): string | undefined {
        if (this.knownBuildId === null) {
            this.knownBuildId = this.readBuildId();
        }
        return this.knownBuildId;
    }

    /** The build-id's note in a section that is loaded: its linked address, and all of it. */
    loadedBuildIdNote(): { readonly address: bigint; readonly bytes: Uint8Array } | undefined {
        const found = this.findBuildId(({ flags }) => (flags & SectionFlag.Alloc) !== 0);
        return found && { address: toAddress(found.section.address + found.at), bytes: found.note };
    }

    private readBuildId(): string | undefined {
        const found = this.findBuildId(() => true);
        return found && hexadecimal(found.descriptor);
    }

    private findBuildId(
        accepts: (section: ElfSection) => boolean,
    ): { section: ElfSection; at: number; note: Uint8Array; descriptor: Uint8Array } | undefined {
        for (const section of this.sections) {
            if (!accepts(section)) continue;
            if (section.type !== (SectionType.Note as number) || section.size > 0x100000) continue;
            const cursor = new Cursor(this.content(section), `${this.name}: ${section.name}`);
            while (cursor.left >= 12) {
                const at = cursor.at;
                const nameSize = cursor.u32();
                const size = cursor.u32();
                const type = cursor.u32();
                const paddedName = (nameSize + 3) & ~3;
                const padded = (size + 3) & ~3;
                if (paddedName < 0 || padded < 0 || paddedName + padded > cursor.left) break;
                const owner = decodeText(cursor.block(paddedName), 0, Math.max(0, nameSize - 1));
                const descriptor = cursor.block(padded).subarray(0, size);
                if (owner === 'GNU' && type === NT_GNU_BUILD_ID) {
                    return { section, at, note: cursor.bytes.subarray(at, cursor.at), descriptor };
                }
            }
        }
        return undefined;
    }

    private readSections(table: number, entrySize: number, count: number, namesIndex: number): ElfSection[] {
        const { is64, source } = this;
        if (table === 0) {
            return [];
        }
        if (entrySize < (is64 ? 64 : 40)) {
            throw this.error(`corrupt: section headers of ${entrySize} bytes`);
        }
        // More than 0xff00 sections, or names beyond them: the first header holds the numbers.
        const first = this.readSectionHeader(readExactly(source, table, entrySize, 'the section headers'), 0, 0);
        const total = count === 0 ? first.size : count;
        if (total > MOST_SECTIONS) {
            throw this.error(`corrupt: ${total} sections`);
        }
        const headers = readExactly(source, table, total * entrySize, 'the section headers');
        const sections = Array.from({ length: total }, (_, index) =>
            this.readSectionHeader(headers, index * entrySize, index),
        );
        const names = sections.at(namesIndex === 0xffff ? first.link : namesIndex);
        const text =
            names === undefined || names.offset + names.size > source.size
                ? new Uint8Array(0)
                : source.read(names.offset, names.size);
        return sections.map(({ nameAt, ...section }) => {
            const end = text.indexOf(0, nameAt);
            return this.placed({ ...section, name: end < 0 ? '' : decodeText(text, nameAt, end) });
        });
    }

    /** As the loader has put it: what it has left out occupies no memory, whatever the file says. */
    private placed(section: ElfSection): ElfSection {
        if (this.placement === undefined || (section.flags & SectionFlag.Alloc) === 0) {
            return section;
        }
        const address = this.placement.get(section.name);
        return address === undefined
            ? { ...section, address: 0, flags: section.flags & ~SectionFlag.Alloc }
            : { ...section, address: fromAddress(address) };
    }

    private readSectionHeader(bytes: Uint8Array, at: number, index: number): ElfSection & { nameAt: number } {
        const cursor = new Cursor(bytes, this.name, at);
        const nameAt = cursor.u32();
        const type = cursor.u32();
        const flags = this.word(cursor);
        const address = cursor.address(this.addressSize);
        const offset = this.word(cursor);
        const size = this.word(cursor);
        const link = cursor.u32();
        const info = cursor.u32();
        this.word(cursor);
        const entrySize = this.word(cursor);
        return { index, name: '', nameAt, type, flags, address, offset, size, link, info, entrySize };
    }

    private readProgramHeaders(table: number, entrySize: number, count: number): ElfProgramHeader[] {
        const { is64, source } = this;
        if (table === 0 || count === 0 || entrySize < (is64 ? 56 : 32) || table + count * entrySize > source.size) {
            return [];
        }
        const bytes = readExactly(source, table, count * entrySize, 'the program headers');
        return Array.from({ length: count }, (_, index) => {
            const cursor = new Cursor(bytes, this.name, index * entrySize);
            const type = cursor.u32();
            if (is64) cursor.skip(FLAGS_SIZE);
            const offset = this.word(cursor);
            const address = cursor.address(this.addressSize);
            this.word(cursor);
            const [fileSize, memorySize] = [this.word(cursor), this.word(cursor)];
            if (!is64) cursor.skip(FLAGS_SIZE);
            return { type, offset, address, fileSize, memorySize, alignment: this.word(cursor) };
        });
    }

    private isCompressed(section: ElfSection): boolean {
        return (section.flags & SectionFlag.Compressed) !== 0 || section.name.startsWith('.zdebug_');
    }

    /** The section that relocates another; only files that were not linked have something left to relocate. */
    private relocationsOf(section: ElfSection): ElfSection | undefined {
        if (this.type !== (ElfType.Relocatable as number)) {
            return undefined;
        }
        return this.sections.find(
            ({ type, info }) =>
                info === section.index &&
                (type === (SectionType.Rela as number) || type === (SectionType.Rel as number)),
        );
    }

    private stored(section: ElfSection): Uint8Array {
        if (section.type === (SectionType.NoBits as number)) {
            return new Uint8Array(0);
        }
        return readExactly(this.source, section.offset, section.size, `section ${section.name}`);
    }

    private decompressed(section: ElfSection): Uint8Array {
        const stored = this.stored(section);
        if (!this.isCompressed(section)) {
            return stored;
        }
        const cursor = new Cursor(stored, `${this.name}: ${section.name}`);
        let format = ELFCOMPRESS_ZLIB;
        let size: number;
        if (section.name.startsWith('.zdebug_')) {
            // The older GNU form: "ZLIB" and the size, big-endian.
            if (decodeText(cursor.block(4), 0, 4) !== 'ZLIB') {
                throw this.error(`corrupt: ${section.name} lacks its header`);
            }
            size = cursor.view.getUint32(4) * 0x100000000 + cursor.view.getUint32(8);
            cursor.skip(8);
        } else {
            format = cursor.u32();
            if (this.is64) cursor.skip(RESERVED_SIZE);
            size = this.word(cursor);
            this.word(cursor);
        }
        if (size > LARGEST_DECOMPRESSED) {
            throw this.error(`corrupt: ${section.name} claims to hold ${size} bytes decompressed`);
        }
        return this.decompress(section, format, cursor.block(cursor.left), size);
    }

    private decompress(section: ElfSection, format: number, data: Uint8Array, size: number): Uint8Array {
        let result: Uint8Array;
        try {
            switch (format) {
                case ELFCOMPRESS_ZLIB:
                    result = unzlibSync(data, { out: new Uint8Array(size) });
                    break;
                case ELFCOMPRESS_ZSTD:
                    result = unzstd(data, new Uint8Array(size));
                    break;
                default:
                    throw new SymbolFileError(`compression ${format} is not known`);
            }
        } catch (error) {
            throw this.error(`${section.name} cannot be decompressed: ${(error as Error).message}`);
        }
        if (result.length !== size) {
            throw this.error(`corrupt: ${section.name} holds ${result.length} bytes decompressed, not ${size}`);
        }
        return result;
    }

    private relocated(section: ElfSection, bytes: Uint8Array): Uint8Array {
        const relocations = this.relocationsOf(section);
        if (relocations === undefined) {
            return bytes;
        }
        const symbols = this.sections.at(relocations.link);
        if (symbols === undefined) {
            throw this.error(`corrupt: ${relocations.name} names symbol table ${relocations.link}`);
        }
        return applyRelocations({
            what: `${this.name}: ${relocations.name}`,
            is64: this.is64,
            machine: this.machine,
            explicitAddend: relocations.type === (SectionType.Rela as number),
            target: Uint8Array.from(bytes),
            targetAddress: section.address,
            relocations: this.stored(relocations),
            symbols: this.stored(symbols),
            sectionAddress: index => this.sections.at(index)?.address ?? 0,
        });
    }

    /** A field that is 64 bits wide in 64-bit files; positions beyond 2^53 fail where they are used. */
    private word(cursor: Cursor): number {
        return this.is64 ? cursor.offset64() : cursor.u32();
    }

    private error(problem: string): SymbolFileError {
        return new SymbolFileError(`${this.name}: ${problem}`);
    }
}

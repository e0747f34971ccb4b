/** The named addresses of ELF files: `.symtab`. */
import { memorySource } from './byte-source';
import { Cursor, decodeText, toAddress } from './cursor';
import { ElfFile, type ElfSection, ElfType, SectionType } from './elf-file';
import { SymbolFileError } from './errors';
import type { GuestSymbol } from './symbol-table';

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

/**
 * The named addresses of an ELF file's `.symtab`; none if it was stripped.
 * @param name of the file, for messages
 * @throws SymbolFileError
 */
export function readElfSymbols(name: string, data: Uint8Array): GuestSymbol[] {
    return readSymbolTable(new ElfFile(memorySource(name, data)));
}

/** As {@link readElfSymbols}, of a file that is open already. @throws SymbolFileError */
export function readSymbolTable(file: ElfFile): GuestSymbol[] {
    return file.sections
        .filter(({ type }) => type === (SectionType.SymbolTable as number))
        .flatMap(table => {
            const strings = file.sections.at(table.link);
            if (strings === undefined) {
                throw new SymbolFileError(
                    `${file.name}: corrupt: the symbol table names section ${table.link}, which does not exist`,
                );
            }
            return readSymbols(file, table, strings);
        });
}

function readSymbols(file: ElfFile, table: ElfSection, strings: ElfSection): GuestSymbol[] {
    const { is64 } = file;
    const relocatable = file.type === (ElfType.Relocatable as number);
    const text = file.content(strings);
    const cursor = new Cursor(file.content(table), `${file.name}: the symbol table`);
    const entrySize = is64 ? 24 : 16;
    const found: GuestSymbol[] = [];
    for (let at = 0; at + entrySize <= cursor.bytes.length; at += entrySize) {
        cursor.at = at;
        const nameAt = cursor.u32();
        cursor.at = at + (is64 ? 4 : 12);
        const type = cursor.u8() & 0xf;
        cursor.skip(1);
        const section = cursor.u16();
        if (section === SHN_UNDEF || section === SHN_ABS || type > SymbolType.Function) {
            continue;
        }
        const name = nameIn(text, nameAt);
        // Labels of assemblers, and ARM-style mapping symbols, name nothing.
        if (name === '' || name.startsWith('.L') || name.startsWith('$')) {
            continue;
        }
        cursor.at = at + (is64 ? 8 : 4);
        const value = is64 ? cursor.u64() : BigInt(cursor.u32());
        const size = is64 ? cursor.u64() : BigInt(cursor.u32());
        const home = file.sections.at(section);
        const base = relocatable ? (home?.address ?? 0) : 0;
        const address = base === 0 ? value : value + toAddress(base);
        found.push({
            name,
            address,
            size,
            sectionEnd: home && endOfSection(home, address),
            kind: type === SymbolType.Function ? 'function' : type === SymbolType.Object ? 'object' : 'label',
        });
    }
    return found;
}

/** Undefined for a symbol that lies elsewhere than where it says. */
function endOfSection(section: ElfSection, address: bigint): bigint | undefined {
    const start = toAddress(section.address);
    const end = start + BigInt(section.size);
    return address >= start && address <= end ? end : undefined;
}

function nameIn(text: Uint8Array, offset: number): string {
    if (offset >= text.length) {
        return '';
    }
    const end = text.indexOf(0, offset);
    return decodeText(text, offset, end < 0 ? text.length : end);
}

import { HyperscopeError } from '../common/errors';
import type { GuestSymbol } from './symbol-table';

/** A symbol file that cannot be read; the message begins with the file's name. */
export class SymbolFileError extends HyperscopeError {}

const ELF_MAGIC = 0x464c457f;
const ELFCLASS64 = 2;
const ELFDATA2LSB = 1;

/** sh_type (gABI, "Sections"). */
const SHT_SYMTAB = 2;
/** Section header indices that are no sections. */
const SHN_UNDEF = 0;
const SHN_ABS = 0xfff1;

/** Low four bits of st_info (gABI, "Symbol Table"). */
const enum SymbolType {
    None = 0,
    Object = 1,
    Function = 2,
}

interface Section {
    readonly type: number;
    readonly offset: number;
    readonly size: number;
    readonly link: number;
}

export function isElf(data: Uint8Array): boolean {
    return data.length >= 16 && new DataView(data.buffer, data.byteOffset).getUint32(0, true) === ELF_MAGIC;
}

/**
 * The named addresses of an ELF file's `.symtab`; none if it was stripped.
 * @param name of the file, for messages
 * @throws SymbolFileError
 */
export function readElfSymbols(name: string, data: Uint8Array): GuestSymbol[] {
    return new SymbolReader(name, data).read();
}

class SymbolReader {
    private readonly view: DataView;
    private readonly is64: boolean;
    private readonly decoder = new TextDecoder();

    constructor(
        private readonly name: string,
        private readonly data: Uint8Array,
    ) {
        if (!isElf(data)) {
            throw this.error('not an ELF file');
        }
        if (data[5] !== ELFDATA2LSB) {
            throw this.error('an ELF file for a big-endian machine');
        }
        this.view = new DataView(data.buffer, data.byteOffset, data.byteLength);
        this.is64 = data[4] === ELFCLASS64;
    }

    read(): GuestSymbol[] {
        const sections = this.sections();
        return sections
            .filter(section => section.type === SHT_SYMTAB)
            .flatMap(table => {
                const strings = sections.at(table.link);
                if (strings === undefined) {
                    throw this.error(`corrupt: the symbol table names section ${table.link}, which does not exist`);
                }
                return this.symbols(table, strings);
            });
    }

    private sections(): Section[] {
        const { is64 } = this;
        this.check(0, is64 ? 64 : 52, 'the ELF header');
        const table = this.word(is64 ? 0x28 : 0x20);
        const entrySize = this.view.getUint16(is64 ? 0x3a : 0x2e, true);
        let count = this.view.getUint16(is64 ? 0x3c : 0x30, true);
        if (table === 0) {
            return [];
        }
        if (entrySize < (is64 ? 64 : 40)) {
            throw this.error(`corrupt: section headers of ${entrySize} bytes`);
        }
        this.check(table, entrySize, 'the section headers');
        if (count === 0) {
            // More than 0xff00 sections: the count is in the size field of the first.
            count = this.word(table + (is64 ? 32 : 20));
        }
        this.check(table, count * entrySize, 'the section headers');
        return Array.from({ length: count }, (_, index) => {
            const at = table + index * entrySize;
            return {
                type: this.view.getUint32(at + 4, true),
                offset: this.word(at + (is64 ? 24 : 16)),
                size: this.word(at + (is64 ? 32 : 20)),
                link: this.view.getUint32(at + (is64 ? 40 : 24), true),
            };
        });
    }

    private symbols(table: Section, strings: Section): GuestSymbol[] {
        const { is64, view } = this;
        this.check(table.offset, table.size, 'the symbol table');
        this.check(strings.offset, strings.size, 'the string table');
        const entrySize = is64 ? 24 : 16;
        const found: GuestSymbol[] = [];
        for (let at = table.offset; at + entrySize <= table.offset + table.size; at += entrySize) {
            const info = this.data[at + (is64 ? 4 : 12)];
            const section = view.getUint16(at + (is64 ? 6 : 14), true);
            const type = info & 0xf;
            if (section === SHN_UNDEF || section === SHN_ABS || type > SymbolType.Function) {
                continue;
            }
            const name = this.text(strings, view.getUint32(at, true));
            // Labels of assemblers, and ARM-style mapping symbols, name nothing.
            if (name === '' || name.startsWith('.L') || name.startsWith('$')) {
                continue;
            }
            found.push({
                name,
                address: is64 ? view.getBigUint64(at + 8, true) : BigInt(view.getUint32(at + 4, true)),
                size: is64 ? view.getBigUint64(at + 16, true) : BigInt(view.getUint32(at + 8, true)),
                kind: type === SymbolType.Function ? 'function' : type === SymbolType.Object ? 'object' : 'label',
            });
        }
        return found;
    }

    private text(strings: Section, offset: number): string {
        const start = strings.offset + offset;
        const limit = strings.offset + strings.size;
        if (start >= limit) {
            return '';
        }
        const end = this.data.indexOf(0, start);
        return this.decoder.decode(this.data.subarray(start, end < 0 || end > limit ? limit : end));
    }

    /** A field that is 64 bits wide in 64-bit files; positions beyond 2^53 fail in {@link check}. */
    private word(at: number): number {
        return this.is64 ? Number(this.view.getBigUint64(at, true)) : this.view.getUint32(at, true);
    }

    private check(offset: number, size: number, what: string): void {
        if (offset + size > this.data.length) {
            throw this.error(`truncated: ${what} ends at byte ${offset + size}, the file has ${this.data.length}`);
        }
    }

    private error(problem: string): SymbolFileError {
        return new SymbolFileError(`${this.name}: ${problem}`);
    }
}

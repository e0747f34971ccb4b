/** A program with its debugging information, at the addresses where the guest has it. */
import { type ByteSource, type SourceOpener } from './byte-source';
import { fromAddress, toAddress } from './cursor';
import { DebugInfo } from './debug-info';
import { CallFrameUnwinder } from './dwarf/call-frame';
import { type DwarfSection, elfSection } from './dwarf/sections';
import { readSymbolTable } from './elf';
import { ElfFile, SectionFlag } from './elf-file';
import { ORC_ENTRY_SIZE, type OrcTables, OrcUnwinder } from './orc';
import { openSeparateDebugFile } from './separate-debug';
import type { GuestSymbol } from './symbol-table';
import { AMD64, I386, type RegisterNumbering, type UnwindSource } from './unwind';

const EM_386 = 3;

export class Program {
    readonly elf: ElfFile;
    readonly info: DebugInfo;
    readonly numbering: RegisterNumbering;
    /** Ways to find callers, the most trusted first. */
    readonly unwinders: UnwindSource[] = [];
    readonly problems: string[] = [];
    /** What the guest has loaded it above the addresses that it was linked at: KASLR's offset. */
    slide = 0n;

    /** @throws SymbolFileError if the file is no ELF file */
    constructor(source: ByteSource, opener: SourceOpener) {
        this.elf = new ElfFile(source);
        const separate = openSeparateDebugFile(this.elf, opener, this.problems);
        this.info = new DebugInfo(separate ?? this.elf, opener);
        this.numbering = this.elf.machine === EM_386 ? I386 : AMD64;
        for (const elf of separate === undefined ? [this.elf] : [separate, this.elf]) {
            this.unwinders.push(new CallFrameUnwinder(elf, this.numbering, this.problems, () => this.slide));
        }
        const orc = this.orcTables();
        if (orc !== undefined) {
            this.unwinders.push(new OrcUnwinder(orc, address => this.hasCode(address)));
        }
    }

    get name(): string {
        return this.elf.name;
    }

    /** The program's symbols where they are now; those of a separate file, if the program was stripped. */
    symbols(): GuestSymbol[] {
        const own = readSymbolTable(this.elf);
        const all = own.length > 0 || this.info.elf === this.elf ? own : readSymbolTable(this.info.elf);
        return this.slide === 0n ? all : all.map(symbol => ({ ...symbol, address: this.relocate(symbol.address) }));
    }

    /** Linux kernels carry tables for unwinding of their own. */
    private orcTables(): OrcTables | undefined {
        const { elf } = this;
        const [ips, entries] = ['.orc_unwind_ip', '.orc_unwind'].map(name => {
            const section = elf.section(name);
            return section && { section, data: elfSection(elf, section) };
        });
        if (ips?.data === undefined || entries?.data === undefined) {
            return undefined;
        }
        const read = (data: DwarfSection, size: number, first: number, count: number): Uint8Array | undefined =>
            (first + count) * size <= data.size ? data.slice(first * size, count * size) : undefined;
        const [ipData, entryData] = [ips.data, entries.data];
        return {
            layout: elf.section('.orc_header') === undefined ? 'classic' : 'typed',
            count: Math.min(Math.floor(ipData.size / 4), Math.floor(entryData.size / ORC_ENTRY_SIZE)),
            ipTable: () => this.linear(ips.section.address),
            readIps: (first, count) => read(ipData, 4, first, count),
            readEntries: (first, count) => read(entryData, ORC_ENTRY_SIZE, first, count),
        };
    }

    /** Whether code of the program is at a linear address. */
    hasCode(address: bigint): boolean {
        return this.info.isCode(this.linked(address));
    }

    /** From where the guest has it to where it was linked, in the form of `Cursor.address`. */
    linked(address: bigint): number {
        return fromAddress(BigInt.asUintN(64, address - this.slide));
    }

    /** Back. */
    linear(linked: number): bigint {
        return BigInt.asUintN(64, toAddress(linked) + this.slide);
    }

    /**
     * Where the guest has something that was linked at an address. Only what lies in a section moves: offsets of
     * per-CPU variables do not.
     */
    relocate(address: bigint): bigint {
        return this.slide !== 0n && this.isLoaded(fromAddress(address))
            ? BigInt.asUintN(64, address + this.slide)
            : address;
    }

    private isLoaded(linked: number): boolean {
        return this.elf.sections.some(
            ({ flags, address, size }) =>
                (flags & SectionFlag.Alloc) !== 0 && address !== 0 && linked >= address && linked <= address + size,
        );
    }
}

/** All programs that the guest consists of. */
export class ProgramSet {
    readonly programs: Program[] = [];

    /** The program whose code is at a linear address. */
    at(address: bigint): Program | undefined {
        return this.programs.find(program => program.hasCode(address));
    }
}

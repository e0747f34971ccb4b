/** A program with its debugging information, at the addresses where the guest has it. */
import { type ByteSource, type SourceOpener } from './byte-source';
import { Cursor, fromAddress, toAddress } from './cursor';
import { DebugInfo } from './debug-info';
import { CallFrameUnwinder } from './dwarf/call-frame';
import { At } from './dwarf/constants';
import type { Die } from './dwarf/die';
import { type DwarfSection, elfSection } from './dwarf/sections';
import { FileIndex, type ProgramIndex } from './dwarf/index-file';
import { type NameTable, NameCollector, NameIndex, NameKind } from './dwarf/name-index';
import { Op } from './dwarf/operations';
import { TypeReader } from './dwarf/type-reader';
import type { Unit } from './dwarf/unit';
import { ElfSymbols, hasSymbols, isLoaded } from './elf';
import { ElfFile, ElfType, SectionFlag, type SectionPlacement, SectionType } from './elf-file';
import { ORC_ENTRY_SIZE, type OrcTables, OrcUnwinder, sortedTables } from './orc';
import { isNamed, mangledPath } from './mangled-names';
import { openSeparateDebugFile } from './separate-debug';
import type { CType } from './types';
import { AMD64, I386, numberOf, type RegisterNumbering, type UnwindSource } from './unwind';

const EM_386 = 3;
const PT_TLS = 7;

export type TypeKeyword = 'struct' | 'union' | 'class' | 'enum';

const KINDS_OF_TYPES: Readonly<Record<TypeKeyword | 'name', readonly NameKind[]>> = {
    struct: [NameKind.Struct, NameKind.Class],
    class: [NameKind.Class, NameKind.Struct],
    union: [NameKind.Union],
    enum: [NameKind.Enum],
    // In C++ tags are names of types too.
    name: [NameKind.Typedef, NameKind.Base, NameKind.Class, NameKind.Struct, NameKind.Union, NameKind.Enum],
};

const LONGEST_BANNER = 512;
const NEW_LINE = 10;
/** Units whose names are kept apart. */
const KEPT_UNITS = 16;
/** Functions whose inlined copies are remembered: more than anybody sets breakpoints on. */
const KEPT_COPIES = 256;

/** Functions of one name that a breakpoint is set on. */
const MOST_OF_A_NAME = 256;
/** How compilers name the rarely run part of a function, which is not where it begins. */
const COLD_PART = /\.cold(?:\.\d+)?$/;

/** What a name of a program stands for. */
export type GlobalName =
    | { readonly kind: 'constant'; readonly type: CType; readonly value: bigint }
    | {
          readonly kind: 'object';
          readonly type: CType;
          /** Absent where only the symbol table tells. */
          readonly address: bigint | undefined;
          /** Of a thread-local variable: in the program's block. */
          readonly threadOffset?: bigint;
      };

/** Types and names that are of no file. */
export interface TypeSource {
    /** A type by its name, or by its tag. */
    findType(name: string, keyword: TypeKeyword | undefined): CType | undefined;
    /** The value of an enumerator, or the type of a function or variable. */
    findGlobal(name: string): GlobalName | undefined;
}

export class Program {
    readonly elf: ElfFile;
    readonly info: DebugInfo;
    readonly types: TypeReader;
    readonly numbering: RegisterNumbering;
    /** Ways to find callers, the most trusted first. */
    readonly unwinders: UnwindSource[] = [];
    readonly problems: string[] = [];
    /** What the guest has loaded it above the addresses that it was linked at: KASLR's offset. */
    slide = 0n;
    /** The program's symbols where they are now; those of a separate file, if the program was stripped. */
    readonly symbols: ElfSymbols;
    private knownNames: NameIndex | undefined;
    private knownTable: NameTable | undefined;
    private readonly unitNames = new Map<Unit, NameIndex>();
    /**
     * Linked addresses of inlined copies, by the function's name: of one in a kernel's header they take seconds to find, and
     * breakpoints are set anew with each module. The last ones that were found are kept.
     */
    private readonly knownCopies = new Map<string, readonly number[]>();

    /**
     * @param placement of a program that was not linked: see {@link ElfFile}
     * @throws SymbolFileError if the file is no ELF file
     */
    constructor(source: ByteSource, opener: SourceOpener, placement?: SectionPlacement) {
        this.elf = new ElfFile(source, placement);
        const separate = openSeparateDebugFile(this.elf, opener, this.problems);
        this.info = new DebugInfo(separate ?? this.elf, opener);
        const isNamed = separate === undefined || hasSymbols(this.elf);
        this.symbols = new ElfSymbols(isNamed ? this.elf : separate, () => this.slide);
        this.types = new TypeReader((keyword, name) => this.definition(keyword, name));
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

    /** Sections of a placed program are no longer loaded. */
    unload(isGone: (section: string) => boolean): void {
        for (const elf of new Set([this.elf, this.info.elf])) elf.unload(isGone);
        this.info.codeChanged();
        this.knownCopies.clear();
        this.symbols.forget();
    }

    // ---- names ---------------------------------------------------------------------------------------------------

    /**
     * All names; undefined while somebody else reads them. Programs of moderate size are read when they are first
     * asked, in this thread.
     */
    get names(): NameIndex | undefined {
        if (this.knownNames === undefined && this.knownTable !== undefined) {
            this.knownNames = new NameIndex(this.knownTable);
        }
        if (this.knownNames === undefined && !this.isIndexing) {
            const collector = new NameCollector(this.info.dwarf);
            for (const unit of this.info.dwarf.units) collector.add(unit);
            this.knownNames = new NameIndex(collector.table);
        }
        return this.knownNames;
    }

    /** Somebody reads the names in the background; {@link adoptIndex} ends that. */
    isIndexing = false;

    /** Takes over what was read in another thread, or in an earlier session. */
    adoptIndex({ names, files }: ProgramIndex): void {
        this.knownTable = names;
        this.knownNames = undefined;
        this.isIndexing = false;
        this.info.sources.adopt(new FileIndex(files));
    }

    /** A type by its name, or by its tag; the unit's own goes before others. @throws SymbolFileError */
    findType(name: string, keyword: TypeKeyword | undefined, unit: Unit | undefined): CType | undefined {
        const kinds = KINDS_OF_TYPES[keyword ?? 'name'];
        const die = this.findDie(name, kinds, unit)?.die;
        return die && this.types.read(die);
    }

    /** A variable, function or enumerator; the unit's own goes before others. @throws SymbolFileError */
    findGlobal(name: string, unit: Unit | undefined): GlobalName | undefined {
        const found = this.findDie(name, [NameKind.Variable, NameKind.Function, NameKind.Enumerator], unit);
        if (found === undefined) {
            return undefined;
        }
        const { kind, die } = found;
        switch (kind) {
            case NameKind.Enumerator: {
                const type = this.types.read(die);
                const value = type.kind === 'enum' ? type.enumerators.find(other => other.name === name)?.value : 0n;
                return { kind: 'constant', type, value: value ?? 0n };
            }
            case NameKind.Function: {
                const entry = die.address(At.LowPc);
                const address = entry === undefined ? undefined : this.linear(entry);
                return { kind: 'object', type: this.types.read(die), address };
            }
            default: {
                const location = die.raw(At.Location)?.value;
                const type = this.types.typeOf(die);
                if (!(location instanceof Uint8Array)) {
                    return { kind: 'object', type, address: undefined };
                }
                const fixed = fixedAddressOf(location, die.unit);
                const address = fixed === undefined ? undefined : this.relocate(fixed);
                return { kind: 'object', type, address, threadOffset: threadOffsetOf(location, die.unit) };
            }
        }
    }

    /** Where copies of an inlined function begin, as linear addresses. @throws SymbolFileError */
    inlinedCopies(name: string): bigint[] {
        let copies = this.knownCopies.get(name);
        if (copies === undefined) {
            const die = this.findDie(name, [NameKind.Function], undefined)?.die;
            // Nothing is remembered of it: names may still be read.
            if (die === undefined) return [];
            copies = this.info.inlinedCopies(die);
            this.knownCopies.set(name, copies);
            if (this.knownCopies.size > KEPT_COPIES) {
                this.knownCopies.delete(this.knownCopies.keys().next().value!);
            }
        }
        return copies.map(address => this.linear(address));
    }

    /**
     * Linear addresses of all functions of a name: static ones of several sources share it, and so do C++'s overloads and
     * instances of templates. `ns::name` is found by how linkers call it.
     */
    functionsNamed(name: string): bigint[] {
        const found = this.symbols.named(name).filter(({ kind }) => kind === 'function');
        const path = name.split('::');
        const last = path[path.length - 1];
        for (const prefix of ['_Z', '_R']) {
            for (const { name: symbol } of this.symbols.startingWith(prefix)) {
                // Identifiers stand in it as they are: of a large program's many names, few are worth taking apart.
                if (!symbol.includes(last) || COLD_PART.test(symbol)) continue;
                const parts = mangledPath(symbol);
                if (parts === undefined || !isNamed(parts, path)) continue;
                found.push(...this.symbols.named(symbol).filter(({ kind }) => kind === 'function'));
            }
        }
        return [...new Set(found.map(({ address }) => address))].slice(0, MOST_OF_A_NAME);
    }

    private findDie(
        name: string,
        kinds: readonly NameKind[],
        unit: Unit | undefined,
    ): { readonly kind: NameKind; readonly die: Die } | undefined {
        const { dwarf } = this.info;
        const near = unit && this.namesOf(unit).find(name, kinds);
        const found = near ?? this.names?.find(name, kinds);
        if (found === undefined) {
            return undefined;
        }
        const owner = near === undefined || unit === undefined ? dwarf : unit.file;
        const die = owner.namedDie(found.offset);
        return die && { kind: found.kind, die };
    }

    private namesOf(unit: Unit): NameIndex {
        let names = this.unitNames.get(unit);
        if (names === undefined) {
            const collector = new NameCollector(unit.file);
            collector.add(unit, true);
            names = new NameIndex(collector.table);
            this.unitNames.set(unit, names);
            if (this.unitNames.size > KEPT_UNITS) {
                this.unitNames.delete(this.unitNames.keys().next().value!);
            }
        }
        return names;
    }

    private definition(keyword: TypeKeyword, name: string): Die | undefined {
        return this.findDie(name, KINDS_OF_TYPES[keyword], undefined)?.die;
    }

    /** Linux kernels carry tables for unwinding of their own, and so do their modules. */
    private orcTables(): OrcTables | undefined {
        const { elf } = this;
        const [ips, entries] = ['.orc_unwind_ip', '.orc_unwind'].map(name => {
            const section = elf.section(name);
            return section && { section, data: elfSection(elf, section) };
        });
        if (ips?.data === undefined || entries?.data === undefined) {
            return undefined;
        }
        const [ipData, entryData] = [ips.data, entries.data];
        const tables = {
            layout: elf.section('.orc_header') === undefined ? 'classic' : 'typed',
            count: Math.min(Math.floor(ipData.size / 4), Math.floor(entryData.size / ORC_ENTRY_SIZE)),
            ipTable: () => this.linear(ips.section.address),
        } as const;
        if (elf.type === (ElfType.Relocatable as number)) {
            return elf.placement === undefined
                ? undefined
                : sortedTables(tables, ipData.cursor().bytes, entryData.cursor().bytes);
        }
        const read = (data: DwarfSection, size: number, first: number, count: number): Uint8Array | undefined =>
            (first + count) * size <= data.size ? data.slice(first * size, count * size) : undefined;
        return {
            ...tables,
            readIps: (first, count) => read(ipData, 4, first, count),
            readEntries: (first, count) => read(entryData, ORC_ENTRY_SIZE, first, count),
        };
    }

    /** The note that tells the build-id, where it is loaded; as it was linked. */
    buildIdNote(): { readonly address: bigint; readonly bytes: Uint8Array } | undefined {
        return this.elf.loadedBuildIdNote();
    }

    /** How a Linux kernel calls itself, where it is loaded; as it was linked. */
    linuxBanner(): { readonly address: bigint; readonly bytes: Uint8Array } | undefined {
        const symbol = this.symbols.named('linux_banner').at(0);
        const address = symbol && BigInt.asUintN(64, symbol.address - this.slide);
        const linked = address === undefined ? 0 : fromAddress(address);
        const home = this.elf.sections.find(
            ({ flags, type, address: start, size }) =>
                (flags & SectionFlag.Alloc) !== 0 &&
                type !== (SectionType.NoBits as number) &&
                linked >= start &&
                linked < start + size,
        );
        const content = home && elfSection(this.elf, home);
        if (address === undefined || home === undefined || content === undefined) {
            return undefined;
        }
        const start = linked - home.address;
        const bytes = content.slice(start, Math.min(LONGEST_BANNER, content.size - start));
        const end = bytes.findIndex(byte => byte === 0 || byte === NEW_LINE);
        return end <= 0 ? undefined : { address, bytes: bytes.subarray(0, end) };
    }

    /** Lowest linked address of code. */
    firstCode(): bigint | undefined {
        const all = this.elf.sections
            .filter(({ flags }) => (flags & SectionFlag.Execute) !== 0)
            .map(({ address }) => address)
            .filter(address => address !== 0);
        return all.length === 0 ? undefined : toAddress(Math.min(...all));
    }

    /** Whether it is a Linux kernel: those may move themselves. */
    isLinux(): boolean {
        const { elf } = this;
        const isModule = elf.type === (ElfType.Relocatable as number);
        return !isModule && elf.section('__ksymtab') !== undefined && elf.section('.init.text') !== undefined;
    }

    /** Whether a linear address is that of a kernel's per-CPU variable before any CPU's own place is added. */
    isPerCpu(address: bigint): boolean {
        const section = this.elf.section('.data..percpu');
        if (section === undefined) {
            return false;
        }
        // Older kernels link them at 0, which does not move along.
        const linked = section.address === 0 ? fromAddress(address) : this.linked(address);
        return linked >= section.address && linked < section.address + section.size;
    }

    /**
     * Where a thread has a variable of the program itself (ELF Handling For Thread-Local Storage, variant II).
     * @param offset in the program's block
     * @param pointer the thread pointer, behind the block
     */
    threadLocal(offset: bigint, pointer: bigint): bigint | undefined {
        const block = this.elf.programHeaders.find(({ type }) => type === PT_TLS);
        if (block === undefined) {
            return undefined;
        }
        const alignment = Math.max(1, block.alignment);
        const size = Math.ceil(block.memorySize / alignment) * alignment;
        return BigInt.asUintN(this.elf.addressSize * 8, pointer - BigInt(size) + offset);
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
        return this.slide !== 0n && isLoaded(this.elf, fromAddress(address))
            ? BigInt.asUintN(64, address + this.slide)
            : address;
    }
}

/** A location that is nothing but an address. */
function fixedAddressOf(location: Uint8Array, unit: Unit): bigint | undefined {
    switch (location[0] as Op) {
        case Op.Addr:
            return location.length === 1 + unit.format.addressSize ? numberOf(location.subarray(1)) : undefined;
        case Op.Addrx:
        case Op.GnuAddrIndex:
            return indexed(location.subarray(1), unit);
        default:
            return undefined;
    }
}

/** A location that is nothing but a number and DW_OP_form_tls_address, or the older form of it. */
function threadOffsetOf(location: Uint8Array, unit: Unit): bigint | undefined {
    const last = location[location.length - 1] as Op;
    if (last !== Op.FormTlsAddress && last !== Op.GnuPushTlsAddress) {
        return undefined;
    }
    const number = location.subarray(1, -1);
    switch (location[0] as Op) {
        case Op.Addr:
            return numberOf(number);
        case Op.Const4u:
            return number.length === 4 ? numberOf(number) : undefined;
        case Op.Const8u:
            return number.length === 8 ? numberOf(number) : undefined;
        case Op.Constx:
        case Op.GnuConstIndex:
            return indexed(number, unit);
        default:
            return undefined;
    }
}

/** What `.debug_addr` has at an index that is all of an operation's operand. */
function indexed(operand: Uint8Array, unit: Unit): bigint | undefined {
    const cursor = new Cursor(operand, unit.what);
    const address = unit.indexedAddress(cursor.uleb());
    return address === undefined || cursor.left > 0 ? undefined : toAddress(address);
}

/** All programs that the guest consists of. */
export class ProgramSet {
    readonly programs: Program[] = [];
    /** Ways to find callers of code that is of none of them. */
    readonly unwinders: UnwindSource[] = [];
    /** Types of code of none of them. */
    readonly types: TypeSource[] = [];

    /** The program whose code is at a linear address. */
    at(address: bigint): Program | undefined {
        return this.programs.find(program => program.hasCode(address));
    }
}

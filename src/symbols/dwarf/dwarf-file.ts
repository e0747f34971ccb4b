/** The debugging information of one program: its units, found by offset, and what lies in files beside it. */
import { partitionPoint } from '../../common/search';
import { type SourceOpener, type ByteSource } from '../byte-source';
import { Cursor } from '../cursor';
import { ElfFile } from '../elf-file';
import { SymbolFileError } from '../errors';
import { openSharedDebugFile } from '../separate-debug';
import { AbbreviationTable } from './abbreviations';
import { At } from './constants';
import type { Die } from './die';
import { type Contributions, contributionsOf, readPackageIndex } from './package-index';
import { type DwarfSection, DwarfSections } from './sections';
import { LONGEST_HEADER, NO_CONTRIBUTIONS, readUnitHeader, Unit, type UnitHeader } from './unit';

/** Bytes of units that are kept at hand. */
const KEPT_BYTES = 48 * 2 ** 20;
/** Abbreviation tables that are kept. */
const KEPT_TABLES = 96;
/** No program has more units; a file that claims so is corrupt. */
const MOST_UNITS = 4_000_000;

/** Where numbers for places in the file that programs share begin: its `.debug_info` is smaller. */
export const SHARED = 2 ** 51;
/** Where numbers for places in split files begin, how far they are apart, and how many skeletons they may have. */
const SPLIT = 2 ** 52;
const SPLIT_SIZE = 2 ** 30;
const SPLIT_SKELETONS = SPLIT / SPLIT_SIZE;

/**
 * A number for a place in a split file.
 * @param skeleton offset of the unit that stands for the file's
 * @param place offset in its `.debug_info`, or -1 minus that in its `.debug_types`
 * @returns undefined in files larger than any
 */
export function splitOffset(skeleton: number, place: number): number | undefined {
    return skeleton < SPLIT_SKELETONS && Math.abs(place) < SPLIT_SIZE / 2
        ? SPLIT + skeleton * SPLIT_SIZE + place + SPLIT_SIZE / 2
        : undefined;
}
/** Units that may come before the first skeleton. */
const MOST_BEFORE_SPLIT = 64;

export class DwarfFile {
    readonly sections: DwarfSections;
    /** What was found wrong and left out; shown to the user once. */
    readonly problems: string[] = [];
    private knownUnits: readonly Unit[] | undefined;
    private knownTypeUnits: Map<bigint, Unit> | undefined;
    private readonly unitsByOffset = new Map<number, Unit>();
    private readonly bodies = new Map<Unit, Uint8Array>();
    private bodyBytes = 0;
    private readonly tables = new Map<string, AbbreviationTable>();
    private readonly splitFiles = new Map<string, DwarfFile | undefined>();
    private package: DwarfFile | undefined | null = null;
    private knownShared: DwarfFile | undefined | null = null;

    constructor(
        readonly elf: ElfFile,
        private readonly opener?: SourceOpener,
        /** Split DWARF: the unit that this file belongs to. */
        private readonly skeleton?: Unit,
        dwo = false,
    ) {
        this.sections = new DwarfSections(elf, dwo);
    }

    get hasInfo(): boolean {
        return this.sections.get('info') !== undefined;
    }

    /** What it shares with other programs, in a file of its own. */
    get shared(): DwarfFile | undefined {
        if (this.knownShared === null) {
            const { opener } = this;
            const elf = opener && openSharedDebugFile(this.elf, opener, this.problems);
            // That file refers to no third one.
            this.knownShared = elf && new DwarfFile(elf);
        }
        return this.knownShared;
    }

    /** Whether most of it lies in other files: `.dwo`, or `.dwp`. */
    get isSplit(): boolean {
        const root = this.units.at(0)?.root;
        return root !== undefined && (root.has(At.DwoName) || root.has(At.GnuDwoName));
    }

    // ---- units ---------------------------------------------------------------------------------------------------

    /** All units, in the order of their offsets, those of `.debug_types` last. */
    get units(): readonly Unit[] {
        this.knownUnits ??= [...this.scanUnits('info'), ...this.scanUnits('types')];
        return this.knownUnits;
    }

    /** The unit whose header is at an offset of `.debug_info`, without reading all headers. */
    unitAt(offset: number): Unit {
        let unit = this.unitsByOffset.get(offset);
        if (unit === undefined) {
            const section = this.sections.get('info');
            if (section === undefined) {
                throw new SymbolFileError(`${this.elf.name}: no debugging information`);
            }
            unit = this.makeUnit(this.readHeader(section, 'info', offset));
        }
        return unit;
    }

    /** The entry at an offset as `NameTable` has it: in `.debug_info`, below 0 in `.debug_types`, or in another file. */
    namedDie(offset: number): Die | undefined {
        if (offset >= SHARED && offset < SPLIT) {
            return this.sharedDie(offset - SHARED);
        }
        if (offset >= SPLIT) {
            const { full } = this.unitAt(Math.floor((offset - SPLIT) / SPLIT_SIZE));
            const inside = (offset % SPLIT_SIZE) - SPLIT_SIZE / 2;
            return inside < 0 ? full.file.namedDie(inside) : full.file.dieAt(inside, full);
        }
        if (offset >= 0) {
            const [first] = this.units;
            return first === undefined ? undefined : this.dieAt(offset, first);
        }
        const at = -1 - offset;
        const unit = this.units.find(
            ({ header }) => header.section === 'types' && at >= header.offset && at < header.end,
        );
        return unit?.tryDie(at);
    }

    /** The entry at an offset of the `.debug_info` that programs share. */
    sharedDie(offset: number): Die | undefined {
        const { shared } = this;
        const first = shared?.units.at(0);
        return first && shared?.dieAt(offset, first);
    }

    /** The entry at an offset of `.debug_info`, in whichever unit. */
    dieAt(offset: number, near: Unit): Die | undefined {
        const { header } = near;
        if (header.section === 'info' && offset >= header.offset && offset < header.end) {
            return near.tryDie(offset);
        }
        const units = this.units;
        const low = partitionPoint(
            units.length,
            index => units[index].header.section === 'info' && units[index].offset <= offset,
        );
        const unit = units.at(low - 1);
        return low > 0 && unit !== undefined && offset < unit.header.end ? unit.tryDie(offset) : undefined;
    }

    typeBySignature(signature: bigint, near: Unit): Die | undefined {
        if (this.knownTypeUnits === undefined) {
            this.knownTypeUnits = new Map();
            for (const unit of this.units) {
                if (unit.header.signature !== undefined) this.knownTypeUnits.set(unit.header.signature, unit);
            }
        }
        const unit = this.knownTypeUnits.get(signature);
        if (unit === undefined) {
            // In split DWARF the program itself may have the type.
            return near.skeleton !== undefined && near.skeleton.file !== this
                ? near.skeleton.file.typeBySignature(signature, near.skeleton)
                : undefined;
        }
        return unit.tryDie(unit.offset + (unit.header.typeOffset ?? 0));
    }

    private *scanUnits(name: 'info' | 'types'): Generator<Unit> {
        const section = this.sections.get(name);
        if (section === undefined) {
            return;
        }
        let count = 0;
        for (let offset = 0; offset < section.size && count < MOST_UNITS; count++) {
            let header: UnitHeader;
            try {
                header = this.readHeader(section, name, offset);
            } catch (error) {
                if (!(error instanceof SymbolFileError)) throw error;
                // Of what follows nobody knows where it begins.
                this.problems.push(error.message);
                return;
            }
            yield this.makeUnit(header);
            offset = header.end;
        }
    }

    private readHeader(section: DwarfSection, name: 'info' | 'types', offset: number): UnitHeader {
        const length = Math.min(LONGEST_HEADER, section.size - offset);
        const header = readUnitHeader(new Cursor(section.slice(offset, length), section.what), name, offset);
        if (header.end > section.size || header.end <= header.offset + header.headerSize) {
            throw new SymbolFileError(
                `${section.what}: truncated or corrupt: the unit at 0x${offset.toString(16)} ends at ` +
                    `0x${header.end.toString(16)}, the section at 0x${section.size.toString(16)}`,
            );
        }
        return header;
    }

    private makeUnit(header: UnitHeader): Unit {
        const known = header.section === 'info' ? this.unitsByOffset.get(header.offset) : undefined;
        if (known !== undefined) {
            return known;
        }
        const unit = new Unit(this, this.sections, header, this.contributions(header), this.skeleton);
        if (header.section === 'info') {
            this.unitsByOffset.set(header.offset, unit);
        }
        return unit;
    }

    private contributions(header: UnitHeader): Contributions {
        return contributionsOf(this.sections, header) ?? NO_CONTRIBUTIONS;
    }

    unitBytes(unit: Unit): Uint8Array {
        let bytes = this.bodies.get(unit);
        if (bytes !== undefined) {
            return bytes;
        }
        const { offset, end, section } = unit.header;
        bytes = this.sections.get(section)!.slice(offset, end - offset);
        this.bodies.set(unit, bytes);
        this.bodyBytes += bytes.length;
        for (const [oldest, old] of this.bodies) {
            if (this.bodyBytes <= KEPT_BYTES || oldest === unit) break;
            this.bodies.delete(oldest);
            this.bodyBytes -= old.length;
        }
        return bytes;
    }

    abbreviations(unit: Unit): AbbreviationTable {
        const { version, addressSize, offsetSize } = unit.format;
        const offset = unit.contributions.abbrev + unit.header.abbrevOffset;
        const key = `${offset}/${version}/${addressSize}/${offsetSize}`;
        let table = this.tables.get(key);
        if (table === undefined) {
            const section = unit.sections.get('abbrev');
            if (section === undefined) {
                throw new SymbolFileError(`${this.elf.name}: .debug_abbrev is missing`);
            }
            table = section.scan(offset, cursor => new AbbreviationTable(cursor, unit.format));
            this.tables.set(key, table);
            if (this.tables.size > KEPT_TABLES) {
                this.tables.delete(this.tables.keys().next().value!);
            }
        }
        return table;
    }

    // ---- split DWARF ---------------------------------------------------------------------------------------------

    /** The unit in a `.dwo` or `.dwp` file that a skeleton stands for; undefined if it is none, or there is no such file. */
    splitUnit(unit: Unit): Unit | undefined {
        const { root } = unit;
        const name = root.string(At.DwoName) ?? root.string(At.GnuDwoName);
        if (name === undefined) {
            return undefined;
        }
        const gnuId = root.raw(At.GnuDwoId)?.value;
        const id = unit.header.dwoId ?? (gnuId === undefined ? undefined : BigInt(gnuId as number | bigint));
        const found = this.inPackage(unit, id) ?? this.inOwnFile(unit, name, id);
        if (found === undefined) {
            this.problems.push(`${this.elf.name}: ${name} is missing: nothing is known of ${unit.root.name ?? name}`);
        }
        return found;
    }

    /**
     * Opens what the first skeleton stands for, so that {@link problems} tell whether it is missing.
     * @throws SymbolFileError
     */
    openFirstSplit(): void {
        let count = 0;
        for (const unit of this.scanUnits('info')) {
            const { root } = unit;
            if (root.has(At.DwoName) || root.has(At.GnuDwoName)) {
                void unit.full;
                return;
            }
            // Others come first where a program begins in assembly language.
            if (++count === MOST_BEFORE_SPLIT) return;
        }
    }

    private inPackage(skeleton: Unit, id: bigint | undefined): Unit | undefined {
        if (this.package === null) {
            const source = this.open(`${this.elf.name}.dwp`);
            this.package = source && new DwarfFile(new ElfFile(source), this.opener, undefined, true);
        }
        const dwp = this.package;
        if (dwp === undefined || id === undefined) {
            return undefined;
        }
        const row = readPackageIndex(dwp.sections)?.get(BigInt.asUintN(64, id));
        const section = dwp.sections.get('info');
        if (row === undefined || section === undefined) {
            return undefined;
        }
        const header = dwp.readHeader(section, 'info', row.info);
        return new Unit(dwp, dwp.sections, header, row.contributions, skeleton);
    }

    private inOwnFile(skeleton: Unit, name: string, id: bigint | undefined): Unit | undefined {
        const directory = skeleton.compilationDirectory;
        const beside = `${directoryOf(this.elf.name)}${name.slice(name.lastIndexOf('/') + 1)}`;
        const paths = name.startsWith('/') ? [name, beside] : [`${directory}/${name}`, beside, name];
        for (const path of paths) {
            if (!this.splitFiles.has(path)) {
                const source = this.open(path);
                this.splitFiles.set(path, source && new DwarfFile(new ElfFile(source), this.opener, skeleton, true));
            }
            const unit = this.splitFiles
                .get(path)
                ?.units.find(
                    ({ header }) =>
                        header.section === 'info' &&
                        header.signature === undefined &&
                        (header.dwoId === undefined || id === undefined || header.dwoId === id),
                );
            if (unit !== undefined) {
                return unit;
            }
        }
        return undefined;
    }

    private open(path: string): ByteSource | undefined {
        try {
            return this.opener?.open(path);
        } catch (error) {
            if (!(error instanceof SymbolFileError)) throw error;
            this.problems.push(error.message);
            return undefined;
        }
    }
}

function directoryOf(path: string): string {
    return path.slice(0, path.lastIndexOf('/') + 1);
}

/** Units of `.debug_info` and `.debug_types`: headers, and what the attributes of their entries refer to. */
import { Cursor, CursorEnd } from '../cursor';
import { SymbolFileError } from '../errors';
import { type AbbreviationTable } from './abbreviations';
import { At, Form, UnitType } from './constants';
import { Die } from './die';
import type { DwarfFile } from './dwarf-file';
import type { UnitFormat } from './forms';
import type { DwarfSections } from './sections';

/** Where a unit's contributions to sections begin: 0 except in packages of split DWARF (`.dwp`). */
export interface Contributions {
    readonly abbrev: number;
    readonly line: number;
    readonly loclists: number;
    readonly strOffsets: number;
    readonly rnglists: number;
}

export const NO_CONTRIBUTIONS: Contributions = { abbrev: 0, line: 0, loclists: 0, strOffsets: 0, rnglists: 0 };

export interface UnitHeader extends UnitFormat {
    readonly section: 'info' | 'types';
    /** Of the header, in its section. */
    readonly offset: number;
    /** Of the next unit. */
    readonly end: number;
    /** Bytes of the header. */
    readonly headerSize: number;
    readonly unitType: number;
    readonly abbrevOffset: number;
    /** Type units: the signature that refers to them, and where the type is. */
    readonly signature?: bigint;
    readonly typeOffset?: number;
    /** Skeleton and split units. */
    readonly dwoId?: bigint;
}

/** The longest header: 64-bit DWARF, version 5, a type unit. */
export const LONGEST_HEADER = 40;

/** @throws SymbolFileError for a header that is cut off or of a version that we do not know */
export function readUnitHeader(cursor: Cursor, section: 'info' | 'types', offset: number): UnitHeader {
    const start = cursor.at;
    const { length, offsetSize } = cursor.initialLength();
    const end = offset + (cursor.at - start) + length;
    const version = cursor.u16();
    if (version < 2 || version > 5) {
        throw new SymbolFileError(
            `${cursor.what}: a unit at 0x${offset.toString(16)} is of DWARF version ${version}: 2 to 5 can be read`,
        );
    }
    let unitType: number = section === 'types' ? UnitType.Type : UnitType.Compile;
    let addressSize: number;
    let abbrevOffset: number;
    if (version >= 5) {
        unitType = cursor.u8();
        addressSize = cursor.u8();
        abbrevOffset = cursor.offset(offsetSize);
    } else {
        abbrevOffset = cursor.offset(offsetSize);
        addressSize = cursor.u8();
    }
    let signature: bigint | undefined;
    let typeOffset: number | undefined;
    let dwoId: bigint | undefined;
    switch (unitType as UnitType) {
        case UnitType.Type:
        case UnitType.SplitType:
            signature = cursor.u64();
            typeOffset = cursor.offset(offsetSize);
            break;
        case UnitType.Skeleton:
        case UnitType.SplitCompile:
            dwoId = cursor.u64();
            break;
    }
    if (![2, 4, 8].includes(addressSize)) {
        throw new SymbolFileError(
            `${cursor.what}: corrupt: a unit at 0x${offset.toString(16)} has addresses of ${addressSize} bytes`,
        );
    }
    const headerSize = cursor.at - start;
    return {
        ...{ section, offset, end, headerSize, version, addressSize, offsetSize },
        ...{ unitType, abbrevOffset, signature, typeOffset, dwoId },
    };
}

export class Unit {
    readonly format: UnitFormat;
    private knownRoot: Die | undefined;
    private knownSplit: Unit | undefined | null = null;

    constructor(
        readonly file: DwarfFile,
        readonly sections: DwarfSections,
        readonly header: UnitHeader,
        readonly contributions: Contributions,
        /** For split units: the unit in the program itself that stands for it. */
        readonly skeleton: Unit | undefined,
    ) {
        const { version, addressSize, offsetSize } = header;
        this.format = { version, addressSize, offsetSize };
    }

    get offset(): number {
        return this.header.offset;
    }

    /** Position of the first entry. */
    get firstDie(): number {
        return this.header.offset + this.header.headerSize;
    }

    /** The unit's bytes, header and all. */
    get bytes(): Uint8Array {
        return this.file.unitBytes(this);
    }

    get abbreviations(): AbbreviationTable {
        return this.file.abbreviations(this);
    }

    /** The unit's own entry. */
    get root(): Die {
        this.knownRoot ??= this.die(this.firstDie);
        return this.knownRoot;
    }

    /** The unit that has the entries: this one, or the split one that it is the skeleton of. */
    get full(): Unit {
        if (this.knownSplit === null) {
            this.knownSplit = this.skeleton === undefined ? this.file.splitUnit(this) : undefined;
        }
        return this.knownSplit ?? this;
    }

    get name(): string {
        return this.root.name ?? '';
    }

    get compilationDirectory(): string {
        return this.root.string(At.CompDir) ?? this.skeleton?.compilationDirectory ?? '';
    }

    get producer(): string {
        return this.root.string(At.Producer) ?? '';
    }

    /** Where offsets into ranges and location lists count from. */
    get lowPc(): number {
        return this.root.address(At.LowPc) ?? this.skeleton?.lowPc ?? 0;
    }

    /** The entry at an offset in the section. @throws SymbolFileError */
    die(offset: number): Die {
        const die = this.tryDie(offset);
        if (die === undefined) {
            throw new SymbolFileError(`${this.what}: corrupt: no entry at 0x${offset.toString(16)}`);
        }
        return die;
    }

    /** As {@link die}; undefined for the null entry that ends siblings. */
    tryDie(offset: number): Die | undefined {
        const cursor = this.cursor(offset);
        const code = cursor.uleb();
        if (code === 0) {
            return undefined;
        }
        const abbreviation = this.abbreviations.get(code);
        if (abbreviation === undefined) {
            throw new SymbolFileError(`${this.what}: corrupt: abbreviation ${code} at 0x${offset.toString(16)}`);
        }
        return new Die(this, offset, abbreviation, cursor);
    }

    /** A cursor over the unit whose position in the section is `offset`. */
    cursor(offset: number): Cursor {
        const { bytes } = this;
        const at = offset - this.offset;
        if (!(at >= this.header.headerSize && at <= bytes.length)) {
            throw new CursorEnd(`${this.what}: corrupt: a reference to 0x${offset.toString(16)} outside its unit`);
        }
        return new Cursor(bytes, this.what, at);
    }

    get what(): string {
        return `${this.sections.name}: .debug_${this.header.section}`;
    }

    // ---- what indices mean ---------------------------------------------------------------------------------------

    string(form: number, value: number): string | undefined {
        switch (form as Form) {
            case Form.Strp:
                return this.sections.get('str')?.string(value);
            case Form.LineStrp:
                return this.sections.get('line_str')?.string(value);
            case Form.GnuStrpAlt:
            case Form.StrpSup:
                return this.file.shared?.sections.get('str')?.string(value);
            case Form.Strx:
            case Form.Strx1:
            case Form.Strx2:
            case Form.Strx3:
            case Form.Strx4:
            case Form.GnuStrIndex: {
                const { offsetSize } = this.format;
                const at = this.strOffsetsBase + value * offsetSize;
                const offset = this.sections.get('str_offsets')?.cursor(at, offsetSize).offset(offsetSize);
                return offset === undefined ? undefined : this.sections.get('str')?.string(offset);
            }
            default:
                return undefined;
        }
    }

    /** An address by its index in `.debug_addr`. */
    indexedAddress(index: number): number | undefined {
        const owner = this.skeleton ?? this;
        const { addressSize } = this.format;
        return owner.sections
            .get('addr')
            ?.cursor(owner.addrBase + index * addressSize, addressSize)
            .address(addressSize);
    }

    get addrBase(): number {
        return this.root.number(At.AddrBase) ?? this.root.number(At.GnuAddrBase) ?? 0;
    }

    private get strOffsetsBase(): number {
        // Without the attribute, as in split units, the table begins behind its header (DWARF 5, 7.26).
        const { version, offsetSize } = this.format;
        const header = version >= 5 ? (offsetSize === 8 ? 16 : 8) : 0;
        return this.contributions.strOffsets + (this.root.number(At.StrOffsetsBase) ?? header);
    }

    get rnglistsBase(): number {
        const { offsetSize } = this.format;
        return this.contributions.rnglists + (this.root.number(At.RnglistsBase) ?? (offsetSize === 8 ? 20 : 12));
    }

    get loclistsBase(): number {
        const { offsetSize } = this.format;
        return this.contributions.loclists + (this.root.number(At.LoclistsBase) ?? (offsetSize === 8 ? 20 : 12));
    }
}

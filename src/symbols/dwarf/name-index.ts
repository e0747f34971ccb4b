/** All global names of a program, found by one pass over its units: types, variables, functions, enumerators. */
import { SymbolFileError } from '../errors';
import { NamePlaces } from '../name-places';
import type { Abbreviation } from './abbreviations';
import { At, Form, Tag } from './constants';
import { type DwarfFile, SHARED, splitOffset } from './dwarf-file';
import { SiblingScan } from './siblings';
import type { Unit } from './unit';

export const enum NameKind {
    Struct = 1,
    Union = 2,
    Class = 3,
    Enum = 4,
    Typedef = 5,
    Base = 6,
    Variable = 7,
    Function = 8,
    /** The entry is that of the enumeration. */
    Enumerator = 9,
}

const KIND_OF_TAG: Readonly<Partial<Record<number, NameKind>>> = {
    [Tag.StructureType]: NameKind.Struct,
    [Tag.UnionType]: NameKind.Union,
    [Tag.ClassType]: NameKind.Class,
    [Tag.EnumerationType]: NameKind.Enum,
    [Tag.Typedef]: NameKind.Typedef,
    [Tag.BaseType]: NameKind.Base,
    [Tag.Variable]: NameKind.Variable,
    [Tag.Subprogram]: NameKind.Function,
};

/** How an entry of an abbreviation is read: position of the name's attribute, -1 without one. */
interface Plan {
    readonly kind: NameKind | 0;
    readonly isNamespace: boolean;
    readonly isEnumerator: boolean;
    readonly isDeclaration: boolean;
    readonly name: number;
}

/** Names as arrays: they go from thread to thread, and to disk. */
export interface NameTable {
    readonly names: readonly string[];
    readonly kinds: Uint8Array;
    /**
     * Offsets of entries in `.debug_info`; those in `.debug_types` as -1 minus their offset, those in split files as
     * {@link splitOffset} has them, those in the file that programs share from {@link SHARED} on.
     */
    readonly offsets: Float64Array;
}

/** Deeper namespaces are nobody's. */
const DEEPEST = 32;

/** Collects names unit by unit, so that whoever does it can pause and tell how far it is. */
export class NameCollector {
    private readonly names: string[] = [];
    private readonly kinds: number[] = [];
    private readonly offsets: number[] = [];
    /** What is known already, by kind and by string offset or text. */
    private readonly seenOffsets = new Set<number>();
    private readonly seenTexts = new Set<string>();
    private readonly plans = new WeakMap<Abbreviation, Plan>();
    /** Other files of the program that have been read: shared ones, and type units of split ones. */
    private readonly otherFiles = new Set<DwarfFile>();
    private skeleton: Unit | undefined;

    constructor(private readonly dwarf: DwarfFile) {}

    /** @param isAlone without what it shares with other programs, and the type units of its split file */
    add(unit: Unit, isAlone = false): void {
        try {
            const { full } = unit;
            this.addEntries(full, unit);
            if (isAlone) return;
            this.addShared();
            if (full.file === this.dwarf || this.otherFiles.has(full.file)) return;
            this.otherFiles.add(full.file);
            for (const other of full.file.units) {
                if (other.header.signature !== undefined) this.addEntries(other, unit);
            }
        } catch (error) {
            if (!(error instanceof SymbolFileError)) throw error;
            this.dwarf.problems.push(error.message);
        }
    }

    /** Once, what the program shares with others: types, for the most part. */
    private addShared(): void {
        const { shared } = this.dwarf;
        if (shared === undefined || this.otherFiles.has(shared)) return;
        this.otherFiles.add(shared);
        for (const unit of shared.units) this.addEntries(unit, unit);
    }

    /** @param skeleton the unit of the program that leads to them */
    private addEntries(unit: Unit, skeleton: Unit): void {
        const { root } = unit;
        this.skeleton = skeleton;
        if (root.hasChildren) this.scan(unit, root.next, 0);
    }

    get table(): NameTable {
        return {
            names: this.names,
            kinds: Uint8Array.from(this.kinds),
            offsets: Float64Array.from(this.offsets),
        };
    }

    private scan(unit: Unit, start: number, depth: number): void {
        const scan = new SiblingScan(unit, start);
        for (let abbreviation = scan.next(); abbreviation !== undefined; abbreviation = scan.next()) {
            const plan = this.plan(abbreviation);
            const { offset } = scan;
            const nameAt = scan.passAttributes(abbreviation, plan.name);
            if (nameAt >= 0 && plan.kind !== 0 && !plan.isDeclaration) {
                this.note(unit, plan.kind, offset, abbreviation.forms[plan.name], nameAt);
            }
            if (!abbreviation.hasChildren) continue;
            if (plan.kind === NameKind.Enum) {
                this.enumerators(unit, scan.firstChild, offset);
            } else if (plan.isNamespace && depth < DEEPEST) {
                this.scan(unit, scan.firstChild, depth + 1);
            }
            scan.passChildren();
        }
    }

    private enumerators(unit: Unit, start: number, enumOffset: number): void {
        const scan = new SiblingScan(unit, start);
        for (let abbreviation = scan.next(); abbreviation !== undefined; abbreviation = scan.next()) {
            const plan = this.plan(abbreviation);
            const nameAt = scan.passAttributes(abbreviation, plan.name);
            if (plan.isEnumerator && nameAt >= 0) {
                this.note(unit, NameKind.Enumerator, enumOffset, abbreviation.forms[plan.name], nameAt);
            }
            scan.passChildren();
        }
    }

    private note(unit: Unit, kind: NameKind, offset: number, form: number, at: number): void {
        const { bytes } = unit;
        // Offsets of strings are those of the file that they are in.
        if (form === (Form.Strp as number) && unit.file === this.dwarf) {
            const low = (bytes[at] | (bytes[at + 1] << 8) | (bytes[at + 2] << 16) | (bytes[at + 3] << 24)) >>> 0;
            const high =
                unit.format.offsetSize === 8 ? (bytes[at + 4] | (bytes[at + 5] << 8) | (bytes[at + 6] << 16)) >>> 0 : 0;
            const key = (high * 0x100000000 + low) * 16 + kind;
            if (this.seenOffsets.has(key)) return;
            this.seenOffsets.add(key);
        }
        const cursor = unit.cursor(unit.offset + at);
        const name = form === (Form.String as number) ? cursor.string() : this.stringAt(unit, form, cursor);
        if (name === undefined || name === '') return;
        // Inline strings are short, and come again in every unit.
        const text = `${kind}${name}`;
        const place = this.placeOf(unit, offset);
        if (place === undefined || this.seenTexts.has(text)) return;
        this.seenTexts.add(text);
        this.names.push(name);
        this.kinds.push(kind);
        this.offsets.push(place);
    }

    /** As {@link NameTable.offsets} has it. */
    private placeOf(unit: Unit, offset: number): number | undefined {
        const place = unit.header.section === 'types' ? -1 - offset : offset;
        if (unit.file === this.dwarf || this.skeleton === undefined) {
            return place;
        }
        if (unit.file === this.dwarf.shared) {
            return place < 0 ? undefined : SHARED + place;
        }
        return splitOffset(this.skeleton.offset, place);
    }

    private stringAt(unit: Unit, form: number, cursor: ReturnType<Unit['cursor']>): string | undefined {
        const { offsetSize } = unit.format;
        switch (form as Form) {
            case Form.Strp:
            case Form.LineStrp:
            case Form.GnuStrpAlt:
            case Form.StrpSup:
                return unit.string(form, cursor.offset(offsetSize));
            case Form.Strx:
            case Form.GnuStrIndex:
                return unit.string(form, cursor.uleb());
            case Form.Strx1:
                return unit.string(form, cursor.u8());
            case Form.Strx2:
                return unit.string(form, cursor.u16());
            case Form.Strx3:
                return unit.string(form, cursor.u24());
            case Form.Strx4:
                return unit.string(form, cursor.u32());
            default:
                return undefined;
        }
    }

    private plan(abbreviation: Abbreviation): Plan {
        let plan = this.plans.get(abbreviation);
        if (plan === undefined) {
            const { tag, names } = abbreviation;
            const isVariable = tag === (Tag.Variable as number) || tag === (Tag.Subprogram as number);
            const kind = KIND_OF_TAG[tag] ?? 0;
            const isEnumerator = tag === (Tag.Enumerator as number);
            plan = {
                kind,
                isEnumerator,
                isNamespace: tag === (Tag.Namespace as number),
                // A declaration of a variable tells its type all the same.
                isDeclaration: names.includes(At.Declaration) && !isVariable,
                name: kind !== 0 || isEnumerator ? names.indexOf(At.Name) : -1,
            };
            this.plans.set(abbreviation, plan);
        }
        return plan;
    }
}

/** Looks names up. */
export class NameIndex {
    private readonly places: NamePlaces;

    constructor(readonly table: NameTable) {
        this.places = new NamePlaces(table.names);
    }

    /** Offset of the entry of a name, the first of the kinds that there is. */
    find(name: string, kinds: readonly NameKind[]): { readonly kind: NameKind; readonly offset: number } | undefined {
        const indices = this.places.of(name);
        for (const kind of kinds) {
            for (const index of indices) {
                if (this.table.kinds[index] === kind) return { kind, offset: this.table.offsets[index] };
            }
        }
        return undefined;
    }

    startingWith(prefix: string): Iterable<string> {
        return this.places.startingWith(prefix);
    }
}

/** All global names of a program, found by one pass over its units: types, variables, functions, enumerators. */
import { SymbolFileError } from '../errors';
import { NamePlaces } from '../name-places';
import type { Abbreviation } from './abbreviations';
import { At, Form, Tag } from './constants';
import { skipChildren } from './die';
import type { DwarfFile } from './dwarf-file';
import { skipForm } from './forms';
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

/** How an entry of an abbreviation is read: positions of the attributes that matter, -1 for absent ones. */
interface Plan {
    readonly kind: NameKind | 0;
    readonly isNamespace: boolean;
    readonly isEnumerator: boolean;
    readonly isDeclaration: boolean;
    readonly name: number;
    readonly sibling: number;
}

/** Names as arrays: they go from thread to thread, and to disk. */
export interface NameTable {
    readonly names: readonly string[];
    readonly kinds: Uint8Array;
    /** Offsets of entries in `.debug_info`; those in `.debug_types` as -1 minus their offset. */
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

    constructor(private readonly dwarf: DwarfFile) {}

    add(unit: Unit): void {
        try {
            const full = unit.full;
            if (full.file !== this.dwarf) return; // its offsets mean nothing here
            const { root } = full;
            if (root.hasChildren) this.scan(full, root.next, 0);
        } catch (error) {
            if (!(error instanceof SymbolFileError)) throw error;
            this.dwarf.problems.push(error.message);
        }
    }

    get table(): NameTable {
        return {
            names: this.names,
            kinds: Uint8Array.from(this.kinds),
            offsets: Float64Array.from(this.offsets),
        };
    }

    private scan(unit: Unit, start: number, depth: number): void {
        const { abbreviations, format } = unit;
        const cursor = unit.cursor(start);
        const base = unit.offset;
        while (cursor.left > 0) {
            const offset = base + cursor.at;
            const code = cursor.uleb();
            const abbreviation = code === 0 ? undefined : abbreviations.get(code);
            if (abbreviation === undefined) {
                return;
            }
            const plan = this.plan(abbreviation);
            const { forms, size } = abbreviation;
            let nameAt = -1;
            let siblingAt = -1;
            if (plan.name < 0 && plan.sibling < 0 && size >= 0) {
                cursor.skip(size);
            } else {
                for (let index = 0; index < forms.length; index++) {
                    if (index === plan.name) nameAt = cursor.at;
                    else if (index === plan.sibling) siblingAt = cursor.at;
                    skipForm(cursor, forms[index], format);
                }
            }
            if (nameAt >= 0 && plan.kind !== 0 && !plan.isDeclaration) {
                this.note(unit, plan.kind, offset, forms[plan.name], nameAt);
            }
            if (!abbreviation.hasChildren) continue;
            const children = cursor.at;
            if (plan.kind === NameKind.Enum) {
                this.enumerators(unit, base + children, offset);
            } else if (plan.isNamespace && depth < DEEPEST) {
                this.scan(unit, base + children, depth + 1);
            }
            let next = -1;
            if (siblingAt >= 0 && forms[plan.sibling] === (Form.Ref4 as number)) {
                next = cursor.view.getUint32(siblingAt, true);
            }
            cursor.at = next > children && next <= cursor.end ? next : skipChildren(unit, base + children) - base;
        }
    }

    private enumerators(unit: Unit, start: number, enumOffset: number): void {
        const { abbreviations, format } = unit;
        const cursor = unit.cursor(start);
        while (cursor.left > 0) {
            const code = cursor.uleb();
            const abbreviation = code === 0 ? undefined : abbreviations.get(code);
            if (abbreviation === undefined || abbreviation.hasChildren) {
                return;
            }
            const { forms } = abbreviation;
            const plan = this.plan(abbreviation);
            let nameAt = -1;
            for (let index = 0; index < forms.length; index++) {
                if (index === plan.name) nameAt = cursor.at;
                skipForm(cursor, forms[index], format);
            }
            if (plan.isEnumerator && nameAt >= 0) {
                this.note(unit, NameKind.Enumerator, enumOffset, forms[plan.name], nameAt);
            }
        }
    }

    private note(unit: Unit, kind: NameKind, offset: number, form: number, at: number): void {
        const { bytes } = unit;
        if (form === (Form.Strp as number)) {
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
        if (this.seenTexts.has(text)) return;
        this.seenTexts.add(text);
        this.names.push(name);
        this.kinds.push(kind);
        this.offsets.push(unit.header.section === 'types' ? -1 - offset : offset);
    }

    private stringAt(unit: Unit, form: number, cursor: ReturnType<Unit['cursor']>): string | undefined {
        const { offsetSize } = unit.format;
        switch (form as Form) {
            case Form.Strp:
            case Form.LineStrp:
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
                sibling: names.indexOf(At.Sibling),
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

/** A debugging information entry with its attributes decoded. */
import type { Cursor } from '../cursor';
import type { Abbreviation } from './abbreviations';
import { At, Form } from './constants';
import { readForm, type RawValue, skipForm } from './forms';
import type { Unit } from './unit';

/** Entries that refer to entries for what they lack: longer chains are cycles. */
const MOST_ORIGINS = 8;

export class Die {
    /** Offset in the section of what follows: the first child, or the next entry. */
    readonly next: number;
    private readonly values: RawValue[] = [];
    private indirectForms: Map<number, number> | undefined;

    /** @param cursor behind the abbreviation code */
    constructor(
        readonly unit: Unit,
        /** In the unit's section. */
        readonly offset: number,
        readonly abbreviation: Abbreviation,
        cursor: Cursor,
    ) {
        const { forms, constants } = abbreviation;
        for (let index = 0; index < forms.length; index++) {
            const [value, form] = readForm(cursor, forms[index], unit.format, constants?.[index]);
            this.values.push(value);
            if (form !== forms[index]) {
                (this.indirectForms ??= new Map<number, number>()).set(index, form);
            }
        }
        this.next = unit.offset + cursor.at;
    }

    get tag(): number {
        return this.abbreviation.tag;
    }

    get hasChildren(): boolean {
        return this.abbreviation.hasChildren;
    }

    has(name: At): boolean {
        return this.abbreviation.names.includes(name);
    }

    /** An attribute as it stands in the unit, with its form. */
    raw(name: At): { readonly value: RawValue; readonly form: number } | undefined {
        const index = this.abbreviation.names.indexOf(name);
        return index < 0
            ? undefined
            : { value: this.values[index], form: this.indirectForms?.get(index) ?? this.abbreviation.forms[index] };
    }

    /** A constant, an offset or an index that fits a number. */
    number(name: At): number | undefined {
        const value = this.raw(name)?.value;
        return typeof value === 'number' ? value : undefined;
    }

    /** As {@link number}; undefined for a reference, an index or an offset. */
    constant(name: At): number | undefined {
        const found = this.raw(name);
        return typeof found?.value === 'number' && isConstant(found.form) ? found.value : undefined;
    }

    flag(name: At): boolean {
        return this.raw(name)?.value === true;
    }

    string(name: At): string | undefined {
        const found = this.raw(name);
        if (found === undefined || typeof found.value === 'string') {
            return found?.value as string | undefined;
        }
        return typeof found.value === 'number' ? this.unit.string(found.form, found.value) : undefined;
    }

    /** An address, as `Cursor.address` has it. */
    address(name: At): number | undefined {
        const found = this.raw(name);
        if (typeof found?.value !== 'number') {
            return undefined;
        }
        switch (found.form as Form) {
            case Form.Addr:
                return found.value;
            case Form.Addrx:
            case Form.Addrx1:
            case Form.Addrx2:
            case Form.Addrx3:
            case Form.Addrx4:
            case Form.GnuAddrIndex:
                return this.unit.indexedAddress(found.value);
            default:
                return undefined;
        }
    }

    /** The entry that an attribute refers to. */
    reference(name: At): Die | undefined {
        const found = this.raw(name);
        if (found === undefined) {
            return undefined;
        }
        const { value, form } = found;
        const { unit } = this;
        switch (form as Form) {
            case Form.Ref1:
            case Form.Ref2:
            case Form.Ref4:
            case Form.Ref8:
            case Form.RefUdata:
                return typeof value === 'number' ? unit.tryDie(unit.offset + value) : undefined;
            case Form.RefAddr:
                return typeof value === 'number' ? unit.file.dieAt(value, unit) : undefined;
            case Form.GnuRefAlt:
            case Form.RefSup4:
            case Form.RefSup8:
                return typeof value === 'number' ? unit.file.sharedDie(value) : undefined;
            case Form.RefSig8:
                return unit.file.typeBySignature(BigInt.asUintN(64, BigInt(value as number | bigint)), unit);
            default:
                return undefined;
        }
    }

    /** This entry, then those that it takes its missing attributes from. */
    *origins(): Generator<Die> {
        let die: Die | undefined = this as Die;
        for (let count = 0; die !== undefined && count < MOST_ORIGINS; count++) {
            yield die;
            die = die.reference(At.AbstractOrigin) ?? die.reference(At.Specification);
        }
    }

    get name(): string | undefined {
        return this.string(At.Name);
    }

    /** As {@link name}, found along {@link origins}. */
    get effectiveName(): string | undefined {
        for (const die of this.origins()) {
            const { name } = die;
            if (name !== undefined) return name;
        }
        return undefined;
    }

    /** The type, found along {@link origins}; undefined is `void`. */
    get type(): Die | undefined {
        for (const die of this.origins()) {
            if (die.has(At.Type)) return die.reference(At.Type);
        }
        return undefined;
    }

    /** Entries directly inside. */
    *children(): Generator<Die> {
        if (!this.hasChildren) {
            return;
        }
        for (let at = this.next; at < this.unit.header.end;) {
            const child = this.unit.tryDie(at);
            if (child === undefined) {
                return;
            }
            yield child;
            at = child.following();
        }
    }

    /** Offset of what follows this entry and everything inside. */
    following(): number {
        if (!this.hasChildren) {
            return this.next;
        }
        const sibling = this.referenceOffset(At.Sibling);
        return sibling !== undefined && sibling > this.next && sibling <= this.unit.header.end
            ? sibling
            : skipChildren(this.unit, this.next);
    }

    /** The offset that a reference inside the unit names, without reading what is there. */
    private referenceOffset(name: At): number | undefined {
        const found = this.raw(name);
        if (typeof found?.value !== 'number') {
            return undefined;
        }
        return found.form === (Form.RefAddr as number) ? found.value : this.unit.offset + found.value;
    }
}

function isConstant(form: number): boolean {
    switch (form as Form) {
        case Form.Data1:
        case Form.Data2:
        case Form.Data4:
        case Form.Data8:
        case Form.Sdata:
        case Form.Udata:
        case Form.ImplicitConst:
            return true;
        default:
            return false;
    }
}

/** Passes over entries up to the null entry that ends them; `at` is the first one's offset. */
export function skipChildren(unit: Unit, at: number): number {
    const cursor = unit.cursor(at);
    const { abbreviations, format } = unit;
    for (let depth = 1; depth > 0;) {
        if (cursor.left === 0) break;
        const code = cursor.uleb();
        if (code === 0) {
            depth--;
            continue;
        }
        const abbreviation = abbreviations.get(code);
        if (abbreviation === undefined) {
            break; // corrupt: nothing follows that could be read
        }
        if (abbreviation.size >= 0) {
            cursor.skip(abbreviation.size);
        } else {
            for (const form of abbreviation.forms) skipForm(cursor, form, format);
        }
        if (abbreviation.hasChildren) depth++;
    }
    return unit.offset + cursor.at;
}

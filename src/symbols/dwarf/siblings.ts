/** Entries passed over without decoding them: what is inside of units is found among much that nobody wants. */
import type { Cursor } from '../cursor';
import type { Abbreviation, AbbreviationTable } from './abbreviations';
import { At } from './constants';
import { Die, skipChildren } from './die';
import { skipForm, type UnitFormat } from './forms';
import type { Unit } from './unit';

/** Goes from sibling to sibling: {@link next}, then one of the others that reads the entry, then {@link passChildren}. */
export class SiblingScan {
    /** Of the entry, in the unit's section. */
    offset = 0;
    private readonly cursor: Cursor;
    private readonly abbreviations: AbbreviationTable;
    private readonly format: UnitFormat;
    private readonly base: number;
    private abbreviation: Abbreviation | undefined;
    /** The entry's `DW_AT_sibling`, counted from the unit's beginning; 0 without one. */
    private sibling = 0;

    /** @param at offset of the first sibling */
    constructor(
        private readonly unit: Unit,
        at: number,
    ) {
        this.abbreviations = unit.abbreviations;
        this.format = unit.format;
        this.base = unit.offset;
        this.cursor = unit.cursor(at);
    }

    /** Goes to the next entry; undefined behind the last one. */
    next(): Abbreviation | undefined {
        const { cursor } = this;
        this.offset = this.base + cursor.at;
        const code = cursor.left > 0 ? cursor.uleb() : 0;
        this.abbreviation = code === 0 ? undefined : this.abbreviations.get(code);
        return this.abbreviation;
    }

    /** The entry, decoded. */
    die(abbreviation: Abbreviation): Die {
        const die = new Die(this.unit, this.offset, abbreviation, this.cursor);
        this.sibling = abbreviation.sibling < 0 ? 0 : (die.number(At.Sibling) ?? 0);
        return die;
    }

    /**
     * Passes over the entry's attributes.
     * @param wanted position of one among them, or -1
     * @returns where in the unit the value of that one is, or -1
     */
    passAttributes({ forms, size, sibling }: Abbreviation, wanted: number): number {
        const { cursor, format } = this;
        this.sibling = 0;
        if (wanted < 0 && sibling < 0 && size >= 0) {
            cursor.skip(size);
            return -1;
        }
        let found = -1;
        for (let index = 0; index < forms.length; index++) {
            if (index === wanted) found = cursor.at;
            if (index === sibling) this.sibling = cursor.u32();
            else skipForm(cursor, forms[index], format);
        }
        return found;
    }

    /** Offset of the entry's first child, in the unit's section, before {@link passChildren}. */
    get firstChild(): number {
        return this.base + this.cursor.at;
    }

    passChildren(): void {
        const { cursor, sibling } = this;
        if (this.abbreviation?.hasChildren !== true) return;
        const isSibling = sibling > cursor.at && sibling <= cursor.end;
        cursor.at = isSibling ? sibling : skipChildren(this.unit, this.firstChild) - this.base;
    }
}

/**
 * The entries among siblings that have certain tags, without decoding the others.
 * @param at offset of the first sibling
 */
export function* selectSiblings(unit: Unit, at: number, wanted: (tag: number) => boolean): Generator<Die> {
    const scan = new SiblingScan(unit, at);
    for (let abbreviation = scan.next(); abbreviation !== undefined; abbreviation = scan.next()) {
        if (wanted(abbreviation.tag)) yield scan.die(abbreviation);
        else scan.passAttributes(abbreviation, -1);
        scan.passChildren();
    }
}

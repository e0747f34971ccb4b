/** Abbreviation tables (DWARF 5, 7.5.3): what the entries of a unit look like. */
import type { Cursor } from '../cursor';
import { SymbolFileError } from '../errors';
import { At, Form } from './constants';
import { fixedSize, type UnitFormat } from './forms';

/** More attributes than any producer writes; what claims them is corrupt. */
const MOST_ATTRIBUTES = 4096;
/** Codes are given out in order; others go into a map. */
const DENSE_CODES = 1 << 16;

export interface Abbreviation {
    readonly tag: number;
    readonly hasChildren: boolean;
    /** Attribute names, and in the same order their forms. */
    readonly names: Uint16Array;
    readonly forms: Uint16Array;
    /** Values of `DW_FORM_implicit_const`, by position; absent if there are none. */
    readonly constants?: readonly (bigint | undefined)[];
    /** Bytes of all attributes together, or -1 if that depends on them. */
    readonly size: number;
    /** Position of a `DW_AT_sibling` that is four bytes, as compilers write it, or -1. */
    readonly sibling: number;
}

export class AbbreviationTable {
    private readonly dense: Abbreviation[] = [];
    private readonly sparse = new Map<number, Abbreviation>();

    /** @throws SymbolFileError */
    constructor(cursor: Cursor, format: UnitFormat) {
        for (;;) {
            const code = cursor.uleb();
            if (code === 0) {
                return;
            }
            const abbreviation = readAbbreviation(cursor, format);
            if (code < DENSE_CODES) {
                this.dense[code] = abbreviation;
            } else {
                this.sparse.set(code, abbreviation);
            }
        }
    }

    get(code: number): Abbreviation | undefined {
        return code < DENSE_CODES ? this.dense[code] : this.sparse.get(code);
    }
}

function readAbbreviation(cursor: Cursor, format: UnitFormat): Abbreviation {
    const tag = cursor.uleb();
    const hasChildren = cursor.u8() !== 0;
    const names: number[] = [];
    const forms: number[] = [];
    let constants: (bigint | undefined)[] | undefined;
    let size = 0;
    for (;;) {
        const name = cursor.uleb();
        const form = cursor.uleb();
        if (form === (Form.ImplicitConst as number)) {
            (constants ??= [])[names.length] = cursor.slebBig();
        }
        if (name === 0 && form === 0) break;
        if (names.length >= MOST_ATTRIBUTES || name > 0xffff || form > 0xffff) {
            throw new SymbolFileError(`${cursor.what}: corrupt: attribute 0x${name.toString(16)} of an abbreviation`);
        }
        names.push(name);
        forms.push(form);
        const bytes = fixedSize(form, format);
        size = bytes < 0 || size < 0 ? -1 : size + bytes;
    }
    const sibling = names.findIndex(
        (name, index) => name === (At.Sibling as number) && forms[index] === (Form.Ref4 as number),
    );
    return {
        tag,
        hasChildren,
        names: Uint16Array.from(names),
        forms: Uint16Array.from(forms),
        constants,
        size,
        sibling,
    };
}

/** Attribute forms (DWARF 5, 7.5.5 and 7.5.6): how values are encoded. */
import type { Cursor } from '../cursor';
import { SymbolFileError } from '../errors';
import { Form } from './constants';

/** What the size of some forms depends on. */
export interface UnitFormat {
    readonly version: number;
    readonly addressSize: number;
    readonly offsetSize: 4 | 8;
}

/**
 * A value as it stands in the unit. Numbers are plain; those of 64 bits that a number cannot hold are bigint. Strings
 * by reference, indices and references stay numbers: the form tells what they are.
 */
export type RawValue = number | bigint | string | Uint8Array | boolean;

/** Bytes that a form takes always, or -1. */
export function fixedSize(form: number, { version, addressSize, offsetSize }: UnitFormat): number {
    switch (form as Form) {
        case Form.FlagPresent:
        case Form.ImplicitConst:
            return 0;
        case Form.Data1:
        case Form.Ref1:
        case Form.Flag:
        case Form.Strx1:
        case Form.Addrx1:
            return 1;
        case Form.Data2:
        case Form.Ref2:
        case Form.Strx2:
        case Form.Addrx2:
            return 2;
        case Form.Strx3:
        case Form.Addrx3:
            return 3;
        case Form.Data4:
        case Form.Ref4:
        case Form.Strx4:
        case Form.Addrx4:
        case Form.RefSup4:
            return 4;
        case Form.Data8:
        case Form.Ref8:
        case Form.RefSig8:
        case Form.RefSup8:
            return 8;
        case Form.Data16:
            return 16;
        case Form.Addr:
            return addressSize;
        case Form.Strp:
        case Form.LineStrp:
        case Form.SecOffset:
        case Form.StrpSup:
        case Form.GnuRefAlt:
        case Form.GnuStrpAlt:
            return offsetSize;
        case Form.RefAddr:
            return version <= 2 ? addressSize : offsetSize;
        default:
            return -1;
    }
}

/** Forms may name another form in the data; longer chains are an attack. */
const MOST_INDIRECTIONS = 4;

export function skipForm(cursor: Cursor, form: number, format: UnitFormat): void {
    const size = fixedSize(form, format);
    if (size >= 0) {
        cursor.skip(size);
        return;
    }
    let indirections = 0;
    for (;;) {
        switch (form as Form) {
            case Form.String:
                return cursor.skipString();
            case Form.Block1:
                return cursor.skip(cursor.u8());
            case Form.Block2:
                return cursor.skip(cursor.u16());
            case Form.Block4:
                return cursor.skip(cursor.u32());
            case Form.Block:
            case Form.Exprloc:
                return cursor.skip(cursor.uleb());
            case Form.Udata:
            case Form.Sdata:
            case Form.RefUdata:
            case Form.Strx:
            case Form.Addrx:
            case Form.Loclistx:
            case Form.Rnglistx:
            case Form.GnuAddrIndex:
            case Form.GnuStrIndex:
                return cursor.skipLeb();
            case Form.Indirect:
                form = indirect(cursor, ++indirections);
                if (fixedSize(form, format) >= 0) {
                    return cursor.skip(fixedSize(form, format));
                }
                break;
            default:
                throw unknownForm(cursor, form);
        }
    }
}

/** @returns the value, and the form that it really had */
export function readForm(
    cursor: Cursor,
    form: number,
    format: UnitFormat,
    constant?: bigint,
): readonly [value: RawValue, form: number] {
    for (let indirections = 0; form === (Form.Indirect as number);) {
        form = indirect(cursor, ++indirections);
    }
    return [readDirect(cursor, form, format, constant), form];
}

function readDirect(cursor: Cursor, form: number, format: UnitFormat, constant: bigint | undefined): RawValue {
    switch (form as Form) {
        case Form.FlagPresent:
            return true;
        case Form.ImplicitConst:
            return numeric(constant ?? 0n);
        case Form.Flag:
            return cursor.u8() !== 0;
        case Form.Addr:
            return cursor.address(format.addressSize);
        case Form.Data8:
        case Form.RefSig8:
            return numeric(cursor.u64());
        case Form.Data16:
            return cursor.block(16);
        case Form.String:
            return cursor.string();
        case Form.Block1:
            return cursor.block(cursor.u8());
        case Form.Block2:
            return cursor.block(cursor.u16());
        case Form.Block4:
            return cursor.block(cursor.u32());
        case Form.Block:
        case Form.Exprloc:
            return cursor.block(cursor.uleb());
        case Form.Udata:
            return numeric(cursor.ulebBig());
        case Form.Sdata:
            return numeric(cursor.slebBig());
        case Form.RefUdata:
        case Form.Strx:
        case Form.Addrx:
        case Form.Loclistx:
        case Form.Rnglistx:
        case Form.GnuAddrIndex:
        case Form.GnuStrIndex:
            return cursor.uleb();
        default: {
            const size = fixedSize(form, format);
            if (size < 0) {
                throw unknownForm(cursor, form);
            }
            return cursor.unsigned(size);
        }
    }
}

function numeric(value: bigint): number | bigint {
    const number = Number(value);
    return Number.isSafeInteger(number) ? number : value;
}

function indirect(cursor: Cursor, indirections: number): number {
    if (indirections > MOST_INDIRECTIONS) {
        throw new SymbolFileError(`${cursor.what}: corrupt: a form that names forms without end`);
    }
    return cursor.uleb();
}

function unknownForm(cursor: Cursor, form: number): SymbolFileError {
    return new SymbolFileError(
        `${cursor.what}: an attribute has form 0x${form.toString(16)}, which is not known: DWARF 2 to 5 can be read`,
    );
}

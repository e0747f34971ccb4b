/** Location lists (DWARF 5, 2.6.2; `.debug_loc` before version 5): where a variable is depends on the instruction. */
import type { Cursor } from '../cursor';
import { SymbolFileError } from '../errors';
import { type At, Form } from './constants';
import type { Die } from './die';
import { baseSelection } from './ranges';
import type { Unit } from './unit';

/** DW_LLE_*. */
const enum ListEntry {
    EndOfList = 0,
    BaseAddressx = 1,
    StartxEndx = 2,
    StartxLength = 3,
    OffsetPair = 4,
    DefaultLocation = 5,
    BaseAddress = 6,
    StartEnd = 7,
    StartLength = 8,
    GnuViewPair = 9,
}

const MOST_ENTRIES = 1 << 20;

/**
 * The location expression of an attribute at an instruction.
 * @param address of the instruction as it was linked, in the form of `Cursor.address`
 * @returns undefined if the entry has no such attribute, empty if it is nowhere at this address
 * @throws SymbolFileError
 */
export function expressionAt(die: Die, name: At, address: number): Uint8Array | undefined {
    const found = die.raw(name);
    if (found === undefined) {
        return undefined;
    }
    const { value, form } = found;
    if (value instanceof Uint8Array) {
        return value;
    }
    return typeof value === 'number' ? (inList(die.unit, form, value, address) ?? new Uint8Array(0)) : undefined;
}

/** Whether the attribute is a location list. */
export function hasList(die: Die, name: At): boolean {
    return typeof die.raw(name)?.value === 'number';
}

function inList(unit: Unit, form: number, value: number, address: number): Uint8Array | undefined {
    if (unit.format.version < 5) {
        const offset = unit.contributions.loclists + value;
        const read = unit.skeleton === undefined ? readOld : readGnuSplit;
        return unit.sections.get('loc')?.scan(offset, cursor => read(unit, cursor, address));
    }
    const section = unit.sections.get('loclists');
    let offset = value;
    if (form === (Form.Loclistx as number)) {
        const { offsetSize } = unit.format;
        const base = unit.loclistsBase;
        offset = base + (section?.cursor(base + value * offsetSize, offsetSize).offset(offsetSize) ?? 0);
    }
    return section?.scan(offset, cursor => readList(unit, cursor, address));
}

function readList(unit: Unit, cursor: Cursor, address: number): Uint8Array | undefined {
    const { addressSize } = unit.format;
    const indexed = (): number => unit.indexedAddress(cursor.uleb()) ?? 0;
    let base = unit.lowPc;
    let fallback: Uint8Array | undefined;
    for (let count = 0; count < MOST_ENTRIES; count++) {
        let low: number;
        let high: number;
        switch (cursor.u8() as ListEntry) {
            case ListEntry.EndOfList:
                return fallback;
            case ListEntry.BaseAddressx:
                base = indexed();
                continue;
            case ListEntry.BaseAddress:
                base = cursor.address(addressSize);
                continue;
            case ListEntry.GnuViewPair:
                cursor.skipLeb();
                cursor.skipLeb();
                continue;
            case ListEntry.DefaultLocation:
                fallback = cursor.block(cursor.uleb());
                continue;
            case ListEntry.StartxEndx:
                low = indexed();
                high = indexed();
                break;
            case ListEntry.StartxLength:
                low = indexed();
                high = low + cursor.uleb();
                break;
            case ListEntry.OffsetPair:
                low = base + cursor.uleb();
                high = base + cursor.uleb();
                break;
            case ListEntry.StartEnd:
                low = cursor.address(addressSize);
                high = cursor.address(addressSize);
                break;
            case ListEntry.StartLength:
                low = cursor.address(addressSize);
                high = low + cursor.uleb();
                break;
            default:
                throw new SymbolFileError(`${cursor.what}: corrupt: an entry of an unknown kind in a location list`);
        }
        const expression = cursor.block(cursor.uleb());
        if (address >= low && address < high) {
            return expression;
        }
    }
    return fallback;
}

function readOld(unit: Unit, cursor: Cursor, address: number): Uint8Array | undefined {
    const { addressSize } = unit.format;
    let base = unit.lowPc;
    for (let count = 0; count < MOST_ENTRIES; count++) {
        const low = cursor.address(addressSize);
        const high = cursor.address(addressSize);
        if (low === 0 && high === 0) {
            return undefined;
        }
        if (low === baseSelection(addressSize)) {
            base = high;
            continue;
        }
        const expression = cursor.block(cursor.u16());
        if (address >= base + low && address < base + high) {
            return expression;
        }
    }
    return undefined;
}

/** GNU's lists in `.debug_loc.dwo`: DWARF 5's kinds, but lengths of four bytes. */
function readGnuSplit(unit: Unit, cursor: Cursor, address: number): Uint8Array | undefined {
    for (let count = 0; count < MOST_ENTRIES; count++) {
        let low: number;
        let high: number;
        switch (cursor.u8()) {
            case 0:
                return undefined;
            case 1:
                cursor.skipLeb();
                continue;
            case 2:
                low = unit.indexedAddress(cursor.uleb()) ?? 0;
                high = unit.indexedAddress(cursor.uleb()) ?? 0;
                break;
            case 3:
                low = unit.indexedAddress(cursor.uleb()) ?? 0;
                high = low + cursor.u32();
                break;
            default:
                throw new SymbolFileError(`${cursor.what}: corrupt: an entry of an unknown kind in a location list`);
        }
        const expression = cursor.block(cursor.u16());
        if (address >= low && address < high) {
            return expression;
        }
    }
    return undefined;
}

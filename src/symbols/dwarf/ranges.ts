/** Address ranges of entries (DWARF 5, 2.17; `.debug_ranges` before version 5) and the table of `.debug_aranges`. */
import { partitionPoint } from '../../common/search';
import type { Cursor } from '../cursor';
import { SymbolFileError } from '../errors';
import { At, Form } from './constants';
import type { Die } from './die';
import type { DwarfFile } from './dwarf-file';
import type { Unit } from './unit';

/** Addresses as `Cursor.address` has them; `high` is behind the last byte. */
export interface AddressRange {
    readonly low: number;
    readonly high: number;
}

/** DW_RLE_*; DW_LLE_* share most numbers. */
const enum RangeEntry {
    EndOfList = 0,
    BaseAddressx = 1,
    StartxEndx = 2,
    StartxLength = 3,
    OffsetPair = 4,
    BaseAddress = 5,
    StartEnd = 6,
    StartLength = 7,
}

/** Lists of more ranges are corrupt. */
const MOST_RANGES = 1 << 20;

/** Code that an entry covers; none for declarations and abstract instances. @throws SymbolFileError */
export function rangesOf(die: Die): AddressRange[] {
    const ranges = die.raw(At.Ranges);
    if (ranges !== undefined && typeof ranges.value === 'number') {
        return readRanges(die.unit, ranges.form, ranges.value);
    }
    const low = die.address(At.LowPc);
    const high = die.raw(At.HighPc);
    if (low === undefined || high === undefined) {
        return [];
    }
    // Version 4 made of the end a length, unless it has the form of an address.
    const end = die.address(At.HighPc) ?? low + Number(high.value);
    return end > low ? [{ low, high: end }] : [];
}

function readRanges(unit: Unit, form: number, value: number): AddressRange[] {
    if (unit.format.version < 5) {
        const owner = unit.skeleton ?? unit;
        const base = unit.skeleton === undefined ? 0 : (owner.root.number(At.GnuRangesBase) ?? 0);
        return owner.sections.get('ranges')?.scan(base + value, cursor => readOldList(unit, cursor)) ?? [];
    }
    const section = unit.sections.get('rnglists') ?? unit.skeleton?.sections.get('rnglists');
    let offset = value;
    if (form === (Form.Rnglistx as number)) {
        const base = unit.rnglistsBase;
        const { offsetSize } = unit.format;
        offset = base + (section?.cursor(base + value * offsetSize, offsetSize).offset(offsetSize) ?? 0);
    }
    return section?.scan(offset, cursor => readList(unit, cursor)) ?? [];
}

function readList(unit: Unit, cursor: Cursor): AddressRange[] {
    const { addressSize } = unit.format;
    const found: AddressRange[] = [];
    const add = (low: number, high: number): void => {
        if (high > low) found.push({ low, high });
    };
    const indexed = (): number => unit.indexedAddress(cursor.uleb()) ?? 0;
    let base = unit.lowPc;
    for (let count = 0; count < MOST_RANGES; count++) {
        switch (cursor.u8() as RangeEntry) {
            case RangeEntry.EndOfList:
                return found;
            case RangeEntry.BaseAddressx:
                base = indexed();
                break;
            case RangeEntry.StartxEndx:
                add(indexed(), indexed());
                break;
            case RangeEntry.StartxLength: {
                const low = indexed();
                add(low, low + cursor.uleb());
                break;
            }
            case RangeEntry.OffsetPair: {
                const low = base + cursor.uleb();
                add(low, base + cursor.uleb());
                break;
            }
            case RangeEntry.BaseAddress:
                base = cursor.address(addressSize);
                break;
            case RangeEntry.StartEnd: {
                const low = cursor.address(addressSize);
                add(low, cursor.address(addressSize));
                break;
            }
            case RangeEntry.StartLength: {
                const low = cursor.address(addressSize);
                add(low, low + cursor.uleb());
                break;
            }
            default:
                throw new SymbolFileError(`${cursor.what}: corrupt: an entry of an unknown kind in a list of ranges`);
        }
    }
    return found;
}

/** The largest address: it marks a new base in the lists before version 5. */
export function baseSelection(addressSize: number): number {
    return addressSize === 8 ? -1 : 2 ** (8 * addressSize) - 1;
}

function readOldList(unit: Unit, cursor: Cursor): AddressRange[] {
    const { addressSize } = unit.format;
    const found: AddressRange[] = [];
    let base = unit.lowPc;
    for (let count = 0; count < MOST_RANGES; count++) {
        const low = cursor.address(addressSize);
        const high = cursor.address(addressSize);
        if (low === 0 && high === 0) {
            return found;
        }
        if (low === baseSelection(addressSize)) {
            base = high;
        } else if (high > low) {
            found.push({ low: base + low, high: base + high });
        }
    }
    return found;
}

/** Which unit the code at an address belongs to. */
export class UnitMap {
    private entries: { readonly low: number; readonly high: number; readonly unit: number }[] = [];
    private complete = false;

    constructor(private readonly file: DwarfFile) {
        this.readTable();
    }

    unitAt(address: number): Unit | undefined {
        let found = this.find(address);
        if (found === undefined && !this.complete) {
            // Not every producer writes the table, or all of it.
            this.addRoots();
            found = this.find(address);
        }
        return found === undefined ? undefined : this.file.unitAt(found);
    }

    /** Covers of all units, from the table or from the units themselves. */
    private find(address: number): number | undefined {
        const { entries } = this;
        const low = partitionPoint(entries.length, index => entries[index].low <= address);
        for (let index = low - 1; index >= Math.max(0, low - 4); index--) {
            if (address < entries[index].high) return entries[index].unit;
        }
        return undefined;
    }

    private readTable(): void {
        const section = this.file.sections.get('aranges');
        if (section === undefined) {
            return;
        }
        try {
            const cursor = section.cursor();
            while (cursor.left > 0) this.readContribution(cursor);
        } catch (error) {
            if (!(error instanceof SymbolFileError)) throw error;
            this.file.problems.push(error.message);
        }
        this.sort();
    }

    private readContribution(cursor: Cursor): void {
        const start = cursor.at;
        const { length, offsetSize } = cursor.initialLength();
        const end = cursor.at + length;
        cursor.skip(2);
        const unit = cursor.offset(offsetSize);
        const addressSize = cursor.u8();
        const segmentSize = cursor.u8();
        const tuple = 2 * addressSize + segmentSize;
        if ((addressSize !== 4 && addressSize !== 8) || end > cursor.end) {
            throw new SymbolFileError(`${cursor.what}: corrupt`);
        }
        cursor.skip((tuple - ((cursor.at - start) % tuple)) % tuple);
        while (cursor.at + tuple <= end) {
            cursor.skip(segmentSize);
            const low = cursor.address(addressSize);
            const size = cursor.unsigned(addressSize);
            if (size !== 0) this.entries.push({ low, high: low + size, unit });
        }
        cursor.at = end;
    }

    private addRoots(): void {
        this.complete = true;
        const known = new Set(this.entries.map(({ unit }) => unit));
        for (const unit of this.file.units) {
            if (known.has(unit.offset) || unit.header.section !== 'info') continue;
            try {
                for (const { low, high } of rangesOf(unit.root)) this.entries.push({ low, high, unit: unit.offset });
            } catch (error) {
                if (!(error instanceof SymbolFileError)) throw error;
                this.file.problems.push(error.message);
            }
        }
        this.sort();
    }

    private sort(): void {
        this.entries.sort((a, b) => a.low - b.low);
    }
}

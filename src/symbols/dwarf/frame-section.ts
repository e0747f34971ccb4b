/** The tables of call frame information (DWARF 5, 6.4.1; `.eh_frame` as in the Linux Standard Base). */
import { partitionPoint } from '../../common/search';
import { Cursor } from '../cursor';
import { SymbolFileError } from '../errors';
import { type CfaRule, FrameMachine, type FrameUnits, type Rule } from './frame-instructions';

/** Pointer encodings of `.eh_frame`: DW_EH_PE_*. */
const enum PointerEncoding {
    Absolute = 0x00,
    Uleb = 0x01,
    Udata2 = 0x02,
    Udata4 = 0x03,
    Udata8 = 0x04,
    Sleb = 0x09,
    Sdata2 = 0x0a,
    Sdata4 = 0x0b,
    Sdata8 = 0x0c,
    FormatMask = 0x0f,
    PcRelative = 0x10,
    ApplicationMask = 0x70,
    Omit = 0xff,
}

/** What holds at one instruction. */
export interface FrameRow {
    readonly cfa: CfaRule | undefined;
    readonly rules: ReadonlyMap<number, Rule>;
    readonly returnRegister: number;
    /** The caller was interrupted: its address is that of an instruction, not behind a call. */
    readonly isSignalFrame: boolean;
}

interface CommonEntry extends FrameUnits {
    readonly returnRegister: number;
    readonly pointerEncoding: number;
    readonly hasAugmentationData: boolean;
    readonly isSignalFrame: boolean;
    /** Initial instructions, in the section. */
    readonly start: number;
    readonly end: number;
}

interface FrameEntry {
    readonly low: number;
    readonly high: number;
    readonly common: CommonEntry;
    readonly start: number;
    readonly end: number;
}

/** One of the two sections, indexed when it is first asked. */
export class FrameSection {
    private entries: readonly FrameEntry[] | undefined;
    private readonly commons = new Map<number, CommonEntry | undefined>();

    constructor(
        private readonly bytes: Uint8Array,
        private readonly what: string,
        /** Where the section is loaded: `.eh_frame` has addresses relative to themselves. */
        private readonly address: number,
        private readonly isEh: boolean,
        private readonly addressSize: 4 | 8,
        private readonly problems: string[],
    ) {}

    rowAt(address: number): FrameRow | undefined {
        this.entries ??= this.index();
        const { entries } = this;
        const low = partitionPoint(entries.length, index => entries[index].low <= address);
        const entry = entries.at(low - 1);
        return low === 0 || entry === undefined || address >= entry.high ? undefined : this.run(entry, address);
    }

    private index(): FrameEntry[] {
        const found: FrameEntry[] = [];
        const cursor = new Cursor(this.bytes, this.what);
        try {
            while (cursor.left >= 4) {
                const start = cursor.at;
                const { length, offsetSize } = cursor.initialLength();
                if (length === 0) {
                    if (this.isEh) break;
                    continue;
                }
                const body = cursor.at;
                const end = body + length;
                if (end > cursor.end) {
                    throw new SymbolFileError(`${this.what}: truncated: an entry at 0x${start.toString(16)}`);
                }
                const id = cursor.offset(offsetSize);
                const isCommon = this.isEh ? id === 0 : id === 0xffffffff || id >= 2 ** 63;
                if (!isCommon) {
                    const entry = this.frameEntry(cursor, this.isEh ? body - id : id, end);
                    if (entry !== undefined) found.push(entry);
                }
                cursor.at = end;
            }
        } catch (error) {
            if (!(error instanceof SymbolFileError)) throw error;
            this.problems.push(error.message);
        }
        return found.sort((a, b) => a.low - b.low);
    }

    private frameEntry(cursor: Cursor, commonAt: number, end: number): FrameEntry | undefined {
        const common = this.common(commonAt);
        if (common === undefined) {
            return undefined;
        }
        const low = this.pointer(cursor, common.pointerEncoding, common.addressSize);
        const size = this.pointer(cursor, common.pointerEncoding & PointerEncoding.FormatMask, common.addressSize);
        if (common.hasAugmentationData) cursor.skip(cursor.uleb());
        return size > 0 ? { low, high: low + size, common, start: cursor.at, end } : undefined;
    }

    private common(at: number): CommonEntry | undefined {
        if (!this.commons.has(at)) {
            this.commons.set(at, undefined); // of a corrupt one nothing is known
            this.commons.set(at, this.readCommon(at));
        }
        return this.commons.get(at);
    }

    private readCommon(at: number): CommonEntry | undefined {
        const cursor = new Cursor(this.bytes, this.what, Math.min(Math.max(at, 0), this.bytes.length));
        const { length, offsetSize } = cursor.initialLength();
        const end = cursor.at + length;
        const id = cursor.offset(offsetSize);
        if (end > cursor.end || (this.isEh ? id !== 0 : id !== 0xffffffff && id < 2 ** 63)) {
            throw new SymbolFileError(`${this.what}: corrupt: no common entry at 0x${at.toString(16)}`);
        }
        const version = cursor.u8();
        const augmentation = cursor.string();
        let addressSize: number = this.addressSize;
        if (augmentation === 'eh') cursor.skip(this.addressSize);
        if (version >= 4) {
            addressSize = cursor.u8();
            cursor.skip(1);
        }
        const codeAlignment = cursor.uleb();
        const dataAlignment = cursor.sleb();
        const returnRegister = version === 1 ? cursor.u8() : cursor.uleb();
        let pointerEncoding: number = PointerEncoding.Absolute;
        const hasAugmentationData = augmentation.startsWith('z');
        if (hasAugmentationData) {
            const dataEnd = cursor.uleb() + cursor.at;
            for (const letter of augmentation.slice(1)) {
                if (letter === 'R') pointerEncoding = cursor.u8();
                else if (letter === 'L') cursor.skip(1);
                else if (letter === 'P') this.pointer(cursor, cursor.u8(), addressSize);
                else if (letter !== 'S' && letter !== 'B') break;
            }
            cursor.at = Math.min(dataEnd, end);
        }
        return {
            ...{ codeAlignment, dataAlignment, returnRegister, addressSize, pointerEncoding, hasAugmentationData },
            ...{ isSignalFrame: augmentation.includes('S'), start: cursor.at, end },
        };
    }

    private pointer(cursor: Cursor, encoding: number, addressSize: number): number {
        if (encoding === (PointerEncoding.Omit as number)) {
            return 0;
        }
        const place = this.address + cursor.at;
        const relative = (encoding & PointerEncoding.ApplicationMask) === (PointerEncoding.PcRelative as number);
        const base = relative ? place : 0;
        switch ((encoding & PointerEncoding.FormatMask) as PointerEncoding) {
            case PointerEncoding.Absolute:
                return base + cursor.address(addressSize);
            case PointerEncoding.Uleb:
                return base + cursor.uleb();
            case PointerEncoding.Udata2:
                return base + cursor.u16();
            case PointerEncoding.Udata4:
                return base + cursor.u32();
            case PointerEncoding.Udata8:
            case PointerEncoding.Sdata8:
                return base + cursor.address(8);
            case PointerEncoding.Sleb:
                return base + cursor.sleb();
            case PointerEncoding.Sdata2:
                return base + ((cursor.u16() << 16) >> 16);
            case PointerEncoding.Sdata4:
                return base + (cursor.u32() | 0);
            default:
                throw new SymbolFileError(`${this.what}: corrupt: pointer encoding 0x${encoding.toString(16)}`);
        }
    }

    private run({ low, common, start, end }: FrameEntry, address: number): FrameRow {
        const machine = new FrameMachine(common, low, address);
        machine.run(new Cursor(this.bytes, this.what, common.start, common.end));
        machine.rememberInitial();
        machine.run(new Cursor(this.bytes, this.what, start, end));
        const { returnRegister, isSignalFrame } = common;
        return { cfa: machine.cfa, rules: machine.rules, returnRegister, isSignalFrame };
    }
}

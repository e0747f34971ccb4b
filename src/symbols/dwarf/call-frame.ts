/** Call frame information (DWARF 5, 6.4; `.eh_frame` as in the Linux Standard Base): how to get at a caller's registers. */
import { partitionPoint } from '../../common/search';
import { Cursor, fromAddress } from '../cursor';
import type { ElfFile } from '../elf-file';
import { SymbolFileError } from '../errors';
import {
    type FrameState,
    lookupAddress,
    readUnsigned,
    type RegisterNumbering,
    type UnwindMemory,
    type UnwindSource,
    type UnwindStep,
} from '../unwind';
import { evaluateNumber, type ExpressionContext } from './expression';
import { elfSection } from './sections';

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

/** Registers beyond this are no machine's of ours; rules for them are passed over. */
const MOST_REGISTERS = 64;
/** `DW_CFA_remember_state` nests no deeper. */
const DEEPEST_MEMORY = 64;

type Rule =
    | { readonly kind: 'undefined' }
    | { readonly kind: 'same' }
    | { readonly kind: 'offset'; readonly offset: number }
    | { readonly kind: 'valueOffset'; readonly offset: number }
    | { readonly kind: 'register'; readonly register: number }
    | { readonly kind: 'expression'; readonly expression: Uint8Array }
    | { readonly kind: 'valueExpression'; readonly expression: Uint8Array };

type CfaRule =
    | { readonly kind: 'register'; readonly register: number; readonly offset: number }
    | { readonly kind: 'expression'; readonly expression: Uint8Array };

/** What holds at one instruction. */
export interface FrameRow {
    readonly cfa: CfaRule | undefined;
    readonly rules: ReadonlyMap<number, Rule>;
    readonly returnRegister: number;
    /** The caller was interrupted: its address is that of an instruction, not behind a call. */
    readonly isSignalFrame: boolean;
}

interface CommonEntry {
    readonly codeAlignment: number;
    readonly dataAlignment: number;
    readonly returnRegister: number;
    readonly addressSize: number;
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
class FrameSection {
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

/** Executes call frame instructions up to an address. */
class FrameMachine {
    cfa: CfaRule | undefined;
    rules = new Map<number, Rule>();
    private initial: ReadonlyMap<number, Rule> = new Map();
    private readonly remembered: { cfa: CfaRule | undefined; rules: Map<number, Rule> }[] = [];
    private passed = false;

    constructor(
        private readonly common: CommonEntry,
        private location: number,
        private readonly target: number,
    ) {}

    rememberInitial(): void {
        this.initial = new Map(this.rules);
    }

    run(cursor: Cursor): void {
        const { codeAlignment, dataAlignment, addressSize } = this.common;
        while (cursor.left > 0 && !this.passed) {
            const op = cursor.u8();
            const low = op & 0x3f;
            switch (op >> 6) {
                case 1:
                    this.advance(low * codeAlignment);
                    continue;
                case 2:
                    this.set(low, { kind: 'offset', offset: cursor.uleb() * dataAlignment });
                    continue;
                case 3:
                    this.restore(low);
                    continue;
            }
            switch (low) {
                case 0x00: // nop
                    break;
                case 0x01: // set_loc
                    this.advanceTo(cursor.address(addressSize));
                    break;
                case 0x02:
                    this.advance(cursor.u8() * codeAlignment);
                    break;
                case 0x03:
                    this.advance(cursor.u16() * codeAlignment);
                    break;
                case 0x04:
                    this.advance(cursor.u32() * codeAlignment);
                    break;
                case 0x05: // offset_extended
                    this.set(cursor.uleb(), { kind: 'offset', offset: cursor.uleb() * dataAlignment });
                    break;
                case 0x06:
                    this.restore(cursor.uleb());
                    break;
                case 0x07:
                    this.set(cursor.uleb(), { kind: 'undefined' });
                    break;
                case 0x08:
                    this.set(cursor.uleb(), { kind: 'same' });
                    break;
                case 0x09:
                    this.set(cursor.uleb(), { kind: 'register', register: cursor.uleb() });
                    break;
                case 0x0a: // remember_state
                    if (this.remembered.length >= DEEPEST_MEMORY) throw this.corrupt(cursor);
                    this.remembered.push({ cfa: this.cfa, rules: new Map(this.rules) });
                    break;
                case 0x0b: {
                    const state = this.remembered.pop();
                    if (state === undefined) throw this.corrupt(cursor);
                    this.cfa = state.cfa;
                    this.rules = state.rules;
                    break;
                }
                case 0x0c: // def_cfa
                    this.cfa = { kind: 'register', register: cursor.uleb(), offset: cursor.uleb() };
                    break;
                case 0x0d:
                    this.cfa = { kind: 'register', register: cursor.uleb(), offset: this.cfaOffset };
                    break;
                case 0x0e:
                    this.cfa = { kind: 'register', register: this.cfaRegister(cursor), offset: cursor.uleb() };
                    break;
                case 0x0f:
                    this.cfa = { kind: 'expression', expression: cursor.block(cursor.uleb()) };
                    break;
                case 0x10:
                    this.set(cursor.uleb(), { kind: 'expression', expression: cursor.block(cursor.uleb()) });
                    break;
                case 0x11:
                    this.set(cursor.uleb(), { kind: 'offset', offset: cursor.sleb() * dataAlignment });
                    break;
                case 0x12:
                    this.cfa = { kind: 'register', register: cursor.uleb(), offset: cursor.sleb() * dataAlignment };
                    break;
                case 0x13:
                    this.cfa = {
                        kind: 'register',
                        register: this.cfaRegister(cursor),
                        offset: cursor.sleb() * dataAlignment,
                    };
                    break;
                case 0x14:
                    this.set(cursor.uleb(), { kind: 'valueOffset', offset: cursor.uleb() * dataAlignment });
                    break;
                case 0x15:
                    this.set(cursor.uleb(), { kind: 'valueOffset', offset: cursor.sleb() * dataAlignment });
                    break;
                case 0x16:
                    this.set(cursor.uleb(), { kind: 'valueExpression', expression: cursor.block(cursor.uleb()) });
                    break;
                case 0x2e: // GNU_args_size
                    cursor.skipLeb();
                    break;
                case 0x2f: // GNU_negative_offset_extended
                    this.set(cursor.uleb(), { kind: 'offset', offset: -cursor.uleb() * dataAlignment });
                    break;
                default:
                    throw this.corrupt(cursor);
            }
        }
    }

    private get cfaOffset(): number {
        return this.cfa?.kind === 'register' ? this.cfa.offset : 0;
    }

    private cfaRegister(cursor: Cursor): number {
        if (this.cfa?.kind !== 'register') {
            throw this.corrupt(cursor);
        }
        return this.cfa.register;
    }

    private advance(by: number): void {
        this.advanceTo(this.location + by);
    }

    private advanceTo(location: number): void {
        this.passed = location > this.target;
        this.location = location;
    }

    private set(register: number, rule: Rule): void {
        if (register < MOST_REGISTERS) this.rules.set(register, rule);
    }

    private restore(register: number): void {
        const rule = this.initial.get(register);
        if (rule === undefined) this.rules.delete(register);
        else this.rules.set(register, rule);
    }

    private corrupt(cursor: Cursor): SymbolFileError {
        return new SymbolFileError(`${cursor.what}: corrupt: call frame instructions at 0x${cursor.at.toString(16)}`);
    }
}

/** Unwinds by the call frame information of one program. */
export class CallFrameUnwinder implements UnwindSource {
    readonly method = 'cfi';
    private knownSections: readonly FrameSection[] | undefined;

    /** @param slide what the program was loaded above the addresses that it was linked at */
    constructor(
        private readonly elf: ElfFile,
        private readonly numbering: RegisterNumbering,
        private readonly problems: string[],
        private readonly slide: () => bigint,
    ) {}

    /** The rules at an instruction, by its linked address in the form of `Cursor.address`. */
    rowAt(address: number): FrameRow | undefined {
        for (const section of this.sections) {
            try {
                const row = section.rowAt(address);
                if (row !== undefined) return row;
            } catch (error) {
                if (!(error instanceof SymbolFileError)) throw error;
                this.problems.push(error.message);
            }
        }
        return undefined;
    }

    cfa(frame: FrameState, memory: UnwindMemory): bigint | undefined {
        const row = this.rowOf(frame);
        return row && this.computeCfa(row, frame, memory);
    }

    step(frame: FrameState, memory: UnwindMemory): UnwindStep | undefined {
        const row = this.rowOf(frame);
        if (row === undefined) {
            return undefined;
        }
        const { addressSize, stackPointer, preserved, programCounter } = this.numbering;
        if (row.rules.get(row.returnRegister)?.kind === 'undefined') {
            return { kind: 'end' };
        }
        const cfa = this.computeCfa(row, frame, memory);
        if (cfa === undefined) {
            return undefined;
        }
        const registers: (bigint | undefined)[] = frame.registers.map((value, register) => {
            const rule = row.rules.get(register);
            if (rule === undefined) return preserved.includes(register) ? value : undefined;
            return this.apply(rule, register, cfa, frame, memory);
        });
        if (!row.rules.has(stackPointer)) registers[stackPointer] = cfa;
        const returnRule = row.rules.get(row.returnRegister);
        const pc =
            returnRule === undefined ? undefined : this.apply(returnRule, row.returnRegister, cfa, frame, memory);
        if (pc === undefined) {
            return undefined;
        }
        if (pc === 0n) {
            return { kind: 'end' };
        }
        registers[programCounter] = BigInt.asUintN(addressSize * 8, pc);
        return {
            kind: 'caller',
            cfa,
            frame: { pc: registers[programCounter], registers, isReturn: !row.isSignalFrame },
        };
    }

    private rowOf(frame: FrameState): FrameRow | undefined {
        return this.rowAt(fromAddress(BigInt.asUintN(64, lookupAddress(frame) - this.slide())));
    }

    private get sections(): readonly FrameSection[] {
        if (this.knownSections === undefined) {
            const { elf, problems } = this;
            const found: FrameSection[] = [];
            for (const name of ['.debug_frame', '.zdebug_frame', '.eh_frame']) {
                const section = elf.section(name);
                try {
                    const data = section && elfSection(elf, section);
                    if (section === undefined || data === undefined) continue;
                    const isEh = name === '.eh_frame';
                    found.push(
                        new FrameSection(
                            data.slice(0, data.size),
                            data.what,
                            section.address,
                            isEh,
                            elf.addressSize,
                            problems,
                        ),
                    );
                } catch (error) {
                    if (!(error instanceof SymbolFileError)) throw error;
                    problems.push(error.message);
                }
            }
            this.knownSections = found;
        }
        return this.knownSections;
    }

    private computeCfa({ cfa }: FrameRow, frame: FrameState, memory: UnwindMemory): bigint | undefined {
        const width = this.numbering.addressSize * 8;
        if (cfa === undefined) {
            return undefined;
        }
        if (cfa.kind === 'expression') {
            return evaluateNumber(cfa.expression, this.context(frame, memory));
        }
        const value = frame.registers[cfa.register];
        return value === undefined ? undefined : BigInt.asUintN(width, value + BigInt(cfa.offset));
    }

    private apply(
        rule: Rule,
        register: number,
        cfa: bigint,
        frame: FrameState,
        memory: UnwindMemory,
    ): bigint | undefined {
        const { addressSize } = this.numbering;
        switch (rule.kind) {
            case 'undefined':
                return undefined;
            case 'same':
                return frame.registers[register];
            case 'offset':
                return readUnsigned(memory, cfa + BigInt(rule.offset), addressSize);
            case 'valueOffset':
                return BigInt.asUintN(addressSize * 8, cfa + BigInt(rule.offset));
            case 'register':
                return frame.registers[rule.register];
            case 'expression': {
                const address = evaluateNumber(rule.expression, this.context(frame, memory), cfa);
                return address === undefined ? undefined : readUnsigned(memory, address, addressSize);
            }
            case 'valueExpression':
                return evaluateNumber(rule.expression, this.context(frame, memory), cfa);
        }
    }

    private context(frame: FrameState, memory: UnwindMemory): ExpressionContext {
        const slide = this.slide();
        return {
            addressSize: this.numbering.addressSize,
            offsetSize: 4,
            version: 5,
            register: number => frame.registers[number],
            memory: (address, size) => memory.readMemory(address, size),
            relocate: address => address + slide,
            frameBase: () => undefined,
            cfa: () => undefined,
            entryValue: () => undefined,
            indexedAddress: () => undefined,
            baseType: () => undefined,
        };
    }
}

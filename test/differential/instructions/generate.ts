/** Random cases: an instruction of every row in turn, or several in a row, in states that make them interesting. */

import {
    Attribute,
    BASE_RIP,
    type CodeSize,
    decode,
    Gpr,
    type Instruction,
    NO_REGISTER,
    OperandKind,
    RepeatPrefix,
    type Row,
    ROWS,
    Segment,
} from '../../../src/isa/x86';
import { generateRow, SLOT } from '../decoder/generate';
import { type Random } from '../../support/random';
import { isComparable, isInexact, isTested } from './exclusions';
import {
    CaseOffset,
    CODE_PAGE,
    CODE_SIZES,
    CodeKind,
    DATA,
    DATA_SIZE,
    ENTRY_OFFSET,
    FxsaveOffset,
    GS_BASE,
    InstructionCase,
    MAX_CODE_BYTES,
    WINDOW_BYTES,
    WINDOWS,
} from './layout';
import { address, integer, putData, putStackRegister, putVector, random64 } from './operands';

const TESTED = ROWS.filter(isTested);
/** Rows for sequences: what sets and uses flags, and moves. */
const FLAG_ROWS = TESTED.filter(
    row =>
        !/^POPF/.test(row.mnemonic) &&
        (row.flags.read !== 0 || row.flags.written !== 0 || row.mnemonic.startsWith('MOV') || row.mnemonic === 'LEA'),
);
/** Rows that share registers: a sequence around one of them mostly keeps to its kind. */
const FLOAT_ROWS = TESTED.filter(
    row => (row.attributes & (Attribute.X87 | Attribute.Mmx)) !== 0 && !isInexact(row) && !changesFormat(row),
);
const VECTOR_ROWS = TESTED.filter(
    row => (row.attributes & Attribute.Sse) !== 0 && !isInexact(row) && !changesFormat(row),
);
const MOST_IN_SEQUENCE = 6;
const ARITHMETIC_FLAGS = 0x8d5;
const DIRECTION = 0x400;
const ID = 1 << 21;
const ALIGNMENT_CHECK = 1 << 18;

/** A case with the instructions that it consists of, as decoded. */
export interface GeneratedCase {
    readonly test: InstructionCase;
    readonly instructions: readonly Instruction[];
}

export class CaseGenerator {
    private next = 0;

    constructor(
        private readonly random: Random,
        /** Rows to test; others appear in sequences only. */
        private readonly rows: readonly Row[] = TESTED,
    ) {}

    generate(): GeneratedCase {
        for (;;) {
            const row = this.rows[this.next++ % this.rows.length];
            const kind = this.chooseKind(row);
            const test = new InstructionCase();
            test.kind = kind;
            this.fillState(test);
            const instructions = this.random.oneIn(5) ? this.sequence(test, row) : this.single(test, row);
            if (instructions.length > 0) {
                return { test, instructions };
            }
        }
    }

    private chooseKind(row: Row): CodeKind {
        const { random } = this;
        if ((row.attributes & Attribute.Invalid64) !== 0) {
            return [CodeKind.Code32, CodeKind.Code32Segmented, CodeKind.Code16][random.below(3)];
        }
        if ((row.attributes & Attribute.Only64) !== 0 || !random.oneIn(2)) {
            return CodeKind.Code64;
        }
        return random.below(4);
    }

    // --- state -------------------------------------------------------------------------------------------------------

    private fillState(test: InstructionCase): void {
        const { random } = this;
        for (let i = 0; i < 16; i++) {
            test.setGpr(i, integer(random));
        }
        if (!random.oneIn(5)) {
            test.setGpr(Gpr.Rsp, this.stackAddress(test.kind));
        }
        if (random.oneIn(2)) {
            test.setGpr(Gpr.Rbp, this.stackAddress(test.kind));
        }
        const flags = random.next() & (ARITHMETIC_FLAGS | DIRECTION | ID);
        test.view.setUint32(
            CaseOffset.rflags,
            (random.oneIn(3) ? flags : flags & ~DIRECTION) | 0x202 | (random.oneIn(30) ? ALIGNMENT_CHECK : 0),
            true,
        );
        for (let i = 0; i < WINDOW_BYTES; i += 16) {
            putData(random, test.view, CaseOffset.data + i);
        }
        this.fillFxsave(test.view, CaseOffset.fxsave);
        if (test.kind !== CodeKind.Code64) {
            for (let i = 0; i < 16; i++) {
                // What becomes of the upper halves in compatibility mode is not defined.
                test.setGpr(i, i < 8 ? BigInt.asUintN(32, test.gpr(i)) : 0n);
            }
        }
    }

    private stackAddress(kind: CodeKind): bigint {
        const { random } = this;
        const inside = BigInt(DATA + 0x1000 - 256 + 8 * random.below(64) + (random.oneIn(5) ? random.below(8) : 0));
        const linear = random.oneIn(8) ? address(random) : inside;
        return isSegmented(kind) ? linear - BigInt(DATA) : linear;
    }

    private fillFxsave(view: DataView, at: number): void {
        const { random } = this;
        const plain = random.oneIn(2);
        // Precision control 1 is reserved.
        const precision = [0, 2, 3, 3][random.below(4)];
        const masks = random.oneIn(2) ? 0x3f : random.below(64);
        const fcw = plain ? 0x37f : 0x40 | masks | (precision << 8) | (random.below(4) << 10);
        let status = (random.below(8) << 11) | (random.next() & 0x4700);
        if (!plain) {
            status |= random.next() & 0x7f & (random.oneIn(12) ? 0xff : fcw | 0x40);
        }
        if ((status & ~fcw & 0x3f) !== 0) {
            status |= 0x8080;
        }
        view.setUint16(at + FxsaveOffset.fcw, fcw, true);
        view.setUint16(at + FxsaveOffset.fsw, status, true);
        view.setUint8(at + FxsaveOffset.ftw, random.oneIn(2) ? 0xff : random.below(256));
        view.setUint32(at + FxsaveOffset.mxcsr, this.mxcsr(), true);
        for (let i = 0; i < 8; i++) {
            putStackRegister(random, view, at + FxsaveOffset.st + 16 * i);
        }
        for (let i = 0; i < 16; i++) {
            putVector(random, view, at + FxsaveOffset.xmm + 16 * i);
        }
    }

    private mxcsr(): number {
        const { random } = this;
        if (random.oneIn(2)) {
            return 0x1f80;
        }
        const flags = random.oneIn(2) ? 0 : random.below(64);
        const masks = random.oneIn(2) ? 0x3f : random.below(64);
        const flush = random.oneIn(3) ? 0x8000 : 0;
        const denormalsAreZero = random.oneIn(3) ? 0x40 : 0;
        return flags | (masks << 7) | (random.below(4) << 13) | flush | denormalsAreZero;
    }

    // --- code --------------------------------------------------------------------------------------------------------

    private single(test: InstructionCase, row: Row): Instruction[] {
        const instruction = this.append(test, row, 0, true);
        return instruction === undefined ? [] : [instruction];
    }

    /** Several instructions; none uses a flag that one before it leaves undefined. */
    private sequence(test: InstructionCase, row: Row): Instruction[] {
        const { random } = this;
        const count = 2 + random.below(MOST_IN_SEQUENCE - 1);
        const place = isInexact(row) ? count - 1 : random.below(count);
        const instructions: Instruction[] = [];
        let undefinedFlags = 0;
        let position = 0;
        for (let i = 0; i < count; i++) {
            const others = random.oneIn(3) ? FLAG_ROWS : neighboursOf(row);
            const chosen = i === place ? row : others[random.below(others.length)];
            if ((chosen.flags.read & undefinedFlags) !== 0) {
                continue;
            }
            // The host would be traced if it popped TF.
            const instruction =
                i > 0 && /^POPF/.test(chosen.mnemonic) ? undefined : this.append(test, chosen, position, i === 0);
            if (instruction === undefined) {
                continue;
            }
            const { flags } = instruction.row;
            undefinedFlags = (undefinedFlags & ~(flags.written & ~flags.read)) | flags.undefined;
            instructions.push(instruction);
            position += instruction.length;
        }
        return instructions;
    }

    /**
     * Appends an instruction of the row to the code at `position`; undefined if none fits. `steer`: registers may be
     * changed for the sake of its operands.
     */
    private append(test: InstructionCase, row: Row, position: number, steer: boolean): Instruction | undefined {
        const { random } = this;
        const codeSize = CODE_SIZES[test.kind] as CodeSize;
        const bytes = new Uint8Array(SLOT);
        for (let attempt = 0; attempt < 40; attempt++) {
            generateRow(random, row, codeSize, bytes, 0);
            const instruction = decode(bytes, 0, SLOT, codeSize);
            if (typeof instruction === 'number' || instruction.row !== row) {
                continue;
            }
            if (position + instruction.length > MAX_CODE_BYTES) {
                return undefined;
            }
            if (!isComparable(instruction, bytes)) {
                continue;
            }
            // The host's FS is in use.
            if (codeSize === 64 && instruction.segment === Segment.Fs && usesSegment(instruction)) {
                continue;
            }
            return this.place(test, bytes, instruction, position, codeSize, steer);
        }
        return undefined;
    }

    private place(
        test: InstructionCase,
        bytes: Uint8Array,
        instruction: Instruction,
        position: number,
        codeSize: CodeSize,
        steer: boolean,
    ): Instruction {
        const { random } = this;
        const target = random.oneIn(40) ? undefined : address(random);
        if (target !== undefined && instruction.operands.some(operand => operand.kind === OperandKind.Memory)) {
            this.steerMemory(test, bytes, instruction, position, target, steer);
        }
        this.steerBranch(bytes, instruction);
        test.bytes.set(bytes.subarray(0, instruction.length), CaseOffset.code + position);
        test.codeLength = position + instruction.length;
        const placed = decode(bytes, 0, SLOT, codeSize) as Instruction;
        if (steer) {
            this.steerRegisters(test, placed, target);
        }
        return placed;
    }

    /** Changes the displacement or a register so that the memory operand lies at linear address `target`. */
    private steerMemory(
        test: InstructionCase,
        bytes: Uint8Array,
        instruction: Instruction,
        position: number,
        target: bigint,
        steer: boolean,
    ): void {
        const { base, index, scale, length, addressSize } = instruction;
        const wanted = target - this.segmentBase(test.kind, instruction);
        const displacement = (BigInt(instruction.displacementHigh) << 32n) | BigInt(instruction.displacement >>> 0);
        if (base === BASE_RIP) {
            const rip = BigInt(test.entry + position + length);
            patch(bytes, instruction, displacement, wanted - rip, 4);
        } else if (base === NO_REGISTER && index === NO_REGISTER) {
            patch(bytes, instruction, displacement, wanted, displacementBytes(instruction));
        } else if (steer) {
            const rest = wanted - displacement;
            const cut = (value: bigint): bigint => BigInt.asUintN(addressSize, value);
            if (base === NO_REGISTER) {
                this.setPart(test, index, addressSize, cut(rest) >> BigInt(scale));
            } else if (base === index) {
                this.setPart(test, base, addressSize, cut(rest) / BigInt(1 + (1 << scale)));
            } else {
                const scaled = index === NO_REGISTER ? 0n : test.gpr(index) << BigInt(scale);
                this.setPart(test, base, addressSize, cut(rest - scaled));
            }
        }
    }

    /** Sets the low bits of a register that take part in an address; the others are arbitrary. */
    private setPart(test: InstructionCase, register: number, bits: number, value: bigint): void {
        const above = test.gpr(register) & (-1n << BigInt(bits));
        test.setGpr(register, above | BigInt.asUintN(bits, value));
    }

    private segmentBase(kind: CodeKind, { segment }: Instruction): bigint {
        if (segment === Segment.Gs) {
            return kind === CodeKind.Code64 ? BigInt(GS_BASE) : 0n;
        }
        if (!isSegmented(kind)) {
            return 0n;
        }
        return segment === Segment.Cs ? BigInt(kind === CodeKind.Code16 ? CODE_PAGE : 0) : BigInt(DATA);
    }

    /** Relative branches mostly stay in the code page, but out of the code: it would mean something else from there. */
    private steerBranch(bytes: Uint8Array, { row, length, operandSize }: Instruction): void {
        const { random } = this;
        const view = new DataView(bytes.buffer);
        const [operand] = row.operands;
        const below = random.oneIn(2) ? -1 : 1;
        if (operand === 'Jb') {
            view.setInt8(length - 1, random.oneIn(8) ? 0 : below * (64 + random.below(63)));
        } else if (operand === 'Jz' && !random.oneIn(8)) {
            const near = below * (64 + random.below(0x6c0));
            if (operandSize === 16) {
                view.setInt16(length - 2, near, true);
            } else {
                view.setInt32(length - 4, near, true);
            }
        }
    }

    /** What the instruction uses besides its ModRM memory operand. */
    private steerRegisters(test: InstructionCase, instruction: Instruction, target: bigint | undefined): void {
        const { random } = this;
        const { mnemonic } = instruction.row;
        const base = isSegmented(test.kind) ? BigInt(DATA) : 0n;
        for (const { kind } of instruction.operands) {
            if (kind === OperandKind.StringSource || kind === OperandKind.StringDestination) {
                const register = kind === OperandKind.StringSource ? Gpr.Rsi : Gpr.Rdi;
                if (!random.oneIn(10)) {
                    this.setPart(test, register, instruction.addressSize, address(random) - base);
                }
            }
        }
        if (instruction.repeat !== RepeatPrefix.None && !random.oneIn(6)) {
            this.setPart(test, Gpr.Rcx, instruction.addressSize, BigInt(random.below(40)));
        }
        if (mnemonic === 'XLAT' && target !== undefined) {
            this.setPart(test, Gpr.Rbx, instruction.addressSize, target - this.segmentBase(test.kind, instruction));
        }
        if (/^(BT|BTS|BTR|BTC)$/.test(mnemonic) && !random.oneIn(3)) {
            const [, bit] = instruction.operands;
            if (bit.kind === OperandKind.Gpr && !uses(instruction, bit.register)) {
                this.setPart(test, bit.register, 64, BigInt(random.below(0x4000) - 0x2000));
            }
        }
        if (/^I?DIV$/.test(mnemonic) && !random.oneIn(3)) {
            const bits = BigInt(random.below(8));
            test.setGpr(Gpr.Rdx, random.oneIn(2) ? random64(random) >> (63n - bits * 8n) : random.oneIn(2) ? 0n : -1n);
            if (instruction.operands[0].size === 1) {
                test.setGpr(Gpr.Rax, BigInt(random.below(0x10000)) >> BigInt(random.below(12)));
            }
        }
        if (/^(LOOP|LOOPE|LOOPNE|JCXZ|JECXZ|JRCXZ)$/.test(mnemonic) && random.oneIn(2)) {
            this.setPart(test, Gpr.Rcx, instruction.addressSize, BigInt(random.below(3)));
        }
        this.steerIndirect(test, instruction, target);
    }

    /** Indirect branches and returns mostly go somewhere in the code page. */
    private steerIndirect(test: InstructionCase, instruction: Instruction, memory: bigint | undefined): void {
        const { random } = this;
        const { mnemonic } = instruction.row;
        const segmentBase = isSegmented(test.kind) ? BigInt(DATA) : 0n;
        if (/^POPF/.test(mnemonic)) {
            // Not TF: the host would be traced.
            const at = BigInt(DATA + (random.oneIn(8) ? DATA_SIZE - 2 : 0x1000 - 256 + random.below(500)));
            test.setGpr(Gpr.Rsp, at - segmentBase);
            putAt(test, at, integer(random) & ~0x100n);
            putAt(test, BigInt(DATA + DATA_SIZE - 8), 0n);
            return;
        }
        if (!/^(JMP|CALL|RET)$/.test(mnemonic) || random.oneIn(6)) {
            return;
        }
        const [operand] = instruction.operands;
        const page = test.kind === CodeKind.Code16 ? 0 : CODE_PAGE;
        const target = BigInt(page + ENTRY_OFFSET + 64 + random.below(0x600));
        if (mnemonic === 'RET') {
            putAt(test, BigInt.asUintN(64, test.gpr(Gpr.Rsp) + segmentBase), target);
        } else if (operand.kind === OperandKind.Gpr) {
            test.setGpr(operand.register, target);
        } else if (operand.kind === OperandKind.Memory && memory !== undefined) {
            putAt(test, memory, target);
        }
    }
}

function isSegmented(kind: CodeKind): boolean {
    return kind === CodeKind.Code32Segmented || kind === CodeKind.Code16;
}

function uses({ base, index }: Instruction, register: number): boolean {
    return base === register || index === register;
}

function usesSegment({ operands, row }: Instruction): boolean {
    return (
        /^(XLAT|MASKMOV)/.test(row.mnemonic) ||
        operands.some(({ kind }) => kind === OperandKind.Memory || kind >= OperandKind.StringSource)
    );
}

/** Writes 8 bytes at a linear address where the windows of the case have room for them. */
function putAt(test: InstructionCase, linear: bigint, value: bigint): void {
    let done = 0;
    for (const { offset, size } of WINDOWS) {
        const at = Number(linear) - DATA - offset;
        if (linear < BigInt(DATA + DATA_SIZE) && at >= 0 && at + 8 <= size) {
            test.view.setBigUint64(CaseOffset.data + done + at, value, true);
        }
        done += size;
    }
}

function displacementBytes({ operands, addressSize, modrm }: Instruction): number {
    return modrm < 0 && operands.length > 0 ? addressSize / 8 : addressSize === 16 ? 2 : 4;
}

/** Replaces a displacement of `size` bytes with another; nothing happens if it can't be found or does not fit. */
function patch(bytes: Uint8Array, { length }: Instruction, old: bigint, wanted: bigint, size: number): void {
    const bits = size * 8;
    if (BigInt.asIntN(bits, wanted) !== wanted && BigInt.asUintN(bits, wanted) !== wanted) {
        return;
    }
    const at = (position: number): bigint => {
        let value = 0n;
        for (let i = size - 1; i >= 0; i--) {
            value = (value << 8n) | BigInt(bytes[position + i]);
        }
        return value;
    };
    for (let position = 1; position + size <= length; position++) {
        if (at(position) === BigInt.asUintN(bits, old)) {
            for (let i = 0; i < size; i++) {
                bytes[position + i] = Number((BigInt.asUintN(bits, wanted) >> BigInt(8 * i)) & 0xffn);
            }
            return;
        }
    }
}

/** Rows for a sequence around this one. */
function neighboursOf({ attributes }: Row): readonly Row[] {
    if ((attributes & (Attribute.X87 | Attribute.Mmx)) !== 0) {
        return FLOAT_ROWS;
    }
    return (attributes & Attribute.Sse) !== 0 ? VECTOR_ROWS : FLAG_ROWS;
}

/** Loads of whole environments from random memory make everything after them fault. */
function changesFormat({ mnemonic }: Row): boolean {
    return /^(FLDENV|FRSTOR|LDMXCSR|MASKMOVQ|MASKMOVDQU)$/.test(mnemonic);
}

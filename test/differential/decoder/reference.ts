/**
 * The decoder under test against iced-x86: one comparison per aspect, in the reference's terms translated to ours.
 */

import * as iced from 'iced-x86';
import {
    Attribute,
    BASE_RIP,
    type Instruction,
    NO_REGISTER,
    type Operand,
    OperandKind,
    RepeatPrefix,
} from '../../../src/isa/x86';

interface ReferenceRegister {
    readonly kind: OperandKind;
    readonly register: number;
    /** Bytes for general registers; 0 where the class implies it. */
    readonly size: number;
    readonly highByte: boolean;
}

const REGISTERS: (ReferenceRegister | undefined)[] = [];

function defineRegisters(names: readonly string[], kind: OperandKind, size = 0, first = 0, highByte = false): void {
    names.forEach((name, i) => {
        const value = (iced.Register as unknown as Record<string, number>)[name];
        if (value === undefined) {
            throw new Error(`iced-x86 knows no register ${name}`);
        }
        REGISTERS[value] = { kind, register: first + i, size, highByte };
    });
}

const numbered = (count: number, prefix: string, suffix = '', first = 0): string[] =>
    Array.from({ length: count }, (_, i) => `${prefix}${first + i}${suffix}`);

defineRegisters(['AL', 'CL', 'DL', 'BL', 'SPL', 'BPL', 'SIL', 'DIL', ...numbered(8, 'R', 'L', 8)], OperandKind.Gpr, 1);
defineRegisters(['AH', 'CH', 'DH', 'BH'], OperandKind.Gpr, 1, 0, true);
defineRegisters(['AX', 'CX', 'DX', 'BX', 'SP', 'BP', 'SI', 'DI', ...numbered(8, 'R', 'W', 8)], OperandKind.Gpr, 2);
defineRegisters(
    ['EAX', 'ECX', 'EDX', 'EBX', 'ESP', 'EBP', 'ESI', 'EDI', ...numbered(8, 'R', 'D', 8)],
    OperandKind.Gpr,
    4,
);
defineRegisters(
    ['RAX', 'RCX', 'RDX', 'RBX', 'RSP', 'RBP', 'RSI', 'RDI', ...numbered(8, 'R', '', 8)],
    OperandKind.Gpr,
    8,
);
defineRegisters(['ES', 'CS', 'SS', 'DS', 'FS', 'GS'], OperandKind.Segment);
defineRegisters(numbered(16, 'CR'), OperandKind.Control);
defineRegisters(numbered(16, 'DR'), OperandKind.Debug);
defineRegisters(numbered(8, 'MM'), OperandKind.Mmx);
defineRegisters(numbered(16, 'XMM'), OperandKind.Xmm);
defineRegisters(numbered(8, 'ST'), OperandKind.St);

const MEMORY_SIZES = Object.values(iced.MemorySize)
    .filter((value): value is iced.MemorySize => typeof value === 'number')
    .map(value => iced.MemorySizeExt.size(value));

/** The reference's mnemonics where ours, from the manual, is spelt otherwise. */
const MNEMONICS: Readonly<Record<string, string>> = {
    XLATB: 'XLAT',
    WAIT: 'FWAIT',
    RDSSPD: 'RDSSP',
    RDSSPQ: 'RDSSP',
    RESERVEDNOP: 'NOP',
    SYSRETQ: 'SYSRET',
    SYSEXITQ: 'SYSEXIT',
    PCMPESTRI64: 'PCMPESTRI',
    PCMPESTRM64: 'PCMPESTRM',
};
const STRINGS = /^(MOVS|CMPS|STOS|LODS|SCAS|INS|OUTS)[BWDQ]$/;

/** What the reference calls the instruction, in our spelling. */
export function referenceMnemonic(instruction: iced.Instruction): string {
    const name = iced.Mnemonic[instruction.mnemonic].toUpperCase();
    return MNEMONICS[name] ?? name;
}

/** What a documented exception may excuse; lengths must always agree. */
export type Aspect = 'mnemonic' | 'operands' | 'register size' | 'segment';

/**
 * Describes the first difference between a decoded instruction and the reference's, both valid; '' if there is none.
 * `ip` is the instruction's address; aspects that are `excused` are not compared.
 */
export function difference(
    ours: Instruction,
    theirs: iced.Instruction,
    ip: bigint,
    excused: ReadonlySet<Aspect>,
): string {
    return new Comparison(ours, theirs, ip, excused).difference();
}

class Comparison {
    public constructor(
        private readonly ours: Instruction,
        private readonly theirs: iced.Instruction,
        private readonly ip: bigint,
        private readonly excused: ReadonlySet<Aspect>,
    ) {}

    public difference(): string {
        const { ours, theirs } = this;
        if (ours.length !== theirs.length) {
            return `length ${ours.length}, reference ${theirs.length}`;
        }
        const mnemonic = referenceMnemonic(theirs);
        const isString = (ours.row.attributes & Attribute.Repeat) !== 0;
        const expected = isString ? mnemonic.replace(STRINGS, '$1') : mnemonic;
        if (ours.row.mnemonic !== expected && !this.excused.has('mnemonic')) {
            return `mnemonic ${ours.row.mnemonic}, reference ${mnemonic}`;
        }
        if (ours.lock !== theirs.hasLockPrefix) {
            return `lock ${ours.lock}`;
        }
        if (isString && ours.repeat !== repeatOf(theirs)) {
            return `repeat ${ours.repeat}`;
        }
        return this.excused.has('operands') ? '' : this.operands();
    }

    private operands(): string {
        const { ours, theirs } = this;
        // The reference lists MASKMOVQ's implicit DS:rDI first, and leaves out the implicit XMM0 that our table writes.
        const skip = theirs.opCount > 0 && isMaskMoveDestination(theirs.opKind(0)) ? 1 : 0;
        const implicit = ours.row.operands.at(-1) === 'XMM0' ? 1 : 0;
        const count = ours.operands.length - implicit;
        if (count !== theirs.opCount - skip) {
            return `operand count ${count}, reference ${theirs.opCount - skip}`;
        }
        for (let i = 0; i < count; i++) {
            const problem = this.operand(ours.operands[i], i + skip);
            if (problem !== '') {
                return `operand ${i}: ${problem}`;
            }
        }
        return '';
    }

    private operand(operand: Operand, index: number): string {
        const kind = this.theirs.opKind(index);
        switch (operand.kind) {
            case OperandKind.Memory:
                return kind === iced.OpKind.Memory ? this.memory(operand) : `memory, reference kind ${kind}`;
            case OperandKind.StringSource:
                return this.string(operand, kind - iced.OpKind.MemorySegSI, true);
            case OperandKind.StringDestination:
                return this.string(operand, kind - iced.OpKind.MemoryESDI, false);
            case OperandKind.Relative:
                return this.target(kind);
            case OperandKind.FarPointer:
                return this.farPointer(operand, kind);
            case OperandKind.Immediate:
            case OperandKind.Immediate2:
            case OperandKind.Constant:
                return this.immediate(operand, index, kind);
            default:
                return this.register(operand, index, kind);
        }
    }

    private register(operand: Operand, index: number, kind: iced.OpKind): string {
        if (kind !== iced.OpKind.Register) {
            return `register, reference kind ${kind}`;
        }
        const expected = REGISTERS[this.theirs.opRegister(index)];
        if (
            expected === undefined ||
            expected.kind !== operand.kind ||
            expected.register !== operand.register ||
            expected.highByte !== operand.highByte
        ) {
            return `register ${operand.register}, reference ${iced.Register[this.theirs.opRegister(index)]}`;
        }
        const sameSize = expected.size === 0 || expected.size === operand.size || this.excused.has('register size');
        return sameSize ? '' : `register of ${operand.size} bytes, reference ${expected.size}`;
    }

    private target(kind: iced.OpKind): string {
        const { ours } = this;
        if (16 << (kind - iced.OpKind.NearBranch16) !== ours.operandSize) {
            return `branch of ${ours.operandSize} bits, reference kind ${kind}`;
        }
        const target = BigInt.asUintN(ours.operandSize, this.ip + BigInt(ours.length) + BigInt(ours.immediate));
        const expected = this.theirs.nearBranchTarget;
        return target === expected ? '' : `target ${target}, reference ${expected}`;
    }

    private farPointer(operand: Operand, kind: iced.OpKind): string {
        const { ours, theirs } = this;
        const wide = kind === iced.OpKind.FarBranch32;
        const offset = wide ? theirs.farBranch32 : theirs.farBranch16;
        const same =
            wide === operand.size > 4 &&
            offset === ours.immediate >>> 0 &&
            theirs.farBranchSelector === ours.immediate2;
        return same ? '' : `far pointer ${ours.immediate2}:${ours.immediate}`;
    }

    private immediate(operand: Operand, index: number, kind: iced.OpKind): string {
        const { ours } = this;
        if (kind < iced.OpKind.Immediate8 || kind > iced.OpKind.Immediate32to64) {
            return `immediate, reference kind ${kind}`;
        }
        let value: bigint;
        if (operand.kind === OperandKind.Constant) {
            value = BigInt(operand.register);
        } else if (operand.kind === OperandKind.Immediate2) {
            value = BigInt(ours.immediate2);
        } else {
            value = joinHalves(ours.immediateHigh, ours.immediate);
        }
        const bits = operand.size * 8;
        const expected = BigInt.asUintN(bits, this.theirs.immediate(index));
        return BigInt.asUintN(bits, value) === expected ? '' : `immediate ${value}, reference ${expected}`;
    }

    private string(operand: Operand, addressSizeIndex: number, source: boolean): string {
        const { ours, theirs } = this;
        if (16 << addressSizeIndex !== ours.addressSize) {
            return `string operand with ${ours.addressSize}-bit address, reference ${16 << addressSizeIndex}`;
        }
        if (MEMORY_SIZES[theirs.memorySize] !== operand.size) {
            return `string operand of ${operand.size} bytes`;
        }
        return source ? this.segment() : '';
    }

    private segment(): string {
        const expected = REGISTERS[this.theirs.memorySegment]?.register;
        return expected === this.ours.segment || this.excused.has('segment')
            ? ''
            : `segment ${this.ours.segment}, reference ${expected}`;
    }

    private memory(operand: Operand): string {
        const { ours, theirs } = this;
        const size = MEMORY_SIZES[theirs.memorySize];
        // Our size 0 says that the operand does not tell.
        if (operand.size !== 0 && operand.size !== size) {
            return `memory of ${operand.size} bytes, reference ${size}`;
        }
        const bits = ours.addressSize;
        let displacement = joinHalves(ours.displacementHigh, ours.displacement);
        if (ours.base === BASE_RIP) {
            if (theirs.memoryBase !== (bits === 64 ? iced.Register.RIP : iced.Register.EIP)) {
                return 'RIP-relative';
            }
            // The reference gives the address, we the displacement.
            displacement += this.ip + BigInt(ours.length);
        } else if (!sameRegister(ours.base, theirs.memoryBase, bits)) {
            return `base ${ours.base}, reference ${iced.Register[theirs.memoryBase]}`;
        }
        if (!sameRegister(ours.index, theirs.memoryIndex, bits)) {
            return `index ${ours.index}, reference ${iced.Register[theirs.memoryIndex]}`;
        }
        if (ours.index !== NO_REGISTER && 1 << ours.scale !== theirs.memoryIndexScale) {
            return `scale ${ours.scale}`;
        }
        const expected = BigInt.asUintN(bits, theirs.memoryDisplacement);
        return BigInt.asUintN(bits, displacement) === expected
            ? this.segment()
            : `displacement ${displacement}, reference ${expected}`;
    }
}

function repeatOf(theirs: iced.Instruction): RepeatPrefix {
    return theirs.hasRepPrefix ? RepeatPrefix.Repe : theirs.hasRepnePrefix ? RepeatPrefix.Repne : RepeatPrefix.None;
}

function isMaskMoveDestination(kind: iced.OpKind): boolean {
    return kind >= iced.OpKind.MemorySegDI && kind <= iced.OpKind.MemorySegRDI;
}

function joinHalves(high: number, low: number): bigint {
    return (BigInt(high) << 32n) | BigInt(low >>> 0);
}

function sameRegister(ours: number, theirs: iced.Register, addressSize: number): boolean {
    const expected = REGISTERS[theirs];
    if (ours === NO_REGISTER || expected === undefined) {
        return ours === NO_REGISTER && theirs === iced.Register.None;
    }
    return expected.register === ours && expected.size * 8 === addressSize;
}

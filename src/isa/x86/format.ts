/**
 * The disassembler's text: Intel syntax in lower case with hexadecimal numbers, close to what gdb and objdump print with
 * `-M intel`, and like IDA leaving out `dword ptr` where a register already tells the size.
 */

import {
    Attribute,
    BASE_RIP,
    type Instruction,
    NO_REGISTER,
    type Operand,
    OperandKind,
    RepeatPrefix,
    Segment,
} from './instruction';
import { formatMnemonic, shownOperands } from './format-mnemonic';
import { GPR_NAMES, HIGH_BYTE_NAMES, SEGMENT_NAMES } from './registers';

/** How {@link formatInstruction} may be told more than the bytes say. */
export interface FormatOptions {
    /**
     * The name of an address, such as `start_kernel+0x10`, or undefined. Asked for branch targets, and for memory and
     * immediates that may be addresses.
     */
    readonly symbol?: (address: bigint) => string | undefined;
}

const SIZE_KEYWORDS: Readonly<Record<number, string>> = {
    1: 'byte',
    2: 'word',
    4: 'dword',
    6: 'fword',
    8: 'qword',
    10: 'tbyte',
    16: 'xmmword',
    32: 'ymmword',
};

/** Smaller immediates and displacements are taken for numbers, not addresses: the first page holds no symbols. */
const LOWEST_ADDRESS = 0x1000n;

/**
 * The text of an instruction, for example `mov eax, [rbx+rcx*4+0x10]`.
 *
 * `address` is the instruction pointer at its first byte (the offset in CS; only then do 16-bit branches come out
 * right). A branch target is followed by its symbol, and RIP-relative memory by a comment with the address:
 * `call 0x401136 <main>`, `lea rdi, [rip+0xe9c]  # 0x402004`.
 */
export function formatInstruction(instruction: Instruction, address: bigint, options: FormatOptions = {}): string {
    const text = new InstructionText(instruction, address, options);
    return text.format();
}

class InstructionText {
    private comment = '';

    public constructor(
        private readonly instruction: Instruction,
        private readonly address: bigint,
        private readonly options: FormatOptions,
    ) {}

    public format(): string {
        const operands = shownOperands(this.instruction).map(position => this.formatOperand(position));
        const head = `${this.formatPrefixes()}${formatMnemonic(this.instruction)}`;
        const body = operands.length === 0 ? head : `${head} ${operands.join(', ')}`;
        return this.comment === '' ? body : `${body}  # ${this.comment}`;
    }

    private formatPrefixes(): string {
        const { instruction } = this;
        const lock = instruction.lock ? 'lock ' : '';
        if (instruction.repeat === RepeatPrefix.None) {
            return lock;
        }
        const compares = instruction.row.mnemonic === 'CMPS' || instruction.row.mnemonic === 'SCAS';
        return `${lock}${instruction.repeat === RepeatPrefix.Repne ? 'repne' : compares ? 'repe' : 'rep'} `;
    }

    private formatOperand(position: number): string {
        const { instruction } = this;
        const operand = instruction.operands[position];
        const notation = instruction.row.operands[position];
        switch (operand.kind) {
            case OperandKind.Gpr:
                return operand.highByte ? HIGH_BYTE_NAMES[operand.register] : GPR_NAMES[operand.size][operand.register];
            case OperandKind.Segment:
                return SEGMENT_NAMES[operand.register];
            case OperandKind.Control:
                return `cr${operand.register}`;
            case OperandKind.Debug:
                return `dr${operand.register}`;
            case OperandKind.Mmx:
                return `mm${operand.register}`;
            case OperandKind.Xmm:
                return `xmm${operand.register}`;
            case OperandKind.Ymm:
                return `ymm${operand.register}`;
            case OperandKind.St:
                // The table's ST0 is the top of the stack; STi has its number even if that is 0.
                return notation === 'ST0' ? 'st' : `st(${operand.register})`;
            case OperandKind.Memory:
                return this.formatMemory(operand, notation);
            case OperandKind.StringSource:
                return `${SEGMENT_NAMES[instruction.segment]}:[${this.addressRegister(6)}]`;
            case OperandKind.StringDestination:
                return `es:[${this.addressRegister(7)}]`;
            case OperandKind.Immediate:
                return this.formatImmediate(operand);
            case OperandKind.Immediate2:
                return hex(BigInt(instruction.immediate2));
            case OperandKind.Relative:
                return this.formatTarget();
            case OperandKind.FarPointer:
                return `far ${hex(BigInt(instruction.immediate2))}:${hex(BigInt(instruction.immediate >>> 0))}`;
            case OperandKind.Constant:
                return String(operand.register);
        }
    }

    private addressRegister(register: number): string {
        return GPR_NAMES[this.instruction.addressSize / 8][register];
    }

    private formatImmediate(operand: Operand): string {
        const { instruction } = this;
        const value = BigInt.asUintN(operand.size * 8, join(instruction.immediateHigh, instruction.immediate));
        if (operand.size * 8 === instruction.codeSize && value >= LOWEST_ADDRESS) {
            this.comment = this.symbolOf(value);
        }
        return hex(value);
    }

    private formatTarget(): string {
        const { instruction } = this;
        const target = BigInt.asUintN(
            instruction.operandSize,
            this.address + BigInt(instruction.length) + BigInt(instruction.immediate),
        );
        const symbol = this.symbolOf(target);
        return symbol === '' ? hex(target) : `${hex(target)} ${symbol}`;
    }

    private symbolOf(address: bigint): string {
        const name = this.options.symbol?.(address);
        return name === undefined ? '' : `<${name}>`;
    }

    private formatMemory(operand: Operand, notation: string): string {
        const { instruction } = this;
        const segment = instruction.segmentOverride >= 0 ? `${SEGMENT_NAMES[instruction.segmentOverride]}:` : '';
        return `${this.sizeKeyword(operand, notation)}${segment}[${this.formatAddress()}]`;
    }

    private sizeKeyword(operand: Operand, notation: string): string {
        const { operands, row } = this.instruction;
        if (operand.size === 0) {
            return '';
        }
        const far = notation === 'Mp' && (row.attributes & Attribute.Branch) !== 0;
        const told =
            !SIZE_CHANGING.has(row.mnemonic) &&
            operands.some((other, i) => registerSize(other) === operand.size && row.operands[i] !== 'CL');
        return told ? '' : `${far ? 'far ' : ''}${SIZE_KEYWORDS[operand.size]} ptr `;
    }

    private formatAddress(): string {
        const { instruction } = this;
        const { base, index, addressSize } = instruction;
        const displacement = join(instruction.displacementHigh, instruction.displacement);
        const terms: string[] = [];
        if (base === BASE_RIP) {
            terms.push(addressSize === 64 ? 'rip' : 'eip');
            const target = BigInt.asUintN(addressSize, this.address + BigInt(instruction.length) + displacement);
            this.comment = `${hex(target)} ${this.symbolOf(target)}`.trimEnd();
        } else if (base !== NO_REGISTER) {
            terms.push(this.addressRegister(base));
        }
        if (index !== NO_REGISTER) {
            const scale = addressSize === 16 ? '' : `*${1 << instruction.scale}`;
            terms.push(`${this.addressRegister(index)}${scale}`);
        }
        const absolute = BigInt.asUintN(addressSize, displacement);
        if (base === NO_REGISTER && absolute >= LOWEST_ADDRESS && addressSize !== 16 && !this.usesThreadSegment()) {
            this.comment = this.symbolOf(absolute);
        }
        if (terms.length === 0) {
            return hex(absolute);
        }
        if (displacement === 0n) {
            return terms.join('+');
        }
        return `${terms.join('+')}${displacement < 0n ? '-' : '+'}${hex(displacement < 0n ? -displacement : displacement)}`;
    }

    /** FS and GS have bases of their own, so that the offset alone is no address. */
    private usesThreadSegment(): boolean {
        return this.instruction.segment >= Segment.Fs;
    }
}

/** Their register does not tell how much memory they read. */
const SIZE_CHANGING: ReadonlySet<string> = new Set(['LAR', 'LSL', 'SMSW', 'CRC32']);

/** Bytes of a register operand as the reader knows it; 0 for what is no register. */
function registerSize(operand: Operand): number {
    switch (operand.kind) {
        case OperandKind.Gpr:
        case OperandKind.Segment:
            return operand.size;
        case OperandKind.Mmx:
            return 8;
        case OperandKind.Xmm:
            return 16;
        case OperandKind.Ymm:
            return 32;
        default:
            return 0;
    }
}

function join(high: number, low: number): bigint {
    return (BigInt(high) << 32n) | BigInt(low >>> 0);
}

function hex(value: bigint): string {
    return `0x${value.toString(16)}`;
}

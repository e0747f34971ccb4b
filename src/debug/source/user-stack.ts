/**
 * Callers of user code that nothing is known of: programs without symbol files, seen from a stop in the kernel. A caller
 * is told only where the code itself bears it out: by the way to its return, or by a frame pointer, with a return address
 * behind a call. Elsewhere the stack ends.
 */
import { Attribute, decode, Gpr, type Instruction, type Operand, OperandKind } from '../../isa/x86';
import { AMD64, type FrameState, readUnsigned, type UnwindMemory } from '../../symbols/unwind';
import { followsCall } from '../stack-scan';

export interface UserMemory extends UnwindMemory {
    /** Whether user code could be executed at a linear address. */
    isUserCode(address: bigint): boolean;
}

export interface UserCaller {
    readonly state: FrameState;
    readonly origin: 'return' | 'framePointer';
}

/** Instructions that are followed to a RET. */
const MOST_INSTRUCTIONS = 48;
const LONGEST_INSTRUCTION = 15;
/** Frames are smaller: default stacks of Linux have 8 MiB all in all. */
const LARGEST_FRAME = 0x100000n;

/** What 64-bit code and 32-bit code differ in; registers of both have the numbers of the former, as kernels save them. */
interface Width {
    readonly bits: 32 | 64;
    /** Bytes of a return address. */
    readonly word: 4 | 8;
    /** Registers that functions give back as they found them. */
    readonly preserved: readonly number[];
}

const WIDE: Width = { bits: 64, word: 8, preserved: AMD64.preserved };
/** EBX, ESI, EDI and EBP. */
const NARROW: Width = { bits: 32, word: 4, preserved: [3, 4, 5, 6] };
/** DWARF's numbers of the general registers. */
const DWARF_NUMBER = [0, 2, 1, 3, 7, 6, 4, 5, 8, 9, 10, 11, 12, 13, 14, 15];

/** The frame that user code was called from; undefined where nothing tells for sure. */
export function callerInUserCode(state: FrameState, memory: UserMemory): UserCaller | undefined {
    const width = state.user === 32 ? NARROW : WIDE;
    return byReturn(state, memory, width) ?? byFramePointer(state, memory, width);
}

/** Follows code that goes straight on to a RET, and what it does to the stack pointer on the way. */
function byReturn(state: FrameState, memory: UserMemory, width: Width): UserCaller | undefined {
    const sp = state.registers[AMD64.stackPointer];
    const way = sp === undefined ? undefined : new WayOut(state, sp, memory, width);
    if (way?.follow() !== true) {
        return undefined;
    }
    const pc = returnAddressAt(way.sp, memory, width);
    if (pc === undefined) {
        return undefined;
    }
    const outer = way.registers.map((value, number) => (width.preserved.includes(number) ? value : undefined));
    return { state: callerState(pc, way.sp + BigInt(width.word), outer, width), origin: 'return' };
}

class WayOut {
    readonly registers: (bigint | undefined)[];
    private at: bigint;

    constructor(
        state: FrameState,
        public sp: bigint,
        private readonly memory: UserMemory,
        private readonly width: Width,
    ) {
        this.registers = [...state.registers];
        this.at = state.pc;
    }

    /** Whether there is a RET, which takes its address from where `sp` points to. */
    follow(): boolean {
        for (let count = 0; count < MOST_INSTRUCTIONS; count++) {
            const code = codeAt(this.at, this.memory);
            const instruction = decode(code, 0, code.length, this.width.bits);
            if (typeof instruction === 'number') return false;
            if (instruction.row.mnemonic === 'RET') return true;
            this.at += BigInt(instruction.length);
            if (!this.pass(instruction)) return false;
        }
        return false;
    }

    /** Of a conditional branch the way straight on is taken. @returns false where nobody knows what an instruction does */
    private pass(instruction: Instruction): boolean {
        const { row, operands } = instruction;
        const [first, second] = operands as readonly (Operand | undefined)[];
        if ((row.attributes & (Attribute.Branch | Attribute.System)) !== 0) {
            const isJump = row.mnemonic === 'JMP' && first?.kind === OperandKind.Relative;
            if (isJump) this.at += BigInt(instruction.immediate);
            return isJump || (row.attributes & Attribute.Conditional) !== 0;
        }
        const target = first?.kind === OperandKind.Gpr && !first.highByte ? first.register : undefined;
        switch (row.mnemonic) {
            case 'POP':
                return target !== undefined && instruction.operandSize === this.width.bits && this.pop(target);
            case 'LEAVE':
                this.sp = this.registers[AMD64.framePointer] ?? 0n;
                return this.sp !== 0n && this.pop(Gpr.Rbp);
            case 'ADD':
                if (target !== (Gpr.Rsp as number)) break;
                this.sp += BigInt(instruction.immediate);
                return second?.kind === OperandKind.Immediate;
            case 'XCHG':
            case 'XADD':
                return false;
        }
        if (target !== undefined) this.registers[DWARF_NUMBER[target]] = undefined;
        return target !== (Gpr.Rsp as number) && !TOUCHES_STACK.test(row.mnemonic);
    }

    private pop(register: number): boolean {
        const { word } = this.width;
        const value = readUnsigned(this.memory, this.sp, word);
        this.registers[DWARF_NUMBER[register]] = value;
        this.sp += BigInt(word);
        return value !== undefined && register !== (Gpr.Rsp as number);
    }
}

const TOUCHES_STACK = /^(?:PUSH|POP|ENTER)/;

/** As functions that keep a frame pointer leave their stack. */
function byFramePointer({ registers }: FrameState, memory: UserMemory, width: Width): UserCaller | undefined {
    const word = BigInt(width.word);
    const fp = registers[AMD64.framePointer];
    const sp = registers[AMD64.stackPointer];
    if (fp === undefined || sp === undefined || fp < sp || fp - sp > LARGEST_FRAME || fp % word !== 0n) {
        return undefined;
    }
    const saved = readUnsigned(memory, fp, width.word);
    const pc = returnAddressAt(fp + word, memory, width);
    if (saved === undefined || pc === undefined) {
        return undefined;
    }
    const outer: (bigint | undefined)[] = registers.map(() => undefined);
    outer[AMD64.framePointer] = saved;
    return { state: callerState(pc, fp + 2n * word, outer, width), origin: 'framePointer' };
}

function callerState(pc: bigint, sp: bigint, registers: (bigint | undefined)[], { bits }: Width): FrameState {
    registers[AMD64.stackPointer] = sp;
    registers[AMD64.programCounter] = pc;
    return { pc, registers, isReturn: true, user: bits };
}

/** A word on the stack that addresses user code right behind a call. */
function returnAddressAt(address: bigint, memory: UserMemory, { bits, word }: Width): bigint | undefined {
    const pc = readUnsigned(memory, address, word);
    const isReturn =
        pc !== undefined &&
        pc >= 0x1000n &&
        memory.isUserCode(pc - 1n) &&
        followsCall(bits, pc, (end, length) => memory.readMemory(end - BigInt(length), length) ?? new Uint8Array(0));
    return isReturn ? pc : undefined;
}

/** An instruction's bytes, as many of them as can be read; none where there is no code. */
function codeAt(address: bigint, memory: UserMemory): Uint8Array {
    if (!memory.isUserCode(address)) {
        return new Uint8Array(0);
    }
    const inPage = Math.min(LONGEST_INSTRUCTION, 0x1000 - Number(address & 0xfffn));
    return memory.readMemory(address, LONGEST_INSTRUCTION) ?? memory.readMemory(address, inPage) ?? new Uint8Array(0);
}

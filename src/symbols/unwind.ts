/**
 * Unwinding: from a function's registers to its caller's. Registers have DWARF's numbers (System V psABI for AMD64,
 * figure 3.36; for i386, table 2.14).
 */

/** DWARF's numbers of the registers that unwinding itself needs. */
export interface RegisterNumbering {
    readonly addressSize: 4 | 8;
    readonly names: readonly string[];
    readonly stackPointer: number;
    readonly framePointer: number;
    /** The column that stands for the return address. */
    readonly programCounter: number;
    /** Registers that a function gives back as it found them. */
    readonly preserved: readonly number[];
}

export const AMD64: RegisterNumbering = {
    addressSize: 8,
    names: [
        ...['rax', 'rdx', 'rcx', 'rbx', 'rsi', 'rdi', 'rbp', 'rsp'],
        ...['r8', 'r9', 'r10', 'r11', 'r12', 'r13', 'r14', 'r15', 'rip'],
    ],
    stackPointer: 7,
    framePointer: 6,
    programCounter: 16,
    preserved: [3, 6, 12, 13, 14, 15],
};

export const I386: RegisterNumbering = {
    addressSize: 4,
    names: ['eax', 'ecx', 'edx', 'ebx', 'esp', 'ebp', 'esi', 'edi', 'eip'],
    stackPointer: 4,
    framePointer: 5,
    programCounter: 8,
    preserved: [3, 5, 6, 7],
};

/** A vector or x87 register by DWARF's number (the tables named above): its name, and bytes. */
export function wideRegister(
    numbering: RegisterNumbering,
    register: number,
): { readonly name: string; readonly size: number } | undefined {
    const [xmm, last, st] = numbering === AMD64 ? [17, 32, 33] : [21, 28, 11];
    if (register >= xmm && register <= last) {
        return { name: `xmm${register - xmm}`, size: 16 };
    }
    return register >= st && register < st + 8 ? { name: `st${register - st}`, size: 10 } : undefined;
}

/** Linux' selector of 32-bit user code (arch/x86/include/asm/segment.h: __USER32_CS). */
export const USER32_CS = 0x23n;
/** Where the upper half of the address space begins, which is the kernel's. */
export const USER_END = 1n << 63n;

export interface UnwindMemory {
    /** `size` bytes of linear memory, or undefined if not all of them can be read. */
    readMemory(address: bigint, size: number): Uint8Array | undefined;
}

/** The registers of a function as far as they are known. */
export interface FrameState {
    readonly pc: bigint;
    /** By DWARF's number; undefined where a callee did not preserve it. */
    readonly registers: readonly (bigint | undefined)[];
    /** Whether `pc` is where a call returns to, and not an instruction that was interrupted. */
    readonly isReturn: boolean;
    /** Width of the code, where it is user code that a kernel was entered from, or a caller of such. */
    readonly user?: 32 | 64;
}

export type UnwindStep =
    | {
          readonly kind: 'caller';
          readonly frame: FrameState;
          /** The stack pointer before the call. */ readonly cfa: bigint;
      }
    /** This is the outermost frame. */
    | { readonly kind: 'end' };

/** One way to know callers. */
export interface UnwindSource {
    readonly method: 'cfi' | 'orc';
    /** Undefined if it knows nothing of the frame's code, or memory that it needs cannot be read. */
    step(frame: FrameState, memory: UnwindMemory): UnwindStep | undefined;
    /** It describes what compilers make of the program: code that it does not describe is assembler code. */
    readonly describesCompiledCode?: boolean;
    /** Whether it is about the code at an address; absent where only the program that it is of tells. */
    isAbout?(address: bigint): boolean;
    /** The canonical frame address alone. */
    cfa(frame: FrameState, memory: UnwindMemory): bigint | undefined;
}

/** The address by which a frame's code is looked up: a call may be the last instruction of its function. */
export function lookupAddress({ pc, isReturn }: FrameState): bigint {
    return isReturn ? pc - 1n : pc;
}

export function readUnsigned(memory: UnwindMemory, address: bigint, size: number): bigint | undefined {
    const bytes = memory.readMemory(BigInt.asUintN(64, address), size);
    return bytes && numberOf(bytes);
}

/** A little-endian number. */
export function numberOf(bytes: Uint8Array): bigint {
    let value = 0n;
    for (let index = bytes.length - 1; index >= 0; index--) value = (value << 8n) | BigInt(bytes[index]);
    return value;
}

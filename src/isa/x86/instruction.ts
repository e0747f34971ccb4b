/**
 * What the decoder produces: one x86 instruction, resolved against the instruction table.
 *
 * Terms are those of the Intel SDM Vol. 2: a *row* is one line of the opcode map (opcode + mnemonic + operand
 * notation); an *instruction* is a row applied to concrete bytes in a concrete code size.
 */

/** Width in bits of the code segment's default operand/address size (CS.L/CS.D). */
export type CodeSize = 16 | 32 | 64;

/** General-purpose register numbers as encoded (REX-extended): 0 rAX … 7 rDI, 8–15 R8–R15. */
export const enum Gpr {
    Rax,
    Rcx,
    Rdx,
    Rbx,
    Rsp,
    Rbp,
    Rsi,
    Rdi,
    R8,
    R9,
    R10,
    R11,
    R12,
    R13,
    R14,
    R15,
}

/** Value of {@link Instruction.base} for RIP-relative addressing. */
export const BASE_RIP = 16;
/** Value of {@link Instruction.base} / {@link Instruction.index} when absent. */
export const NO_REGISTER = -1;

/** Segment register numbers as encoded in ModRM.reg of MOV Sreg. */
export const enum Segment {
    Es,
    Cs,
    Ss,
    Ds,
    Fs,
    Gs,
}

/** What a decoded operand is. */
export const enum OperandKind {
    /** General-purpose register; `size` 1, 2, 4 or 8 bytes; `highByte` selects AH/CH/DH/BH (then register is 0–3). */
    Gpr,
    /** Segment register, see {@link Segment}. */
    Segment,
    /** Control register CRn. */
    Control,
    /** Debug register DRn. */
    Debug,
    /** MMX register MM0–MM7 (aliases the x87 significands). */
    Mmx,
    /** XMM register. */
    Xmm,
    /** YMM register (no table row yet; the room is kept for AVX). */
    Ymm,
    /** x87 stack register ST(i). */
    St,
    /** The ModRM (or moffs) memory operand described by the instruction's segment/base/index/scale/displacement. */
    Memory,
    /** DS:rSI (segment override allowed) of a string instruction. */
    StringSource,
    /** ES:rDI of a string instruction; also DS:rDI of MASKMOVQ/MASKMOVDQU. */
    StringDestination,
    /** Immediate: `Instruction.immediate` (already sign-extended where the manual says so). */
    Immediate,
    /** The second immediate (ENTER's nesting level): `Instruction.immediate2`. */
    Immediate2,
    /** Branch displacement relative to the next instruction: `Instruction.immediate`. */
    Relative,
    /** ptr16:16 / ptr16:32: offset in `immediate`, selector in `immediate2`. */
    FarPointer,
    /** A literal constant of the row (the 1 in `SHL Eb,1`): value in `register`. */
    Constant,
}

/** One operand of a decoded instruction. */
export interface Operand {
    readonly kind: OperandKind;
    /** Register number within its class, or the value of a {@link OperandKind.Constant}. 0 otherwise. */
    readonly register: number;
    /** Width in bytes as accessed (a far memory pointer m16:32 is 6; unsized memory as for INVLPG or FXSAVE is 0). */
    readonly size: number;
    /** True for AH, CH, DH, BH. */
    readonly highByte: boolean;
}

/** Arithmetic flags of a row, a bit set in EFLAGS bit positions (CF 1, PF 4, AF 0x10, ZF 0x40, SF 0x80, OF 0x800, …). */
export interface FlagEffects {
    /** Flags the instruction may read. */
    readonly read: number;
    /** Flags it may write (including those it clears, sets or leaves undefined). */
    readonly written: number;
    /** Those of `written` whose value the manual leaves undefined. */
    readonly undefined: number;
}

/** Row attributes; the decoder enforces those that concern validity. */
export const enum Attribute {
    /** LOCK is allowed (with a memory destination). */
    Lock = 1 << 0,
    /** #UD in 64-bit mode. */
    Invalid64 = 1 << 1,
    /** Only in 64-bit mode. */
    Only64 = 1 << 2,
    /** Operand size defaults to 64 in 64-bit mode (PUSH, POP, near CALL is Force64). */
    Default64 = 1 << 3,
    /** Operand size is 64 in 64-bit mode whatever the prefixes (near branches). */
    Force64 = 1 << 4,
    /** Accepts REP/REPE/REPNE as a repeat prefix (string instructions). */
    Repeat = 1 << 5,
    /** Ends a basic block: may change RIP other than by falling through. */
    Branch = 1 << 6,
    /** Conditional branch: Branch that may also fall through. */
    Conditional = 1 << 7,
    /** Privileged or mode-changing: runs through the CPU system operations, never inside a translated region. */
    System = 1 << 8,
    /** x87 instruction (CR0.EM/TS → #NM, pending exceptions → #MF as its mnemonic says). */
    X87 = 1 << 9,
    /** MMX instruction (CR0.EM → #UD, TS → #NM, pending x87 exception → #MF, tag word set valid). */
    Mmx = 1 << 10,
    /** SSE instruction that needs CR4.OSFXSR (#UD) and TS clear (#NM). */
    Sse = 1 << 11,
    /** The 16-byte memory operand must be aligned, else #GP(0). */
    Aligned = 1 << 12,
    /** VEX-encoded (BMI; AVX later). #UD in real and virtual-8086 mode. */
    Vex = 1 << 13,
    /** #UD in real-address and virtual-8086 mode (e.g. SLDT, ARPL, VERR). */
    ProtectedOnly = 1 << 14,
}

/** One row of the instruction table. */
export interface Row {
    /** Dense number, stable within one build; index into `ROWS`. */
    readonly id: number;
    /** The opcode column, as in the manual: `0F B1 /r`, `66 REX.W 0F 6E /r`, `D9 /4 mem`. */
    readonly opcode: string;
    /** Upper-case mnemonic, as the manual spells it. Semantics are keyed by this. */
    readonly mnemonic: string;
    /** Operand notation of SDM Vol. 2 Appendix A: `Ev`, `Gv`, `Iz`, `Vx`… */
    readonly operands: readonly string[];
    /** Bit set of {@link Attribute}. */
    readonly attributes: number;
    readonly flags: FlagEffects;
    /** CPUID feature the row needs (`sse3`, `bmi1`, …), or '' for the base architecture. */
    readonly feature: string;
}

/** Repeat prefix as it applies (after mandatory-prefix use is taken out). */
export const enum RepeatPrefix {
    None,
    /** F3: REP / REPE. */
    Repe,
    /** F2: REPNE. */
    Repne,
}

/** One decoded instruction. Instances are not reused; they may be kept. */
export interface Instruction {
    readonly row: Row;
    /** Bytes, 1–15. */
    readonly length: number;
    readonly codeSize: CodeSize;
    /** Effective operand size in bits (16, 32, 64); byte instructions say so by their operands' size. */
    readonly operandSize: 16 | 32 | 64;
    /** Effective address size in bits. */
    readonly addressSize: 16 | 32 | 64;
    readonly lock: boolean;
    readonly repeat: RepeatPrefix;
    readonly operands: readonly Operand[];
    /** Effective segment of the memory or string-source operand (default or override), see {@link Segment}. */
    readonly segment: number;
    /** Segment override prefix present (its number) or -1. In 64-bit mode only FS and GS count. */
    readonly segmentOverride: number;
    /** Base register (0–15), {@link BASE_RIP} or {@link NO_REGISTER}. */
    readonly base: number;
    /** Index register (0–15) or {@link NO_REGISTER}. */
    readonly index: number;
    /** log2 of the index scale. */
    readonly scale: number;
    /** Displacement, low 32 bits as a signed number. Sign-extended to the address size, except moffs64. */
    readonly displacement: number;
    /** High 32 bits of the displacement (its sign extension, or moffs64's upper half). */
    readonly displacementHigh: number;
    /**
     * Immediate or branch displacement, low 32 bits as a signed number. `Ib` and `Iw` are zero-extended; `sIb`, `Iz`,
     * `Iv` and branch displacements are sign-extended to 64 bits, of which the operand's size counts.
     */
    readonly immediate: number;
    /** High 32 bits of the immediate (its sign extension, or MOV r64,imm64's upper half). */
    readonly immediateHigh: number;
    readonly immediate2: number;
    /** The ModRM byte, or -1. */
    readonly modrm: number;
}

/** Why bytes are not an instruction. */
export const enum DecodeFailure {
    /** Undefined opcode, or a prefix or mode the row forbids: #UD. */
    Undefined,
    /** More bytes are needed than were given (fetch would fault or the buffer ends). */
    Truncated,
    /** Longer than 15 bytes: #GP(0). */
    TooLong,
}

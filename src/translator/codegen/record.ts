/**
 * The decoded-instruction record of the interpreter tier: what a handler needs to know of its instruction, in the shared
 * memory. Blocks are runs of records: a header, one record an instruction, and an end record.
 */
import { type Instruction, OperandKind } from '../../isa/x86/instruction';
import { StateOffset } from '../../machine/state';

export const enum RecordOffset {
    /** Table index of the function to run (u32). */
    handler = 0,
    /** Bytes from the block's first instruction to this one (u16). */
    ipOffset = 4,
    /** Length of the instruction in bytes (u8). */
    length = 6,
    /** Ordinal of the instruction in its block, from 0 (u8). */
    ordinal = 7,
    /** Displacement of a ModRM memory operand (i32, sign-extended); RIP-relative ones count from the block's RIP. */
    displacement = 8,
    /** Immediate beside it (i32, sign-extended). */
    immediate = 12,
    /** In place of both, where there is {@link hasOneConstant one constant only}: the immediate, or moffs's offset (i64). */
    constant = displacement,
    /** ENTER's second immediate, over the upper half of the first (u32). */
    immediate2 = immediate,
    /** State offsets of register operands 0–3 (u16 each). */
    register = 16,
    /**
     * State offsets of the base and index registers, {@link StateOffset.zero} when absent (u16). Where a RIP-relative
     * displacement has become too large, the index is {@link StateOffset.one}, and adds 2^32.
     */
    base = 24,
    index = 26,
    /** What the index is shifted left by (u8). */
    scale = 28,
    /** The ModRM byte (u8). */
    modrm = 29,
    /** State offset of the segment's base field, divided by 8 (u8). */
    segmentBase = 30,
    /** Instructions of the block from this one on (u8). */
    left = 31,

    /** Half a cache line: code that runs but a few times waits for its records. */
    size = 32,
}

/** Whether the record has room for 64 bits of immediate or offset, there being no ModRM memory operand. */
export function hasOneConstant({ operands, modrm }: Instruction): boolean {
    return modrm < 0 || operands.every(({ kind }) => kind !== OperandKind.Memory);
}

/** Field used by {@link StateOffset.zero}-like absent registers. */
export const ABSENT_REGISTER: number = StateOffset.zero;

/** Header records use the fields after the handler for their block. */
export const enum HeaderOffset {
    /** Number of instructions in the block (u32). */
    count = 8,
    /** Times entered, counted up to the threshold (u32). */
    heat = 12,
    /** Number of the block in the engine's list (u32). */
    block = 16,
    /** Where a breakpoint's check stands in `handler`: table index of what would stand there without it (u32). */
    unchecked = 20,
}

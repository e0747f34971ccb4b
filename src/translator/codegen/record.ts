/**
 * The decoded-instruction record of the interpreter tier: what a handler needs to know of its instruction, in the shared
 * memory. Blocks are runs of records: a header, one record an instruction, and an end record.
 */
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
    /** State offsets of register operands 0–3 (u16 each). */
    register = 8,
    /** State offsets of the base and index registers, {@link StateOffset.zero} when absent (u16). */
    base = 16,
    index = 18,
    /** log2 of the scale (u8). */
    scale = 20,
    /** The ModRM byte (u8). */
    modrm = 21,
    /** State offset of the segment's base field (u16). */
    segmentBase = 22,
    /** Displacement (i64); RIP-relative ones are made relative to the block's first instruction. */
    displacement = 24,
    /** Immediate (i64); i32 reads take the low half. */
    immediate = 32,
    /** Second immediate (u32). */
    immediate2 = 40,
    /** Instructions of the block from this one on (u8). */
    left = 48,

    size = 64,
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

/** The x86 instruction set: table, decoder, disassembler. */

export * from './instruction';
export { decode, MAX_INSTRUCTION_LENGTH } from './decoder';
export { type FormatOptions, formatInstruction } from './format';
export { FLAG_BITS, GPR_NAMES, HIGH_BYTE_NAMES, SEGMENT_NAMES } from './registers';
export { ROWS } from './table/rows';

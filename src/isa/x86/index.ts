/** The x86 instruction set: table, decoder, disassembler. */

export * from './instruction';
export { decode, MAX_INSTRUCTION_LENGTH } from './decoder';
export { ROWS } from './table/rows';

/** What is wrong with the descriptor table entry that an error code names (SDM Vol. 3, 5.8.3, 6.11, 6.13, 6.14.1). */
import type { Cpu } from '../machine/cpu/cpu';
import { StateOffset } from '../machine/state';
import type { MemoryView } from './memory-access';

const PRESENT = 1n << 47n;
const DPL_SHIFT = 45n;
const TYPE_SHIFT = 40n;
/** Task gate, 16- and 32-bit interrupt and trap gates; only the 32-bit ones mean something in long mode. */
const GATES = new Set([5n, 6n, 7n, 14n, 15n]);
const LONG_GATES = new Set([14n, 15n]);

/** Limits of IDTR after a reset (SDM Vol. 3, table 10-1), and where there are 256 vectors. */
const RESET_LIMIT = 0xffff;
const VECTOR_TABLE_LIMIT = 0x3ff;

const ERROR_IDT = 2;
const ERROR_LDT = 4;

/** The entry of an error code with a selector or vector in it, and what its state explains. */
export function describeTableEntry(cpu: Cpu, memory: MemoryView, errorCode: number): string {
    const index = errorCode >> 3;
    if (errorCode & ERROR_IDT) {
        const name = `IDT[0x${index.toString(16)}]`;
        return `${name}${idtProblem(cpu, memory, index)}`;
    }
    const table = errorCode & ERROR_LDT ? 'LDT' : 'GDT';
    const name = `${table}[0x${index.toString(16)}]`;
    return table === 'GDT' ? `${name}${gdtProblem(cpu, memory, index)}` : name;
}

function idtProblem(cpu: Cpu, memory: MemoryView, vector: number): string {
    const long = cpu.longMode;
    const size = long ? 16 : 8;
    const limit = cpu.lo(StateOffset.idtrLimit);
    if (vector * size + size - 1 > limit) {
        return beyond('IDT', limit);
    }
    const entry = memory.readNumber(at(cpu.get64(StateOffset.idtrBase), vector * size), 8);
    if (entry === undefined) {
        return ' is not mapped';
    }
    const type = (entry >> TYPE_SHIFT) & 31n;
    if (!(long ? LONG_GATES : GATES).has(type)) {
        const problem = entry === 0n ? ' is empty' : ' is no gate';
        return isRealModeTable(cpu) ? `${problem}: no IDT has been loaded` : problem;
    }
    if ((entry & PRESENT) === 0n) {
        return ' is not present';
    }
    const dpl = Number((entry >> DPL_SHIFT) & 3n);
    return dpl < cpu.cpl ? `, for privilege levels up to ${dpl}` : '';
}

/** IDTR as real mode leaves it: a program that goes on to protected mode finds interrupt vectors there, or nothing. */
function isRealModeTable(cpu: Cpu): boolean {
    const limit = cpu.lo(StateOffset.idtrLimit);
    return cpu.get64(StateOffset.idtrBase) === 0n && (limit === RESET_LIMIT || limit === VECTOR_TABLE_LIMIT);
}

function gdtProblem(cpu: Cpu, memory: MemoryView, index: number): string {
    const limit = cpu.lo(StateOffset.gdtrLimit);
    if (index * 8 + 7 > limit) {
        return beyond('GDT', limit);
    }
    const entry = memory.readNumber(at(cpu.get64(StateOffset.gdtrBase), index * 8), 8);
    if (entry === undefined) {
        return ' is not mapped';
    }
    return entry === 0n ? ' is empty' : (entry & PRESENT) === 0n ? ' is not present' : '';
}

function beyond(table: string, limit: number): string {
    return ` lies beyond the ${table}'s limit 0x${limit.toString(16)}`;
}

function at(base: bigint, offset: number): { readonly space: 'linear'; readonly offset: bigint } {
    return { space: 'linear', offset: BigInt.asUintN(64, base + BigInt(offset)) };
}

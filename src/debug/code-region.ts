/** Pieces of code that are looked at together: a function, or the surroundings of an address. */
import type { SymbolTable } from '../symbols/symbol-table';
import type { CodeSize } from '../isa/x86/instruction';

export interface CodeRegion {
    /** Linear: from `start` up to, not including, `end`. */
    readonly start: bigint;
    readonly end: bigint;
    readonly codeSize: CodeSize;
    /** The function that it is; absent for the surroundings of an address. */
    readonly name?: string;
}

/** Longer functions are looked at in parts. */
const LONGEST_FUNCTION = 0x2000n;
/** Size and alignment of the surroundings of an address. */
const WINDOW = 0x400n;

/** The region that a linear address lies in: always the same for all addresses in it. */
export function codeRegion(symbols: SymbolTable, address: bigint, codeSize: CodeSize): CodeRegion {
    const found = symbols.at(address);
    const start = found?.symbol.address;
    const end = start === undefined ? undefined : start + found!.symbol.size;
    if (start !== undefined && end !== undefined && end > start && end - start <= LONGEST_FUNCTION) {
        return { start, end, codeSize, name: found!.symbol.name };
    }
    const window = address & ~(WINDOW - 1n);
    return { start: window, end: window + WINDOW, codeSize };
}

/**
 * Register and flag names as the manuals spell them, in lower case (SDM Vol. 1, 3.4).
 */

const NUMBERED = [8, 9, 10, 11, 12, 13, 14, 15];

/** General registers by width in bytes, then number. Byte registers as with a REX prefix: 4–7 are SPL–DIL. */
export const GPR_NAMES: Readonly<Record<number, readonly string[]>> = {
    1: ['al', 'cl', 'dl', 'bl', 'spl', 'bpl', 'sil', 'dil', ...NUMBERED.map(n => `r${n}b`)],
    2: ['ax', 'cx', 'dx', 'bx', 'sp', 'bp', 'si', 'di', ...NUMBERED.map(n => `r${n}w`)],
    4: ['eax', 'ecx', 'edx', 'ebx', 'esp', 'ebp', 'esi', 'edi', ...NUMBERED.map(n => `r${n}d`)],
    8: ['rax', 'rcx', 'rdx', 'rbx', 'rsp', 'rbp', 'rsi', 'rdi', ...NUMBERED.map(n => `r${n}`)],
};

/** Bits 15–8 of the first four registers. */
export const HIGH_BYTE_NAMES: readonly string[] = ['ah', 'ch', 'dh', 'bh'];

/** By the number of `Segment`. */
export const SEGMENT_NAMES: readonly string[] = ['es', 'cs', 'ss', 'ds', 'fs', 'gs'];

/** EFLAGS, from the low bit up: name and bit number of each flag that has one bit; IOPL is at bits 13–12. */
export const FLAG_BITS: ReadonlyArray<readonly [name: string, bit: number]> = [
    ['cf', 0],
    ['pf', 2],
    ['af', 4],
    ['zf', 6],
    ['sf', 7],
    ['tf', 8],
    ['if', 9],
    ['df', 10],
    ['of', 11],
    ['nt', 14],
    ['rf', 16],
    ['vm', 17],
    ['ac', 18],
    ['vif', 19],
    ['vip', 20],
    ['id', 21],
];

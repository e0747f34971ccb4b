/**
 * The instruction table as data: every row of every group, parsed once at start-up.
 */

import { type Row } from '../instruction';
import { parseRows } from './parse';
import { ARITHMETIC } from './arithmetic';
import { BMI } from './bmi';
import { BRANCHES } from './branches';
import { AES, SHA } from './crypto';
import { MMX } from './mmx';
import { MOVES } from './moves';
import { SSE, SSE_MMX, SSE_ORDERING } from './sse';
import { SSE2, SSE2_MMX, SSE2_ORDERING } from './sse2';
import { SSE3, SSSE3, SSSE3_MMX } from './sse3';
import { SSE4_1, SSE4_2 } from './sse4';
import { SYSTEM } from './system';
import { X87 } from './x87';

/** Every row, in the order of the table files; `ROWS[row.id] === row`. */
export const ROWS: readonly Row[] = parseRows([
    ARITHMETIC,
    MOVES,
    BRANCHES,
    SYSTEM,
    BMI,
    X87,
    MMX,
    SSE,
    SSE_MMX,
    SSE_ORDERING,
    SSE2,
    SSE2_MMX,
    SSE2_ORDERING,
    SSE3,
    SSSE3,
    SSSE3_MMX,
    SSE4_1,
    SSE4_2,
    AES,
    SHA,
]);

/**
 * The instruction table as data: every row of every group, parsed once at start-up.
 */

import { type Row } from '../instruction';
import { parseRows } from './parse';
import { ARITHMETIC } from './arithmetic';
import { BRANCHES } from './branches';
import { MOVES } from './moves';
import { SYSTEM } from './system';

/** Every row, in the order of the table files; `ROWS[row.id] === row`. */
export const ROWS: readonly Row[] = parseRows([ARITHMETIC, MOVES, BRANCHES, SYSTEM]);

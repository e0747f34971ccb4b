/** The meaning of every application-level integer instruction. */
import { type SemanticTable } from '../semantics';
import { ALU } from './alu';
import { BITS } from './bits';
import { BMI } from './bmi';
import { BRANCH } from './branch';
import { BYTE_ORDER } from './byte-order';
import { CHECKSUM } from './checksum';
import { DECIMAL } from './decimal';
import { DIVIDE } from './divide';
import { EXCHANGE } from './exchange';
import { FLAG_CONTROL } from './flag-control';
import { HINT } from './hint';
import { MOVE } from './move';
import { MULTIPLY } from './multiply';
import { ROTATE } from './rotate';
import { SHIFT } from './shift';
import { STACK } from './stack';
import { STRING } from './string';

export const integerSemantics: SemanticTable = {
    ...ALU,
    ...BITS,
    ...BMI,
    ...BRANCH,
    ...BYTE_ORDER,
    ...CHECKSUM,
    ...DECIMAL,
    ...DIVIDE,
    ...EXCHANGE,
    ...FLAG_CONTROL,
    ...HINT,
    ...MOVE,
    ...MULTIPLY,
    ...ROTATE,
    ...SHIFT,
    ...STACK,
    ...STRING,
};

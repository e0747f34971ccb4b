/** Values as users type them into a register. */
import { parseExtended, parseFloating } from '../debug/registers/extended';
import { laneBits, type LaneType, parseLaneType } from '../debug/registers/lanes';
import { InspectionError } from './errors';

/** @throws InspectionError */
export function findLaneType(text: string): LaneType {
    const type = parseLaneType(text);
    if (type === undefined) {
        throw new InspectionError(`there are no lanes of type '${text}'`);
    }
    return type;
}

const X87 = /^st[0-7]$/;
const FLOAT_LANE = /^[xyz]mm\d+\.(f32|f64)\.\d+$/;
/** `0b1010`, and hexadecimal numbers longer than expressions have. */
const LITERAL = /^\s*(0b[01]{1,128}|0x[0-9a-f]{1,32})\s*$/i;

/**
 * The bits that a text stands for, where the register decides: floating-point numbers in ST(i) and in floating-point
 * lanes, long literals. Undefined: it is an expression.
 */
export function parseRegisterNumber(name: string, text: string): bigint | undefined {
    if (LITERAL.test(text)) {
        return BigInt(text.trim());
    }
    if (X87.test(name)) {
        return parseExtended(text);
    }
    const lane = FLOAT_LANE.exec(name);
    if (lane !== null) {
        const number = parseFloating(text);
        return number === undefined ? undefined : laneBits(findLaneType(lane[1]), number);
    }
    return undefined;
}

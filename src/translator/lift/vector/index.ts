/** MMX, SSE to SSE4.2, AES, PCLMULQDQ and SHA: semantics and the helpers they call. */
import { StateOffset } from '../../../machine/state';
import { type SemanticTable } from '../semantics';
import { AES, AES_HELPER } from './aes';
import { aes } from './aesHelper';
import { CARRYLESS } from './carryless';
import { FLOAT_ARITHMETIC } from './floatArithmetic';
import { FLOAT_COMPARE } from './floatCompare';
import { FLOAT_CONVERT } from './floatConvert';
import { FloatHelper } from './floatHelper';
import { FLOAT_HELPER } from './floatSlowPath';
import { INTEGER } from './integer';
import { LANES } from './lanes';
import { LOGIC } from './logic';
import { MOVES } from './moves';
import { emms, inMmxState } from './operands';
import { SHA } from './sha';
import { SHIFTS } from './shift';
import { SHUFFLES } from './shuffle';
import { STRING_COMPARE, STRING_HELPER } from './stringCompare';
import { compareStrings } from './stringCompareHelper';

const TABLES: readonly SemanticTable[] = [
    MOVES,
    LOGIC,
    INTEGER,
    SHIFTS,
    SHUFFLES,
    LANES,
    FLOAT_ARITHMETIC,
    FLOAT_COMPARE,
    FLOAT_CONVERT,
    AES,
    CARRYLESS,
    SHA,
    STRING_COMPARE,
];

export const vectorSemantics: SemanticTable = {
    ...Object.fromEntries(
        TABLES.flatMap(table => Object.entries(table)).map(([name, semantic]) => [name, inMmxState(semantic)]),
    ),
    EMMS: emms,
};

/** A routine outside the translated code: the vCPU's address, then i32 arguments. */
export type HelperFunction = (cpu: number, ...args: number[]) => number | void;

/**
 * The helpers by name. They read and write only the scratch area, MXCSR and (reading) CR4 of the vCPU's state, never
 * guest memory or registers, and they do not throw.
 */
export function vectorHelpers(memory: WebAssembly.Memory): Record<string, HelperFunction> {
    const float = new FloatHelper(memory);
    const words = new Int32Array(memory.buffer);
    const bytes = new Uint8Array(memory.buffer);
    return {
        [FLOAT_HELPER.name]: (cpu, code, detail) => float.run(cpu, code, detail),
        [AES_HELPER.name]: (cpu, operation, immediate) =>
            aes(words, (cpu + StateOffset.scratch) >> 2, operation, immediate),
        [STRING_HELPER.name]: (cpu, control, first, second) =>
            compareStrings(bytes, cpu + StateOffset.scratch, control, first, second),
    };
}

/** What expressions are evaluated in where they are not about a guest. */
import type { EvaluationContext } from '../../src/debug/expression/context';

/** No registers, memory or symbols. */
export const NOTHING: EvaluationContext = {
    readRegister: () => undefined,
    writeRegister: () => undefined,
    readMemory: () => undefined,
    writeMemory: () => false,
    symbol: () => undefined,
    segmentLinear: (_segment, offset) => offset,
};

/** Condition codes by the suffix that mnemonics carry (SDM Vol. 1, appendix B). */
import { type Condition } from '../flags';
import { type Semantic, type SemanticTable } from '../semantics';

/** In the order of {@link Condition}. */
const SUFFIXES = ['O', 'NO', 'B', 'AE', 'E', 'NE', 'BE', 'A', 'S', 'NS', 'P', 'NP', 'L', 'GE', 'LE', 'G'];

/** One semantic for each condition code: `forEachCondition('SET', …)` has the keys SETO, SETNO… */
export function forEachCondition(prefix: string, semantic: (code: Condition) => Semantic): SemanticTable {
    return Object.fromEntries(SUFFIXES.map((suffix, code) => [prefix + suffix, semantic(code)]));
}

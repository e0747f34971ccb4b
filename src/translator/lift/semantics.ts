/** The type of an instruction's meaning, and the one registry of all of them, keyed by mnemonic. */
import { type LiftContext } from './context';

/** Emits the IR of the context's current instruction. */
export type Semantic = (context: LiftContext) => void;

/** Mnemonic → meaning. */
export type SemanticTable = Readonly<Record<string, Semantic>>;

/** Puts the translator engine together: what a machine is given as its engine factory. */
import type { Block } from '../machine/layout';
import type { GuestMemory } from '../machine/memory';
import { systemOperations } from '../machine/cpu/system';
import { TranslatorEngine } from './engine/engine';
import { integerSemantics } from './lift/integer';
import { vectorHelpers, vectorSemantics } from './lift/vector';
import { x87Helpers, x87Semantics } from './lift/x87';

export { TranslatorEngine } from './engine/engine';

/** Bytes of the shared memory that the engine wants for decoded-instruction records. */
export const CODE_ARENA_SIZE = 48 * 0x100000;

/** The meaning of every instruction that is not a system instruction, by mnemonic. */
export const semantics = { ...integerSemantics, ...vectorSemantics, ...x87Semantics };

export interface TranslatorOptions {
    /** Host milliseconds, for statistics only. */
    readonly now: () => number;
    /** False: everything stays in the interpreter tier. */
    readonly translate?: boolean;
    /** Times a block is entered before it is translated. */
    readonly hotThreshold?: number;
    /** Has `StateOffset.tier` tell which tier runs, for a sampler of where time goes. */
    readonly notesTier?: boolean;
    /** The part of the engine's arena to use; all of it unless told otherwise. */
    readonly arena?: Block;
}

export function translatorEngine(options: TranslatorOptions): (memory: GuestMemory) => TranslatorEngine {
    return memory =>
        new TranslatorEngine({
            ...options,
            memory: memory.memory,
            arena: options.arena ?? memory.layout.arena,
            ram: {
                base: memory.layout.ram.base,
                low: memory.layout.lowRam,
                high: memory.layout.highRam,
                isPlain: () => memory.a20Open,
            },
            semantics,
            systemOperations,
            helpers: { ...vectorHelpers(memory.memory), ...x87Helpers(memory.memory) },
        });
}

/**
 * The Translator view: guest code beside IR beside WebAssembly.
 *
 * `hyperscope/translation` {@link TranslationArguments} → {@link TranslationBody}
 */
import type { Hex, VcpuArguments } from './common';

export interface TranslationArguments extends VcpuArguments {
    /** Default: where the vCPU is. A number or an expression. */
    readonly address?: string;
    /** Leave out what is long: IR and WebAssembly. */
    readonly brief?: boolean;
}

export interface TranslationBody {
    /** The linear address that was asked about. */
    readonly address: Hex;
    readonly physical?: Hex;
    readonly symbol?: string;
    /** Why there is nothing to be seen: another engine, not decoded yet. */
    readonly problem?: string;
    /** `interpreter`: decoded records and their handlers; `region`: a WebAssembly function of its own. */
    readonly tier?: 'interpreter' | 'region';
    /** Times that the block at the address has been entered since it was decoded (in the interpreter tier). */
    readonly heat?: number;
    /** Entries after which a block is translated. */
    readonly hotThreshold?: number;
    /** `64-bit ring 0 flat x87 SSE`. */
    readonly mode?: string;
    /** Of the region; of the block alone in the interpreter tier. In the order in which they were emitted. */
    readonly blocks: readonly TranslatedBlock[];
    /** Guest instructions in all blocks. */
    readonly instructions: number;
    /** The function as text; absent in the interpreter tier and where `brief`. */
    readonly wasm?: string;
    /** Bytes of the function's code. */
    readonly wasmBytes?: number;
    /** The block at the address also lies inside these regions: linear addresses of their entries. */
    readonly insideOf: readonly Hex[];
}

export interface TranslatedBlock {
    readonly address: Hex;
    readonly physical: Hex;
    /** Bytes. */
    readonly length: number;
    readonly symbol?: string;
    readonly heat: number;
    /** The address that was asked about lies in this block. */
    readonly current: boolean;
    readonly isEntry: boolean;
    readonly isLoopHeader: boolean;
    /** Where it goes on. */
    readonly exits: readonly TranslatedExit[];
    readonly instructions: readonly TranslatedInstruction[];
    /** IR that belongs to no instruction: the block's end. */
    readonly ir?: readonly string[];
}

export interface TranslatedExit {
    /** `next`, `taken`; `indirect` where the target is computed. */
    readonly kind: 'next' | 'taken' | 'indirect' | 'system';
    readonly target?: Hex;
    readonly symbol?: string;
    /** The target is in the same region: no dispatch. */
    readonly inside: boolean;
}

export interface TranslatedInstruction {
    readonly address: Hex;
    /** Hexadecimal with spaces. */
    readonly bytes: string;
    readonly text: string;
    readonly ir?: readonly string[];
    /** Lines of {@link TranslationBody.wasm} that belong to it, first and last, from 0. */
    readonly wasmLines?: readonly [first: number, last: number];
    /** Left to the engine's system operations. */
    readonly system?: boolean;
}

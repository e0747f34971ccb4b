/** What a kernel tells of itself: names, types and unwind tables that lie in the guest's memory. */
import type { SymbolSource } from '../../symbols/symbol-table';
import type { CType } from '../../symbols/types';
import type { TypeKeyword } from '../../symbols/program';
import type { UnwindSource } from '../../symbols/unwind';
import type { InspectionSource } from '../inspection-source';

export interface DiscoveredKernel {
    /** One line for the user: what it is, and what it tells. */
    readonly description: string;
    /** Which kernel it is. */
    readonly identity: string;
    readonly symbols: SymbolSource;
    readonly unwinders: readonly UnwindSource[];
    /** A type by its name, or by its tag. */
    findType(name: string, keyword: TypeKeyword | undefined): CType | undefined;
    /** The value of an enumerator, or the type of a function. */
    findGlobal(name: string): DiscoveredName | undefined;
}

export type DiscoveredName =
    | { readonly kind: 'constant'; readonly type: CType; readonly value: bigint }
    | { readonly kind: 'object'; readonly type: CType; readonly address: bigint };

/** Looks for such a kernel. */
export interface KernelDiscovery {
    /** What memory tells now; undefined if it tells nothing (yet). */
    discover(source: InspectionSource): DiscoveredKernel | undefined;
    /** The guest begins anew. */
    restart(): void;
}

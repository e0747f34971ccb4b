/** What a kernel tells of itself: names, types and unwind tables that lie in the guest's memory. */
import type { SymbolSource } from '../../symbols/symbol-table';
import type { TypeSource } from '../../symbols/program';
import type { UnwindSource } from '../../symbols/unwind';
import type { InspectionSource } from '../inspection-source';

export interface DiscoveredKernel extends TypeSource {
    /** One line for the user: what it is, and what it tells. */
    readonly description: string;
    /** Which kernel it is. */
    readonly identity: string;
    readonly symbols: SymbolSource;
    readonly unwinders: readonly UnwindSource[];
}

/** Looks for such a kernel. */
export interface KernelDiscovery {
    /** What memory tells now; undefined if it tells nothing (yet). */
    discover(source: InspectionSource): DiscoveredKernel | undefined;
    /** The guest begins anew. */
    restart(): void;
}

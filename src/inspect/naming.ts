import type { InspectionSource } from '../debug/inspection-source';

/**
 * What somebody who knows the guest's operating system can tell about it. Everything is optional: views work without,
 * and show these names where they are given.
 */
export interface GuestNaming {
    /**
     * Names of regions of linear memory.
     * @param root physical address of the page tables that the addresses are of
     * @returns undefined where nothing is known (yet)
     */
    regions?(source: InspectionSource, root: number): RegionName | undefined;
    /** Address spaces that are not in use at the moment: those of other processes. */
    addressSpaces?(source: InspectionSource): readonly NamedAddressSpace[];
}

/**
 * What memory is for: `direct map`, `kernel text`, `stack of sh (12)`.
 * @param last inclusive
 */
export type RegionName = (first: bigint, last: bigint) => string | undefined;

export interface NamedAddressSpace {
    /** As it would stand in CR3. */
    readonly cr3: bigint;
    /** `bash (412)`. */
    readonly label: string;
}

import type { InspectionSource } from '../debug/inspection-source';

/**
 * What somebody who knows the guest's operating system can tell about it. Everything is optional: views work without,
 * and show these names where they are given.
 */
export interface GuestNaming {
    /** The region that a linear address lies in: `direct map`, `vmalloc`, `kernel text`. */
    region?(linear: bigint): string | undefined;
    /** Address spaces that are not in use at the moment: those of other processes. */
    addressSpaces?(source: InspectionSource): readonly NamedAddressSpace[];
}

export interface NamedAddressSpace {
    /** As it would stand in CR3. */
    readonly cr3: bigint;
    /** `bash (412)`. */
    readonly label: string;
}

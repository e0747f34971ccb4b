import type { InspectionSource, PhysicalRegion } from '../debug/inspection-source';

/** What answers at a physical address. */
export function regionAt(source: Pick<InspectionSource, 'regions'>, physical: number): PhysicalRegion | undefined {
    return source.regions?.find(({ first, last }) => physical >= first && physical <= last);
}

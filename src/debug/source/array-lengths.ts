/** Arrays of variable length: their types, with the lengths that they have in one frame. */
import { type ComputedArray, isComputed } from '../../symbols/dwarf/type-reader';
import type { CType } from '../../symbols/types';

/** Pointers to arrays of pointers: deeper is nobody's. */
const DEEPEST = 16;
/** More elements are no array on a stack, but a length that was not computed yet. */
const MOST_ELEMENTS = 2 ** 31;

/**
 * @param lengthOf undefined where the length is not known
 * @returns the type itself if nothing in it depends on the frame
 */
export function withLengths(type: CType, lengthOf: (array: ComputedArray) => number | undefined, depth = 0): CType {
    if (depth > DEEPEST) {
        return type;
    }
    const inside = (inner: CType): CType => withLengths(inner, lengthOf, depth + 1);
    switch (type.kind) {
        case 'array': {
            const element = inside(type.element);
            if (!isComputed(type)) {
                return element === type.element ? type : { ...type, element };
            }
            const count = lengthOf(type);
            return { kind: 'array', element, count: count !== undefined && count <= MOST_ELEMENTS ? count : undefined };
        }
        case 'pointer': {
            const to = inside(type.to);
            return to === type.to ? type : { kind: 'pointer', to, size: type.size, reference: type.reference };
        }
        case 'typedef':
        case 'qualified': {
            const target = inside(type.target);
            if (target === type.target) return type;
            return type.kind === 'typedef'
                ? { kind: 'typedef', name: type.name, target }
                : { kind: 'qualified', qualifier: type.qualifier, target };
        }
        default:
            return type;
    }
}

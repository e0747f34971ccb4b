/** The addresses of kallsyms, in all forms that kernels have had; which one it is, their order tells. */
import { IMAGE_END, IMAGE_FIRST } from '../symbols/kernel-range';
import { type Image, surroundings } from './kernel-image';

/** How 32 bits stand for an address. */
type Form = 'perCpu' | 'unsigned' | 'ownPlace';

/** Per-CPU areas are no larger. */
const LARGEST_PER_CPU = 0x10000000n;

/** As kernels since 6.4 have them: behind the tokens. */
export function addressesBehind(image: Image, from: number, count: number): BigUint64Array[] {
    const { offset, view } = surroundings(image, from, from + count * 8 + 32);
    return [8, 4].flatMap(alignment => {
        const at = alignUp(from, alignment) - offset;
        const table = { at, baseAt: alignUp(at + count * 4, 8), count, offset };
        return [
            ...relative(image, view, table),
            ...decoded(image, view, table, 'ownPlace', 0n),
            ...absolute(view, at, count),
        ];
    });
}

/** As kernels until 6.3 have them: before the number of symbols. */
export function addressesBefore(image: Image, countAt: number, count: number): BigUint64Array[] {
    const { offset, view } = surroundings(image, countAt - count * 8 - 32, countAt);
    const end = countAt - offset;
    const found = [8, 4].flatMap(alignment => {
        const at = Math.floor((end - 8 - count * 4) / alignment) * alignment;
        return relative(image, view, { at, baseAt: end - 8, count, offset });
    });
    return [...found, ...absolute(view, end - count * 8, count)];
}

interface OffsetTable {
    /** In the view, whose own offset in the image is `offset`. */
    readonly at: number;
    readonly count: number;
    readonly offset: number;
}

function relative(image: Image, view: DataView, table: OffsetTable & { readonly baseAt: number }): BigUint64Array[] {
    const { baseAt } = table;
    const base = baseAt < 0 || baseAt + 8 > view.byteLength ? 0n : view.getBigUint64(baseAt, true);
    return isInImage(image, base)
        ? [...decoded(image, view, table, 'perCpu', base), ...decoded(image, view, table, 'unsigned', base)]
        : [];
}

function decoded(
    image: Image,
    view: DataView,
    { at, count, offset }: OffsetTable,
    form: Form,
    base: bigint,
): BigUint64Array[] {
    if (at < 0 || at + count * 4 > view.byteLength) {
        return [];
    }
    const addresses = new BigUint64Array(count);
    for (let index = 0; index < count; index++) {
        const place = at + 4 * index;
        switch (form) {
            case 'perCpu': {
                const value = view.getInt32(place, true);
                addresses[index] = value < 0 ? base - 1n - BigInt(value) : BigInt(value);
                break;
            }
            case 'unsigned':
                addresses[index] = base + BigInt(view.getUint32(place, true));
                break;
            case 'ownPlace':
                addresses[index] = image.start + BigInt(offset + place + view.getInt32(place, true));
        }
    }
    return areAddresses(addresses) && isInImage(image, addresses[count >> 1]) ? [addresses] : [];
}

function absolute(view: DataView, at: number, count: number): BigUint64Array[] {
    if (at < 0 || at + count * 8 > view.byteLength) {
        return [];
    }
    const addresses = new BigUint64Array(count);
    for (let index = 0; index < count; index++) addresses[index] = view.getBigUint64(at + 8 * index, true);
    return areAddresses(addresses) ? [addresses] : [];
}

/** Ascending, and each where something of a kernel can be. */
function areAddresses(addresses: BigUint64Array): boolean {
    let last = 0n;
    for (const address of addresses) {
        if (address < last || (address < IMAGE_FIRST && address >= LARGEST_PER_CPU)) return false;
        last = address;
    }
    return last >= IMAGE_FIRST;
}

function isInImage(image: Image, address: bigint): boolean {
    return address >= image.start && address < image.start + BigInt(image.size) && address < IMAGE_END;
}

function alignUp(value: number, alignment: number): number {
    return Math.ceil(value / alignment) * alignment;
}

/** Where a boot loader puts an ELF kernel (gABI, "Program Header"). */

/** A piece of a kernel that is linked at one address and loaded at another: it runs there until there is paging. */
export interface LoadSegment {
    /** Linear address that it is linked at. */
    readonly virtual: bigint;
    /** Physical address that it is loaded at. */
    readonly physical: bigint;
    /** Bytes. */
    readonly size: bigint;
}

const PT_LOAD = 1;
const ELFCLASS64 = 2;
const ELF_MAGIC = 0x464c457f;

/** The segments that are not loaded where they are linked; none for what is no sound ELF file. */
export function readMovedSegments(data: Uint8Array): LoadSegment[] {
    const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
    if (data.length < 64 || view.getUint32(0, true) !== ELF_MAGIC) {
        return [];
    }
    const is64 = data[4] === ELFCLASS64;
    const word = (at: number): bigint => (is64 ? view.getBigUint64(at, true) : BigInt(view.getUint32(at, true)));
    const table = Number(word(is64 ? 0x20 : 0x1c));
    const entrySize = view.getUint16(is64 ? 0x36 : 0x2a, true);
    const count = view.getUint16(is64 ? 0x38 : 0x2c, true);
    const segments: LoadSegment[] = [];
    for (let index = 0; index < count; index++) {
        const at = table + index * entrySize;
        if (entrySize < (is64 ? 56 : 32) || at + entrySize > data.length) break;
        const [virtual, physical, size] = is64
            ? [word(at + 0x10), word(at + 0x18), word(at + 0x28)]
            : [word(at + 0x08), word(at + 0x0c), word(at + 0x14)];
        if (view.getUint32(at, true) === PT_LOAD && virtual !== physical && size > 0n) {
            segments.push({ virtual, physical, size });
        }
    }
    return segments;
}

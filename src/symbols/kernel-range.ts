/** Where a Linux kernel's image is linked to, and may map itself (Documentation/arch/x86/x86_64/mm.rst): linear addresses. */
export const IMAGE_FIRST = 0xffffffff80000000n;
/** Behind the last one. */
export const IMAGE_END = 0xffffffffc0000000n;

export function isInImage(address: bigint): boolean {
    return address >= IMAGE_FIRST && address < IMAGE_END;
}

/** A Multiboot ELF file of a few bytes of code, which start at {@link ENTRY} in 32-bit protected mode. */

export const ENTRY = 0x10000c;

/** @param code bytes in hexadecimal */
export function tinyKernel(code: string): Uint8Array {
    const bytes = code.split(' ').map(byte => parseInt(byte, 16));
    const base = 0x100000;
    const size = 12 + bytes.length;
    const image = new Uint8Array(0x1000 + size);
    const view = new DataView(image.buffer);
    const words = (at: number, ...values: readonly number[]): void =>
        values.forEach((value, index) => view.setUint32(at + index * 4, value >>> 0, true));
    words(0, 0x464c457f, 0x00010101);
    words(16, 0x00030002, 1, ENTRY, 52, 0, 0, 0x00200034, 1);
    words(52, 1, 0x1000, base, base, size, size, 7, 0x1000);
    words(0x1000, 0x1badb002, 0, -0x1badb002);
    image.set(bytes, 0x100c);
    return image;
}

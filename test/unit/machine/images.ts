import { memoryMap } from '../../../src/machine/e820';
import type { BootContext } from '../../../src/machine/loaders/boot-context';
import { GuestMemory } from '../../../src/machine/memory';

/** Small synthetic kernels, built field by field so that tests can break each. */

export interface BzImageFields {
    protocol?: number;
    setupSects?: number;
    systemSize?: number;
    loadFlags?: number;
    code32Start?: number;
    relocatable?: number;
    xloadFlags?: number;
    cmdlineSize?: number;
    prefAddress?: number;
    initSize?: number;
    initrdMax?: number;
    alignment?: number;
}

export function bzImage(fields: BzImageFields = {}): Uint8Array {
    const setupSize = ((fields.setupSects ?? 4) + 1) * 512;
    const systemSize = fields.systemSize ?? 0x3000;
    const image = new Uint8Array(setupSize + systemSize);
    const view = new DataView(image.buffer);
    for (let offset = 0; offset < systemSize; offset++) {
        image[setupSize + offset] = offset * 7;
    }
    image[0x1f1] = fields.setupSects ?? 4;
    view.setUint32(0x1f4, systemSize / 16, true);
    view.setUint16(0x1fe, 0xaa55, true);
    view.setUint16(0x200, 0x6aeb, true);
    view.setUint32(0x202, 0x53726448, true);
    view.setUint16(0x206, fields.protocol ?? 0x20f, true);
    image[0x211] = fields.loadFlags ?? 1;
    view.setUint32(0x214, fields.code32Start ?? 0x100000, true);
    view.setUint32(0x22c, fields.initrdMax ?? 0x7fffffff, true);
    view.setUint32(0x230, fields.alignment ?? 0x200000, true);
    image[0x234] = fields.relocatable ?? 1;
    view.setUint16(0x236, fields.xloadFlags ?? 1, true);
    view.setUint32(0x238, fields.cmdlineSize ?? 2047, true);
    view.setBigUint64(0x258, BigInt(fields.prefAddress ?? 0x200000), true);
    view.setUint32(0x260, fields.initSize ?? 0x8000, true);
    return image;
}

export interface ElfPart {
    address: number;
    bytes: Uint8Array;
    memorySize?: number;
    type?: number;
}

/** An ELF executable; parts are its program headers. */
export function elf(bits: 32 | 64, entry: number, parts: readonly ElfPart[]): Uint8Array {
    const headerSize = bits === 64 ? 64 : 52;
    const entrySize = bits === 64 ? 56 : 32;
    const dataStart = headerSize + parts.length * entrySize;
    const size = parts.reduce((sum, part) => sum + part.bytes.length, dataStart);
    const image = new Uint8Array(size);
    const view = new DataView(image.buffer);
    view.setUint32(0, 0x464c457f, true);
    image[4] = bits === 64 ? 2 : 1;
    image[5] = 1;
    view.setUint16(0x12, bits === 64 ? 62 : 3, true);
    let at = dataStart;
    if (bits === 64) {
        view.setBigUint64(0x18, BigInt(entry), true);
        view.setBigUint64(0x20, 64n, true);
    } else {
        view.setUint32(0x18, entry, true);
        view.setUint32(0x1c, 52, true);
    }
    view.setUint16(bits === 64 ? 0x36 : 0x2a, entrySize, true);
    view.setUint16(bits === 64 ? 0x38 : 0x2c, parts.length, true);
    parts.forEach((part, index) => {
        const header = headerSize + index * entrySize;
        const { address, bytes, memorySize = bytes.length, type = 1 } = part;
        if (bits === 64) {
            view.setUint32(header, type, true);
            [at, address, address, bytes.length, memorySize, 4].forEach((value, field) =>
                view.setBigUint64(header + 8 + 8 * field, BigInt(value), true),
            );
        } else {
            [type, at, address, address, bytes.length, memorySize, 0, 4].forEach((value, field) =>
                view.setUint32(header + 4 * field, value, true),
            );
        }
        image.set(bytes, at);
        at += bytes.length;
    });
    return image;
}

/** An ELF note. */
export function note(name: string, type: number, descriptor: Uint8Array): Uint8Array {
    const nameSize = Math.ceil((name.length + 1) / 4) * 4;
    const bytes = new Uint8Array(12 + nameSize + Math.ceil(descriptor.length / 4) * 4);
    const view = new DataView(bytes.buffer);
    view.setUint32(0, name.length + 1, true);
    view.setUint32(4, descriptor.length, true);
    view.setUint32(8, type, true);
    bytes.set(new TextEncoder().encode(name), 12);
    bytes.set(descriptor, 12 + nameSize);
    return bytes;
}

export function u32s(...values: number[]): Uint8Array {
    const bytes = new Uint8Array(values.length * 4);
    values.forEach((value, index) => new DataView(bytes.buffer).setUint32(4 * index, value, true));
    return bytes;
}

/** A Multiboot header with a right checksum, followed by the address fields. */
export function multibootHeader(flags: number, ...addresses: number[]): Uint8Array {
    return u32s(0x1badb002, flags, -(0x1badb002 + flags), ...addresses);
}

/** A cpio archive in the "newc" format. */
export function cpio(files: readonly (readonly [string, string])[]): Uint8Array {
    const hex = (value: number): string => value.toString(16).padStart(8, '0');
    const pad = (text: string): string => text.padEnd(Math.ceil(text.length / 4) * 4, '\0');
    const entry = (name: string, data: string): string => {
        const numbers = [0, 0o100644, 0, 0, 1, 0, data.length, 0, 0, 0, 0, name.length + 1, 0];
        return pad(`070701${numbers.map(hex).join('')}${name}\0`) + pad(data);
    };
    const text = files.map(([name, data]) => entry(name, data)).join('') + entry('TRAILER!!!', '');
    return new TextEncoder().encode(text);
}

/** A machine's memory as a loader sees it, with the RSDP at 0xf0000. */
export function bootContext(mebibytes: number): { memory: GuestMemory; context: BootContext } {
    const memory = new GuestMemory({ ramSize: mebibytes * 0x100000, cpus: 1 });
    const tables = 0x10000;
    const context: BootContext = {
        write: (address, bytes) => memory.writeBytes(address, bytes),
        memoryMap: memoryMap(memory.layout, tables),
        ramEnd: memory.layout.lowRam - tables,
        rsdp: 0xf0000,
    };
    return { memory, context };
}

export function readBytes(memory: GuestMemory, address: number, length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    memory.readBytes(address, bytes);
    return bytes;
}

export function readText(memory: GuestMemory, address: number): string {
    const bytes = readBytes(memory, address, 4096);
    return new TextDecoder().decode(bytes.subarray(0, bytes.indexOf(0)));
}

/** A reproducible stream of pseudo-random numbers below `limit`. */
export function random(seed: number): (limit: number) => number {
    let state = seed >>> 0 || 1;
    return limit => {
        state ^= state << 13;
        state ^= state >>> 17;
        state ^= state << 5;
        return (state >>> 0) % limit;
    };
}

import { type Aml, buffer, concat, littleEndian } from './aml';

/**
 * Resource descriptors (ACPI 6.5, section 6.4) and the templates made of them.
 */

/** A buffer of descriptors with its end tag; a checksum of 0 means "not used". */
export function resources(...descriptors: readonly Uint8Array[]): Aml {
    return buffer(concat(...descriptors, [0x79, 0]));
}

/** I/O ports at a fixed place (section 6.4.2.5), 16-bit decode. */
export function ports(base: number, length: number): Uint8Array {
    return Uint8Array.of(0x47, 1, ...littleEndian(base, 2), ...littleEndian(base, 2), 1, length);
}

/** One ISA interrupt: edge triggered, active high, not shared (section 6.4.2.1). */
export function isaInterrupt(irq: number): Uint8Array {
    return Uint8Array.of(0x22, ...littleEndian(1 << irq, 2));
}

/** Memory at a fixed place (section 6.4.3.4). */
export function fixedMemory(base: number, length: number, writable: boolean): Uint8Array {
    return Uint8Array.of(0x86, 9, 0, Number(writable), ...littleEndian(base, 4), ...littleEndian(length, 4));
}

/** Interrupts to choose from: level triggered, active high, shared (section 6.4.3.6). */
export function sharedInterrupt(...gsis: readonly number[]): Uint8Array {
    const CONSUMER_LEVEL_HIGH_SHARED = 0x09;
    const vectors = gsis.flatMap(gsi => littleEndian(gsi, 4));
    return Uint8Array.of(
        0x89,
        ...littleEndian(2 + vectors.length, 2),
        CONSUMER_LEVEL_HIGH_SHARED,
        gsis.length,
        ...vectors,
    );
}

/** Offset of the first interrupt number in a {@link sharedInterrupt} descriptor. */
export const SHARED_INTERRUPT_NUMBER = 5;

const enum WindowType {
    Memory = 0,
    Io = 1,
    BusNumber = 2,
}

/** Minimum and maximum are fixed; the resource is produced for the devices behind the bridge. */
const WINDOW_FLAGS = 0x0c;
const IO_ENTIRE_RANGE = 3;
const MEMORY_READ_WRITE = 1;
const CACHEABLE = 2;

/** An address space descriptor (section 6.4.3.5): granularity, minimum, maximum, translation, length. */
function bridgeWindow(tag: number, width: number, type: WindowType, flags: number, first: number, last: number) {
    const numbers = [0, first, last, 0, last - first + 1].flatMap(value => littleEndian(value, width));
    return Uint8Array.of(tag, ...littleEndian(3 + numbers.length, 2), type, WINDOW_FLAGS, flags, ...numbers);
}

export function busNumbers(first: number, last: number): Uint8Array {
    return bridgeWindow(0x88, 2, WindowType.BusNumber, 0, first, last);
}

export function ioWindow(first: number, last: number): Uint8Array {
    return bridgeWindow(0x88, 2, WindowType.Io, IO_ENTIRE_RANGE, first, last);
}

export function memoryWindow(first: number, last: number, cacheable = false): Uint8Array {
    const flags = MEMORY_READ_WRITE | (cacheable ? CACHEABLE : 0);
    return last >= 2 ** 32
        ? bridgeWindow(0x8a, 8, WindowType.Memory, flags, first, last)
        : bridgeWindow(0x87, 4, WindowType.Memory, flags, first, last);
}

import type { MemoryMapEntry } from '../e820';
import type { ImageFile } from './image';

/** What the user asked to boot. */
export interface BootRequest {
    readonly kernel: ImageFile;
    /** The initial RAM disk, or the modules of a Multiboot kernel. */
    readonly modules: readonly BootModule[];
    readonly commandLine: string;
    /** What the host can unpack: for compressed kernels, and for checking a compressed initrd. */
    readonly decompressors?: Decompressors;
}

/** By compression (`gzip`, `xz`, …): unpacks a stream, ignoring what follows it; throws if it is damaged. */
export type Decompressors = Readonly<Record<string, (data: Uint8Array) => Uint8Array>>;

export interface BootModule extends ImageFile {
    /** The module's string: Multiboot only. */
    readonly commandLine?: string;
}

/** The machine as a loader sees it. */
export interface BootContext {
    /** Writes guest physical memory. */
    write(address: number, bytes: Uint8Array): void;
    readonly memoryMap: readonly MemoryMapEntry[];
    /** First address above the RAM from 1 MiB that loaders may fill; ACPI tables lie above it. */
    readonly ramEnd: number;
    /** Physical address of the ACPI root pointer, 0 if there is none. */
    readonly rsdp: number;
}

/** Where loaders put their small structures: conventional memory, which every boot protocol leaves to the loader. */
export const enum LowMemory {
    gdt = 0x1000,
    /** 6 pages of identity mapping. */
    pageTables = 0x9000,
    bootParams = 0x10000,
    commandLine = 0x20000,
    /** What Multiboot and PVH tell (from `bootParams` on), and everything of a 16-bit Linux setup, ends below this. */
    end = 0x90000,
}

/** A command line as the kernel reads it: UTF-8 with a final NUL. */
export function encodeCommandLine(text: string): Uint8Array {
    return new TextEncoder().encode(`${text}\0`);
}

/** Where the first megabyte ends and kernels are loaded. */
export const KERNEL_MINIMUM = 0x100000;

export function alignDown(value: number, alignment: number): number {
    return Math.floor(value / alignment) * alignment;
}

export function alignUp(value: number, alignment: number): number {
    return Math.ceil(value / alignment) * alignment;
}

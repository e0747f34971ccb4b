/**
 * The image of a Linux kernel in the memory of a guest: code, read-only data and variables, as they lie behind each
 * other where kernels map themselves (Documentation/arch/x86/x86_64/mm.rst).
 */
import type { InspectionSource } from '../debug/inspection-source';
import { pageTables } from '../inspect/paging/paging-format';
import { walk } from '../inspect/paging/walk';
import { IMAGE_END, IMAGE_FIRST } from '../symbols/kernel-range';

/** In which steps a kernel may map itself (CONFIG_PHYSICAL_ALIGN). */
const STEP = 0x200000;
const STEPS = Number(IMAGE_END - IMAGE_FIRST) / STEP;
/** No kernel is larger. */
const LARGEST = 0x10000000;
const PAGE = 0x1000;

/** Bytes that lie behind each other. */
export interface Image {
    /** Linear address of the first. */
    readonly start: bigint;
    /** Bytes. */
    readonly size: number;
    /** The 4 KiB at a multiple of 4 KiB, not to be written; undefined where there are none. */
    page(offset: number): Uint8Array | undefined;
}

/**
 * The kernel image that the page tables in use map; undefined if they map nothing where kernels are. The kernel frees
 * parts of it and unmaps them; those are read through the physical memory all the same, since the rest is in one piece.
 */
export function findImage(source: InspectionSource): Image | undefined {
    const tables = pageTables(source.system);
    if (tables.mode !== '4-level' && tables.mode !== '5-level') {
        return undefined;
    }
    let first = 0;
    let physical: number | undefined;
    let end = 0;
    for (let step = 0; step < STEPS && (physical === undefined || (step - first) * STEP < LARGEST); step++) {
        const { mapping } = walk(source, tables, IMAGE_FIRST + BigInt(step * STEP));
        if (mapping === undefined) continue;
        if (physical === undefined) {
            physical = mapping.physical;
            first = step;
        }
        if (mapping.physical === physical + (step - first) * STEP) {
            end = step + 1;
        }
    }
    if (physical === undefined) {
        return undefined;
    }
    const base = physical;
    return {
        start: IMAGE_FIRST + BigInt(first * STEP),
        size: (end - first) * STEP,
        page: offset => source.page(base + offset),
    };
}

/** As many of `length` bytes at an offset as there are in one piece. */
export function readImage(image: Image, offset: number, length: number): Uint8Array {
    if (offset < 0 || offset >= image.size) {
        return new Uint8Array(0);
    }
    const wanted = Math.min(length, image.size - offset);
    const bytes = new Uint8Array(wanted);
    for (let done = 0; done < wanted;) {
        const at = offset + done;
        const inPage = at % PAGE;
        const page = image.page(at - inPage);
        if (page === undefined) {
            return bytes.subarray(0, done);
        }
        const count = Math.min(PAGE - inPage, wanted - done);
        bytes.set(inPage === 0 && count === PAGE ? page : page.subarray(inPage, inPage + count), done);
        done += count;
    }
    return bytes;
}

/** As {@link readImage}, by linear address; all of the bytes, or undefined. */
export function readLinear(image: Image, address: bigint, length: number): Uint8Array | undefined {
    const offset = Number(address - image.start);
    const bytes = offset >= 0 && offset + length <= image.size ? readImage(image, offset, length) : undefined;
    return bytes?.length === length ? bytes : undefined;
}

/** A part of the image. */
export interface Surroundings {
    /** Its offset in the image: a multiple of 4 KiB. */
    readonly offset: number;
    readonly view: DataView;
}

/** What cannot be read there is 0. */
export function surroundings(image: Image, from: number, to: number): Surroundings {
    const offset = Math.max(0, from - (from % PAGE));
    const bytes = new Uint8Array(Math.max(0, Math.min(to, image.size) - offset));
    for (let at = 0; at < bytes.length; at += PAGE) {
        const page = image.page(offset + at);
        if (page !== undefined) bytes.set(page.subarray(0, Math.min(PAGE, bytes.length - at)), at);
    }
    return { offset, view: new DataView(bytes.buffer) };
}

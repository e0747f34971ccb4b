/** The build-id among the notes of a program in memory (System V gABI, "Note Section"). */
import { hexBytes } from '../inspect/hex';

const NT_GNU_BUILD_ID = 3;
const GNU = [0x47, 0x4e, 0x55, 0];
const HEADER = 12;
const LONGEST = 64;

/** In hexadecimal; undefined if none of the notes is one. */
export function buildIdIn(notes: Uint8Array): string | undefined {
    const view = new DataView(notes.buffer, notes.byteOffset, notes.byteLength);
    for (let at = 0; at + HEADER <= notes.length;) {
        const nameSize = view.getUint32(at, true);
        const size = view.getUint32(at + 4, true);
        const descriptor = at + HEADER + Math.ceil(nameSize / 4) * 4;
        const next = descriptor + Math.ceil(size / 4) * 4;
        if (next > notes.length) {
            return undefined;
        }
        const isGnu = nameSize === GNU.length && GNU.every((byte, index) => notes[at + HEADER + index] === byte);
        if (isGnu && view.getUint32(at + 8, true) === NT_GNU_BUILD_ID && size > 0 && size <= LONGEST) {
            const bytes = notes.subarray(descriptor, descriptor + size);
            return hexBytes(bytes, '');
        }
        at = next;
    }
    return undefined;
}

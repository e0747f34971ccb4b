import { gunzipSync } from 'node:zlib';
import type { Decompressors } from '../machine/loaders/boot-context';

/** More than any guest has memory for. */
const MOST_UNPACKED = 0x1_0000_0000;

/** Unpacks kernels, and lets a damaged initrd be refused before the guest panics over it. */
export const decompressors: Decompressors = { gzip: data => gunzipSync(data, { maxOutputLength: MOST_UNPACKED }) };

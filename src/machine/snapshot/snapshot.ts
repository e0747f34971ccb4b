import { SnapshotError } from '../../common/errors';
import type { StateRecord, StateValue } from '../../devices/device';
import { decodeState, encodeState } from './state-value';
import { Xxh32 } from './xxhash';

/**
 * The snapshot file. All numbers are little-endian.
 *
 *   header   8 bytes `HYPRSCOP`, u32 format version, u32 zero
 *   chunk    4 bytes type, u32 length, that many bytes; repeated:
 *     `RECS`   the named records, as one encoded object (see `state-value.ts`)
 *     `RAM `   u32 page number within guest RAM, then whole pages of 4096 bytes; pages of zeros are left out
 *     `END `   u32 XXH32 of all bytes before this chunk
 */
const MAGIC = new TextEncoder().encode('HYPRSCOP');
const VERSION = 1;
const HEADER_SIZE = 16;
const CHUNK_HEADER_SIZE = 8;
const PAGE = 0x1000;
/** Pages of one RAM chunk: large enough to be cheap, small enough to stream. */
const CHUNK_PAGES = 256;

/** Everything that a machine saves beside its RAM: records by name. */
export type Records = Readonly<Record<string, StateRecord>>;

/** The file, in pieces to be written one after the other. RAM must not change meanwhile. */
export function* writeSnapshot(records: Records, ram: Uint8Array): Generator<Uint8Array, void, void> {
    const hash = new Xxh32();
    const hashed = (bytes: Uint8Array): Uint8Array => {
        hash.update(bytes);
        return bytes;
    };
    const header = new Uint8Array(HEADER_SIZE);
    header.set(MAGIC);
    new DataView(header.buffer).setUint32(8, VERSION, true);
    yield hashed(header);

    yield hashed(chunk('RECS', encodeState(records as unknown as StateValue)));
    for (const [first, count] of runs(ram)) {
        const page = new Uint8Array(4);
        new DataView(page.buffer).setUint32(0, first, true);
        yield hashed(chunk('RAM ', page, ram.subarray(first * PAGE, (first + count) * PAGE)));
    }
    const digest = new Uint8Array(4);
    new DataView(digest.buffer).setUint32(0, hash.digest(), true);
    yield chunk('END ', digest);
}

/** A snapshot file, checked as a whole. */
export interface Snapshot {
    readonly records: Records;
    /** Fills `ram`: the saved pages, zeros between them. */
    restoreRam(ram: Uint8Array): void;
}

/**
 * Opens a snapshot file.
 * @throws SnapshotError if it is truncated, corrupt, of another version, or no snapshot at all
 */
export function readSnapshot(file: Uint8Array): Snapshot {
    const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
    if (file.length < HEADER_SIZE || MAGIC.some((byte, index) => file[index] !== byte)) {
        throw new SnapshotError('not a snapshot file');
    }
    const version = view.getUint32(8, true);
    if (version !== VERSION) {
        throw new SnapshotError(`snapshot file has format version ${version}; this build reads version ${VERSION}`);
    }
    let records: Records | undefined;
    const pages: { readonly first: number; readonly bytes: Uint8Array }[] = [];
    let at = HEADER_SIZE;
    for (;;) {
        if (at + CHUNK_HEADER_SIZE > file.length) {
            throw new SnapshotError(`snapshot file is truncated: it ends at byte ${file.length} without its end mark`);
        }
        const type = String.fromCharCode(...file.subarray(at, at + 4));
        const length = view.getUint32(at + 4, true);
        const body = file.subarray(at + CHUNK_HEADER_SIZE, at + CHUNK_HEADER_SIZE + length);
        if (body.length < length) {
            throw new SnapshotError(
                `snapshot file is truncated: a '${type}' chunk of ${length} bytes has ${body.length}`,
            );
        }
        if (type === 'END ') {
            if (length !== 4 || view.getUint32(at + CHUNK_HEADER_SIZE, true) !== hashOf(file.subarray(0, at))) {
                throw new SnapshotError('snapshot file is corrupt: its hash does not match');
            }
            break;
        }
        if (type === 'RECS') {
            records = asRecords(decodeState(body));
        } else if (type === 'RAM ' && length >= 4 && (length - 4) % PAGE === 0) {
            pages.push({ first: view.getUint32(at + CHUNK_HEADER_SIZE, true), bytes: body.subarray(4) });
        } else {
            throw new SnapshotError(`snapshot file is corrupt: unknown chunk at byte ${at}`);
        }
        at += CHUNK_HEADER_SIZE + length;
    }
    if (records === undefined) {
        throw new SnapshotError('snapshot file is corrupt: it holds no records');
    }
    return { records, restoreRam: ram => restorePages(ram, pages) };
}

function restorePages(ram: Uint8Array, pages: readonly { readonly first: number; readonly bytes: Uint8Array }[]): void {
    for (const { first, bytes } of pages) {
        if (first * PAGE + bytes.length > ram.length) {
            throw new SnapshotError(`snapshot holds RAM page ${first}, beyond the machine's memory`);
        }
    }
    let end = 0;
    for (const { first, bytes } of pages) {
        clear(ram, end, first * PAGE);
        ram.set(bytes, first * PAGE);
        end = first * PAGE + bytes.length;
    }
    clear(ram, end, ram.length);
}

/** Writes zeros only where there are none, so that untouched memory stays untouched on the host. */
function clear(ram: Uint8Array, from: number, to: number): void {
    const words = wordsOf(ram);
    for (let page = from / PAGE; page < to / PAGE; page++) {
        if (!isZero(words, page)) {
            ram.fill(0, page * PAGE, (page + 1) * PAGE);
        }
    }
}

/** Bytes of RAM in 4 KiB pages that are not all zero: what the guest has made use of, at least. */
export function bytesInUse(ram: Uint8Array): number {
    let pages = 0;
    for (const [, count] of runs(ram)) {
        pages += count;
    }
    return pages * PAGE;
}

/** Runs of pages that are not all zero: first page and count. */
export function* runs(ram: Uint8Array, limit = CHUNK_PAGES): Generator<readonly [number, number], void, void> {
    const pages = ram.length / PAGE;
    const words = wordsOf(ram);
    for (let page = 0; page < pages;) {
        if (isZero(words, page)) {
            page++;
            continue;
        }
        const first = page;
        while (page < pages && page - first < limit && !isZero(words, page)) {
            page++;
        }
        yield [first, page - first];
    }
}

/** RAM as words, for looking at it quickly. It begins at a multiple of 4. */
function wordsOf(ram: Uint8Array): Int32Array {
    return new Int32Array(ram.buffer, ram.byteOffset, ram.length / 4);
}

function isZero(words: Int32Array, page: number): boolean {
    const end = (page + 1) * (PAGE / 4);
    for (let index = page * (PAGE / 4); index < end; index++) {
        if (words[index] !== 0) {
            return false;
        }
    }
    return true;
}

function asRecords(value: StateValue): Records {
    const isRecord = (candidate: StateValue): boolean => {
        const record = candidate as Partial<StateRecord> | null;
        return (
            typeof record === 'object' &&
            typeof record?.kind === 'string' &&
            typeof record.version === 'number' &&
            typeof record.fields === 'object' &&
            record.fields !== null
        );
    };
    if (
        typeof value !== 'object' ||
        value === null ||
        Array.isArray(value) ||
        value instanceof Uint8Array ||
        !Object.values(value).every(isRecord)
    ) {
        throw new SnapshotError('snapshot is corrupt: its records are not records');
    }
    return value as unknown as Records;
}

function chunk(type: string, ...parts: readonly Uint8Array[]): Uint8Array {
    const length = parts.reduce((size, part) => size + part.length, 0);
    const bytes = new Uint8Array(CHUNK_HEADER_SIZE + length);
    bytes.set(new TextEncoder().encode(type));
    new DataView(bytes.buffer).setUint32(4, length, true);
    let at = CHUNK_HEADER_SIZE;
    for (const part of parts) {
        bytes.set(part, at);
        at += part.length;
    }
    return bytes;
}

function hashOf(bytes: Uint8Array): number {
    return new Xxh32().update(bytes).digest();
}

/**
 * The names that a Linux kernel keeps of its own functions and variables (kernel/kallsyms.c, scripts/kallsyms.c), found
 * in memory by the structure of their tables, whatever the version:
 *
 * - `token_table`: 256 strings with a NUL each; those of characters that names use stand for themselves
 * - `token_index`: where each of them begins, 16 bits each; right behind the table
 * - `names`: for each symbol, in the order of addresses, a length in bytes and that many tokens; the first character
 *   of what they spell is the type that `nm` tells. Since 6.1 a length of 128 and more takes two bytes
 * - `markers`: where every 256th symbol begins in `names`, 32 bits each (64 before 4.20)
 * - `num_syms`: right before `names`
 * - `offsets` with `relative_base` (64 bits) behind them, 32 bits each: signed with per-CPU variables as positive
 *   numbers, or unsigned; later relative to the entry's own place, without a base. Before 4.6 `addresses`, 64 bits each
 *
 * Until 6.3 addresses come first: offsets, base, number, names, markers, tokens; since 6.4 they come last. Between
 * markers and tokens some kernels have an index by names, which is not needed.
 */
import type { NameList } from '../symbols/listed-symbols';
import { addressesBefore, addressesBehind } from './kallsyms-addresses';
import { type Image, readImage, readLinear, type Surroundings, surroundings } from './kernel-image';

/** Addresses are linear; of per-CPU variables they are the offset in a CPU's area. */
export type Kallsyms = NameList;

const PAGE = 0x1000;
const TOKENS = 256;
const DIGITS = 10;
const ZERO = 0x30;
/** `token_table` cannot be longer: a name has 512 characters at most. */
const LONGEST_TOKENS = TOKENS * 513;
/** Everything else lies no further from it; in most kernels much nearer. */
const REACHES = [0x400000, 0x1000000];
/** Symbols between two markers. */
const PER_MARKER = 256;
const FEWEST_MARKERS = 4;
/** Bytes of 256 names: each has a length and a token at least. */
const SHORTEST_STRIDE = PER_MARKER * 2;
const LONGEST_STRIDE = PER_MARKER * 200;
/** Words behind the markers that may look like some more of them. */
const MOST_CHANCE = 3;
/** Longer names are those of corrupt tables (KSYM_NAME_LEN). */
const LONGEST_NAME = 1024;
/** Places that look like tables: more are hostile. */
const MOST_CANDIDATES = 64;
const MOST_SYMBOLS = 1 << 20;
/** Names that are looked at in the whole search: memory that is full of things like tables is hostile, too. */
const MOST_WORK = 1 << 24;

/** What the search may still do. */
interface Work {
    left: number;
}

/** The tables of a kernel; undefined if there are none. */
export function findKallsyms(image: Image): Kallsyms | undefined {
    const work: Work = { left: MOST_WORK };
    let tried = 0;
    for (const digits of digitRuns(image)) {
        if (++tried > MOST_CANDIDATES || work.left < 0) {
            break;
        }
        const tokens = readTokens(image, digits);
        const found = tokens && readTables(image, tokens, work);
        if (found !== undefined) {
            return found;
        }
    }
    return undefined;
}

// ---- tokens ------------------------------------------------------------------------------------------------------

/** Offsets of the digits, each with a NUL: all of them occur in names, so they stand in the table of tokens. */
function* digitRuns(image: Image): Generator<number> {
    // Of two neighbours in the run one is a digit and the other is 0: to look at two bytes of each length suffices.
    const step = 2 * DIGITS - 2;
    for (let base = 0; base < image.size; base += PAGE) {
        const page = image.page(base);
        if (page === undefined) continue;
        for (let at = 0; at + 1 < PAGE; at += step) {
            const here = page[at];
            const next = page[at + 1];
            let start: number;
            if (next === 0 && here >= ZERO && here < ZERO + DIGITS) start = base + at - 2 * (here - ZERO);
            else if (here === 0 && next >= ZERO && next < ZERO + DIGITS) start = base + at + 1 - 2 * (next - ZERO);
            else continue;
            if (areDigits(readImage(image, start, 2 * DIGITS))) {
                yield start;
                at += step;
            }
        }
    }
}

function areDigits(bytes: Uint8Array): boolean {
    return (
        bytes.length === 2 * DIGITS &&
        bytes.every((byte, index) => byte === (index % 2 === 1 ? 0 : ZERO + (index >> 1)))
    );
}

interface Tokens {
    /** Offsets of the table, and of what follows the index. */
    readonly start: number;
    readonly end: number;
    readonly texts: readonly string[];
}

/** The table that the digits stand in. */
function readTokens(image: Image, digits: number): Tokens | undefined {
    const bytes = readImage(image, digits, LONGEST_TOKENS);
    const starts: number[] = [];
    let at = 0;
    for (let token = ZERO; token < TOKENS; token++) {
        starts[token] = at;
        const end = bytes.indexOf(0, at);
        if (end < 0 || end - at > LONGEST_NAME) {
            return undefined;
        }
        at = end + 1;
    }
    for (let padding = 0; padding < 8; padding++) {
        const index = readImage(image, digits + at + padding, TOKENS * 2);
        if (index.length < TOKENS * 2) return undefined;
        const of = (token: number): number => index[2 * token] | (index[2 * token + 1] << 8);
        const before = of(ZERO);
        if (of(0) !== 0 || starts.some((start, token) => of(token) !== before + start)) continue;
        const start = digits - before;
        const table = readImage(image, start, before + at);
        const texts: string[] = [];
        for (let token = 0; token < TOKENS; token++) {
            const end = token + 1 < TOKENS ? of(token + 1) : table.length;
            if (end <= of(token) || table[end - 1] !== 0) break;
            texts.push(String.fromCharCode(...table.subarray(of(token), end - 1)));
        }
        if (texts.length === TOKENS) {
            return { start, end: digits + at + padding + TOKENS * 2, texts };
        }
    }
    return undefined;
}

// ---- names -------------------------------------------------------------------------------------------------------

function readTables(image: Image, tokens: Tokens, work: Work): Kallsyms | undefined {
    for (const reach of REACHES) {
        const found = readTablesIn(image, tokens, surroundings(image, tokens.start - reach, tokens.start), work);
        if (found !== undefined || reach > tokens.start) return found;
    }
    return undefined;
}

function readTablesIn(image: Image, tokens: Tokens, before: Surroundings, work: Work): Kallsyms | undefined {
    let unproved: Kallsyms | undefined;
    for (const markers of markerRuns(before.view)) {
        for (const names of namesBefore(before.view, markers, work)) {
            work.left -= names.count;
            const { texts, types } = expand(before.view, names, tokens.texts);
            if (texts.length < names.count) continue;
            for (const addresses of [
                ...addressesBehind(image, tokens.end, names.count),
                ...addressesBefore(image, before.offset + names.countAt, names.count),
            ]) {
                const found = { names: texts, types, addresses };
                if (isProved(image, found)) return found;
                unproved ??= found;
            }
        }
    }
    return unproved;
}

const BANNER = 'Linux version ';

/** Whether names are where it shows that they belong: addresses that are shifted by one look as good as the others. */
function isProved(image: Image, { names, addresses }: Kallsyms): boolean {
    const banner = names.indexOf('linux_banner');
    if (banner >= 0) {
        return String.fromCharCode(...(readLinear(image, addresses[banner], BANNER.length) ?? [])) === BANNER;
    }
    const text = names.indexOf('_text');
    return text >= 0 && addresses[text] === image.start;
}

interface Markers {
    readonly at: number;
    readonly values: readonly number[];
}

/** Numbers that ascend from 0 as markers do, the last ones first: those of the kernel lie near the tokens. */
function* markerRuns(view: DataView): Generator<Markers> {
    const words = new Uint32Array(view.buffer, view.byteOffset, view.byteLength >> 2);
    let tried = 0;
    for (let at = words.length - FEWEST_MARKERS; at >= 0; at--) {
        if (words[at] !== 0) continue;
        for (const size of [1, 2] as const) {
            if (!isStride(words[at + size])) continue;
            const values = [0];
            for (let next = at + size; next + size <= words.length; next += size) {
                const value = words[next];
                if (!isStride(value - values[values.length - 1]) || (size === 2 && words[next + 1] !== 0)) break;
                values.push(value);
            }
            if (values.length < FEWEST_MARKERS) continue;
            if (++tried > MOST_CANDIDATES) return;
            yield { at: at * 4, values };
        }
    }
}

function isStride(bytes: number): boolean {
    return bytes >= SHORTEST_STRIDE && bytes <= LONGEST_STRIDE;
}

interface Names {
    readonly count: number;
    /** Offset of that number. */
    readonly countAt: number;
    readonly start: number;
    /** Whether the eighth bit of a length says that another byte of it follows. */
    readonly long: boolean;
}

/** Names that end where the markers begin, with their number before them. */
function* namesBefore(view: DataView, { at, values }: Markers, work: Work): Generator<Names> {
    const least = values[Math.max(0, values.length - 1 - MOST_CHANCE)];
    const most = values[values.length - 1] + LONGEST_STRIDE;
    for (let start = at - least - ((at - least) % 4); start >= Math.max(8, at - most); start -= 4) {
        for (const countAt of [start - 8, start - 4]) {
            const count = view.getUint32(countAt, true);
            if (count > MOST_SYMBOLS || work.left < 0) continue;
            const markers = Math.ceil(count / PER_MARKER);
            if (markers > values.length || markers < Math.max(1, values.length - MOST_CHANCE)) continue;
            for (const long of [true, false]) {
                const names = { count, countAt, start, long };
                if (areNames(view, names, values, { end: at, work })) yield names;
            }
        }
    }
}

function areNames(
    view: DataView,
    { count, start, long }: Names,
    markers: readonly number[],
    { end, work }: { readonly end: number; readonly work: Work },
): boolean {
    let at = start;
    for (let index = 0; index < count; index++) {
        if (index % PER_MARKER === 0 && at - start !== markers[index / PER_MARKER]) return false;
        if (at + 2 > end || --work.left < 0) return false;
        let length = view.getUint8(at++);
        if (long && length >= 0x80) length = (length & 0x7f) | (view.getUint8(at++) << 7);
        if (length === 0 || length > LONGEST_NAME) return false;
        at += length;
    }
    return at <= end && end - at < 8;
}

/** The names with their types; fewer than there are if one is none. */
function expand(
    view: DataView,
    { count, start, long }: Names,
    tokens: readonly string[],
): { texts: string[]; types: string[] } {
    const texts: string[] = [];
    const types: string[] = [];
    let at = start;
    while (texts.length < count) {
        let length = view.getUint8(at++);
        if (long && length >= 0x80) length = (length & 0x7f) | (view.getUint8(at++) << 7);
        let text = '';
        for (let index = 0; index < length && text.length <= LONGEST_NAME; index++) text += tokens[view.getUint8(at++)];
        if (text.length < 2 || text.length > LONGEST_NAME) break;
        types.push(text[0]);
        texts.push(text.slice(1));
    }
    return { texts, types };
}

/**
 * Disassembly around an address, forwards and backwards.
 *
 * x86 code cannot be read backwards. Starting at every byte of the stretch before the address, decoding forwards falls
 * into step with the real instructions after a few; so of the instructions that could end where the next one begins,
 * the one that most of these walks pass through is taken. Places known to begin an instruction (where the vCPU has
 * stopped, symbols, what was shown before) count for more, so that a listing does not change from one step to the next.
 */
import { type CodeSize, decode, formatInstruction, type Instruction, MAX_INSTRUCTION_LENGTH } from '../isa/x86';

/** What the disassembler reads. */
export interface CodeSource {
    /** As many of `length` bytes at a linear address as can be read. */
    read(address: bigint, length: number): Uint8Array;
    /** Name of a linear address. */
    symbol(address: bigint): string | undefined;
    /** Whether a symbol begins at the linear address. */
    isSymbol(address: bigint): boolean;
}

export interface CodeView {
    readonly codeSize: CodeSize;
    /** Linear address of offset 0 of the code segment. */
    readonly base: bigint;
}

export interface DisassembledInstruction {
    /** Linear. */
    readonly address: bigint;
    /** Empty where there is no memory. */
    readonly bytes: Uint8Array;
    /** `(bad)` for bytes that are no instruction, `??` where there is no memory. */
    readonly text: string;
    readonly instruction?: Instruction;
    /** Name of the address, if it has one. */
    readonly symbol?: string;
}

/** A walk that starts at a known instruction outweighs any number of walks that start in the blue. */
const KNOWN_WEIGHT = 1000;
/** Known starts are hints; so many are enough. */
const MOST_KNOWN = 50_000;

export class Disassembler {
    /** Linear addresses at which instructions are known to begin. */
    private readonly known = new Set<bigint>();

    constructor(private readonly source: CodeSource) {}

    /** Notes that an instruction begins here: the vCPU has stopped at it. */
    noteInstruction(address: bigint): void {
        if (this.known.size >= MOST_KNOWN) {
            this.known.clear();
        }
        this.known.add(address);
    }

    /** `count` instructions, the first of them `offset` instructions away from the one at `address`. */
    around(address: bigint, offset: number, count: number, view: CodeView): DisassembledInstruction[] {
        this.noteInstruction(address);
        const before = offset < 0 ? this.backward(address, -offset, view).slice(0, count) : [];
        const skipped = Math.max(0, offset);
        const after = this.forward(address, skipped + count - before.length, view).slice(skipped);
        const listing = [...before, ...after];
        for (const { address: start, instruction } of listing) {
            if (instruction !== undefined) {
                this.noteInstruction(start);
            }
        }
        return listing;
    }

    /** The instruction at an address; undefined if there is none. */
    at(address: bigint, view: CodeView): DisassembledInstruction {
        return this.forward(address, 1, view)[0];
    }

    private forward(start: bigint, count: number, view: CodeView): DisassembledInstruction[] {
        const listing: DisassembledInstruction[] = [];
        let window = this.source.read(start, Math.min(count, 256) * 8 + MAX_INSTRUCTION_LENGTH);
        let windowStart = start;
        for (let address = start; listing.length < count;) {
            let at = Number(BigInt.asUintN(64, address - windowStart));
            if (at + MAX_INSTRUCTION_LENGTH > window.length) {
                window = this.source.read(address, 0x400);
                windowStart = address;
                at = 0;
            }
            const entry = this.decodeAt(window, at, address, view);
            listing.push(entry);
            address = wrap(address + BigInt(Math.max(1, entry.bytes.length)), view);
        }
        return listing;
    }

    private backward(end: bigint, count: number, view: CodeView): DisassembledInstruction[] {
        const window = this.readBefore(end, (count + 4) * MAX_INSTRUCTION_LENGTH);
        const start = end - BigInt(window.length);
        const lengths = lengthsOf(window, view.codeSize);
        const votes = this.vote(lengths, start, view);
        const listing: DisassembledInstruction[] = [];
        for (let at = window.length; listing.length < count;) {
            const previous = likeliestBefore(at, lengths, votes);
            if (previous === undefined) {
                // Nothing ends here: a lone byte, or no memory at all.
                at--;
                const address = wrap(start + BigInt(at), view);
                listing.push(at < 0 ? missing(address) : this.bad(window.subarray(at, at + 1), address));
            } else {
                at = previous;
                listing.push(this.decodeAt(window, at, wrap(start + BigInt(at), view), view));
            }
        }
        return listing.reverse();
    }

    /** The bytes right before an address, as far back as `length` or as memory reaches. */
    private readBefore(end: bigint, length: number): Uint8Array {
        let readable = end < BigInt(length) ? Number(end) : length;
        for (;;) {
            const bytes = this.source.read(end - BigInt(readable), readable);
            if (bytes.length === readable) {
                return bytes;
            }
            // The gap ends at a page boundary above the last byte that was read.
            const gap = end - BigInt(readable - bytes.length);
            const nextPage = (gap | 0xfffn) + 1n;
            if (nextPage >= end) {
                return new Uint8Array(0);
            }
            readable = Number(end - nextPage);
        }
    }

    /** By byte: the weight of the walks that pass through it. */
    private vote(lengths: Uint8Array, start: bigint, view: CodeView): Float64Array {
        const votes = new Float64Array(lengths.length);
        for (let at = 0; at < lengths.length; at++) {
            const address = wrap(start + BigInt(at), view);
            votes[at] += this.known.has(address) || this.source.isSymbol(address) ? KNOWN_WEIGHT : 1;
            const next = at + lengths[at];
            if (lengths[at] > 0 && next < lengths.length) {
                votes[next] += votes[at];
            }
        }
        return votes;
    }

    private decodeAt(window: Uint8Array, at: number, address: bigint, view: CodeView): DisassembledInstruction {
        if (at >= window.length) {
            return missing(address);
        }
        const decoded = decode(window, at, window.length, view.codeSize);
        if (typeof decoded === 'number') {
            return this.bad(window.subarray(at, at + 1), address);
        }
        const { base } = view;
        return {
            address,
            bytes: window.slice(at, at + decoded.length),
            text: formatInstruction(decoded, wrap(address - base, view), {
                symbol: offset => this.source.symbol(wrap(offset + base, view)),
            }),
            instruction: decoded,
            symbol: this.source.symbol(address),
        };
    }

    private bad(bytes: Uint8Array, address: bigint): DisassembledInstruction {
        return { address, bytes: bytes.slice(), text: '(bad)', symbol: this.source.symbol(address) };
    }
}

function missing(address: bigint): DisassembledInstruction {
    return { address, bytes: new Uint8Array(0), text: '??' };
}

/** Linear addresses are 32 bits wide outside 64-bit code. */
function wrap(address: bigint, { codeSize }: CodeView): bigint {
    return BigInt.asUintN(codeSize === 64 ? 64 : 32, address);
}

/** Length of the instruction that begins at each byte, 0 where none does. */
function lengthsOf(window: Uint8Array, codeSize: CodeSize): Uint8Array {
    return Uint8Array.from(window, (_, at) => {
        const decoded = decode(window, at, window.length, codeSize);
        return typeof decoded === 'number' ? 0 : decoded.length;
    });
}

function likeliestBefore(end: number, lengths: Uint8Array, votes: Float64Array): number | undefined {
    let best: number | undefined;
    for (let at = Math.max(0, end - MAX_INSTRUCTION_LENGTH); at < end; at++) {
        if (at + lengths[at] === end && lengths[at] > 0 && (best === undefined || votes[at] > votes[best])) {
            best = at;
        }
    }
    return best;
}

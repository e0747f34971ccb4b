/** Guest disassembly as documents: stable text, in which lines stand for addresses. */
import type { DebugProtocol } from '@vscode/debugprotocol';
import type { CodeRegion } from '../debug/code-region';
import type { DisassembledInstruction } from '../debug/disassembler';
import type { DebugTarget } from '../debug/target';
import { LISTING_EXTENSION, type ListingLine } from '../messages/listing';
import { SourceText, sourceHeadings } from './listing-headings';
import { RequestError } from './request-error';

/** The oldest listings go once there are more. */
const MOST_LISTINGS = 1000;
/** Instructions that one call of the disassembler gives. */
const PIECE = 512;
/** Bytes of an instruction that are shown; longer ones are rare. */
const SHOWN_BYTES = 10;

/** So many lines of nothing but zero bytes become one. */
const ZERO_LINES = 8;

interface Line {
    readonly text: string;
    /** Linear; absent for a label and a heading. */
    readonly address?: bigint;
    readonly length: number;
    /** Instructions that it stands for, if they are several. */
    readonly folded?: readonly bigint[];
}

/** A document; once made it never changes. */
export class Listing {
    private readonly lineByAddress = new Map<bigint, number>();

    constructor(
        readonly reference: number,
        readonly name: string,
        readonly region: CodeRegion,
        /** Of the region, as it was disassembled. */
        readonly bytes: Uint8Array,
        private readonly content: readonly Line[],
    ) {
        content.forEach(({ address, folded }, index) => {
            if (address !== undefined) this.lineByAddress.set(address, index + 1);
            folded?.forEach(inside => this.lineByAddress.set(inside, index + 1));
        });
    }

    get text(): string {
        // Names and paths come from symbol files, which may be anybody's: each line stays one.
        return `${this.content.map(({ text }) => text.replace(/[\p{Cc}\p{Zl}\p{Zp}]/gu, '?')).join('\n')}\n`;
    }

    get lines(): ListingLine[] {
        return this.content.map(({ address, length }) => ({
            address: address === undefined ? undefined : `0x${address.toString(16)}`,
            length,
        }));
    }

    get lineCount(): number {
        return this.content.length;
    }

    /** For the protocol. */
    get source(): DebugProtocol.Source {
        return { name: this.name, sourceReference: this.reference, origin: 'disassembly of the guest' };
    }

    /** Line (from 1) of an instruction's address. */
    lineOf(address: bigint): number | undefined {
        return this.lineByAddress.get(address);
    }

    /** Address of the instruction on a line (from 1), or of the next one below: labels stand for what follows them. */
    instructionAt(line: number): { line: number; address: bigint } | undefined {
        for (let at = Math.max(1, line); at <= this.content.length; at++) {
            const { address } = this.content[at - 1];
            if (address !== undefined) {
                return { line: at, address };
            }
        }
        return undefined;
    }
}

export class ListingStore {
    private readonly byReference = new Map<number, Listing>();
    /** The newest listing of each region. */
    private readonly byRegion = new Map<string, Listing>();
    private lastReference = 0;

    /**
     * @param created a new document exists
     * @param sharesFiles whether what stands above the instructions may come from files of this machine
     */
    constructor(
        private readonly created: (listing: Listing) => void,
        private readonly sharesFiles: () => boolean,
    ) {}

    get all(): readonly Listing[] {
        return [...this.byReference.values()];
    }

    /** @throws RequestError for a reference that was never given out, or whose listing has gone */
    byId(reference: number): Listing {
        const listing = this.byReference.get(reference);
        if (listing === undefined) {
            throw new RequestError(`there is no listing ${reference}: it was never given out, or is too old`);
        }
        return listing;
    }

    find(reference: number): Listing | undefined {
        return this.byReference.get(reference);
    }

    /** The newest listing of a name. */
    named(name: string): Listing | undefined {
        return [...this.byReference.values()].reverse().find(listing => listing.name === name);
    }

    /** The listing that shows an instruction of a vCPU; undefined where there is no memory. */
    async at(target: DebugTarget, vcpu: number, address: bigint): Promise<Listing | undefined> {
        const region = await target.codeRegion(vcpu, address);
        const length = Number(region.end - region.start);
        // Where its program is may be found out later: then the code has lines.
        const hasLines = (await target.sourceLines?.lineAt(region.start)) !== undefined;
        const key = `${region.start}-${length}-${region.codeSize}-${hasLines}`;
        const known = this.byRegion.get(key);
        const bytes = await target.readMemory(vcpu, { space: 'linear', offset: region.start }, length);
        if (known?.lineOf(address) !== undefined && Buffer.compare(known.bytes, bytes) === 0) {
            return known;
        }
        const instructions = await disassembleRegion(target, vcpu, region, address);
        if (instructions.every(({ bytes: { length } }) => length === 0)) {
            return undefined;
        }
        const addresses = instructions.map(instruction => instruction.address);
        // Read anew for each listing: sources are edited between one launch and the next.
        const headings = await sourceHeadings(target, addresses, new SourceText(this.sharesFiles));
        const name = region.name ?? `0x${region.start.toString(16)}`;
        const listing = new Listing(
            ++this.lastReference,
            `${name}${LISTING_EXTENSION}`,
            region,
            bytes,
            layOut(instructions, region, headings),
        );
        this.byReference.set(listing.reference, listing);
        this.byRegion.set(key, listing);
        this.forgetOldest();
        this.created(listing);
        return listing;
    }

    private forgetOldest(): void {
        const [oldest] = this.byReference.values();
        if (this.byReference.size > MOST_LISTINGS) {
            this.byReference.delete(oldest.reference);
            for (const [key, listing] of this.byRegion) {
                if (listing === oldest) this.byRegion.delete(key);
            }
        }
    }
}

/** The region's instructions, such that one of them begins at `anchor`. */
async function disassembleRegion(
    target: DebugTarget,
    vcpu: number,
    region: CodeRegion,
    anchor: bigint,
): Promise<DisassembledInstruction[]> {
    const { start, end } = region;
    const before: DisassembledInstruction[] = [];
    for (let from = anchor; from > start;) {
        const piece = (await target.disassemble(vcpu, from, -PIECE, PIECE)).filter(
            ({ address }) => address < from && address >= start,
        );
        if (piece.length === 0) break;
        before.unshift(...piece);
        from = piece[0].address;
    }
    const after: DisassembledInstruction[] = [];
    for (let from = anchor; from < end;) {
        const piece = (await target.disassemble(vcpu, from, 0, PIECE)).filter(
            ({ address }) => address >= from && address < end,
        );
        after.push(...piece);
        const last = piece.at(-1);
        const next = last === undefined ? end : last.address + BigInt(Math.max(1, last.bytes.length));
        if (next <= from) break;
        from = next;
    }
    return [...before, ...after];
}

function layOut(
    instructions: readonly DisassembledInstruction[],
    { codeSize }: CodeRegion,
    headings: ReadonlyMap<bigint, string>,
): Line[] {
    const lines: Line[] = [];
    for (let at = 0; at < instructions.length;) {
        const { address, bytes, text, symbol } = instructions[at];
        if (symbol !== undefined && !symbol.includes('+')) {
            lines.push({ text: `${symbol}:`, length: 0 });
        }
        const heading = headings.get(address);
        if (heading !== undefined) lines.push({ text: heading, length: 0 });
        const digits = address.toString(16).padStart(codeSize === 64 ? 16 : 8, '0');
        const zeros = zeroLines(instructions, at);
        if (zeros >= ZERO_LINES) {
            const folded = instructions.slice(at, at + zeros).map(instruction => instruction.address);
            const length = instructions
                .slice(at, at + zeros)
                .reduce((sum, instruction) => sum + instruction.bytes.length, 0);
            lines.push({
                address,
                length,
                folded,
                text: `${digits}  ${'00 …'.padEnd(3 * SHOWN_BYTES)} (${length} zero bytes)`,
            });
            at += zeros;
        } else {
            lines.push({ address, length: bytes.length, text: `${digits}  ${formatBytes(bytes)} ${text}` });
            at++;
        }
    }
    return lines;
}

/** How many instructions from here on consist of zero bytes and have no name of their own. */
function zeroLines(instructions: readonly DisassembledInstruction[], from: number): number {
    let at = from;
    for (; at < instructions.length; at++) {
        const { bytes, symbol } = instructions[at];
        const named = at > from && symbol !== undefined && !symbol.includes('+');
        if (named || bytes.length === 0 || bytes.some(byte => byte !== 0)) break;
    }
    return at - from;
}

function formatBytes(bytes: Uint8Array): string {
    const shown = Buffer.from(bytes.subarray(0, SHOWN_BYTES))
        .toString('hex')
        .replace(/..(?=.)/g, '$& ');
    return (bytes.length > SHOWN_BYTES ? `${shown}…` : shown).padEnd(3 * SHOWN_BYTES);
}

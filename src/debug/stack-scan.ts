/**
 * Finds callers by looking through the stack for return addresses: words that address code right behind a call. Stale
 * ones of earlier calls are found too, so these frames are guesses.
 */
import { type CodeSize, decode } from '../isa/x86';

/** Lengths of near calls: FF /2 with its address forms, and E8 with a prefix or without. */
const CALL_LENGTHS = [5, 2, 3, 6, 7, 4] as const;
const LONGEST_CALL = 7;

/** Stack words that are looked at, and callers that are enough. */
export const SCANNED_WORDS = 1024;
export const MOST_GUESSES = 32;

export interface ScannedStack {
    /** The stack from the stack pointer upwards. */
    readonly bytes: Uint8Array;
    /** Bytes of a return address. */
    readonly width: number;
    readonly codeSize: CodeSize;
    /** The bytes before a code address, as many as there are; none if it is not executable. */
    codeBefore(address: bigint, length: number): Uint8Array;
}

export interface FoundReturn {
    /** The return address, as an offset in the code segment. */
    readonly address: bigint;
    /** Where behind the stack pointer it lies. */
    readonly offset: number;
}

export function scanForReturns(stack: ScannedStack): FoundReturn[] {
    const { bytes, width } = stack;
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const found: FoundReturn[] = [];
    for (let offset = 0; offset + width <= bytes.length && found.length < MOST_GUESSES; offset += width) {
        const address =
            width === 8
                ? view.getBigUint64(offset, true)
                : BigInt(width === 4 ? view.getUint32(offset, true) : view.getUint16(offset, true));
        // Most words are small numbers or data: only then is it worth to look at the page tables.
        if (address >= 0x1000n && followsCall(stack.codeSize, address, stack.codeBefore.bind(stack))) {
            found.push({ address, offset });
        }
    }
    return found;
}

/** Whether a code address is where a near call returns to. @param codeBefore as {@link ScannedStack} has it */
export function followsCall(
    codeSize: CodeSize,
    address: bigint,
    codeBefore: (address: bigint, length: number) => Uint8Array,
): boolean {
    const before = codeBefore(address, LONGEST_CALL);
    return CALL_LENGTHS.some(length => {
        const start = before.length - length;
        if (start < 0) {
            return false;
        }
        const decoded = decode(before, start, before.length, codeSize);
        return typeof decoded !== 'number' && decoded.length === length && decoded.row.mnemonic === 'CALL';
    });
}

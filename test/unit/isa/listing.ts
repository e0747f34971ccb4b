import {
    type CodeSize,
    decode,
    DecodeFailure,
    type FormatOptions,
    formatInstruction,
    type Instruction,
} from '../../../src/isa/x86';

const FAILURES: Readonly<Record<DecodeFailure, string>> = {
    [DecodeFailure.Undefined]: 'undefined',
    [DecodeFailure.Truncated]: 'truncated',
    [DecodeFailure.TooLong]: 'too long',
};

/** The bytes of a string such as `0f b6 c1`. */
export function parseBytes(text: string): Uint8Array {
    return Uint8Array.from(text.split(' '), byte => parseInt(byte, 16));
}

/** Decodes all the bytes as one instruction; what decoding fails with is thrown. */
export function decodeBytes(text: string, codeSize: CodeSize): Instruction {
    const bytes = parseBytes(text);
    const result = decode(bytes, 0, bytes.length, codeSize);
    if (typeof result === 'number') {
        throw new Error(`${text}: ${FAILURES[result]}`);
    }
    return result;
}

/**
 * The disassembly of bytes at `address`, or the failure. Bytes that the instruction leaves over are counted, since a
 * wrong length is the worst that a decoder can do: `nop +2`.
 */
export function list(text: string, codeSize: CodeSize, address = 0x1000n, options?: FormatOptions): string {
    const bytes = parseBytes(text);
    const result = decode(bytes, 0, bytes.length, codeSize);
    if (typeof result === 'number') {
        return FAILURES[result];
    }
    const left = bytes.length - result.length;
    return `${formatInstruction(result, address, options)}${left === 0 ? '' : ` +${left}`}`;
}

/** Text, bytes and hexadecimal digits as packets have them. */
import { littleEndian } from '../debug/memory-access';

const encoder = new TextEncoder();
/** Every byte is a character: packets are not UTF-8. */
export function latin1(bytes: Uint8Array): string {
    return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1');
}

export function fromLatin1(text: string): Uint8Array {
    return Buffer.from(text, 'latin1');
}

export function hexOfText(text: string): string {
    return toHex(encoder.encode(text));
}

export function toHex(bytes: Uint8Array): string {
    return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('hex');
}

/** The bytes that the digits stand for, or undefined. */
export function fromHex(digits: string): Uint8Array | undefined {
    return digits.length % 2 === 0 && /^[0-9a-f]*$/i.test(digits) ? Buffer.from(digits, 'hex') : undefined;
}

/** The low bytes of a number, as registers are on the wire. */
export function littleEndianHex(value: bigint, size: number): string {
    const bytes = new Uint8Array(size);
    for (let at = 0, rest = BigInt.asUintN(8 * size, value); at < size; at++, rest >>= 8n) {
        bytes[at] = Number(rest & 0xffn);
    }
    return toHex(bytes);
}

/** The number whose bytes the digits are, or undefined. */
export function parseLittleEndian(digits: string): bigint | undefined {
    const bytes = fromHex(digits);
    return bytes && littleEndian(bytes);
}

/** A number in hexadecimal of up to 64 bits, or undefined. */
export function parseHex(digits: string): bigint | undefined {
    return /^[0-9a-f]{1,16}$/i.test(digits) ? BigInt(`0x${digits}`) : undefined;
}

/** A number in hexadecimal, as long as it is at most `limit`. */
export function parseCount(digits: string, limit: number): number | undefined {
    const value = parseHex(digits);
    return value !== undefined && value <= BigInt(limit) ? Number(value) : undefined;
}

/** `address,length` in hexadecimal, of up to 64 bits each, or undefined. */
export function parseRange(text: string): { readonly offset: bigint; readonly length: bigint } | undefined {
    const match = /^([0-9a-f]{1,16})[,;]([0-9a-f]{1,16})$/i.exec(text);
    return match === null ? undefined : { offset: BigInt(`0x${match[1]}`), length: BigInt(`0x${match[2]}`) };
}

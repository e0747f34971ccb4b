/**
 * What to search memory for, as users write it: bytes with wildcards, texts, numbers. A pattern is a row of bytes, each
 * with a mask of the bits that count.
 */
import { InspectionError } from '../errors';

export interface BytePattern {
    readonly values: Uint8Array;
    readonly masks: Uint8Array;
    /** Natural alignment: the size of a number, else 1. */
    readonly alignment: number;
}

const LONGEST = 4096;

const NUMBER_SIZES: Readonly<Record<string, number>> = { 8: 1, 16: 2, 32: 4, 64: 8 };

/** `u64 = …`: the type, and the text of the number. */
const NUMBER = /^\s*([uif])(8|16|32|64)\s*={1,2}\s*(\S[\s\S]*)$/i;
const TEXT = /^\s*(L|u|utf-?16)?\s*(["'])([\s\S]*)\2\s*$/i;

/** Whether the pattern has an expression in it, and which: it has to be evaluated before the pattern can be read. */
export function expressionIn(text: string): string | undefined {
    const match = NUMBER.exec(text);
    return match === null || match[1].toLowerCase() === 'f' ? undefined : match[3];
}

/**
 * @param number the value of {@link expressionIn}
 * @throws InspectionError that says what is wrong
 */
export function parsePattern(text: string, options: { ignoreCase?: boolean; number?: bigint } = {}): BytePattern {
    const number = NUMBER.exec(text);
    if (number !== null) {
        return numberPattern(number[1].toLowerCase(), number[2], number[3], options.number);
    }
    const quoted = TEXT.exec(text);
    if (quoted !== null) {
        return textPattern(unescape(quoted[3]), quoted[1] !== undefined, options.ignoreCase === true);
    }
    return hexPattern(text);
}

function checked(values: Uint8Array, masks: Uint8Array, alignment = 1): BytePattern {
    if (values.length === 0) {
        throw new InspectionError('nothing to search for: give bytes (48 8b ?? c3), "text", or u64 = number');
    }
    if (values.length > LONGEST) {
        throw new InspectionError(`the pattern has ${values.length} bytes: at most ${LONGEST} can be searched for`);
    }
    if (masks.every(mask => mask === 0)) {
        throw new InspectionError('the pattern matches everything: give at least one digit');
    }
    return { values, masks, alignment };
}

function hexPattern(text: string): BytePattern {
    const digits = text.replace(/0x|[\s,]/gi, '');
    const wrong = /[^0-9a-f?]/i.exec(digits);
    if (wrong !== null) {
        throw new InspectionError(
            `'${wrong[0]}' is no hexadecimal digit: bytes are written 48 8b ?? c3, texts "in quotes", numbers u64 = 1`,
        );
    }
    if (digits.length % 2 !== 0) {
        throw new InspectionError(`${digits.length} digits do not make whole bytes: a byte has two, ?? for any`);
    }
    const values = new Uint8Array(digits.length / 2);
    const masks = new Uint8Array(digits.length / 2);
    for (let index = 0; index < digits.length; index++) {
        const shift = index % 2 === 0 ? 4 : 0;
        if (digits[index] !== '?') {
            values[index >> 1] |= parseInt(digits[index], 16) << shift;
            masks[index >> 1] |= 0xf << shift;
        }
    }
    return checked(values, masks);
}

function unescape(text: string): string {
    return text.replace(/\\(x[0-9a-f]{1,2}|[\s\S])/gi, (whole, escape: string) => {
        const named = { n: '\n', t: '\t', r: '\r', 0: '\0', '\\': '\\', '"': '"', "'": "'" }[escape];
        if (named !== undefined) return named;
        if (/^x[0-9a-f]+$/i.test(escape)) return String.fromCharCode(parseInt(escape.slice(1), 16));
        throw new InspectionError(`'${whole}' is no escape: texts know \\n \\t \\r \\0 \\\\ \\" \\xNN`);
    });
}

/** Characters below 256 that came from `\xNN` are bytes; others are encoded as UTF-8 or UTF-16. */
function textPattern(text: string, wide: boolean, ignoreCase: boolean): BytePattern {
    const values: number[] = [];
    const masks: number[] = [];
    const encoder = new TextEncoder();
    for (const character of text) {
        const isLetter = /^[a-z]$/i.test(character);
        const mask = ignoreCase && isLetter ? 0xdf : 0xff;
        if (wide) {
            for (let index = 0; index < character.length; index++) {
                const unit = character.charCodeAt(index);
                values.push(unit & mask, unit >> 8);
                masks.push(mask, 0xff);
            }
        } else {
            const code = character.charCodeAt(0);
            for (const byte of code < 0x100 ? [code] : encoder.encode(character)) {
                values.push(byte & mask);
                masks.push(mask);
            }
        }
    }
    return checked(Uint8Array.from(values), Uint8Array.from(masks));
}

function numberPattern(kind: string, bits: string, text: string, value: bigint | undefined): BytePattern {
    const size = NUMBER_SIZES[bits];
    const bytes = new Uint8Array(size);
    const view = new DataView(bytes.buffer);
    if (kind === 'f') {
        const number = Number(text);
        if (size < 4) {
            throw new InspectionError(`f${bits} is no type: floating-point numbers have 32 or 64 bits`);
        }
        if (text.trim() === '' || (Number.isNaN(number) && text.trim() !== 'NaN')) {
            throw new InspectionError(`'${text}' is no number`);
        }
        if (size === 4) view.setFloat32(0, number, true);
        else view.setFloat64(0, number, true);
    } else {
        if (value === undefined) {
            throw new InspectionError(`'${text}' is no number`);
        }
        const width = size * 8;
        const fits =
            BigInt.asUintN(width, value) === value ||
            BigInt.asIntN(width, BigInt.asIntN(64, value)) === BigInt.asIntN(64, value);
        if (!fits) {
            throw new InspectionError(`0x${value.toString(16)} does not fit into ${width} bits`);
        }
        for (let index = 0; index < size; index++) {
            bytes[index] = Number((value >> BigInt(8 * index)) & 0xffn);
        }
    }
    return checked(bytes, new Uint8Array(size).fill(0xff), size);
}

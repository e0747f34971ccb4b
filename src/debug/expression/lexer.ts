import { ExpressionError } from './error';
import { INT, type IntegerType, LONG, UNSIGNED_INT, UNSIGNED_LONG } from './value';

export type Token =
    | {
          readonly kind: 'number';
          readonly value: bigint;
          readonly unsigned: boolean;
          /** As C has it: the first type that holds it (C17, 6.4.4.1). */
          readonly type: IntegerType;
          readonly position: number;
      }
    | { readonly kind: 'float'; readonly value: number; readonly single: boolean; readonly position: number }
    | {
          readonly kind: 'name';
          readonly name: string;
          readonly dollar: boolean;
          /** Written in backquotes: a symbol, whatever else has that name. */
          readonly quoted?: boolean;
          readonly position: number;
      }
    | { readonly kind: 'operator'; readonly text: string; readonly position: number }
    | { readonly kind: 'end'; readonly position: number };

/** Longest first, so that `<<` is not read as two `<`. */
const OPERATORS = ['->', '<<', '>>', '<=', '>=', '==', '!=', '&&', '||', ...'+-*/%&|^~!<>=()[]:.,?'];

/** Longer texts are no expressions, and a chain of operators in them could exhaust the stack. */
const LONGEST = 2_000;

const SPACE = /\s+/y;
/** Digits and letters together: `0x1g` is one broken number, not a number and a name. */
const NUMBER = /[0-9][0-9A-Za-z_']*/y;
/** C's floating-point constants. */
const FLOAT = /(?:[0-9]+\.[0-9]*(?:e[+-]?[0-9]+)?|[0-9]+e[+-]?[0-9]+)[fl]?(?![\w.])/iy;
/** Symbols of compilers hold dots and dollars: `foo.isra.0`; registers and records have parts: `cs.base`. */
const NAME = /\$?[A-Za-z_][\w$]*(?:\.[\w$]+)*/y;
/** A symbol of any spelling. */
const QUOTED = /`([^`]*)`/y;
const CHARACTER = /'(?:[^'\\]|\\x[0-9a-f]{1,2}|\\[0-7]{1,3}|\\.)'/iuy;
const ESCAPES: Readonly<Record<string, number>> = { a: 7, b: 8, t: 9, n: 10, v: 11, f: 12, r: 13, e: 27 };

function matchAt(pattern: RegExp, text: string, position: number): RegExpExecArray | null {
    pattern.lastIndex = position;
    return pattern.exec(text);
}

/** @throws ExpressionError */
export function tokenize(text: string): Token[] {
    if (text.length > LONGEST) {
        throw new ExpressionError(`longer than ${LONGEST} characters`, `${text.slice(0, 60)}…`, 0);
    }
    const tokens: Token[] = [];
    let position = 0;
    for (;;) {
        position += matchAt(SPACE, text, position)?.[0].length ?? 0;
        if (position >= text.length) {
            tokens.push({ kind: 'end', position: text.length });
            return tokens;
        }
        const [token, length] = readToken(text, position);
        tokens.push(token);
        position += length;
    }
}

function readToken(text: string, position: number): [Token, number] {
    const float = matchAt(FLOAT, text, position);
    if (float !== null) {
        const single = /f$/i.test(float[0]);
        const value = parseFloat(float[0]);
        return [{ kind: 'float', value: single ? Math.fround(value) : value, single, position }, float[0].length];
    }
    const number = matchAt(NUMBER, text, position);
    if (number !== null) {
        return [{ kind: 'number', ...parseNumber(number[0], text, position), position }, number[0].length];
    }
    const name = matchAt(NAME, text, position);
    if (name !== null) {
        const dollar = name[0].startsWith('$');
        return [{ kind: 'name', name: dollar ? name[0].slice(1) : name[0], dollar, position }, name[0].length];
    }
    const quoted = matchAt(QUOTED, text, position);
    if (quoted !== null) {
        return [{ kind: 'name', name: quoted[1], dollar: false, quoted: true, position }, quoted[0].length];
    }
    const character = matchAt(CHARACTER, text, position);
    if (character !== null) {
        const value = BigInt(characterCode(character[0].slice(1, -1)));
        return [{ kind: 'number', value, unsigned: false, type: INT, position }, character[0].length];
    }
    const operator = OPERATORS.find(candidate => text.startsWith(candidate, position));
    if (operator === undefined) {
        throw new ExpressionError(`'${text[position]}' has no meaning in an expression`, text, position);
    }
    return [{ kind: 'operator', text: operator, position }, operator.length];
}

/** `char` has a sign: '\\xff' is -1. */
function characterCode(body: string): number {
    if (!body.startsWith('\\')) {
        return body.codePointAt(0)!;
    }
    const digits = /^\\(?:x([0-9a-f]+)|([0-7]+))$/i.exec(body);
    if (digits === null) {
        return ESCAPES[body[1]] ?? body.codePointAt(1)!;
    }
    const code = digits[1] === undefined ? parseInt(digits[2], 8) : parseInt(digits[1], 16);
    return (code << 24) >> 24;
}

/** With C's suffixes behind them; a 0 before other digits makes them octal. */
const DIGITS = /^(0x[0-9a-f]+|0b[01]+|0o[0-7]+|0[0-7]*|[1-9][0-9]*)(u?l{0,2}|l{1,2}u)$/i;

function parseNumber(
    word: string,
    text: string,
    position: number,
): { value: bigint; unsigned: boolean; type: IntegerType } {
    const match = DIGITS.exec(word.replace(/[_']/g, ''));
    if (match === null) {
        throw new ExpressionError(
            `'${word}' is not a number: write 1234, 0x4d2, 0b101 or 0o17, with _ between digits`,
            text,
            position,
        );
    }
    const [, digits, suffix] = match;
    const value = BigInt(/^0[0-7]+$/.test(digits) ? `0o${digits}` : digits);
    if (value >= 1n << 64n) {
        throw new ExpressionError(`'${word}' does not fit 64 bits`, text, position);
    }
    // Unsigned numbers of 32 bits fit a signed one of 64, as C's promotions have it.
    const isLong = value >= 1n << 32n || /l/i.test(suffix);
    const unsigned = value >= 1n << 63n || (isLong && /u/i.test(suffix));
    const isUnsigned = /u/i.test(suffix);
    const types = isLong ? [LONG, UNSIGNED_LONG] : [INT, UNSIGNED_INT, LONG, UNSIGNED_LONG];
    // Decimal numbers become unsigned only where they say so.
    const isDecimal = /^[1-9]/.test(digits);
    const type = types.find(
        ({ width, signed }) =>
            value < 1n << BigInt(signed ? width - 1 : width) &&
            (isUnsigned ? !signed : signed || !isDecimal || value >= 1n << 63n),
    );
    return { value, unsigned, type: type ?? UNSIGNED_LONG };
}

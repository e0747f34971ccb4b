import { ExpressionError } from './error';

export type Token =
    | { readonly kind: 'number'; readonly value: bigint; readonly unsigned: boolean; readonly position: number }
    | { readonly kind: 'float'; readonly value: number; readonly position: number }
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
const OPERATORS = ['->', '<<', '>>', '<=', '>=', '==', '!=', '&&', '||', ...'+-*/%&|^~!<>=()[]:.,'];

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
const CHARACTER = /'(?:[^'\\]|\\.)'/y;
const ESCAPES: Readonly<Record<string, string>> = { n: '\n', r: '\r', t: '\t', 0: '\0' };

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
        return [{ kind: 'float', value: parseFloat(float[0]), position }, float[0].length];
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
        const body = character[0].slice(1, -1);
        const code = (body[0] === '\\' ? (ESCAPES[body[1]] ?? body[1]) : body).charCodeAt(0);
        return [{ kind: 'number', value: BigInt(code), unsigned: false, position }, character[0].length];
    }
    const operator = OPERATORS.find(candidate => text.startsWith(candidate, position));
    if (operator === undefined) {
        throw new ExpressionError(`'${text[position]}' has no meaning in an expression`, text, position);
    }
    return [{ kind: 'operator', text: operator, position }, operator.length];
}

/** With C's suffixes behind them. */
const DIGITS = /^(0x[0-9a-f]+|0b[01]+|0o[0-7]+|[0-9]+)(u?l{0,2}|l{1,2}u)$/i;

function parseNumber(word: string, text: string, position: number): { value: bigint; unsigned: boolean } {
    const match = DIGITS.exec(word.replace(/[_']/g, ''));
    if (match === null) {
        throw new ExpressionError(
            `'${word}' is not a number: write 1234, 0x4d2, 0b101 or 0o17, with _ between digits`,
            text,
            position,
        );
    }
    const [, digits, suffix] = match;
    const value = BigInt(digits);
    if (value >= 1n << 64n) {
        throw new ExpressionError(`'${word}' does not fit 64 bits`, text, position);
    }
    // Unsigned numbers of 32 bits fit a signed one of 64, as C's promotions have it.
    const isLong = value >= 1n << 32n || /l/i.test(suffix);
    return { value, unsigned: value >= 1n << 63n || (isLong && /u/i.test(suffix)) };
}

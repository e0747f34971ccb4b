/** C's arithmetic types by the words that name them, as on 64-bit Linux. */
import type { ValueType } from './value';

const WORDS: ReadonlySet<string> = new Set([
    ...['void', 'char', 'short', 'int', 'long', 'signed', 'unsigned', 'float', 'double', '_Bool', 'bool', '__int128'],
]);

export function isTypeWord(word: string): boolean {
    return WORDS.has(word);
}

/** The type that words such as `unsigned long` name; undefined if they name none. */
export function typeOfWords(words: readonly string[]): ValueType | undefined {
    const count = (word: string): number => words.filter(other => other === word).length;
    const name = words.join(' ');
    const signed = count('unsigned') === 0;
    const rest = words.filter(word => word !== 'signed' && word !== 'unsigned' && word !== 'int').join(' ');
    const integer = (width: number, reads?: 'character' | 'boolean'): ValueType => ({
        kind: 'integer',
        width,
        signed: signed && reads !== 'boolean',
        name,
        reads,
    });
    switch (rest) {
        case '':
            return integer(32);
        case 'void':
            return words.length === 1 ? { kind: 'void' } : undefined;
        case 'bool':
        case '_Bool':
            return integer(8, 'boolean');
        case 'char':
            return integer(8, 'character');
        case 'short':
            return integer(16);
        case 'long':
        case 'long long':
            return integer(64);
        case '__int128':
            return integer(128);
        case 'long double':
            return { kind: 'float', size: 16, name };
        case 'float':
            return { kind: 'float', size: 4, name };
        case 'double':
            return { kind: 'float', size: 8, name };
        default:
            return undefined;
    }
}

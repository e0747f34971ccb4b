/**
 * The names that C++ and Rust give to linkers: enough of them to find a function by its own name (Itanium C++ ABI, 5.1;
 * Rust's legacy mangling is a form of it, its v0 mangling RFC 2603).
 */

/** More is no name of a function, but an attack. */
const LONGEST = 4096;
const MOST_PARTS = 64;
const RUST_HASH = /^h[0-9a-f]{16}$/;

/** The parts of a name that has been mangled, from outside in; undefined for one that has not, or not in these ways. */
export function mangledPath(symbol: string): readonly string[] | undefined {
    if (symbol.length > LONGEST) {
        return undefined;
    }
    if (symbol.startsWith('_R')) {
        return rustPath(symbol);
    }
    return symbol.startsWith('_Z') ? itaniumPath(symbol) : undefined;
}

/** Whether a name as users write it, `ns::Type::method` or the end of that, is that of a mangled one. */
export function isNamed(path: readonly string[], name: readonly string[]): boolean {
    return name.length <= path.length && name.every((part, index) => part === path[path.length - name.length + index]);
}

const IDENTIFIER = /(\d{1,4})/y;

/** An identifier behind its length; undefined if there is none. */
function identifierAt(text: string, at: number): { readonly name: string; readonly end: number } | undefined {
    IDENTIFIER.lastIndex = at;
    const digits = IDENTIFIER.exec(text)?.[1];
    if (digits === undefined) {
        return undefined;
    }
    const start = at + digits.length;
    const end = start + Number(digits);
    return end > text.length ? undefined : { name: text.slice(start, end), end };
}

function itaniumPath(symbol: string): readonly string[] | undefined {
    const isNested = symbol[2] === 'N';
    let at = isNested ? 3 : 2;
    const parts: string[] = [];
    while (at < symbol.length && parts.length < MOST_PARTS) {
        const found = identifierAt(symbol, at);
        if (found !== undefined) {
            if (!RUST_HASH.test(found.name)) parts.push(found.name);
            at = found.end;
            if (!isNested) break;
            continue;
        }
        const letter = symbol[at];
        if (letter === 'E') break;
        if (letter === 'I') {
            at = behindArguments(symbol, at + 1);
        } else if (letter === 'S') {
            const isStd = symbol[at + 1] === 't';
            if (isStd) parts.push('std');
            at = isStd ? at + 2 : behindSubstitution(symbol, at);
        } else if ('rVKROL'.includes(letter)) {
            at++;
        } else {
            // Constructors, destructors and operators have no identifiers.
            return undefined;
        }
    }
    return parts.length === 0 ? undefined : parts;
}

/** `S_`, `S1_`, `Sa`. */
function behindSubstitution(symbol: string, at: number): number {
    const end = /^S[0-9A-Z]*_/.exec(symbol.slice(at, at + 8));
    return at + (end?.[0].length ?? 2);
}

/** Behind the arguments of a template, whatever they are. */
function behindArguments(symbol: string, start: number): number {
    let at = start;
    for (let depth = 1; depth > 0 && at < symbol.length;) {
        const found = identifierAt(symbol, at);
        if (found !== undefined) {
            at = found.end;
            continue;
        }
        const letter = symbol[at];
        if (letter === 'L') {
            // A literal: its digits are no length.
            const end = symbol.indexOf('E', at);
            at = end < 0 ? symbol.length : end + 1;
        } else if (letter === 'S') {
            at = behindSubstitution(symbol, at);
        } else {
            if ('INXJF'.includes(letter)) depth++;
            if (letter === 'E') depth--;
            at++;
        }
    }
    return at;
}

const RUST_HEAD = /^_R(?:I?N[a-zA-Z])*C(?:s[0-9A-Za-z]*_)?/;
const DISAMBIGUATOR = /s[0-9A-Za-z]*_/y;

function rustPath(symbol: string): readonly string[] | undefined {
    let at = RUST_HEAD.exec(symbol)?.[0].length ?? symbol.length;
    const parts: string[] = [];
    while (parts.length < MOST_PARTS) {
        DISAMBIGUATOR.lastIndex = at;
        at += DISAMBIGUATOR.exec(symbol)?.[0].length ?? 0;
        const digits = /^\d{1,4}_?/.exec(symbol.slice(at, at + 5))?.[0];
        if (digits === undefined) break;
        const start = at + digits.length;
        at = start + parseInt(digits, 10);
        if (at > symbol.length) break;
        parts.push(symbol.slice(start, at));
    }
    return parts.length < 2 ? undefined : parts;
}

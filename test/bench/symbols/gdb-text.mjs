/** Values as gdb prints them, as far as two texts can be compared. */
import { load } from './project.mjs';

/** Without what depends on memory that a core file lacks, and on how strings are abbreviated. */
export function normalized(text) {
    return text
        .replace(/<error: [^>]*>/g, '')
        .replace(/"(?:[^"\\]|\\.)*"/g, '""')
        .replace(/'(?:[^'\\]|\\.)+'/g, "''")
        .replace(/\(\S[^()]*\*\) ?(?=0x)/g, '')
        .replace(/\((?:[^()]|\([^()]*\))*\) (?=0x)/g, '')
        .replace(/ <[^<>]*>/g, '')
        .replace(/<repeats \d+ times>/g, '')
        .replace(/"",? ?""|, *""/g, '""')
        .replace(/ ""/g, '')
        .replace(/\s+/g, ' ')
        .trim();
}

export function gdbText(value, context, depth = 0) {
    const { bare, sizeOf } = load('src/symbols/types');
    const { loadValue, memberOf } = load('src/debug/expression/memory');
    const { floatOf, pattern } = load('src/debug/expression/value');
    if (value.unavailable !== undefined) {
        return value.pointee === undefined ? '<optimized out>' : '<synthetic pointer>';
    }
    const type = bare(value.type);
    const part = read => {
        try {
            return gdbText(read(), context, depth + 1);
        } catch (error) {
            return `<error: ${error.message}>`;
        }
    };
    switch (type.kind) {
        case 'integer':
            if (type.reads === 'boolean')
                return value.bits === 0n ? 'false' : value.bits === 1n ? 'true' : `${value.bits}`;
            if (type.reads === 'character') return `${value.bits} 'x'`;
            return `${value.bits}`;
        case 'enum': {
            const found = type.enumerators.find(other => other.value === value.bits);
            if (found !== undefined) return found.name;
            return flags(value.bits, type.enumerators);
        }
        case 'float':
            return String(floatOf(value));
        case 'pointer':
            return `0x${pattern(value).toString(16)}`;
        case 'array': {
            const count = type.count ?? 0;
            const element = bare(type.element);
            const size = sizeOf(type.element);
            if (element.kind === 'integer' && element.reads === 'character' && element.width === 8) return '"x"';
            const parts = [];
            for (let index = 0; index < count; index++) {
                parts.push(part(() => loadValue(context, value, { type: type.element, offset: index * size })));
            }
            return `{${parts.join(', ')}}`;
        }
        case 'record':
            return `{${type.members
                .map(member => {
                    const text = part(() => memberOf(context, value, member));
                    return member.name === undefined ? text : `${member.name} = ${text}`;
                })
                .join(', ')}}`;
        default:
            return '?';
    }
}

/** Enumerations of single bits print as sums; others as numbers. */
function flags(bits, enumerators) {
    const isFlags = enumerators.every(({ value }) => value >= 0n && (value & (value - 1n)) === 0n);
    if (!isFlags) return `${bits}`;
    if (bits === 0n) return '0';
    const names = enumerators.filter(({ value }) => value !== 0n && (bits & value) === value);
    const left = names.reduce((rest, { value }) => rest & ~value, bits);
    if (names.length === 0) return left === 0n ? '0' : `(unknown: 0x${left.toString(16)})`;
    return `(${names.map(({ name }) => name).join(' | ')}${left === 0n ? '' : ` | unknown: 0x${left.toString(16)}`})`;
}

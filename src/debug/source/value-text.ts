/** Values of C's types as text, and what they unfold into. */
import { HyperscopeError } from '../../common/errors';
import { bare, type CType, type Member, type RecordType, sizeOf, typeName } from '../../symbols/types';
import { loadValue, memberOf } from '../expression/memory';
import type { EvaluationContext } from '../expression/context';
import { complexOf, floatOf, makeValue, pattern, pointedTo, type Value } from '../expression/value';
import type { VariableView } from './variable-view';

/** Characters of a string, elements of an array and members of a record that a summary shows. */
const LONGEST_STRING = 200;
const MOST_SUMMARISED = 8;
const LONGEST_SUMMARY = 160;
/** Elements that one request gets at most. */
const MOST_ELEMENTS = 10_000;
/** Records in records in a summary. */
const DEEPEST_SUMMARY = 2;

export interface ValueHost {
    readonly context: EvaluationContext;
    /** `name+0x10` for an address of the program. */
    symbol(address: bigint): string | undefined;
}

/** Presents values. */
export class ValuePresenter {
    constructor(private readonly host: ValueHost) {}

    /** @param expression that gives the value again; its parts are named after it */
    view(name: string, value: Value, expression: string | undefined): VariableView {
        const { type, place, unavailable } = value;
        const children = unavailable === undefined && expression !== undefined ? this.childCount(value) : undefined;
        const points = pointedTo(type) !== undefined && bare(type).kind === 'pointer';
        const memory = place?.kind === 'memory' ? place : undefined;
        return {
            name,
            value: this.text(value),
            type: typeName(type),
            evaluateName: expression,
            indexed: children?.indexed,
            named: children?.named,
            address: points
                ? { space: value.space, offset: pattern(value) }
                : memory && { space: memory.space, offset: memory.address },
            readOnly: place === undefined || isAggregate(type) || undefined,
        };
    }

    text(value: Value, depth = 0): string {
        if (value.unavailable !== undefined) {
            return `<${value.unavailable}>`;
        }
        const type = bare(value.type);
        switch (type.kind) {
            case 'void':
                return 'void';
            case 'integer':
                if (type.reads === 'boolean') {
                    return value.bits === 0n ? 'false' : value.bits === 1n ? 'true' : `true (${value.bits})`;
                }
                if (type.reads === 'character' && type.width === 8) {
                    return `${value.bits} ${character(Number(value.bits & 0xffn))}`;
                }
                if (type.reads === 'character') return `${value.bits}${unicode(value.bits)}`;
                return type.width > 64 ? this.wide(value) : `${value.bits}`;
            case 'enum':
                return enumText(value.bits, type.enumerators);
            case 'float': {
                const number = floatOf(value);
                if (number !== undefined) return formatFloat(number, type.size);
                const [real, imaginary] = complexOf(value) ?? [];
                return real === undefined || imaginary === undefined
                    ? `<${type.size} bytes of floating point>`
                    : `${formatFloat(real, type.size / 2)} + ${formatFloat(imaginary, type.size / 2)}i`;
            }
            case 'pointer':
                return this.pointer(value);
            case 'function':
                return `{${typeName(type)}} ${this.address(value)}`;
            case 'array':
                return this.array(value, depth);
            case 'record':
                return this.record(value, type, depth);
        }
    }

    /** What a value unfolds into; each part's expression builds on the value's own. */
    children(value: Value, expression: string, start: number, count: number): VariableView[] {
        const type = bare(value.type);
        switch (type.kind) {
            case 'record':
                return this.members(value, type, expression);
            case 'array': {
                const total = Math.min(type.count ?? 0, MOST_ELEMENTS);
                const end = Math.min(total, start + (count > 0 ? count : total));
                const size = sizeOf(type.element);
                const found: VariableView[] = [];
                for (let index = start; index < end; index++) {
                    const part = { type: type.element, offset: index * size };
                    const element = `${postfix(expression)}[${index}]`;
                    found.push(this.part(`[${index}]`, element, type.element, () => this.load(value, part)));
                }
                return found;
            }
            case 'pointer': {
                const target = value.pointee?.() ?? this.follow(value, type.to);
                const inner = bare(type.to);
                if (inner.kind === 'record') {
                    return this.members(target, inner, expression, true);
                }
                return [this.part(`*${lastName(expression)}`, `*${unary(expression)}`, type.to, () => target)];
            }
            default:
                return [];
        }
    }

    private members(value: Value, type: RecordType, expression: string, arrow = false): VariableView[] {
        const found: VariableView[] = [];
        const access = `${postfix(expression)}${arrow ? '->' : '.'}`;
        for (const member of this.membersOf(value, type)) {
            const inner = bare(member.type);
            if (member.name === undefined && inner.kind === 'record') {
                // Members of anonymous records are the outer one's in C.
                const part = this.tryPart(() => this.loadMember(value, member));
                if (part !== undefined) found.push(...this.members(part, inner, expression, arrow));
                continue;
            }
            if (member.name === undefined) continue;
            found.push(this.part(member.name, access + member.name, member.type, () => this.loadMember(value, member)));
        }
        return found;
    }

    /** Without those of variants that the record is not at present; where nobody can tell, with all of them. */
    private membersOf(value: Value, { members }: RecordType): readonly Member[] {
        if (members.every(({ variant }) => variant === undefined)) {
            return members;
        }
        const known = new Map<Member, Value | undefined>();
        return members.filter(({ variant }) => {
            const discriminant = variant?.discriminant;
            if (variant === undefined || discriminant === undefined) return true;
            if (!known.has(discriminant)) {
                known.set(
                    discriminant,
                    this.tryPart(() => this.loadMember(value, discriminant)),
                );
            }
            const found = known.get(discriminant);
            return found === undefined || found.unavailable !== undefined || variant.isActive(found.bits);
        });
    }

    private part(name: string, expression: string, type: CType, read: () => Value): VariableView {
        try {
            return this.view(name, read(), expression);
        } catch (error) {
            if (!(error instanceof HyperscopeError)) throw error;
            return {
                name,
                value: `<${error.message}>`,
                type: typeName(type),
                evaluateName: expression,
                readOnly: true,
            };
        }
    }

    private tryPart(read: () => Value): Value | undefined {
        try {
            return read();
        } catch (error) {
            if (error instanceof HyperscopeError) return undefined;
            throw error;
        }
    }

    private load(whole: Value, part: { readonly type: CType; readonly offset: number }): Value {
        return loadValue(this.host.context, whole, part);
    }

    private loadMember(record: Value, member: Member): Value {
        return memberOf(this.host.context, record, member);
    }

    private follow(pointer: Value, to: CType): Value {
        const place = { kind: 'memory', space: pointer.space, address: pattern(pointer) } as const;
        return this.load({ ...makeValue(pattern(pointer), to, pointer.space), place }, { type: to, offset: 0 });
    }

    private childCount(value: Value): { named?: number; indexed?: number } | undefined {
        const type = bare(value.type);
        switch (type.kind) {
            case 'record':
                return type.complete && type.members.length > 0
                    ? { named: this.membersOf(value, type).length }
                    : undefined;
            case 'array':
                return (type.count ?? 0) > 0 ? { indexed: Math.min(type.count ?? 0, MOST_ELEMENTS) } : undefined;
            case 'pointer': {
                const to = bare(type.to);
                if (pattern(value) === 0n || to.kind === 'void' || to.kind === 'function') return undefined;
                if (to.kind === 'record') return to.complete && to.members.length > 0 ? { named: 1 } : undefined;
                return { named: 1 };
            }
            default:
                return undefined;
        }
    }

    private pointer(value: Value): string {
        const to = bare((bare(value.type) as { to: CType }).to);
        const address = pattern(value);
        if (address === 0n) {
            return '0x0';
        }
        const text = this.address(value);
        if (to.kind === 'integer' && to.reads === 'character' && to.width === 8) {
            const string = this.string(value.space, address, LONGEST_STRING);
            return string === undefined ? text : `${text} ${string}`;
        }
        return text;
    }

    private address(value: Value): string {
        const address = pattern(value);
        const symbol = value.space === 'linear' ? this.host.symbol(address) : undefined;
        const text = `${value.space === 'physical' ? 'phys:' : ''}0x${address.toString(16)}`;
        return symbol === undefined ? text : `${text} <${symbol}>`;
    }

    /** A C string in memory, quoted. */
    private string(space: Value['space'], address: bigint, longest: number): string | undefined {
        const { context } = this.host;
        for (let length = longest; length > 0; length = length >> 1) {
            const bytes = context.readMemory(space, address, length);
            if (bytes === undefined) continue;
            const end = bytes.indexOf(0);
            return end < 0 && length < longest ? undefined : quote(bytes, end);
        }
        return undefined;
    }

    private array(value: Value, depth: number): string {
        const type = bare(value.type) as { element: CType; count: number | undefined };
        const element = bare(type.element);
        const count = type.count ?? 0;
        if (element.kind === 'integer' && element.reads === 'character' && element.width === 8 && count > 0) {
            const length = Math.min(count, LONGEST_STRING);
            const place = value.place?.kind === 'memory' ? value.place : undefined;
            const bytes =
                value.image?.bytes.subarray(0, length) ??
                (place && this.host.context.readMemory(place.space, place.address, length));
            if (bytes !== undefined) {
                return quote(bytes, bytes.indexOf(0));
            }
        }
        if (count === 0) {
            return type.count === undefined ? '[…]' : '[]';
        }
        if (depth >= DEEPEST_SUMMARY) {
            return `[${count}]`;
        }
        const size = sizeOf(type.element);
        const parts: string[] = [];
        for (let index = 0; index < Math.min(count, MOST_SUMMARISED); index++) {
            parts.push(this.partText(() => this.load(value, { type: type.element, offset: index * size }), depth));
        }
        return `[${summary(parts, count)}]`;
    }

    private record(value: Value, type: RecordType, depth: number): string {
        if (!type.complete) {
            return '{…}';
        }
        if (depth >= DEEPEST_SUMMARY) {
            return '{…}';
        }
        const parts: string[] = [];
        const members = this.membersOf(value, type);
        for (const member of members.slice(0, MOST_SUMMARISED)) {
            const text = this.partText(() => this.loadMember(value, member), depth);
            parts.push(member.name === undefined ? text : `${member.name} = ${text}`);
        }
        return `{${summary(parts, members.length)}}`;
    }

    private partText(read: () => Value, depth: number): string {
        const value = this.tryPart(read);
        return value === undefined ? '<unreadable>' : this.text(value, depth + 1);
    }

    private wide(value: Value): string {
        // What was computed has no bytes of its own.
        if (value.image === undefined) return `${value.bits}`;
        const { bytes } = value.image;
        let bits = 0n;
        for (let index = bytes.length - 1; index >= 0; index--) bits = (bits << 8n) | BigInt(bytes[index]);
        const type = bare(value.type);
        return `${type.kind === 'integer' && type.signed ? BigInt.asIntN(type.width, bits) : bits}`;
    }
}

function isAggregate(type: CType): boolean {
    const { kind } = bare(type);
    return kind === 'record' || kind === 'array' || kind === 'function' || kind === 'void';
}

function summary(parts: readonly string[], total: number): string {
    let text = '';
    for (const [index, part] of parts.entries()) {
        if (text.length + part.length > LONGEST_SUMMARY && index > 0) return `${text}, …`;
        text += index === 0 ? part : `, ${part}`;
    }
    return total > parts.length ? `${text}, …` : text;
}

function enumText(bits: bigint, enumerators: readonly { readonly name: string; readonly value: bigint }[]): string {
    const exact = enumerators.find(({ value }) => value === bits);
    if (exact !== undefined) {
        return `${exact.name} (${bits})`;
    }
    // Flags: a sum of single bits that have names.
    let left = bits;
    const names: string[] = [];
    for (const { name, value } of enumerators) {
        const isBit = value > 0n && (value & (value - 1n)) === 0n;
        if (isBit && (left & value) === value) {
            names.push(name);
            left &= ~value;
        }
    }
    return names.length > 0 && left === 0n ? `${names.join(' | ')} (${bits})` : `${bits}`;
}

const ESCAPES: Readonly<Record<number, string>> = { 9: '\\t', 10: '\\n', 13: '\\r', 34: '\\"', 92: '\\\\' };

function escape(byte: number): string {
    const printable = byte >= 0x20 && byte < 0x7f;
    return ESCAPES[byte] ?? (printable ? String.fromCharCode(byte) : `\\x${byte.toString(16).padStart(2, '0')}`);
}

function quote(bytes: Uint8Array, end: number): string {
    const text = Array.from(end < 0 ? bytes : bytes.subarray(0, end), escape).join('');
    return `"${text}"${end < 0 ? '…' : ''}`;
}

function character(byte: number): string {
    return byte === 39 ? "'\\''" : byte === 34 ? `'"'` : byte === 0 ? "'\\0'" : `'${escape(byte)}'`;
}

/** A character of 16 or 32 bits, where it can be shown. */
function unicode(code: bigint): string {
    const isCharacter = code >= 0x20n && code <= 0x10ffffn && (code < 0xd800n || code > 0xdfffn) && code !== 0x7fn;
    return isCharacter ? ` '${String.fromCodePoint(Number(code))}'` : '';
}

/** As few digits as tell it from its neighbours. */
function formatFloat(number: number, size: number): string {
    if (Number.isInteger(number) && Math.abs(number) < 1e15) {
        return number.toFixed(1);
    }
    if (size === 4) {
        for (let digits = 6; digits < 9; digits++) {
            const short = Number(number.toPrecision(digits));
            if (Math.fround(short) === number) return String(short);
        }
    }
    return String(number);
}

/** An expression that a postfix operator may follow. */
function postfix(expression: string): string {
    return /^[\w$.`]+(?:(?:->|\.)[\w$]+|\[\d+\])*$/.test(expression) ? expression : `(${expression})`;
}

function unary(expression: string): string {
    return /^[\w$.`*]+(?:(?:->|\.)[\w$]+|\[\d+\])*$/.test(expression) ? expression : `(${expression})`;
}

function lastName(expression: string): string {
    return /[\w$\]]+$/.exec(expression)?.[0] ?? '';
}

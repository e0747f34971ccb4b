/** C's types as a debugger needs them: sizes, layouts and names. What a type consists of is read when it is asked for. */

export interface VoidType {
    readonly kind: 'void';
}

export interface IntegerType {
    readonly kind: 'integer';
    /** Bits. */
    readonly width: number;
    readonly signed: boolean;
    /** As the program calls it; without one it is named after its width. */
    readonly name?: string;
    /** What its values read as, if not numbers. */
    readonly reads?: 'character' | 'boolean';
}

export interface FloatType {
    readonly kind: 'float';
    /** Bytes that it takes: an x87 number takes 12 or 16, with 10 in use. */
    readonly size: number;
    readonly name: string;
    /** Two numbers of half the size: the real part and the imaginary one. */
    readonly complex?: boolean;
}

export interface PointerType {
    readonly kind: 'pointer';
    readonly to: CType;
    /** Bytes; 8 if it is not said. */
    readonly size?: number;
    /** C++'s `&` and `&&`. */
    readonly reference?: boolean;
}

export interface EnumType {
    readonly kind: 'enum';
    readonly name: string | undefined;
    /** Bits. */
    readonly width: number;
    readonly signed: boolean;
    readonly enumerators: readonly Enumerator[];
}

export interface Enumerator {
    readonly name: string;
    readonly value: bigint;
}

export interface RecordType {
    readonly kind: 'record';
    readonly keyword: 'struct' | 'union' | 'class';
    readonly name: string | undefined;
    /** Bytes; 0 for a type that is declared but defined nowhere. */
    readonly size: number;
    /** Whether its members are known. */
    readonly complete: boolean;
    readonly members: readonly Member[];
}

export interface Member {
    /** Undefined for an anonymous struct or union, whose members count as the outer one's. */
    readonly name: string | undefined;
    readonly type: CType;
    /** Bytes from the beginning of the record; of a bit-field, of the byte with its lowest bit. */
    readonly offset: number;
    /** Bits from the beginning of the record, and how many: bit-fields only. */
    readonly bits?: { readonly offset: number; readonly size: number };
    /** Of one of several variants of a record, as Rust's enumerations have them. */
    readonly variant?: Variant;
}

/** What tells whether a record is a variant. */
export interface Variant {
    /** Undefined where there is but one variant. */
    readonly discriminant: Member | undefined;
    /** @param value of the discriminant */
    isActive(value: bigint): boolean;
}

export interface ArrayType {
    readonly kind: 'array';
    readonly element: CType;
    /** Undefined for a flexible array, and for one whose length the program computes. */
    readonly count: number | undefined;
}

export interface FunctionType {
    readonly kind: 'function';
    readonly returns: CType;
    readonly parameters: readonly CType[];
    readonly variadic: boolean;
}

export interface TypedefType {
    readonly kind: 'typedef';
    readonly name: string;
    readonly target: CType;
}

export interface QualifiedType {
    readonly kind: 'qualified';
    readonly qualifier: string;
    readonly target: CType;
}

export type CType =
    | VoidType
    | IntegerType
    | FloatType
    | PointerType
    | EnumType
    | RecordType
    | ArrayType
    | FunctionType
    | TypedefType
    | QualifiedType;

/** A type without names and qualifiers around it. */
export type BareType = Exclude<CType, TypedefType | QualifiedType>;

export const VOID: VoidType = { kind: 'void' };

/** Longer chains of names for names are cycles of a corrupt file. */
const MOST_NAMES = 64;

/** The type behind typedefs and qualifiers. */
export function bare(type: CType): BareType {
    for (let count = 0; count < MOST_NAMES; count++) {
        if (type.kind !== 'typedef' && type.kind !== 'qualified') {
            return type;
        }
        type = type.target;
    }
    return VOID;
}

/** Arrays of arrays deeper than this are cycles. */
const MOST_DIMENSIONS = 64;

/** Bytes that a value takes in memory; 0 for what has no size. */
export function sizeOf(type: CType): number {
    let count = 1;
    for (let depth = 0; depth < MOST_DIMENSIONS; depth++) {
        const plain = bare(type);
        switch (plain.kind) {
            case 'integer':
            case 'enum':
                return (count * plain.width) / 8;
            case 'pointer':
                return count * (plain.size ?? 8);
            case 'float':
            case 'record':
                return count * plain.size;
            case 'array':
                count *= plain.count ?? 0;
                type = plain.element;
                break;
            default:
                return 0;
        }
    }
    return 0;
}

/** How deep names of types go into what they point to. */
const DEEPEST_NAME = 16;

/** A type as C writes it: `struct list_head *`, `int (*)(char)`. */
export function typeName(type: CType): string {
    return declare(type, '', 0);
}

/** A declaration of a name with a type: `int (*compare)(const void *)`. */
export function declaration(type: CType, name: string): string {
    return declare(type, name, 0);
}

function declare(type: CType, inner: string, depth: number): string {
    if (depth > DEEPEST_NAME) {
        return `… ${inner}`;
    }
    const spaced = inner === '' || inner.startsWith('[') ? inner : ` ${inner}`;
    switch (type.kind) {
        case 'void':
            return `void${spaced}`;
        case 'integer':
            // The debugger's own names stand as its users write them: `u32*`.
            return type.name === undefined ? `${type.signed ? 'i' : 'u'}${type.width}${inner}` : type.name + spaced;
        case 'float':
        case 'typedef':
            return type.name + spaced;
        case 'enum':
            return `enum ${type.name ?? '{…}'}${spaced}`;
        case 'record':
            return `${type.keyword} ${type.name ?? '{…}'}${spaced}`;
        case 'qualified': {
            // Behind a star a qualifier is about the pointer.
            const { target, qualifier } = type;
            // Of arrays it is about the elements, which may say so themselves.
            if (target.kind === 'array') {
                const { element } = target;
                const says = element.kind === 'qualified' && element.qualifier === qualifier;
                return declare({ ...target, element: says ? element : { ...type, target: element } }, inner, depth + 1);
            }
            return target.kind === 'pointer'
                ? declare(target, qualifier + spaced, depth + 1)
                : `${qualifier} ${declare(target, inner, depth + 1)}`;
        }
        case 'pointer': {
            const { kind } = type.to;
            const star = `${type.reference === true ? '&' : '*'}${inner}`;
            return declare(type.to, kind === 'array' || kind === 'function' ? `(${star})` : star, depth + 1);
        }
        case 'array':
            return declare(type.element, `${inner}[${type.count ?? ''}]`, depth + 1);
        case 'function': {
            const parameters = type.parameters.map(parameter => declare(parameter, '', depth + 1));
            if (type.variadic) parameters.push('...');
            return declare(type.returns, `${inner}(${parameters.join(', ') || 'void'})`, depth + 1);
        }
    }
}

/** No record has more anonymous members, all in all, nor do these have more members. */
const MOST_RECORDS = 1000;
const MOST_MEMBERS = 0x10000;

/** A member by its name, looked for in anonymous members too; its offsets count from the outer record. */
export function findMember(record: RecordType, name: string): Member | undefined {
    return findMemberIn(record, name, { seen: new Set(), left: MOST_MEMBERS });
}

interface MemberSearch {
    /** Records that it is not a member of: a corrupt file may nest one in itself many times. */
    readonly seen: Set<RecordType>;
    /** Members that may still be looked at. */
    left: number;
}

function findMemberIn(record: RecordType, name: string, search: MemberSearch): Member | undefined {
    const { seen } = search;
    if (seen.size > MOST_RECORDS || search.left <= 0 || seen.has(record)) {
        return undefined;
    }
    seen.add(record);
    const { members } = record;
    search.left -= members.length;
    for (const member of members) {
        if (member.name === name) {
            return member;
        }
        const inner = bare(member.type);
        if (member.name !== undefined || inner.kind !== 'record') continue;
        const found = findMemberIn(inner, name, search);
        if (found !== undefined) {
            const bits = found.bits && { offset: found.bits.offset + member.offset * 8, size: found.bits.size };
            return { ...found, offset: found.offset + member.offset, bits };
        }
    }
    return undefined;
}

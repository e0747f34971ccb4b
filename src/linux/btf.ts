/** BTF as C's types: the same that DWARF would tell. Each is read when it is asked for. */
import {
    type CType,
    type Enumerator,
    type EnumType,
    type FunctionType,
    type Member,
    type RecordType,
    VOID,
} from '../symbols/types';
import type { GlobalName } from '../symbols/program';
import { BtfKind, type BtfTables, type BtfType } from './btf-format';

/** Bits of the word that describes an integer. */
const SIGNED = 1;
const BOOLEAN = 4;
const CHARACTERS: ReadonlySet<string> = new Set(['char', 'signed char', 'unsigned char']);

export type BtfKeyword = 'struct' | 'union' | 'class' | 'enum';

/** Kinds that a name can mean, the first that there is; a name without a keyword may be a typedef, or an integer's. */
const KINDS: Readonly<Record<BtfKeyword | 'name', readonly BtfKind[]>> = {
    struct: [BtfKind.Struct],
    class: [BtfKind.Struct],
    union: [BtfKind.Union],
    enum: [BtfKind.Enum, BtfKind.Enum64],
    name: [
        ...[BtfKind.Typedef, BtfKind.Int, BtfKind.Float],
        ...[BtfKind.Struct, BtfKind.Union, BtfKind.Enum, BtfKind.Enum64],
    ],
};

const NAMED: ReadonlySet<BtfKind> = new Set([...KINDS.name, BtfKind.Function, BtfKind.Variable]);

const QUALIFIERS: Readonly<Partial<Record<BtfKind, string>>> = {
    [BtfKind.Volatile]: 'volatile',
    [BtfKind.Const]: 'const',
    [BtfKind.Restrict]: 'restrict',
};

export class Btf {
    private readonly known = new Map<number, CType>();
    private byName: Map<string, number> | undefined;
    private enumerators: Map<string, number> | undefined;

    /** @param base the kernel's types, for those of a module */
    constructor(
        readonly tables: BtfTables,
        private readonly base?: Btf,
    ) {}

    /** What is wrong with them; what is readable stays usable. */
    get problem(): string | undefined {
        return this.tables.problem;
    }

    find(name: string, keyword: BtfKeyword | undefined): CType | undefined {
        for (const kind of KINDS[keyword ?? 'name']) {
            const id = this.idOf(kind, name);
            if (id !== undefined) return this.type(id);
        }
        return this.base?.find(name, keyword);
    }

    /** The type of a function. */
    function(name: string): CType | undefined {
        const id = this.idOf(BtfKind.Function, name);
        return id === undefined ? this.base?.function(name) : this.type(this.tables.type(id)!.sizeOrType);
    }

    /** The type of a variable: kernels tell those of per-CPU variables, and some of others. */
    variable(name: string): CType | undefined {
        const id = this.idOf(BtfKind.Variable, name);
        return id === undefined ? this.base?.variable(name) : this.type(this.tables.type(id)!.sizeOrType);
    }

    /** A constant by its name. */
    enumerator(name: string): { readonly type: CType; readonly value: bigint } | undefined {
        this.index();
        const id = this.enumerators!.get(name);
        const type = id === undefined ? undefined : this.type(id);
        const value = type?.kind === 'enum' ? type.enumerators.find(one => one.name === name)?.value : undefined;
        return type === undefined || value === undefined ? this.base?.enumerator(name) : { type, value };
    }

    /** @param address of what has the name, if something has: a function or a variable; else it may be a constant's */
    global(name: string, address: bigint | undefined): GlobalName | undefined {
        if (address !== undefined) {
            const type = this.function(name) ?? this.variable(name);
            return type && { kind: 'object', type, address };
        }
        const constant = this.enumerator(name);
        return constant && { kind: 'constant', ...constant };
    }

    /** Names of structs and unions. */
    *records(): Generator<{ readonly name: string; readonly keyword: 'struct' | 'union' }> {
        for (const id of this.tables.ids()) {
            const type = this.tables.type(id)!;
            const { kind, name } = type;
            if (name === undefined || (kind !== BtfKind.Struct && kind !== BtfKind.Union)) continue;
            yield { name, keyword: kind === BtfKind.Struct ? 'struct' : 'union' };
        }
    }

    /** A type by its id; `void` for what there is not. */
    type(id: number): CType {
        let type = this.known.get(id);
        if (type === undefined) {
            const found = this.tables.type(id);
            type = found === undefined ? VOID : this.make(found);
            this.known.set(id, type);
        }
        return type;
    }

    /** Id of the definition of a struct or union that is only declared. */
    definition(keyword: 'struct' | 'union', name: string): BtfType | undefined {
        const id = this.idOf(keyword === 'struct' ? BtfKind.Struct : BtfKind.Union, name);
        return id === undefined ? this.base?.definition(keyword, name) : this.tables.type(id);
    }

    private make(type: BtfType): CType {
        const { kind, name = '' } = type;
        switch (kind) {
            case BtfKind.Int:
                return integer(type, name);
            case BtfKind.Float:
                return { kind: 'float', size: type.sizeOrType, name };
            case BtfKind.Pointer:
                return this.lazy({ kind: 'pointer', size: 8, reference: false } as const, 'to', type.sizeOrType);
            case BtfKind.Array:
                // What is declared with `[]` has no elements here, as what is declared with `[0]` has.
                return this.lazy(
                    { kind: 'array', count: type.extra(2) === 0 ? undefined : type.extra(2) } as const,
                    'element',
                    type.extra(0),
                );
            case BtfKind.Struct:
            case BtfKind.Union:
            case BtfKind.Forward:
                return new BtfRecord(this, type);
            case BtfKind.Enum:
            case BtfKind.Enum64:
                return new BtfEnum(type);
            case BtfKind.Typedef:
                return this.lazy({ kind: 'typedef', name } as const, 'target', type.sizeOrType);
            case BtfKind.Volatile:
            case BtfKind.Const:
            case BtfKind.Restrict:
                return this.lazy(
                    { kind: 'qualified', qualifier: QUALIFIERS[kind]! } as const,
                    'target',
                    type.sizeOrType,
                );
            case BtfKind.FunctionPrototype:
                return new BtfFunction(this, type);
            case BtfKind.TypeTag:
                return this.tagged(type);
            default:
                return VOID;
        }
    }

    /** Tags (`__user`, `__rcu`) are no part of C's type; a chain of them that is longer than any is a cycle. */
    private tagged(type: BtfType): CType {
        let inner: BtfType | undefined = type;
        for (let count = 0; inner?.kind === BtfKind.TypeTag && count < 64; count++) {
            inner = this.tables.type(inner.sizeOrType);
        }
        return inner === undefined || inner.kind === BtfKind.TypeTag ? VOID : this.type(inner.id);
    }

    /** Types may be made of each other in a circle: another one is read when somebody asks. */
    private lazy<T extends object, K extends string>(type: T, key: K, id: number): T & Readonly<Record<K, CType>> {
        const read = (): CType => this.type(id);
        return Object.defineProperty(type, key, { get: read, enumerable: true }) as T & Record<K, CType>;
    }

    private idOf(kind: BtfKind, name: string): number | undefined {
        this.index();
        return this.byName!.get(`${kind} ${name}`);
    }

    private index(): void {
        if (this.byName !== undefined) {
            return;
        }
        this.byName = new Map();
        this.enumerators = new Map();
        for (const id of this.tables.ids()) {
            const type = this.tables.type(id)!;
            const { kind } = type;
            if (!NAMED.has(kind)) continue;
            const { name } = type;
            const isEnum = kind === BtfKind.Enum || kind === BtfKind.Enum64;
            if (isEnum) {
                const size = kind === BtfKind.Enum ? 2 : 3;
                for (let index = 0; index < type.count; index++) {
                    const constant = type.string(type.extra(index * size));
                    if (!this.enumerators.has(constant)) this.enumerators.set(constant, id);
                }
            }
            // An enumeration without enumerators is declared, not defined.
            const key = `${kind} ${name}`;
            if (name !== undefined && !this.byName.has(key) && (!isEnum || type.count > 0)) this.byName.set(key, id);
        }
    }
}

function integer(type: BtfType, name: string): CType {
    const encoding = (type.extra(0) >>> 24) & 0xf;
    const size = type.sizeOrType;
    if (size === 0 || size > 16) {
        return VOID;
    }
    const signed = (encoding & SIGNED) !== 0;
    const reads = (encoding & BOOLEAN) !== 0 ? 'boolean' : CHARACTERS.has(name) ? 'character' : undefined;
    const common = { kind: 'integer', width: size * 8, signed, name } as const;
    return reads === undefined ? common : { ...common, reads };
}

class BtfRecord implements RecordType {
    readonly kind = 'record';
    readonly keyword: 'struct' | 'union';
    readonly name: string | undefined;
    private definition: BtfType | undefined;
    private known: readonly Member[] | undefined;

    constructor(
        private readonly btf: Btf,
        private readonly type: BtfType,
    ) {
        const isUnion = type.kind === BtfKind.Forward ? type.flag : type.kind === BtfKind.Union;
        this.keyword = isUnion ? 'union' : 'struct';
        this.name = type.name;
    }

    /** The type itself, or the definition of one that is only declared. */
    private get defined(): BtfType | undefined {
        if (this.type.kind !== BtfKind.Forward) {
            return this.type;
        }
        this.definition ??= this.name === undefined ? undefined : this.btf.definition(this.keyword, this.name);
        return this.definition;
    }

    get size(): number {
        return this.defined?.sizeOrType ?? 0;
    }

    get complete(): boolean {
        return this.defined !== undefined;
    }

    get members(): readonly Member[] {
        const { defined, btf } = this;
        this.known ??=
            defined === undefined
                ? []
                : Array.from({ length: defined.count }, (_, index) => member(btf, defined, index));
        return this.known;
    }
}

function member(btf: Btf, record: BtfType, index: number): Member {
    const name = record.string(record.extra(3 * index)) || undefined;
    const typeId = record.extra(3 * index + 1);
    const place = record.extra(3 * index + 2);
    const type = btf.type(typeId);
    const start = record.flag ? place & 0xffffff : place;
    const bits = record.flag ? { offset: start, size: place >>> 24 } : bitsOfInteger(btf.tables.type(typeId), start);
    return bits === undefined || bits.size === 0
        ? { name, type, offset: start / 8 }
        : { name, type, offset: Math.floor(bits.offset / 8), bits };
}

/** Where structures do not tell of bit-fields, types of integers do. */
function bitsOfInteger(type: BtfType | undefined, start: number): { offset: number; size: number } | undefined {
    if (type?.kind !== BtfKind.Int) {
        return undefined;
    }
    const size = type.extra(0) & 0xff;
    const offset = (type.extra(0) >>> 16) & 0xff;
    return size === type.sizeOrType * 8 && offset === 0 && start % 8 === 0
        ? undefined
        : { offset: start + offset, size };
}

class BtfEnum implements EnumType {
    readonly kind = 'enum';
    readonly name: string | undefined;
    readonly width: number;
    private known: readonly Enumerator[] | undefined;

    constructor(private readonly type: BtfType) {
        this.name = type.name;
        const { sizeOrType: size } = type;
        this.width = (size === 1 || size === 2 || size === 8 ? size : 4) * 8;
    }

    get signed(): boolean {
        return this.type.flag;
    }

    get enumerators(): readonly Enumerator[] {
        const { type } = this;
        this.known ??= Array.from({ length: type.count }, (_, index) => {
            if (type.kind === BtfKind.Enum) {
                const value = type.extra(2 * index + 1);
                return { name: type.string(type.extra(2 * index)), value: BigInt(type.flag ? value | 0 : value) };
            }
            const bits = (BigInt(type.extra(3 * index + 2)) << 32n) | BigInt(type.extra(3 * index + 1));
            return { name: type.string(type.extra(3 * index)), value: type.flag ? BigInt.asIntN(64, bits) : bits };
        });
        return this.known;
    }
}

class BtfFunction implements FunctionType {
    readonly kind = 'function';
    readonly variadic: boolean;

    constructor(
        private readonly btf: Btf,
        private readonly type: BtfType,
    ) {
        const { count } = type;
        this.variadic = count > 0 && type.extra(2 * count - 2) === 0 && type.extra(2 * count - 1) === 0;
    }

    get returns(): CType {
        return this.btf.type(this.type.sizeOrType);
    }

    get parameters(): readonly CType[] {
        const { type, btf, variadic } = this;
        return Array.from({ length: type.count - (variadic ? 1 : 0) }, (_, index) =>
            btf.type(type.extra(2 * index + 1)),
        );
    }
}

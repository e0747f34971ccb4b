/** Entries that describe types, as C's types (DWARF 5, chapter 5). */
import { Cursor } from '../cursor';
import { SymbolFileError } from '../errors';
import {
    bare,
    type ArrayType,
    type CType,
    type Enumerator,
    type FunctionType,
    type Member,
    type RecordType,
    sizeOf,
    typeName,
    type Variant,
    VOID,
} from '../types';
import { At, Encoding, Tag } from './constants';
import type { Die } from './die';
import { selectSiblings } from './siblings';
import type { Unit } from './unit';

/** Finds the definition of a type that a unit only declares. */
export type DefinitionFinder = (keyword: RecordType['keyword'] | 'enum', name: string) => Die | undefined;

/** Types inside of types inside of types: deeper is a cycle. */
const DEEPEST = 64;

export class TypeReader {
    private readonly known = new Map<Unit, Map<number, CType>>();
    private depth = 0;

    constructor(private readonly findDefinition: DefinitionFinder = () => undefined) {}

    /** The type that an entry has; `void` if it has none. @throws SymbolFileError */
    typeOf(die: Die): CType {
        const type = die.type;
        return type === undefined ? VOID : this.read(type);
    }

    /** The type that an entry describes. @throws SymbolFileError */
    read(die: Die): CType {
        let types = this.known.get(die.unit);
        if (types === undefined) {
            types = new Map();
            this.known.set(die.unit, types);
        }
        let type = types.get(die.offset);
        if (type === undefined) {
            if (++this.depth > DEEPEST) {
                this.depth = 0;
                throw new SymbolFileError(`${die.unit.what}: corrupt: a type that is made of itself`);
            }
            type = this.make(die);
            this.depth--;
            types.set(die.offset, type);
        }
        return type;
    }

    private make(die: Die): CType {
        // A type that has a unit of its own: all that there is of it here may be the reference.
        const elsewhere = die.reference(At.Signature);
        const isItself = elsewhere?.unit === die.unit && elsewhere.offset === die.offset;
        if (elsewhere !== undefined && !isItself) {
            return this.read(elsewhere);
        }
        switch (die.tag as Tag) {
            case Tag.BaseType:
                return baseType(die);
            case Tag.PointerType:
                return this.pointer(die, false);
            case Tag.ReferenceType:
            case Tag.RvalueReferenceType:
                return this.pointer(die, true);
            case Tag.Typedef:
                return this.named({ kind: 'typedef', name: die.name ?? '' }, die);
            case Tag.ConstType:
                return this.named({ kind: 'qualified', qualifier: 'const' }, die);
            case Tag.VolatileType:
                return this.named({ kind: 'qualified', qualifier: 'volatile' }, die);
            case Tag.RestrictType:
                return this.named({ kind: 'qualified', qualifier: 'restrict' }, die);
            case Tag.AtomicType:
                return this.named({ kind: 'qualified', qualifier: '_Atomic' }, die);
            case Tag.ImmutableType:
                return this.named({ kind: 'qualified', qualifier: 'immutable' }, die);
            case Tag.StructureType:
                return new DwarfRecord(this, die, 'struct', this.findDefinition);
            case Tag.ClassType:
                return new DwarfRecord(this, die, 'class', this.findDefinition);
            case Tag.UnionType:
                return new DwarfRecord(this, die, 'union', this.findDefinition);
            case Tag.EnumerationType:
                return new DwarfEnum(this, die, this.findDefinition);
            case Tag.ArrayType:
                return this.array(die);
            case Tag.PtrToMemberType:
                return this.memberPointer(die);
            case Tag.SubroutineType:
            case Tag.Subprogram:
                return new DwarfFunction(this, die);
            default:
                return VOID;
        }
    }

    private pointer(die: Die, reference: boolean): CType {
        const read = (): CType => this.typeOf(die);
        const size = die.number(At.ByteSize) ?? die.unit.format.addressSize;
        return {
            kind: 'pointer',
            size,
            reference,
            get to() {
                return read();
            },
        };
    }

    /** Names and qualifiers are read at once only as far as the one behind them. */
    private named<T extends object>(type: T, die: Die): T & { readonly target: CType } {
        let target: CType | undefined;
        const read = (): CType => (target ??= this.typeOf(die));
        return Object.defineProperty(type, 'target', { get: read, enumerable: true }) as T & { target: CType };
    }

    private array(die: Die): CType {
        const ranges: Die[] = [];
        for (const child of die.children()) {
            if (child.tag === (Tag.SubrangeType as number) || child.tag === (Tag.EnumerationType as number)) {
                ranges.push(child);
            }
        }
        const element = this.typeOf(die);
        if (ranges.length === 0) {
            return { kind: 'array', element, count: undefined };
        }
        return ranges.reduceRight<CType>((inner, range): ArrayType | ComputedArray => {
            const count = subrangeCount(range);
            const isComputed = count === undefined && (range.has(At.Count) || range.has(At.UpperBound));
            return { kind: 'array', element: inner, count, ...(isComputed && { range }) };
        }, element);
    }

    /** C++'s pointers to members, as the Itanium ABI has them: an offset, or of functions a pointer and an adjustment. */
    private memberPointer(die: Die): CType {
        const to = this.typeOf(die);
        const distance = { kind: 'integer', width: 64, signed: true, name: 'long' } as const;
        const name = `${die.reference(At.ContainingType)?.name ?? ''}::*`;
        if (bare(to).kind !== 'function') {
            return { kind: 'typedef', name: `${typeName(to)} ${name}`, target: distance };
        }
        const members: readonly Member[] = [
            { name: 'ptr', type: { kind: 'pointer', to }, offset: 0 },
            { name: 'adj', type: distance, offset: 8 },
        ];
        const target: RecordType = { kind: 'record', keyword: 'struct', name, size: 16, complete: true, members };
        return { kind: 'typedef', name: `function ${name}`, target };
    }
}

/** An array whose length the running program computes: what its `count` lacks, {@link arrayLength} tells of a frame. */
export interface ComputedArray extends ArrayType {
    /** The DW_TAG_subrange_type. */
    readonly range: Die;
}

export function isComputed(type: CType): type is ComputedArray {
    return type.kind === 'array' && 'range' in type;
}

function baseType(die: Die): CType {
    const name = die.name ?? '';
    const size = die.number(At.ByteSize) ?? 0;
    const encoding = die.number(At.Encoding) as Encoding | undefined;
    switch (encoding) {
        case Encoding.Float:
            return { kind: 'float', size, name };
        case Encoding.ComplexFloat:
            return { kind: 'float', size, name, complex: true };
        case Encoding.Boolean:
            return { kind: 'integer', width: size * 8, signed: false, name, reads: 'boolean' };
        case Encoding.SignedChar:
            return { kind: 'integer', width: size * 8, signed: true, name, reads: 'character' };
        case Encoding.UnsignedChar:
            return { kind: 'integer', width: size * 8, signed: false, name, reads: 'character' };
        case Encoding.Utf:
            return { kind: 'integer', width: size * 8, signed: false, name, reads: 'character' };
        case Encoding.Signed:
            return { kind: 'integer', width: size * 8, signed: true, name };
        default:
            return size === 0 ? VOID : { kind: 'integer', width: size * 8, signed: false, name };
    }
}

/**
 * The length of an array, with the bounds that only the running program tells.
 * @param bound the value of an attribute that is an expression, or refers to a variable; undefined where it is not known
 */
export function arrayLength(
    { range }: ComputedArray,
    bound: (die: Die, name: At) => number | undefined,
): number | undefined {
    const numberOf = (name: At): number | undefined =>
        range.constant(name) ?? (range.has(name) ? bound(range, name) : undefined);
    const count = numberOf(At.Count);
    if (count !== undefined) {
        return Math.max(0, count);
    }
    const upper = numberOf(At.UpperBound);
    const lower = range.has(At.LowerBound) ? numberOf(At.LowerBound) : 0;
    return upper === undefined || lower === undefined ? undefined : Math.max(0, upper - lower + 1);
}

/** Undefined for what only the running program tells: by an expression, or a variable that the attribute refers to. */
function subrangeCount(die: Die): number | undefined {
    const count = die.constant(At.Count);
    if (count !== undefined) {
        return count;
    }
    const upper = die.constant(At.UpperBound);
    if (upper === undefined) {
        return undefined;
    }
    // A constant of the form data4 or data8 with all bits set is -1: an array of no elements, in older GCCs.
    const bound = upper === 0xffffffff ? -1 : upper;
    return Math.max(0, bound - (die.number(At.LowerBound) ?? 0) + 1);
}

class DwarfRecord implements RecordType {
    readonly kind = 'record';
    readonly name: string | undefined;
    private definition: Die | undefined;
    private knownMembers: readonly Member[] | undefined;

    constructor(
        private readonly reader: TypeReader,
        private readonly die: Die,
        readonly keyword: RecordType['keyword'],
        private readonly find: DefinitionFinder,
    ) {
        this.name = die.effectiveName;
    }

    /** Where the members are: units that need only pointers to a type just declare it. */
    private get defined(): Die {
        if (this.definition === undefined) {
            this.definition = this.die;
            if (this.die.flag(At.Declaration)) {
                const found = this.name === undefined ? undefined : this.find(this.keyword, this.name);
                if (found !== undefined && !found.flag(At.Declaration)) this.definition = found;
            }
        }
        return this.definition;
    }

    get size(): number {
        return this.defined.number(At.ByteSize) ?? 0;
    }

    get complete(): boolean {
        return !this.defined.flag(At.Declaration);
    }

    get members(): readonly Member[] {
        this.knownMembers ??= [...this.readMembers()];
        return this.knownMembers;
    }

    private *readMembers(): Generator<Member> {
        for (const child of this.defined.children()) {
            if (child.tag === (Tag.VariantPart as number)) yield* this.readVariants(child);
            else yield* this.readMember(child);
        }
    }

    /** One entry, if it is a member; none for others. */
    private *readMember(child: Die, variant?: Variant): Generator<Member> {
        const isBase = child.tag === (Tag.Inheritance as number);
        if ((child.tag !== (Tag.Member as number) && !isBase) || child.has(At.External)) return;
        const offset = memberOffset(child);
        // Where a virtual base is, the object's table tells.
        if (offset === undefined) return;
        const type = this.reader.typeOf(child);
        const name = isBase ? undefined : child.name;
        const size = child.number(At.BitSize);
        if (size === undefined) {
            yield { name, type, offset, variant };
        } else {
            const start = bitOffset(child, offset, size, type);
            yield { name, type, offset: Math.floor(start / 8), bits: { offset: start, size }, variant };
        }
    }

    /** The members of all variants (DWARF 5, 5.7.10). */
    private *readVariants(part: Die): Generator<Member> {
        const tells = part.reference(At.Discr);
        const [discriminant] = tells === undefined ? [] : this.readMember(tells);
        const width = discriminant === undefined ? 64 : Math.min(64, sizeOf(discriminant.type) * 8);
        const variants = [...part.children()]
            .filter(({ tag }) => tag === (Tag.Variant as number))
            .map(die => ({ die, value: variantValue(die, width) }));
        const listed = new Set(variants.map(({ value }) => value));
        for (const { die, value } of variants) {
            // One without a value stands for all that no other has.
            const isActive = (found: bigint): boolean => {
                // Lists of ranges are not read: nobody can tell.
                if (die.has(At.DiscrList)) return true;
                const bits = BigInt.asUintN(width, found);
                return value === undefined ? !listed.has(bits) : value === bits;
            };
            for (const child of die.children()) yield* this.readMember(child, { discriminant, isActive });
        }
    }
}

function variantValue(die: Die, width: number): bigint | undefined {
    const value = die.raw(At.DiscrValue)?.value;
    return typeof value === 'number' || typeof value === 'bigint' ? BigInt.asUintN(width, BigInt(value)) : undefined;
}

/** DW_OP_plus_uconst and DW_OP_constu: version 2 wrote offsets as expressions. */
const PLUS_UCONST = 0x23;
const CONSTU = 0x10;

/** Undefined where only the running program tells. */
function memberOffset(die: Die): number | undefined {
    const value = die.raw(At.DataMemberLocation)?.value;
    if (typeof value === 'number') {
        return value;
    }
    if (value instanceof Uint8Array && value.length >= 2 && (value[0] === PLUS_UCONST || value[0] === CONSTU)) {
        const cursor = new Cursor(value, die.unit.what, 1);
        const offset = cursor.uleb();
        return cursor.left === 0 ? offset : undefined;
    }
    return value === undefined ? 0 : undefined;
}

/** Bits from the beginning of the record: version 4 says so, before that bits count from the top of a storage unit. */
function bitOffset(die: Die, byteOffset: number, size: number, type: CType): number {
    const direct = die.number(At.DataBitOffset);
    if (direct !== undefined) {
        return direct;
    }
    const top = die.raw(At.BitOffset)?.value;
    if (typeof top !== 'number' && typeof top !== 'bigint') {
        return byteOffset * 8;
    }
    // Below 0 for one that reaches beyond its storage unit: Clang writes that as a 64-bit number without a sign.
    const fromTop = Number(BigInt.asIntN(64, BigInt(top)));
    const storage = die.number(At.ByteSize) ?? storageSize(type);
    return byteOffset * 8 + storage * 8 - fromTop - size;
}

function storageSize(type: CType): number {
    const plain = bare(type);
    return plain.kind === 'integer' || plain.kind === 'enum' ? plain.width / 8 : 0;
}

class DwarfEnum {
    readonly kind = 'enum';
    readonly name: string | undefined;
    private readonly defined: Die;
    private known: readonly Enumerator[] | undefined;

    constructor(
        private readonly reader: TypeReader,
        die: Die,
        find: DefinitionFinder,
    ) {
        this.name = die.name;
        const found = die.flag(At.Declaration) && die.name !== undefined ? find('enum', die.name) : undefined;
        this.defined = found ?? die;
    }

    get width(): number {
        return (this.defined.number(At.ByteSize) ?? 4) * 8;
    }

    get signed(): boolean {
        const underlying = this.defined.has(At.Type) ? this.reader.typeOf(this.defined) : undefined;
        return underlying?.kind === 'integer' ? underlying.signed : this.enumerators.some(({ value }) => value < 0n);
    }

    get enumerators(): readonly Enumerator[] {
        if (this.known === undefined) {
            const children = this.defined.hasChildren
                ? selectSiblings(this.defined.unit, this.defined.next, tag => tag === (Tag.Enumerator as number))
                : [];
            this.known = Array.from(children, child => {
                const value = child.raw(At.ConstValue)?.value;
                const isNumber = typeof value === 'number' || typeof value === 'bigint';
                return { name: child.name ?? '', value: isNumber ? BigInt(value) : 0n };
            });
        }
        return this.known;
    }
}

class DwarfFunction implements FunctionType {
    readonly kind = 'function';
    private known: { readonly parameters: readonly CType[]; readonly variadic: boolean } | undefined;

    constructor(
        private readonly reader: TypeReader,
        private readonly die: Die,
    ) {}

    get returns(): CType {
        return this.reader.typeOf(this.die);
    }

    get parameters(): readonly CType[] {
        return this.signature.parameters;
    }

    get variadic(): boolean {
        return this.signature.variadic;
    }

    private get signature(): { readonly parameters: readonly CType[]; readonly variadic: boolean } {
        if (this.known === undefined) {
            const children = [...this.die.children()];
            this.known = {
                parameters: children
                    .filter(({ tag }) => tag === (Tag.FormalParameter as number))
                    .map(child => this.reader.typeOf(child)),
                variadic: children.some(({ tag }) => tag === (Tag.UnspecifiedParameters as number)),
            };
        }
        return this.known;
    }
}

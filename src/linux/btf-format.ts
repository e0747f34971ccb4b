/** BTF as it lies in memory (Documentation/bpf/btf.rst): the header, and where each type and string is. */
import { decodeText } from '../symbols/cursor';
import { LinuxError } from './errors';

/** BTF_KIND_*. */
export const enum BtfKind {
    Int = 1,
    Pointer = 2,
    Array = 3,
    Struct = 4,
    Union = 5,
    Enum = 6,
    Forward = 7,
    Typedef = 8,
    Volatile = 9,
    Const = 10,
    Restrict = 11,
    Function = 12,
    FunctionPrototype = 13,
    Variable = 14,
    DataSection = 15,
    Float = 16,
    DeclarationTag = 17,
    TypeTag = 18,
    Enum64 = 19,
}

export const BTF_MAGIC = 0xeb9f;
const SHORTEST_HEADER = 24;
/** Bytes of `struct btf_type`. */
const TYPE_SIZE = 12;
/** Longer names are those of corrupt tables. */
const LONGEST_NAME = 4096;
/** What the header may speak of: the largest kernels have some 10 MB. */
const LARGEST = 0x8000000;

/** Bytes behind `struct btf_type`, for each kind: some, and some for each of its members. */
const EXTRA: Readonly<Record<number, readonly [number, number]>> = {
    [BtfKind.Int]: [4, 0],
    [BtfKind.Pointer]: [0, 0],
    [BtfKind.Array]: [12, 0],
    [BtfKind.Struct]: [0, 12],
    [BtfKind.Union]: [0, 12],
    [BtfKind.Enum]: [0, 8],
    [BtfKind.Forward]: [0, 0],
    [BtfKind.Typedef]: [0, 0],
    [BtfKind.Volatile]: [0, 0],
    [BtfKind.Const]: [0, 0],
    [BtfKind.Restrict]: [0, 0],
    [BtfKind.Function]: [0, 0],
    [BtfKind.FunctionPrototype]: [0, 8],
    [BtfKind.Variable]: [4, 0],
    [BtfKind.DataSection]: [0, 12],
    [BtfKind.Float]: [0, 0],
    [BtfKind.DeclarationTag]: [4, 0],
    [BtfKind.TypeTag]: [0, 0],
    [BtfKind.Enum64]: [0, 12],
};

export interface BtfHeader {
    /** From the beginning of the header. */
    readonly typesAt: number;
    readonly typesSize: number;
    readonly stringsAt: number;
    readonly stringsSize: number;
    /** Bytes of it all. */
    readonly size: number;
}

/** The header; undefined where there is none, or none that can be. */
export function readBtfHeader(bytes: Uint8Array): BtfHeader | undefined {
    if (bytes.length < SHORTEST_HEADER) {
        return undefined;
    }
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const word = (at: number): number => view.getUint32(at, true);
    const length = word(4);
    if (view.getUint16(0, true) !== BTF_MAGIC || view.getUint8(2) !== 1 || length < SHORTEST_HEADER || length > 4096) {
        return undefined;
    }
    const [typesAt, typesSize, stringsAt, stringsSize] = [length + word(8), word(12), length + word(16), word(20)];
    const size = Math.max(typesAt + typesSize, stringsAt + stringsSize);
    return size > LARGEST || typesAt % 4 !== 0 ? undefined : { typesAt, typesSize, stringsAt, stringsSize, size };
}

/** The types of one blob; those of a module continue the kernel's. */
export class BtfTables {
    /** Id behind the last type. Ids begin at 1: 0 is `void`. */
    readonly end: number;
    /** What is wrong with the tables: what comes behind is not known. */
    readonly problem: string | undefined;
    private readonly first: number;
    private readonly starts: Uint32Array;
    private readonly view: DataView;
    private readonly header: BtfHeader;

    /**
     * @param base the kernel's, for a module's (split BTF)
     * @throws LinuxError if it is no BTF
     */
    constructor(
        private readonly bytes: Uint8Array,
        private readonly base?: BtfTables,
    ) {
        const header = readBtfHeader(bytes);
        if (header === undefined || header.size > bytes.length) {
            throw new LinuxError(header === undefined ? 'BTF: there is no header' : 'BTF: it is cut off');
        }
        this.header = header;
        this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
        this.first = base?.end ?? 1;
        const starts: number[] = [];
        const end = header.typesAt + header.typesSize;
        for (let at = header.typesAt; at + TYPE_SIZE <= end;) {
            const info = this.view.getUint32(at + 4, true);
            const extra = EXTRA[(info >>> 24) & 0x1f] as readonly [number, number] | undefined;
            const next = extra === undefined ? Infinity : at + TYPE_SIZE + extra[0] + extra[1] * (info & 0xffff);
            if (next > end) {
                this.problem = `BTF: type ${this.first + starts.length} is of an unknown kind, or cut off`;
                break;
            }
            starts.push(at);
            at = next;
        }
        this.starts = Uint32Array.from(starts);
        this.end = this.first + starts.length;
    }

    /** A type by its id; undefined for `void`, and for what there is not. */
    type(id: number): BtfType | undefined {
        if (id < this.first) {
            return this.base?.type(id);
        }
        const at = this.starts.at(id - this.first);
        return id >= this.end || at === undefined ? undefined : new BtfType(this, id, this.view, at);
    }

    /** Ids of this blob's own. */
    *ids(): Generator<number> {
        for (let id = this.first; id < this.end; id++) yield id;
    }

    /** Empty for nothing, and for what cannot be read. */
    string(offset: number): string {
        const baseSize = this.base?.stringsEnd ?? 0;
        if (offset < baseSize) {
            return this.base!.string(offset);
        }
        const { stringsAt, stringsSize } = this.header;
        const start = stringsAt + offset - baseSize;
        const length = this.bytes.subarray(start, start + LONGEST_NAME + 1).indexOf(0);
        return offset - baseSize >= stringsSize || length < 0 ? '' : decodeText(this.bytes, start, start + length);
    }

    private get stringsEnd(): number {
        return (this.base?.stringsEnd ?? 0) + this.header.stringsSize;
    }
}

/** `struct btf_type`, and what follows it. */
export class BtfType {
    readonly kind: BtfKind;
    /** How many members, enumerators, parameters follow. */
    readonly count: number;
    readonly flag: boolean;

    constructor(
        private readonly tables: BtfTables,
        readonly id: number,
        private readonly view: DataView,
        private readonly at: number,
    ) {
        const info = this.word(1);
        this.kind = ((info >>> 24) & 0x1f) as BtfKind;
        this.count = info & 0xffff;
        this.flag = info >>> 31 === 1;
    }

    get name(): string | undefined {
        return this.tables.string(this.word(0)) || undefined;
    }

    /** Bytes, or the id of a type: as the kind has it. */
    get sizeOrType(): number {
        return this.word(2);
    }

    /** A word behind the type; those of one member follow each other. */
    extra(index: number): number {
        return this.word(3 + index);
    }

    string(offset: number): string {
        return this.tables.string(offset);
    }

    private word(index: number): number {
        return this.view.getUint32(this.at + 4 * index, true);
    }
}

/** Where members of a kernel's structures lie: looked up by name once, however often they are read. */
import { bare, type BareType, type CType, findMember, type RecordType, sizeOf } from '../symbols/types';
import { LinuxError } from './errors';
import type { Kernel, TypeKeyword } from './kernel';

/** A member of a structure, or one inside of it. */
export interface Field {
    /** Bytes from the beginning of the structure. */
    readonly offset: number;
    readonly type: BareType;
    /** Bytes. */
    readonly size: number;
    /** Bits from the beginning of the structure, and how many: bit-fields only. */
    readonly bits?: { readonly offset: number; readonly size: number };
}

const STEP = /^([A-Za-z_]\w*)?((?:\[\d+\])*)$/;

export class Layout {
    private readonly records = new Map<string, RecordType | undefined>();
    private readonly fields = new WeakMap<RecordType, Map<string, Field | undefined>>();
    private readonly completed = new WeakMap<RecordType, RecordType>();

    constructor(readonly kernel: Kernel) {}

    /** A structure or union by its name; undefined if the kernel has none. */
    record(name: string, keyword: TypeKeyword = 'struct'): RecordType | undefined {
        const key = `${keyword} ${name}`;
        if (!this.records.has(key)) {
            const type = this.kernel.type(keyword, name);
            const plain = type && bare(type);
            this.records.set(key, plain?.kind === 'record' && plain.complete ? plain : undefined);
        }
        return this.records.get(key);
    }

    /** @throws LinuxError if the kernel has no such structure */
    required(name: string): RecordType {
        const found = this.record(name);
        if (found === undefined) {
            throw new LinuxError(`this kernel has no struct ${name} (${this.kernel.origin})`);
        }
        return found;
    }

    /** The same structure with its members, where `type` only declares it. */
    complete(type: RecordType): RecordType {
        if (type.complete || type.name === undefined || type.keyword === 'class') {
            return type;
        }
        let whole = this.completed.get(type);
        if (whole === undefined) {
            whole = this.record(type.name, type.keyword) ?? type;
            this.completed.set(type, whole);
        }
        return whole;
    }

    /**
     * A member by its path: `thread.sp`, `fdtab.open_fds`, `slot[3]`; anonymous structures are looked into. Pointers are not
     * followed. Undefined if the structure has none.
     */
    field(record: RecordType, path: string): Field | undefined {
        let known = this.fields.get(record);
        if (known === undefined) {
            known = new Map();
            this.fields.set(record, known);
        }
        if (!known.has(path)) {
            known.set(path, this.resolve(record, path));
        }
        return known.get(path);
    }

    private resolve(record: RecordType, path: string): Field | undefined {
        let type: CType = record;
        let offset = 0;
        let bits: Field['bits'];
        for (const step of path.split('.')) {
            const [, name, indices] = STEP.exec(step) ?? [];
            if (indices === undefined) {
                throw new LinuxError(`'${path}' is no path of a member`);
            }
            if (name !== undefined) {
                const outer = bare(type);
                if (outer.kind !== 'record') return undefined;
                const member = findMember(this.complete(outer), name);
                if (member === undefined) return undefined;
                type = member.type;
                bits = member.bits && { offset: offset * 8 + member.bits.offset, size: member.bits.size };
                offset += member.offset;
            }
            for (const [, index] of indices.matchAll(/\[(\d+)\]/g)) {
                const array = bare(type);
                if (array.kind !== 'array') return undefined;
                offset += Number(index) * this.sizeOf(array.element);
                type = array.element;
            }
        }
        return { offset, type: bare(type), size: this.sizeOf(type), bits };
    }

    /** Bytes that a value of a type takes. */
    sizeOf(type: CType): number {
        const plain = bare(type);
        return sizeOf(plain.kind === 'record' ? this.complete(plain) : plain);
    }

    /** The values of an enumeration by name, such as `pid_type`; empty if the kernel has none of that name. */
    enumerators(name: string): ReadonlyMap<string, bigint> {
        const type = this.kernel.type('enum', name);
        const plain = type && bare(type);
        return new Map(plain?.kind === 'enum' ? plain.enumerators.map(one => [one.name, one.value]) : []);
    }
}

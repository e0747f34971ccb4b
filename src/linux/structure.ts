/** Structures of the kernel in the guest's memory: members by name, lists, per-CPU variables. */
import { littleEndian } from '../inspect/linear-memory';
import { hex } from '../inspect/hex';
import { decodeText } from '../symbols/cursor';
import { bare, type BareType, type RecordType } from '../symbols/types';
import { LinuxError } from './errors';
import type { Kernel } from './kernel';
import { type Field, type Layout } from './layout';

/** Linear memory by some page tables: the kernel's, or those of a process. */
export interface GuestMemory {
    /** As many of `length` bytes as can be read without a gap, and why not more. */
    read(address: bigint, length: number): { readonly bytes: Uint8Array; readonly problem?: string };
    /** Where a linear address is mapped to; undefined if nowhere. */
    physical(address: bigint): number | undefined;
    isExecutable(address: bigint): boolean;
    /** Whether user code could be executed there. */
    isUserCode(address: bigint): boolean;
}

/** Memory with the kernel's page tables. */
export interface KernelMemory extends GuestMemory {
    /** The same memory by other page tables. @param cr3 as it would stand in CR3 */
    space(cr3: bigint): GuestMemory;
}

/** Elements of a list, and why it ends too early. */
export interface Listed<T> {
    readonly items: readonly T[];
    /** What is wrong with the list behind the last item. */
    readonly problem?: string;
}

/** Longer lists are taken for loops that go wrong elsewhere: the highest number of tasks is 4 Mi, rarely above 32 Ki. */
const LONGEST_LIST = 0x10000;
const LONGEST_STRING = 4096;
const POINTER = 8;
/** Where the upper half begins with five levels of page tables: nothing of the kernel's own lies below. */
const KERNEL_HALF = 0xff00000000000000n;

/** Whether an address can be one of the kernel's data. */
export function isKernelAddress(address: bigint): boolean {
    return address >= KERNEL_HALF;
}

/** Reads structures of one kernel from memory of one moment. */
export class KernelReader {
    readonly kernel: Kernel;

    constructor(
        readonly layout: Layout,
        readonly memory: KernelMemory,
    ) {
        this.kernel = layout.kernel;
    }

    /** @throws LinuxError if the kernel has no such structure */
    at(type: string | RecordType, address: bigint): Structure {
        return new Structure(this, typeof type === 'string' ? this.layout.required(type) : type, address);
    }

    /**
     * Address of a variable.
     * @throws LinuxError if the kernel has none of that name
     */
    address(name: string): bigint {
        const address = this.kernel.address(name);
        if (address === undefined) {
            throw new LinuxError(`this kernel has no ${name} (${this.kernel.origin})`);
        }
        return address;
    }

    /** A global structure. @throws LinuxError if the kernel lacks the variable or the type */
    global(name: string, type: string): Structure {
        return this.at(type, this.address(name));
    }

    /** What a global pointer holds. @throws LinuxError if the kernel has no such variable, or it cannot be read */
    globalPointer(name: string): bigint {
        return this.number(this.address(name), POINTER);
    }

    /** Address of a per-CPU variable. @throws LinuxError if the kernel has none of that name, or no such CPU */
    perCpu(name: string, cpu: number): bigint {
        return this.perCpuAddress(this.address(name), cpu);
    }

    /** What a `__percpu` pointer means on a CPU. @throws LinuxError */
    perCpuAddress(offset: bigint, cpu: number): bigint {
        const table = this.kernel.address('__per_cpu_offset');
        // A kernel for one processor has none.
        const base = table === undefined ? 0n : this.number(table + BigInt(cpu * POINTER), POINTER);
        return BigInt.asUintN(64, offset + base);
    }

    /** An unsigned number. @throws LinuxError if it cannot be read */
    number(address: bigint, size: number): bigint {
        return littleEndian(this.bytes(address, size), 0, size);
    }

    /** @throws LinuxError if not all of them can be read */
    bytes(address: bigint, length: number): Uint8Array {
        const { bytes, problem } = this.memory.read(BigInt.asUintN(64, address), length);
        if (bytes.length < length) {
            throw new LinuxError(problem ?? `${hex(address)} cannot be read`);
        }
        return bytes;
    }

    /** A string up to its NUL, or as far as it can be read. @throws LinuxError if nothing can be read */
    string(address: bigint, most = LONGEST_STRING): string {
        const { bytes, problem } = this.memory.read(BigInt.asUintN(64, address), most);
        if (bytes.length === 0 && most > 0) {
            throw new LinuxError(problem ?? `${hex(address)} cannot be read`);
        }
        return text(bytes);
    }

    /**
     * The structures on a doubly linked list.
     * @param head address of the `struct list_head` that is on no structure
     * @param type of the structures
     * @param member path of their `struct list_head`
     */
    list(head: bigint, type: string, member: string, most = LONGEST_LIST): Listed<Structure> {
        const record = this.layout.required(type);
        try {
            const first = this.number(head, POINTER);
            const offset = this.offset(record, member);
            return this.walk(first, record, { next: 0, start: -offset }, most, at => at === head);
        } catch (error) {
            if (!(error instanceof LinuxError)) throw error;
            return { items: [], problem: `the list cannot be read: ${error.message}` };
        }
    }

    /**
     * The structures on a list that ends with NULL, or with an odd number (`hlist_nulls`), whose pointers lead from node
     * to node.
     * @param first address of the first node, as the head holds it
     * @param member path of the node, which begins with the pointer to the next one
     */
    chain(first: bigint, type: string, member: string, most = LONGEST_LIST): Listed<Structure> {
        const record = this.layout.required(type);
        const offset = this.offset(record, member);
        return this.walk(first, record, { next: 0, start: -offset }, most, isOver);
    }

    /**
     * The structures on a list that ends with NULL, whose pointers lead from structure to structure.
     * @param first address of the first structure
     * @param member path of the pointer to the next one
     */
    linked(first: bigint, type: string, member: string, most = LONGEST_LIST): Listed<Structure> {
        const record = this.layout.required(type);
        return this.walk(first, record, { next: this.offset(record, member), start: 0 }, most, isOver);
    }

    /** Bytes from the beginning of a structure to a member. @throws LinuxError if it has none of that path */
    offset(record: RecordType, member: string): number {
        const field = this.layout.field(record, member);
        if (field === undefined) {
            throw new LinuxError(`struct ${record.name ?? '{…}'} has no ${member} in this kernel`);
        }
        return field.offset;
    }

    /** @param from offsets of the next pointer, and of the structure, from where the pointers lead */
    private walk(
        first: bigint,
        record: RecordType,
        from: { readonly next: number; readonly start: number },
        most: number,
        isEnd: (at: bigint) => boolean,
    ): Listed<Structure> {
        const items: Structure[] = [];
        const seen = new Set<bigint>();
        for (let at = first; !isEnd(at);) {
            const problem = !isKernelAddress(at)
                ? `the list leads to ${hex(at)}, which is no kernel address`
                : seen.has(at)
                  ? `the list runs in a circle: it comes back to ${hex(at)}`
                  : items.length >= most
                    ? `the list goes on after ${most} elements`
                    : undefined;
            if (problem !== undefined) {
                return { items, problem };
            }
            seen.add(at);
            let next: bigint;
            try {
                next = this.number(BigInt.asUintN(64, at + BigInt(from.next)), POINTER);
            } catch (error) {
                if (!(error instanceof LinuxError)) throw error;
                return { items, problem: `the list leads to memory that is not there: ${error.message}` };
            }
            items.push(new Structure(this, record, BigInt.asUintN(64, at + BigInt(from.start))));
            at = next;
        }
        return { items };
    }
}

function isOver(at: bigint): boolean {
    return at === 0n || (at & 1n) === 1n;
}

/** A structure at an address. */
export class Structure {
    readonly type: RecordType;

    constructor(
        readonly reader: KernelReader,
        type: RecordType,
        readonly address: bigint,
    ) {
        this.type = reader.layout.complete(type);
    }

    /** Whether this kernel's structure has a member. */
    has(path: string): boolean {
        return this.reader.layout.field(this.type, path) !== undefined;
    }

    /** The first of several paths that this kernel has. @throws LinuxError if it has none of them */
    either(...paths: readonly string[]): string {
        const found = paths.find(path => this.has(path));
        if (found === undefined) {
            throw new LinuxError(
                `struct ${this.type.name ?? '{…}'} has no ${paths.join(', and no ')} in this kernel ` +
                    `(${this.reader.kernel.origin})`,
            );
        }
        return found;
    }

    /** @throws LinuxError if there is no such member */
    field(path: string): Field {
        return this.reader.layout.field(this.type, this.either(path))!;
    }

    addressOf(path: string): bigint {
        return BigInt.asUintN(64, this.address + BigInt(this.field(path).offset));
    }

    /** The value of a member that is a number, an enumerator, a pointer or a bit-field; signed as its type is. */
    big(path: string): bigint {
        const field = this.field(path);
        const { type, size, bits } = field;
        const signed = (type.kind === 'integer' || type.kind === 'enum') && type.signed;
        if (bits !== undefined) {
            const first = Math.floor(bits.offset / 8);
            const bytes = Math.ceil((bits.offset + bits.size) / 8) - first;
            const raw = this.reader.number(this.address + BigInt(first), bytes) >> BigInt(bits.offset - first * 8);
            return signed ? BigInt.asIntN(bits.size, raw) : BigInt.asUintN(bits.size, raw);
        }
        if (size < 1 || size > 8 || type.kind === 'array') {
            throw new LinuxError(`${path} of struct ${this.type.name ?? '{…}'} is no number in this kernel`);
        }
        const raw = this.reader.number(this.address + BigInt(field.offset), size);
        return signed ? BigInt.asIntN(size * 8, raw) : raw;
    }

    /** As {@link big}, for members whose values are small. */
    number(path: string): number {
        return Number(this.big(path));
    }

    /** The structure inside of this one. */
    inner(path: string): Structure {
        const field = this.field(path);
        return new Structure(this.reader, recordOf(field.type, path), this.addressOf(path));
    }

    /**
     * The structure that a pointer leads to; undefined for NULL.
     * @param type where the pointer's own is none, or another
     */
    pointer(path: string, type?: string): Structure | undefined {
        const field = this.field(path);
        const address = this.big(path);
        if (address === 0n) {
            return undefined;
        }
        const { reader } = this;
        const target =
            type !== undefined
                ? reader.layout.required(type)
                : recordOf(field.type.kind === 'pointer' ? bare(field.type.to) : field.type, path);
        return new Structure(reader, target, address);
    }

    /** A string in an array of characters, or the one that a pointer leads to; empty for NULL. */
    string(path: string, most = LONGEST_STRING): string {
        const field = this.field(path);
        if (field.type.kind === 'array') {
            return text(this.reader.bytes(this.addressOf(path), Math.min(field.size || most, most)));
        }
        const address = this.big(path);
        return address === 0n ? '' : this.reader.string(address, most);
    }

    /** The list whose `struct list_head` is a member of this structure. */
    list(path: string, type: string, member: string, most?: number): Listed<Structure> {
        return this.reader.list(this.addressOf(path), type, member, most);
    }

    /** The structure that this one is a member of. */
    container(type: string, member: string): Structure {
        const outer = this.reader.layout.required(type);
        const offset = this.reader.offset(outer, member);
        return new Structure(this.reader, outer, BigInt.asUintN(64, this.address - BigInt(offset)));
    }
}

function recordOf(type: BareType, path: string): RecordType {
    if (type.kind !== 'record') {
        throw new LinuxError(`${path} is no structure in this kernel`);
    }
    return type;
}

/** Characters up to a NUL. The kernel's own strings are ASCII or UTF-8. */
export function text(bytes: Uint8Array): string {
    const end = bytes.indexOf(0);
    return decodeText(bytes, 0, end < 0 ? bytes.length : end);
}

/** A kernel put together by a test: structures declared in a few words, and memory to put them in. */
import type { Kernel, TypeKeyword } from '../../../src/linux/kernel';
import { Layout } from '../../../src/linux/layout';
import { type KernelMemory, KernelReader } from '../../../src/linux/structure';
import {
    type CType,
    type EnumType,
    type IntegerType,
    type Member,
    type RecordType,
    sizeOf,
} from '../../../src/symbols/types';

export const BASE = 0xffffffff81000000n;

export const u8: IntegerType = { kind: 'integer', width: 8, signed: false, name: 'unsigned char' };
export const char: IntegerType = { kind: 'integer', width: 8, signed: true, name: 'char', reads: 'character' };
export const u16: IntegerType = { kind: 'integer', width: 16, signed: false, name: 'unsigned short' };
export const u32: IntegerType = { kind: 'integer', width: 32, signed: false, name: 'unsigned int' };
export const i32: IntegerType = { kind: 'integer', width: 32, signed: true, name: 'int' };
export const u64: IntegerType = { kind: 'integer', width: 64, signed: false, name: 'unsigned long' };
export const i64: IntegerType = { kind: 'integer', width: 64, signed: true, name: 'long' };

export const pointer = (to: CType): CType => ({ kind: 'pointer', to });
export const array = (element: CType, count: number | undefined): CType => ({ kind: 'array', element, count });

export class SyntheticKernel implements Kernel, KernelMemory {
    readonly origin = 'a test';
    readonly symbols = new Map<string, bigint>();
    readonly types = new Map<string, CType>();
    private readonly pages = new Map<bigint, Uint8Array>();
    private next = BASE;

    /** Declares a structure: members in order, aligned to their size. A member without a name is anonymous. */
    struct(
        name: string | undefined,
        members: Readonly<Record<string, CType>>,
        keyword: 'struct' | 'union' = 'struct',
    ): RecordType {
        const laidOut: Member[] = [];
        let offset = 0;
        let size = 0;
        for (const [member, type] of Object.entries(members)) {
            const bytes = sizeOf(type);
            const alignment = Math.min(8, Math.max(1, type.kind === 'array' ? sizeOf(type.element) : bytes));
            const at = keyword === 'union' ? 0 : Math.ceil(offset / alignment) * alignment;
            laidOut.push({ name: member.startsWith('$') ? undefined : member, type, offset: at });
            offset = at + bytes;
            size = Math.max(size, offset);
        }
        const type: RecordType = {
            ...{ kind: 'record', keyword, name, complete: true, members: laidOut },
            size: Math.ceil(size / 8) * 8,
        };
        if (name !== undefined) this.types.set(`${keyword} ${name}`, type);
        return type;
    }

    /** A structure that is declared only: what pointers to it have as their type. */
    forward(name: string): RecordType {
        return { kind: 'record', keyword: 'struct', name, size: 0, complete: false, members: [] };
    }

    enumeration(name: string, values: Readonly<Record<string, number>>): EnumType {
        const enumerators = Object.entries(values).map(([key, value]) => ({ name: key, value: BigInt(value) }));
        const type: EnumType = { kind: 'enum', name, width: 32, signed: false, enumerators };
        this.types.set(`enum ${name}`, type);
        return type;
    }

    /** Room for so many bytes, zeroed. */
    allocate(size: number, name?: string, alignment = 16): bigint {
        const mask = BigInt(alignment - 1);
        const at = (this.next + mask) & ~mask;
        this.next = at + BigInt(size);
        for (let page = at & ~0xfffn; page < this.next; page += 0x1000n) this.page(page);
        if (name !== undefined) this.symbols.set(name, at);
        return at;
    }

    /** A structure with values for some members, by path. */
    make(type: string, values: Readonly<Record<string, bigint | number | string>> = {}, name?: string): bigint {
        const at = this.allocate(new Layout(this).required(type).size, name);
        this.set(type, at, values);
        return at;
    }

    set(type: string, at: bigint, values: Readonly<Record<string, bigint | number | string>>): void {
        const layout = new Layout(this);
        for (const [path, value] of Object.entries(values)) {
            const field = layout.field(layout.required(type), path);
            if (field === undefined) throw new Error(`struct ${type} has no ${path}`);
            const place = at + BigInt(field.offset);
            if (typeof value === 'string') this.write(place, new TextEncoder().encode(`${value}\0`));
            else this.number(place, BigInt(value), field.size);
        }
    }

    /** Puts nodes (`struct list_head`) on a list. */
    link(head: bigint, nodes: readonly bigint[]): void {
        const ring = [head, ...nodes];
        ring.forEach((node, index) => {
            this.number(node, ring[(index + 1) % ring.length], 8);
            this.number(node + 8n, ring[(index + ring.length - 1) % ring.length], 8);
        });
    }

    number(at: bigint, value: bigint, size: number): void {
        this.write(
            at,
            Uint8Array.from({ length: size }, (_, index) =>
                Number((BigInt.asUintN(64, value) >> BigInt(index * 8)) & 0xffn),
            ),
        );
    }

    write(at: bigint, bytes: ArrayLike<number>): void {
        Array.from(bytes).forEach((byte, index) => {
            const place = at + BigInt(index);
            this.page(place & ~0xfffn)[Number(place & 0xfffn)] = byte;
        });
    }

    private page(at: bigint): Uint8Array {
        let page = this.pages.get(at);
        if (page === undefined) {
            page = new Uint8Array(0x1000);
            this.pages.set(at, page);
        }
        return page;
    }

    get reader(): KernelReader {
        return new KernelReader(new Layout(this), this);
    }

    // ---- Kernel and KernelMemory ---------------------------------------------------------------------------------

    address(name: string): bigint | undefined {
        return this.symbols.get(name);
    }

    symbol(address: bigint): string | undefined {
        return [...this.symbols].find(([, at]) => at === address)?.[0];
    }

    type(keyword: TypeKeyword | undefined, name: string): CType | undefined {
        return this.types.get(keyword === undefined ? name : `${keyword} ${name}`);
    }

    physical(address: bigint): number | undefined {
        return this.pages.has(address & ~0xfffn) ? Number(address - BASE) : undefined;
    }

    isExecutable(address: bigint): boolean {
        return this.physical(address) !== undefined;
    }

    isUserCode(address: bigint): boolean {
        return address < BASE && this.isExecutable(address);
    }

    /** Every process has the same memory. */
    space(): this {
        return this;
    }

    read(address: bigint, length: number): { bytes: Uint8Array; problem?: string } {
        const bytes: number[] = [];
        for (let at = address; bytes.length < length; at++) {
            const page = this.pages.get(at & ~0xfffn);
            if (page === undefined) {
                return { bytes: Uint8Array.from(bytes), problem: `0x${at.toString(16)} cannot be read: not mapped` };
            }
            bytes.push(page[Number(at & 0xfffn)]);
        }
        return { bytes: Uint8Array.from(bytes) };
    }
}

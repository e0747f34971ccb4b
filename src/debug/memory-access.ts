/** Guest memory as the debugger reads and writes it: through the page tables without side effects, and never a device. */
import type { Cpu } from '../machine/cpu/cpu';
import { type PageWalk, type PageWalkLevel, walkPages } from '../machine/cpu/page-walk';
import type { GuestMemory } from '../machine/memory';
import { type Address, halves } from './address';

const PAGE = 0x1000n;

/** Physical addresses have at most 52 bits; the machine's numbers are exact up to 53. */
const PHYSICAL_END = 1n << 52n;

/** Where a linear address leads, for a view that explains it. */
export interface AddressTranslation {
    readonly linear: bigint;
    /** Absent for an address that is not canonical. */
    readonly walk?: PageWalk;
    /** Why there is no mapping. */
    readonly problem?: string;
}

/** Translates a linear address, with every step that leads to the result. */
export function translateAddress(cpu: Cpu, linear: bigint): AddressTranslation {
    const [lo, hi] = halves(linear);
    if (!cpu.memory.isCanonical(lo, hi)) {
        return { linear, problem: 'the address is not canonical: its upper bits are no sign extension' };
    }
    if (!cpu.longMode && hi !== 0) {
        return { linear, problem: 'outside long mode addresses have 32 bits' };
    }
    const walk = walkPages(cpu, cpu.port, lo, hi);
    return { linear, walk, problem: walk.mapping === undefined ? describeMissing(walk) : undefined };
}

function describeMissing({ levels }: PageWalk): string {
    const last = levels[levels.length - 1];
    const entry = `${last.structure}[0x${last.index.toString(16)}] = 0x${last.entry.toString(16)}`;
    return last.reserved === 0n
        ? `${entry} is not present`
        : `${entry} has reserved bits set: 0x${last.reserved.toString(16)}`;
}

/** What the debugger sees of a guest's memory from one of its vCPUs. */
export interface MemoryView {
    /** As many of `length` bytes as can be read without a gap: fewer, or none, where the memory ends. */
    read(address: Address, length: number): Uint8Array;
    /** Writes as many bytes as meet RAM without a gap; returns how many. Read-only pages can be written. */
    write(address: Address, bytes: Uint8Array): number;
    /** An unsigned little-endian number, or undefined if it cannot be read. */
    readNumber(address: Address, size: number): bigint | undefined;
    /** Whether code could be executed at a linear address; where that cannot be told, whether something can be read. */
    isExecutable(linear: bigint): boolean;
    /**
     * Whether user code could be executed at a linear address. The topmost entry does not count: where a kernel isolates
     * page tables, its own forbid there to execute any of user space.
     */
    isUserCode(linear: bigint): boolean;
}

/** The bytes as an unsigned little-endian number. */
export function littleEndian(bytes: Uint8Array): bigint {
    return bytes.reduceRight((number, byte) => (number << 8n) | BigInt(byte), 0n);
}

/** Memory of one machine, seen by one of its vCPUs. */
export class MemoryAccess implements MemoryView {
    constructor(
        private readonly cpu: Cpu,
        private readonly memory: GuestMemory,
    ) {}

    /** Physical address, or undefined if nothing is mapped there. */
    physical({ space, offset }: Address): number | undefined {
        if (space === 'physical') {
            return offset < PHYSICAL_END ? Number(offset) : undefined;
        }
        return translateAddress(this.cpu, offset).walk?.mapping?.physical;
    }

    read(address: Address, length: number): Uint8Array {
        const bytes = new Uint8Array(length);
        let done = 0;
        for (const piece of pages(address, length)) {
            const physical = this.physical(piece.address);
            if (physical === undefined || this.memory.ramAddress(physical - (physical % Number(PAGE))) < 0) {
                break;
            }
            this.memory.readBytes(physical, bytes.subarray(done, done + piece.length));
            done += piece.length;
        }
        return done === length ? bytes : bytes.slice(0, done);
    }

    write(address: Address, bytes: Uint8Array): number {
        let done = 0;
        for (const piece of pages(address, bytes.length)) {
            const physical = this.physical(piece.address);
            if (physical === undefined || this.memory.writableAddress(physical - (physical % Number(PAGE))) < 0) {
                break;
            }
            this.memory.writeBytes(physical, bytes.subarray(done, done + piece.length));
            done += piece.length;
        }
        return done;
    }

    readNumber(address: Address, size: number): bigint | undefined {
        const bytes = this.read(address, size);
        return bytes.length < size ? undefined : littleEndian(bytes);
    }

    isExecutable(linear: bigint): boolean {
        return translateAddress(this.cpu, linear).walk?.mapping?.executable === true;
    }

    isUserCode(linear: bigint): boolean {
        return mapsUserCode(this.cpu, linear);
    }
}

/** {@link MemoryView.isUserCode} by a vCPU's page tables. */
export function mapsUserCode(cpu: Cpu, linear: bigint): boolean {
    const { walk } = translateAddress(cpu, linear);
    if (walk?.mapping === undefined) {
        return false;
    }
    const isWide = walk.mode === '4-level' || walk.mode === '5-level';
    const forbids = ({ entry }: PageWalkLevel): boolean => isWide && entry >> 63n === 1n;
    return walk.mapping.user && !walk.levels.slice(1).some(forbids);
}

/** A range of addresses, page by page; it may wrap at the end of the address space. */
export function* pages({ space, offset }: Address, length: number): Generator<{ address: Address; length: number }> {
    let at = offset;
    for (let left = length; left > 0;) {
        const inPage = Math.min(left, Number(PAGE - (at % PAGE)));
        yield { address: { space, offset: at }, length: inPage };
        at = BigInt.asUintN(64, at + BigInt(inPage));
        left -= inPage;
    }
}

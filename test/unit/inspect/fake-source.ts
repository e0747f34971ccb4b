/** A machine for inspection that consists of pages put together by a test. */
import type { InspectionSource, PhysicalRegion, SegmentState, SystemState } from '../../../src/debug/inspection-source';

const PAGE = 0x1000;
const NO_SEGMENT: SegmentState = { selector: 0, base: 0n, limit: 0xffff, attributes: 0x93 };

export const CR0_PG = 0x80000001;
export const CR0_WP = 0x10000;
export const CR4_PSE = 0x10;
export const CR4_PAE = 0x20;
export const CR4_LA57 = 0x1000;
export const EFER_LONG = 0x500;
export const EFER_NXE = 0x800;
export const NX = 1n << 63n;

export const REAL_MODE: SystemState = {
    cr0: 0x10,
    cr3: 0n,
    cr4: 0,
    efer: 0,
    rflags: 2,
    cpl: 0,
    pc: 0xfff0n,
    segments: [0, 1, 2, 3, 4, 5].map(() => NO_SEGMENT),
    ldtr: { ...NO_SEGMENT, attributes: 0x82 },
    tr: { ...NO_SEGMENT, attributes: 0x8b },
    gdtr: { base: 0n, limit: 0xffff },
    idtr: { base: 0n, limit: 0x3ff },
    physicalBits: 40,
};

export const LONG_MODE: SystemState = {
    ...REAL_MODE,
    cr0: CR0_PG | CR0_WP,
    cr3: 0x10000n,
    cr4: CR4_PAE | 0x80,
    efer: EFER_LONG | EFER_NXE,
};

export class FakeSource implements InspectionSource {
    readonly vcpu = 0;
    readonly vcpus = 1;
    readonly machine = undefined;
    regions: readonly PhysicalRegion[] | undefined;
    readonly symbols = new Map<bigint, string>();
    private readonly pages = new Map<number, Uint8Array>();

    constructor(public system: SystemState = LONG_MODE) {}

    page(physical: number): Uint8Array | undefined {
        return this.pages.get(physical);
    }

    symbol(linear: bigint): string | undefined {
        return this.symbols.get(linear);
    }

    /** Memory is there from now on. */
    addMemory(physical: number, pages = 1): void {
        for (let page = 0; page < pages; page++) {
            this.pages.set(physical + page * PAGE, new Uint8Array(PAGE));
        }
    }

    poke(physical: number, bytes: readonly number[] | Uint8Array): void {
        bytes.forEach((byte, index) => {
            const at = physical + index;
            const page = at - (at % PAGE);
            if (!this.pages.has(page)) this.addMemory(page);
            this.pages.get(page)![at % PAGE] = byte;
        });
    }

    poke32(physical: number, value: number): void {
        this.poke(
            physical,
            [0, 8, 16, 24].map(shift => (value >>> shift) & 0xff),
        );
    }

    poke64(physical: number, value: bigint): void {
        this.poke32(physical, Number(value & 0xffffffffn));
        this.poke32(physical + 4, Number(value >> 32n));
    }

    /** Enters a page in 4- or 5-level tables that begin at CR3, with tables from a heap at `tables`. */
    map(linear: bigint, entry: bigint, level: 1 | 2 | 3 = 1, upper = 7n): void {
        let table = Number(this.system.cr3);
        const top = this.system.cr4 & CR4_LA57 ? 5 : 4;
        for (let depth = top; depth > level; depth--) {
            const at = table + Number((linear >> BigInt(12 + 9 * (depth - 1))) & 511n) * 8;
            let next = this.peek64(at);
            if ((next & 1n) === 0n) {
                next = BigInt(this.nextTable) | upper;
                this.addMemory(this.nextTable);
                this.nextTable += PAGE;
                this.poke64(at, next);
            }
            table = Number(next & 0xffffffffff000n);
        }
        this.poke64(table + Number((linear >> BigInt(12 + 9 * (level - 1))) & 511n) * 8, entry);
    }

    nextTable = 0x100000;

    peek64(physical: number): bigint {
        const page = this.pages.get(physical - (physical % PAGE));
        return page === undefined ? 0n : new DataView(page.buffer).getBigUint64(physical % PAGE, true);
    }
}

/**
 * What views look at a machine through: a vCPU's system registers and physical memory, at one moment. A machine in this
 * process shows its own memory, without a copy; one behind a wire fetches what is asked for, see `GatheredMemory`.
 */
import type { Machine } from '../machine/machine';

/** A segment register with its hidden part; `attributes` as `SegmentAttribute` has them. */
export interface SegmentState {
    readonly selector: number;
    readonly base: bigint;
    /** In bytes, granularity applied. */
    readonly limit: number;
    readonly attributes: number;
}

export interface TableRegister {
    readonly base: bigint;
    readonly limit: number;
}

/** The system registers of a vCPU that decide what its memory and its tables mean. Plain numbers, unsigned. */
export interface SystemState {
    readonly cr0: number;
    readonly cr3: bigint;
    readonly cr4: number;
    readonly efer: number;
    readonly rflags: number;
    readonly cpl: number;
    /** Linear address of the next instruction. */
    readonly pc: bigint;
    /** ES, CS, SS, DS, FS, GS: in encoding order. */
    readonly segments: readonly SegmentState[];
    readonly ldtr: SegmentState;
    readonly tr: SegmentState;
    readonly gdtr: TableRegister;
    readonly idtr: TableRegister;
    /** The PDPTE registers of PAE paging; absent where only memory tells. */
    readonly pdptes?: readonly bigint[];
    /** MAXPHYADDR. */
    readonly physicalBits: number;
}

/** What stands at a physical address: RAM, ROM, the registers of a device. */
export interface PhysicalRegion {
    readonly name: string;
    readonly first: number;
    /** Inclusive. */
    readonly last: number;
    readonly kind: 'ram' | 'rom' | 'device';
}

export interface InspectionSource {
    readonly vcpu: number;
    readonly vcpus: number;
    readonly system: SystemState;
    /**
     * The 4 KiB page at a physical address that is a multiple of 4 KiB: its bytes, not to be written, 4-byte aligned.
     * Undefined where reads do not meet memory.
     */
    page(physical: number): Uint8Array | undefined;
    /** Everything that answers to physical addresses, ascending; undefined where the target cannot tell. */
    readonly regions: readonly PhysicalRegion[] | undefined;
    /** `start_kernel+0x10`. */
    symbol(linear: bigint): string | undefined;
    /** The machine itself, where it lives in this process. */
    readonly machine: Machine | undefined;
}

/**
 * Looks at a machine. It has to depend on nothing but what it is given, and to change nothing: a target behind a wire
 * calls it again until all memory that it reads is at hand.
 */
export type Look<T> = (source: InspectionSource) => T;

/** Rounds of fetching after which a look is taken for one that never ends. */
const MOST_ROUNDS = 1024;
/** Pages that one look may fetch: 64 MiB. */
const MOST_PAGES = 0x4000;

/**
 * Memory behind a wire, for {@link Look}: pages that are not at hand read as absent and are fetched afterwards, all at
 * once; then the look is taken again.
 */
export class GatheredMemory<Key = number> {
    private readonly pages = new Map<Key, Uint8Array | undefined>();
    private missing = new Set<Key>();

    /** @param fetch the bytes of a page, or undefined where there is no memory */
    constructor(private readonly fetch: (page: Key) => Promise<Uint8Array | undefined>) {}

    /** Whether the look in progress has met pages that are not at hand: what it does now it will do again. */
    get isIncomplete(): boolean {
        return this.missing.size > 0;
    }

    /** Memory has changed, or may have. */
    forget(): void {
        this.pages.clear();
    }

    async gather<T>(look: (page: (page: Key) => Uint8Array | undefined) => T): Promise<T> {
        if (this.pages.size > MOST_PAGES / 2) this.pages.clear();
        for (let round = 0; ; round++) {
            this.missing = new Set();
            const result = this.tried(look);
            const { missing } = this;
            this.missing = new Set();
            if (
                result !== undefined &&
                (missing.size === 0 || round === MOST_ROUNDS || this.pages.size >= MOST_PAGES)
            ) {
                return result.value;
            }
            for (const page of missing) {
                this.pages.set(page, await this.fetch(page));
            }
        }
    }

    /** A look that fails for want of memory has not failed yet. */
    private tried<T>(look: (page: (page: Key) => Uint8Array | undefined) => T): { readonly value: T } | undefined {
        try {
            return { value: look(page => this.page(page)) };
        } catch (error) {
            if (this.missing.size === 0 || this.pages.size >= MOST_PAGES) throw error;
            return undefined;
        }
    }

    /** A page that is at hand, or will be at the next try. */
    page(page: Key): Uint8Array | undefined {
        if (this.pages.has(page)) {
            return this.pages.get(page);
        }
        if (this.pages.size + this.missing.size < MOST_PAGES) {
            this.missing.add(page);
        }
        return undefined;
    }
}

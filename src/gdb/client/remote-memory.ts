/** Memory behind a stub as looks see it: pages that are not at hand are fetched, and then the look is taken again. */
import type { Address } from '../../debug/address';
import { GatheredMemory } from '../../debug/inspection-source';
import { littleEndian, type MemoryView, pages, mapsUserCode, translateAddress } from '../../debug/memory-access';
import type { MirroredCpu } from './mirrored-cpu';

const PAGE = 0x1000n;
/** Physical addresses have at most 52 bits. */
const PHYSICAL_END = 1n << 52n;

/** A page by its space: that of a vCPU, whose page tables decide, or physical memory. */
type PageKey = `${number}:${bigint}` | `p:${bigint}`;

export interface PageSource {
    linear(vcpu: number, address: bigint): Promise<Uint8Array | undefined>;
    physical(address: bigint): Promise<Uint8Array | undefined>;
}

export interface PendingWrite {
    readonly vcpu: number;
    readonly address: Address;
    readonly bytes: Uint8Array;
}

export class RemoteMemory {
    private readonly gathered: GatheredMemory<PageKey>;
    /** What the look in progress has written. */
    private writes: PendingWrite[] = [];

    constructor(source: PageSource) {
        this.gathered = new GatheredMemory<PageKey>(key =>
            key.startsWith('p:')
                ? source.physical(BigInt(key.slice(2)))
                : source.linear(parseInt(key), BigInt(key.slice(key.indexOf(':') + 1))),
        );
    }

    forget(): void {
        this.gathered.forget();
    }

    /**
     * Takes a look until all memory that it asks for is at hand.
     * @param again called before each try
     */
    async gather<T>(
        look: () => T,
        again: () => void = () => undefined,
    ): Promise<{ result: T; writes: PendingWrite[] }> {
        const result = await this.gathered.gather(() => {
            this.writes = [];
            again();
            return look();
        });
        const { writes } = this;
        this.writes = [];
        return { result, writes };
    }

    physicalPage(address: number): Uint8Array | undefined {
        return this.gathered.page(`p:${BigInt(address)}`);
    }

    page(vcpu: number, { space, offset }: Address): Uint8Array | undefined {
        const start = offset - (offset % PAGE);
        if (space === 'linear') return this.gathered.page(`${vcpu}:${start}`);
        return offset < PHYSICAL_END ? this.gathered.page(`p:${start}`) : undefined;
    }

    note(write: PendingWrite): void {
        this.writes.push(write);
    }
}

/** Memory as one vCPU sees it. */
export class RemoteMemoryView implements MemoryView {
    mirror: MirroredCpu | undefined;
    /** Whether physical memory can be read, and with it the page tables. */
    hasPhysical = false;

    constructor(
        private readonly memory: RemoteMemory,
        private readonly vcpu: number,
    ) {}

    read(address: Address, length: number): Uint8Array {
        const bytes = new Uint8Array(length);
        let done = 0;
        let isWhole = true;
        // All pages are asked for, also behind one that is missing: they are fetched together.
        for (const piece of pages(address, length)) {
            const page = this.memory.page(this.vcpu, piece.address);
            isWhole &&= page !== undefined;
            if (page === undefined || !isWhole) continue;
            const start = Number(piece.address.offset % PAGE);
            bytes.set(page.subarray(start, start + piece.length), done);
            done += piece.length;
        }
        return done === length ? bytes : bytes.slice(0, done);
    }

    /** Takes effect when the look is over. */
    write(address: Address, bytes: Uint8Array): number {
        this.memory.note({ vcpu: this.vcpu, address, bytes: bytes.slice() });
        return bytes.length;
    }

    readNumber(address: Address, size: number): bigint | undefined {
        const bytes = this.read(address, size);
        return bytes.length < size ? undefined : littleEndian(bytes);
    }

    isExecutable(linear: bigint): boolean {
        const { mirror } = this;
        if (this.hasPhysical && mirror !== undefined) {
            return translateAddress(mirror.cpu, linear).walk?.mapping?.executable === true;
        }
        return this.isThere(linear);
    }

    isUserCode(linear: bigint): boolean {
        const { mirror } = this;
        return this.hasPhysical && mirror !== undefined ? mapsUserCode(mirror.cpu, linear) : this.isThere(linear);
    }

    private isThere(linear: bigint): boolean {
        return this.read({ space: 'linear', offset: linear }, 1).length === 1;
    }
}

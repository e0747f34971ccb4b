/**
 * Ways to a guest's physical memory through a gdb stub, which of itself knows linear addresses: QEMU's physical mode, the
 * monitor's `xp`, the kernel's direct map of all memory, and a guest without paging. Found out by asking.
 */
import { parseHex } from '../text';
import type { Stub } from './stub';

const PAGE = 0x1000;

/** A way that works. */
interface PhysicalAccess {
    /** It goes on working whatever the guest does. */
    readonly lasts?: true;
    read(address: bigint, length: number): Promise<Uint8Array>;
    /** Absent: it only reads. */
    write?(address: bigint, bytes: Uint8Array): Promise<number>;
}

/** What the guest's state says about its memory. */
export interface PagingState {
    /** Undefined: the stub does not tell. */
    readonly cr0: bigint | undefined;
    readonly cr3: bigint | undefined;
    readonly cr4: bigint | undefined;
    readonly is64: boolean;
}

/** CR0.PG. */
const PAGING = 1n << 31n;
/** CR4.LA57. */
const FIVE_LEVELS = 1n << 12n;
/** Where Linux maps all physical memory unless it has chosen another place (Documentation/arch/x86/x86_64/mm.rst). */
const DIRECT_MAPS = [0xffff888000000000n, 0xffff880000000000n];
const DIRECT_MAP_57 = 0xff11000000000000n;
const ADDRESS_MASK = 0xffffffffff000n;

const NONE =
    'physical memory cannot be read through this gdb stub: it has neither a physical mode (as QEMU has, ' +
    "Qqemu.PhyMemMode) nor the monitor command 'xp', and no direct map of a Linux kernel shows in the guest's page tables";

export class PhysicalMemory {
    private access: PhysicalAccess | undefined;
    /** Packets about memory mean physical addresses now. */
    private mode = false;
    /** What there is none of will not come to be. */
    private hasNoMode = false;
    private hasNoMonitor = false;

    /** @param directMap where the kernel says that its direct map is (`page_offset_base`) */
    constructor(
        private readonly stub: Stub,
        private readonly thread: () => string,
        private readonly directMap: () => Promise<bigint | undefined>,
    ) {}

    /** A direct map shows once the kernel has made it, and not in every address space. */
    forget(): void {
        if (this.access?.lasts !== true) this.access = undefined;
    }

    /** Why there is no way to it; undefined if there is one. */
    async problem(state: PagingState): Promise<string | undefined> {
        this.access ??= await this.find(state);
        return this.access === undefined ? NONE : undefined;
    }

    async read(address: bigint, length: number): Promise<Uint8Array> {
        return (await this.access?.read(address, length)) ?? new Uint8Array(0);
    }

    async write(address: bigint, bytes: Uint8Array): Promise<number> {
        return (await this.access?.write?.(address, bytes)) ?? 0;
    }

    /** To be called before packets that mean linear addresses. */
    async leave(): Promise<void> {
        await this.setMode(false);
    }

    private async setMode(physical: boolean): Promise<void> {
        if (this.mode !== physical) {
            await this.stub.query(`Qqemu.PhyMemMode:${physical ? 1 : 0}`);
            this.mode = physical;
        }
    }

    private async find(state: PagingState): Promise<PhysicalAccess | undefined> {
        return (
            (await this.byMode()) ?? (await this.byMonitor()) ?? this.withoutPaging(state) ?? this.byDirectMap(state)
        );
    }

    private async byMode(): Promise<PhysicalAccess | undefined> {
        const answer = this.hasNoMode ? '' : await this.stub.query('qqemu.PhyMemMode');
        this.hasNoMode = answer !== '0' && answer !== '1';
        if (this.hasNoMode) return undefined;
        this.mode = answer === '1';
        return {
            lasts: true,
            read: async (address, length) => {
                await this.setMode(true);
                return this.stub.readMemory(this.thread(), address, length);
            },
            write: async (address, bytes) => {
                await this.setMode(true);
                return this.stub.writeMemory(this.thread(), address, bytes);
            },
        };
    }

    private async byMonitor(): Promise<PhysicalAccess | undefined> {
        const read = async (address: bigint, length: number): Promise<Uint8Array> => {
            const start = address & ~7n;
            const skipped = Number(address - start);
            const words = Math.ceil((skipped + length) / 8);
            const text = await this.stub.monitor(`xp /${words}gx 0x${start.toString(16)}`);
            return parseDump(text ?? '', start).slice(skipped, skipped + length);
        };
        this.hasNoMonitor ||= (await read(0n, 16)).length !== 16;
        return this.hasNoMonitor ? undefined : { lasts: true, read };
    }

    private withoutPaging({ cr0 }: PagingState): PhysicalAccess | undefined {
        if (cr0 === undefined || (cr0 & PAGING) !== 0n) return undefined;
        return this.mappedAt(0n);
    }

    private mappedAt(base: bigint): PhysicalAccess {
        return {
            read: (address, length) => this.stub.readMemory(this.thread(), base + address, length),
            write: (address, bytes) => this.stub.writeMemory(this.thread(), base + address, bytes),
        };
    }

    private async byDirectMap({ cr3, cr4, is64 }: PagingState): Promise<PhysicalAccess | undefined> {
        if (cr3 === undefined || !is64) return undefined;
        const levels = cr4 !== undefined && (cr4 & FIVE_LEVELS) !== 0n ? 5 : 4;
        const told = await this.directMap();
        const usual = levels === 5 ? [DIRECT_MAP_57] : DIRECT_MAPS;
        for (const base of told === undefined ? usual : [told, ...usual]) {
            const access = this.mappedAt(base);
            const table = cr3 & ADDRESS_MASK;
            if ((await translate(access, table, base + table, levels)) === table) return access;
        }
        return undefined;
    }
}

/** Walks page tables read in one way: that which maps the tables to themselves is a direct map. */
async function translate(
    { read }: PhysicalAccess,
    root: bigint,
    linear: bigint,
    levels: number,
): Promise<bigint | undefined> {
    let table = root;
    for (let level = levels; level > 0; level--) {
        const shift = BigInt(12 + 9 * (level - 1));
        const bytes = await read(table + ((linear >> shift) & 0x1ffn) * 8n, 8);
        if (bytes.length < 8) return undefined;
        const entry = Buffer.from(bytes).readBigUInt64LE();
        if ((entry & 1n) === 0n) return undefined;
        const isLarge = level > 1 && level < 4 && (entry & 0x80n) !== 0n;
        if (isLarge || level === 1) {
            const offset = (1n << shift) - 1n;
            return (entry & ADDRESS_MASK & ~offset) + (linear & offset);
        }
        table = entry & ADDRESS_MASK;
    }
    return undefined;
}

/** `0000000000001000: 0x… 0x…` as QEMU's monitor prints it, as far as it goes on without a gap. */
function parseDump(text: string, start: bigint): Uint8Array {
    const words: bigint[] = [];
    for (const line of text.split(/\r?\n/)) {
        const match = /^\s*([0-9a-f]{8,16}):((?:\s+0x[0-9a-f]{16}){1,8})\s*$/i.exec(line.slice(0, 400));
        if (match === null) {
            if (line.trim() === '') continue;
            break;
        }
        if (parseHex(match[1]) !== start + BigInt(8 * words.length)) break;
        words.push(...match[2].trim().split(/\s+/).map(BigInt));
        if (words.length >= PAGE) break;
    }
    return new Uint8Array(BigUint64Array.from(words).buffer);
}

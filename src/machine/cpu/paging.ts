import { EntryOrigin, MmuMode, StateOffset } from '../state';
import { dataBreakpointPages, matchDataBreakpoints } from './breakpoints';
import { Cr0, Cr4, Efer, type CpuState } from './cpu-state';
import { raisePageFault } from './fault';
import { PHYSICAL_ADDRESS_HIGH_MASK, type PhysicalPort } from './physical';
import { SoftTlb } from './soft-tlb';

export const enum Access {
    Read,
    Write,
    Execute,
}

/** Page fault error code (SDM Vol. 3, 4.7). */
export const enum PageFaultCode {
    Protection = 1 << 0,
    Write = 1 << 1,
    User = 1 << 2,
    Reserved = 1 << 3,
    InstructionFetch = 1 << 4,
}

/** Paging-structure entry bits, low doubleword (SDM Vol. 3, tables 4-5 to 4-20). */
export const enum Entry {
    Present = 1 << 0,
    Writable = 1 << 1,
    User = 1 << 2,
    Accessed = 1 << 5,
    Dirty = 1 << 6,
    PageSize = 1 << 7,
    Global = 1 << 8,
}

/** Bit 63 as a bit of the high doubleword. */
export const ENTRY_NO_EXECUTE_HI = 0x80000000;

/** Bits 51–MAXPHYADDR of an 8-byte entry, as bits of its high doubleword. */
export const RESERVED_ADDRESS_HI = 0x000fffff & ~PHYSICAL_ADDRESS_HIGH_MASK;
/** PAE entries reserve bits 62–52 as well; with 4- and 5-level paging those are ignored (SDM Vol. 3, 4.4.2, 4.5.4). */
export const RESERVED_PAE_HI = RESERVED_ADDRESS_HI | 0x7ff00000;
/** Bits between the PAT bit and the page address in a 1 GiB, a 2 MiB and a 4 MiB page's entry. */
export const RESERVED_1G = 0x3fffe000;
export const RESERVED_2M = 0x001fe000;
/** With 40 physical address bits PSE-36 uses bits 20–13 for address bits 39–32 and leaves bit 21 reserved. */
export const RESERVED_4M = 0x00200000;

/** What keeps a page out of the soft TLB although it is RAM. */
export const enum PageWatch {
    None = 0,
    Reads = 1,
    Writes = 2,
}

/** What the MMU asks of and tells its surroundings. Pages are physical, see `PhysicalMemory`. */
export interface MmuHooks {
    /** Whether translated code comes from this page: stores to it then stay on the slow path. */
    isCodePage(page: number): boolean;
    /** A store through the slow path, or an update of a paging-structure entry, is about to change code. */
    codeWritten(address: number, size: number): void;
    /** Bit set of {@link PageWatch}: accesses to this page must stay on the slow path. */
    watch(lo: number, hi: number, page: number): number;
    /** Cached translations are void: all of them, or all but those of global pages. */
    translationsFlushed(keepGlobal: boolean): void;
    /** Cached translations of the page (4 KiB to 1 GiB) at this linear address are void. */
    pageInvalidated(lo: number, hi: number): void;
}

/**
 * Address translation (SDM Vol. 3, chapter 4): page walks with all their faults, accessed and dirty flags, and the
 * only writer of the soft TLB.
 *
 * Linear addresses are two unsigned halves and must be canonical; physical addresses are numbers below 2^52.
 */
export class Mmu {
    readonly tlb: SoftTlb;
    private hasDataBreakpoints = false;
    /** Bits for the pages that `MmuHooks.watch` watches: see `TlbRecord.watchFilter`. */
    private readonly watched = [0, 0];
    /** Whether the last {@link translate} found a global page (always true without paging). */
    lastGlobal = false;
    /** Whether it found a page larger than 4 KiB. */
    lastLarge = false;

    private readonly state: CpuState;
    private readonly port: PhysicalPort;
    private readonly hooks: MmuHooks;
    private readonly memory: Uint32Array;

    // The walk in progress.
    private readonly entryAddress = new Float64Array(5);
    private readonly entryLo = new Uint32Array(5);
    private depth = 0;
    /** Present, Writable, User: the conjunction over all levels. */
    private rights = 0;
    private noExecute = false;
    /** Physical address of the 4 KiB page. */
    private page = 0;
    private origin = EntryOrigin.None;

    constructor(state: CpuState, port: PhysicalPort, hooks: MmuHooks) {
        this.state = state;
        this.port = port;
        this.hooks = hooks;
        this.tlb = new SoftTlb(state.buffer, state.base);
        this.memory = new Uint32Array(state.buffer);
    }

    /** DR7 enables a data breakpoint: its page then stays out of the soft TLB. */
    get dataBreakpoints(): boolean {
        return this.hasDataBreakpoints;
    }

    set dataBreakpoints(enabled: boolean) {
        this.hasDataBreakpoints = enabled;
        this.updateFilter();
    }

    /**
     * What `MmuHooks.watch` says has changed.
     * @param lo bits of the watched linear pages, by their numbers modulo 64; `hi` the upper 32
     */
    watchChanged(lo: number, hi: number): void {
        this.watched[0] = lo;
        this.watched[1] = hi;
        this.updateFilter();
        this.tlb.flushAll();
    }

    private updateFilter(): void {
        const bits = [...this.watched];
        if (this.hasDataBreakpoints) {
            dataBreakpointPages(this.state, bits);
        }
        this.tlb.setWatchFilter(bits[0], bits[1]);
    }

    /**
     * Translates a linear address for an access and, for data accesses, enters the page in the soft TLB of `mode`.
     * @throws GuestFault #PF
     */
    translate(lo: number, hi: number, access: Access, mode: MmuMode): number {
        const state = this.state;
        const cr0 = state.cr0;
        const offset = lo & 0xfff;
        if ((cr0 & Cr0.PG) === 0) {
            this.page = lo - offset;
            this.lastGlobal = true;
            this.lastLarge = false;
            if (access !== Access.Execute) this.enter(lo - offset, hi, mode, EntryOrigin.None, access === Access.Write);
            return lo;
        }
        const cr4 = state.cr4;
        this.depth = 0;
        this.rights = Entry.Present | Entry.Writable | Entry.User;
        this.noExecute = false;
        this.origin = EntryOrigin.None;
        if ((cr4 & Cr4.PAE) === 0) {
            this.walk32(lo, hi, access, mode, cr4);
        } else if (state.efer & Efer.LMA) {
            const table = (state.cr3Hi & PHYSICAL_ADDRESS_HIGH_MASK) * 0x100000000 + ((state.cr3Lo & 0xfffff000) >>> 0);
            this.walkWide(lo, hi, access, mode, table, cr4 & Cr4.LA57 ? 5 : 4, RESERVED_ADDRESS_HI);
        } else {
            this.walkPae(lo, hi, access, mode);
        }
        const rights = this.rights;
        const user = (rights & Entry.User) !== 0;
        const mayWrite = (rights & Entry.Writable) !== 0 || (mode !== MmuMode.User && (cr0 & Cr0.WP) === 0);
        const denied =
            (access === Access.Write && !mayWrite) ||
            (access === Access.Execute && this.noExecute) ||
            (mode === MmuMode.User
                ? !user
                : user && (access === Access.Execute ? (cr4 & Cr4.SMEP) !== 0 : mode === MmuMode.SupervisorSmap));
        if (denied) this.fault(PageFaultCode.Protection, lo, hi, access, mode);
        const last = this.depth - 1;
        this.updateEntries(last, access === Access.Write);
        const global = (cr4 & Cr4.PGE) !== 0 && (this.entryLo[last] & Entry.Global) !== 0;
        this.lastGlobal = global;
        this.lastLarge = this.origin !== EntryOrigin.None;
        if (access !== Access.Execute) {
            const origin = this.origin | (global ? EntryOrigin.Global : 0);
            this.enter((lo & ~0xfff) >>> 0, hi, mode, origin, access === Access.Write);
        }
        return this.page + offset;
    }

    /**
     * Address in the shared memory of the byte at a linear address, if its page is in the soft TLB of `mode` for this
     * kind of access; else 0.
     */
    entered(lo: number, hi: number, write: boolean, mode: MmuMode): number {
        return this.tlb.find(mode, write, lo, hi);
    }

    /** MOV CR3 and what amounts to it. Entries of global pages stay where CR4.PGE allows (SDM Vol. 3, 4.10.4.1). */
    flushNonGlobal(): void {
        if (this.state.cr4 & Cr4.PGE) {
            this.tlb.flushNonGlobal();
            this.hooks.translationsFlushed(true);
        } else {
            this.flushAll();
        }
    }

    flushAll(): void {
        this.tlb.flushAll();
        this.hooks.translationsFlushed(false);
    }

    flushPage(lo: number, hi: number): void {
        this.tlb.flushPage(lo, hi);
        this.hooks.pageInvalidated(lo, hi);
    }

    /** A physical page became code: stores to it must be noticed from now on. */
    protectCodePage(page: number): void {
        const ram = this.port.physical.ramAddress(page);
        if (ram >= 0) this.tlb.dropWrites(ram >>> 0);
    }

    private walkWide(
        lo: number,
        hi: number,
        access: Access,
        mode: MmuMode,
        table: number,
        level: number,
        reservedHi: number,
    ): void {
        const noNx = (this.state.efer & Efer.NXE) === 0;
        for (; ; level--) {
            const index = levelIndex(lo, hi, level);
            const ram = this.port.physical.ramAddress(table);
            const address = table + index * 8;
            let entryLo: number;
            let entryHi: number;
            if (ram >= 0) {
                const at = (ram >>> 2) + index * 2;
                entryLo = this.memory[at];
                entryHi = this.memory[at + 1];
            } else {
                entryLo = this.port.read(address, 4);
                entryHi = this.port.read(address + 4, 4);
            }
            if ((entryLo & Entry.Present) === 0) this.fault(0, lo, hi, access, mode);
            let reserved = (entryHi & reservedHi) | (noNx ? entryHi & ENTRY_NO_EXECUTE_HI : 0);
            const large = (entryLo & Entry.PageSize) !== 0 && level !== 1;
            if (large) reserved |= level === 2 ? entryLo & RESERVED_2M : level === 3 ? entryLo & RESERVED_1G : 1;
            if (reserved !== 0) this.fault(PageFaultCode.Protection | PageFaultCode.Reserved, lo, hi, access, mode);
            this.entryAddress[this.depth] = address;
            this.entryLo[this.depth++] = entryLo;
            this.rights &= entryLo;
            if (entryHi & ENTRY_NO_EXECUTE_HI) this.noExecute = true;
            const high = (entryHi & PHYSICAL_ADDRESS_HIGH_MASK) * 0x100000000;
            if (level === 1) {
                this.page = high + ((entryLo & 0xfffff000) >>> 0);
                return;
            }
            if (large) {
                const inside = level === 2 ? 0x001ff000 : 0x3ffff000;
                this.page = high + (((entryLo & ~inside & 0xfffff000) | (lo & inside)) >>> 0);
                this.origin = level === 2 ? EntryOrigin.Large : EntryOrigin.Huge;
                return;
            }
            table = high + ((entryLo & 0xfffff000) >>> 0);
        }
    }

    /** PAE paging walks from a PDPTE register, which has neither rights nor an accessed flag (SDM Vol. 3, 4.4.1). */
    private walkPae(lo: number, hi: number, access: Access, mode: MmuMode): void {
        const register = StateOffset.pdpte + (lo >>> 30) * 8;
        const entryLo = this.state.lo(register);
        if ((entryLo & Entry.Present) === 0) this.fault(0, lo, hi, access, mode);
        const high = (this.state.hi(register) & PHYSICAL_ADDRESS_HIGH_MASK) * 0x100000000;
        this.walkWide(lo, hi, access, mode, high + ((entryLo & 0xfffff000) >>> 0), 2, RESERVED_PAE_HI);
    }

    /** 32-bit paging with 4 MiB pages and PSE-36 (SDM Vol. 3, 4.3). */
    private walk32(lo: number, hi: number, access: Access, mode: MmuMode, cr4: number): void {
        const directoryEntry = ((this.state.cr3Lo & 0xfffff000) >>> 0) + (lo >>> 22) * 4;
        const pde = this.port.read(directoryEntry, 4);
        if ((pde & Entry.Present) === 0) this.fault(0, lo, hi, access, mode);
        this.entryAddress[0] = directoryEntry;
        this.entryLo[0] = pde;
        this.depth = 1;
        this.rights &= pde;
        if (pde & Entry.PageSize && cr4 & Cr4.PSE) {
            if (pde & RESERVED_4M) this.fault(PageFaultCode.Protection | PageFaultCode.Reserved, lo, hi, access, mode);
            this.page = ((pde >>> 13) & 0xff) * 0x100000000 + (((pde & 0xffc00000) | (lo & 0x003ff000)) >>> 0);
            this.origin = EntryOrigin.Large;
            return;
        }
        const tableEntry = ((pde & 0xfffff000) >>> 0) + ((lo >>> 12) & 0x3ff) * 4;
        const pte = this.port.read(tableEntry, 4);
        if ((pte & Entry.Present) === 0) this.fault(0, lo, hi, access, mode);
        this.entryAddress[1] = tableEntry;
        this.entryLo[1] = pte;
        this.depth = 2;
        this.rights &= pte;
        this.page = (pte & 0xfffff000) >>> 0;
    }

    /** Sets accessed flags on all levels and, for a write, the dirty flag of the last. */
    private updateEntries(last: number, write: boolean): void {
        for (let index = 0; index <= last; index++) {
            const old = this.entryLo[index];
            const value = old | Entry.Accessed | (write && index === last ? Entry.Dirty : 0);
            if (value !== (old | 0)) this.writeEntry(this.entryAddress[index], value);
        }
    }

    private writeEntry(address: number, value: number): void {
        if (this.hooks.isCodePage(address - (address & 0xfff))) this.hooks.codeWritten(address, 4);
        this.port.write(address, 4, value);
    }

    private fault(code: number, lo: number, hi: number, access: Access, mode: MmuMode): never {
        if (access === Access.Write) code |= PageFaultCode.Write;
        if (mode === MmuMode.User) code |= PageFaultCode.User;
        if (access === Access.Execute) {
            const { cr4, efer } = this.state;
            if (cr4 & Cr4.SMEP || (cr4 & Cr4.PAE && efer & Efer.NXE)) code |= PageFaultCode.InstructionFetch;
        }
        raisePageFault(code, lo, hi);
    }

    /**
     * Enters the page of the last walk in the soft TLB, unless something has to notice accesses to it. Only in the table
     * of this kind of access: a copy between pages that share a slot then has both.
     */
    private enter(lo: number, hi: number, mode: MmuMode, origin: EntryOrigin, write: boolean): void {
        const page = this.page;
        const physical = this.port.physical;
        const ram = physical.ramAddress(page);
        if (ram < 0) return;
        const watch = this.hooks.watch(lo, hi, page) | (this.dataBreakpoints ? this.breakpointWatch(lo, hi) : 0);
        // The table for writes also serves the reads of read-modify-write instructions.
        if (write ? watch !== 0 : watch & PageWatch.Reads) return;
        if (write && (physical.isReadOnly(page) || this.hooks.isCodePage(page))) return;
        this.tlb.enter(mode, write, lo, hi, ram, origin);
    }

    /** Pages that hold an address of an enabled data breakpoint (SDM Vol. 3, 18.2.4). */
    private breakpointWatch(lo: number, hi: number): number {
        const reads = matchDataBreakpoints(this.state, lo, hi, 0x1000, false) !== 0;
        const writes = matchDataBreakpoints(this.state, lo, hi, 0x1000, true) !== 0;
        return (reads ? PageWatch.Reads : 0) | (writes ? PageWatch.Writes : 0);
    }
}

/** Index into the table of a level: 1 is the page table, 5 the PML5. */
export function levelIndex(lo: number, hi: number, level: number): number {
    switch (level) {
        case 1:
            return (lo >>> 12) & 0x1ff;
        case 2:
            return (lo >>> 21) & 0x1ff;
        case 3:
            return ((lo >>> 30) | (hi << 2)) & 0x1ff;
        case 4:
            return (hi >>> 7) & 0x1ff;
        default:
            return (hi >>> 16) & 0x1ff;
    }
}

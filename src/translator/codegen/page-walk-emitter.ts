/**
 * The page walk of 4- and 5-level paging (SDM Vol. 3, 4.5) in WebAssembly: makes the soft TLB entry of a page of RAM, or
 * gives up (see `refill-emitter.ts`).
 */
import { Cr0, Cr4, Efer } from '../../machine/cpu/cpu-state';
import { ENTRY_NO_EXECUTE_HI, Entry, RESERVED_1G, RESERVED_2M, RESERVED_ADDRESS_HI } from '../../machine/cpu/paging';
import { PHYSICAL_ADDRESS_HIGH_MASK } from '../../machine/cpu/physical';
import { CpuArea, EntryOrigin, MmuMode, ModeKey, StateOffset, Tlb, TlbRecord } from '../../machine/state';
import { Wasm } from '../../wasm/module';
import { StateAccess, Type } from '../ir/opcodes';
import { LOCAL_CPU, LOCAL_RECORD } from './function-writer';
import { HandlerEmitter, type TranslatedModule, withUnreachableEnd } from './handler-emitter';

const I32 = 0x7f;

/** Where guest RAM is. */
export interface RamGeometry {
    /** Address in the shared memory of physical address 0, and the bytes of RAM below 4 GiB. */
    readonly base: number;
    readonly low: number;
    /** Bytes of RAM from 4 GiB on; they follow in the shared memory. */
    readonly high: number;
    /** Address in the shared memory of a byte for each 4 KiB of RAM, see {@link PageFlag}. */
    readonly codePages: number;
}

/** What there is to know of a page of RAM. */
export const enum PageFlag {
    /** Code of it has been decoded: stores have to be noticed. */
    Code = 1 << 0,
    /** Accesses are watched. */
    Watched = 1 << 1,
}

const LEGACY_BASE = 0xa0000;
const LEGACY_END = 0x100000;
/** Second parameter of the functions: log2 of the size, and 8 for accesses that write. */
export const LOCAL_KIND = LOCAL_RECORD;
export const WRITES = 8;

export class PageWalk {
    private readonly e: HandlerEmitter;
    private readonly address: number;
    private readonly low: number;
    private readonly table: number;
    private readonly entry: number;
    private readonly rights: number;
    private readonly shift: number;
    private readonly levelShift: number;
    /** Mask of the bits that must be set, and of those that must not. */
    private readonly checked: number;
    private readonly host: number;
    private readonly mode: number;
    private readonly origin: number;
    private readonly flags: number;
    private readonly slot: number;

    constructor(
        target: TranslatedModule,
        private readonly ram: RamGeometry,
    ) {
        const e = new HandlerEmitter(target, true);
        this.e = e;
        this.address = e.takeLocal(Type.I64);
        this.table = e.takeLocal(Type.I64);
        this.entry = e.takeLocal(Type.I64);
        this.rights = e.takeLocal(Type.I64);
        this.levelShift = e.takeLocal(Type.I64);
        this.checked = e.takeLocal(Type.I64);
        this.low = e.takeLocal(Type.I32);
        this.shift = e.takeLocal(Type.I32);
        this.host = e.takeLocal(Type.I32);
        this.mode = e.takeLocal(Type.I32);
        this.origin = e.takeLocal(Type.I32);
        this.flags = e.takeLocal(Type.I32);
        this.slot = e.takeLocal(Type.I32);
    }

    /** Body of (vCPU, kind) → address in the shared memory of the byte at `accessAddress`, or 0. */
    emit(): Uint8Array {
        const { e } = this;
        e.loadState(StateOffset.accessAddress, StateAccess.I64);
        e.localTee(this.address);
        e.opcode(Wasm.I32WrapI64);
        e.localSet(this.low);
        this.checkAccess();
        this.walkTables();
        this.checkRights();
        this.hostOf(this.table);
        // The page's byte in `codePages`.
        e.localGet(this.host);
        e.i32Const(this.ram.base);
        e.opcode(Wasm.I32Sub);
        e.i32Const(12);
        e.opcode(Wasm.I32ShrU);
        e.memory(Wasm.I32Load8U, this.ram.codePages);
        e.localSet(this.flags);
        this.giveUpIf(() => {
            e.localGet(this.flags);
            this.isWrite(); // PageFlag.Code concerns writes only
            e.i32Const(PageFlag.Watched);
            e.opcode(Wasm.I32Or);
            e.opcode(Wasm.I32And);
        });
        this.enterTable();
        e.localGet(this.host);
        this.pageOffset();
        e.opcode(Wasm.I32Add);
        e.out.byte(Wasm.Return);
        return withUnreachableEnd(e);
    }

    private checkAccess(): void {
        const { e } = this;
        this.giveUpIf(() => {
            e.localGet(LOCAL_CPU);
            e.memory(Wasm.I32Load, CpuArea.tlbRecord + TlbRecord.obstacles);
        });
        this.giveUpIf(() => {
            e.localGet(LOCAL_CPU);
            e.memory(Wasm.I64Load, CpuArea.tlbRecord + TlbRecord.watchFilter);
            e.localGet(this.address);
            e.i64Const(12, 0);
            e.opcode(Wasm.I64ShrU);
            e.opcode(Wasm.I64ShrU); // WebAssembly takes shift counts modulo 64, too
            e.opcode(Wasm.I32WrapI64);
            e.i32Const(1);
            e.opcode(Wasm.I32And);
        });
        // EFER.LMA is clear outside 4- and 5-level paging.
        this.giveUpIf(() => {
            e.loadState(StateOffset.efer, StateAccess.I32);
            e.i32Const(Efer.LMA);
            e.opcode(Wasm.I32And);
            e.opcode(Wasm.I32Eqz);
        });
        // Without NXE bit 63 of an entry is reserved.
        e.i64Const(Entry.Present | Entry.Accessed, RESERVED_ADDRESS_HI);
        e.i64Const(Entry.Present | Entry.Accessed, RESERVED_ADDRESS_HI | ENTRY_NO_EXECUTE_HI);
        e.loadState(StateOffset.efer, StateAccess.I32);
        e.i32Const(Efer.NXE);
        e.opcode(Wasm.I32And);
        e.opcode(Wasm.Select);
        e.localSet(this.checked);
        // The access ends in the same page.
        this.giveUpIf(() => {
            this.pageOffset();
            e.i32Const(1);
            e.localGet(LOCAL_KIND);
            e.i32Const(7);
            e.opcode(Wasm.I32And);
            e.opcode(Wasm.I32Shl);
            e.opcode(Wasm.I32Add);
            e.i32Const(0x1000);
            e.opcode(Wasm.I32GtU);
        });
        // Compatibility mode: an address above 4 GiB is a fault or wraps.
        this.giveUpIf(() => {
            e.loadState(StateOffset.mode, StateAccess.I32);
            e.i32Const(ModeKey.CodeSizeMask);
            e.opcode(Wasm.I32And);
            e.i32Const(2);
            e.opcode(Wasm.I32Ne);
            e.localGet(this.address);
            e.i64Const(32, 0);
            e.opcode(Wasm.I64ShrU);
            e.opcode(Wasm.I64Eqz);
            e.opcode(Wasm.I32Eqz);
            e.opcode(Wasm.I32And);
        });
        // Levels: the shift of the first index is 39 or, with LA57 (bit 12), 48.
        e.i32Const(39);
        e.loadState(StateOffset.cr4, StateAccess.I32);
        e.i32Const(Cr4.LA57);
        e.opcode(Wasm.I32And);
        e.openIf(I32);
        e.i32Const(9);
        e.else();
        e.i32Const(0);
        e.close();
        e.opcode(Wasm.I32Add);
        e.localTee(this.shift);
        // Canonical: bits 63 down to that of the first index's top are equal.
        e.opcode(Wasm.I64ExtendI32U);
        e.localSet(this.levelShift);
        this.giveUpIf(() => {
            e.localGet(this.address);
            e.i64Const(55, 0);
            e.localGet(this.levelShift);
            e.opcode(Wasm.I64Sub);
            e.opcode(Wasm.I64Shl);
            e.i64Const(55, 0);
            e.localGet(this.levelShift);
            e.opcode(Wasm.I64Sub);
            e.opcode(Wasm.I64ShrS);
            e.localGet(this.address);
            e.opcode(Wasm.I64Ne);
        });
    }

    /** Leaves the page's physical address in `table`, the last entry in `entry`, the conjunction of all in `rights`. */
    private walkTables(): void {
        const { e } = this;
        e.loadState(StateOffset.cr3, StateAccess.I64);
        this.maskAddress();
        e.localSet(this.table);
        e.i64Const(-1, -1);
        e.localSet(this.rights);
        e.i32Const(EntryOrigin.None);
        e.localSet(this.origin);
        e.out.byte(Wasm.Block); // $found
        e.out.byte(0x40);
        e.out.byte(Wasm.Loop);
        e.out.byte(0x40);
        this.hostOf(this.table);
        e.localGet(this.host);
        e.localGet(this.address);
        e.localGet(this.shift);
        e.opcode(Wasm.I64ExtendI32U);
        e.opcode(Wasm.I64ShrU);
        e.opcode(Wasm.I32WrapI64);
        e.i32Const(0x1ff);
        e.opcode(Wasm.I32And);
        e.i32Const(3);
        e.opcode(Wasm.I32Shl);
        e.opcode(Wasm.I32Add);
        e.memory(Wasm.I64Load, 0);
        e.localTee(this.entry);
        e.localGet(this.rights);
        e.opcode(Wasm.I64And);
        e.localSet(this.rights);
        // Present, accessed, no reserved address bit.
        this.giveUpIf(() => {
            e.localGet(this.entry);
            e.localGet(this.checked);
            e.opcode(Wasm.I64And);
            e.i64Const(Entry.Present | Entry.Accessed, 0);
            e.opcode(Wasm.I64Ne);
        });
        e.localGet(this.shift);
        e.i32Const(12);
        e.opcode(Wasm.I32Eq);
        e.openIf();
        e.localGet(this.entry);
        this.maskAddress();
        e.localSet(this.table);
        this.branch(2); // $found
        e.close();
        this.entryBits(Entry.PageSize, 0);
        e.opcode(Wasm.I32WrapI64);
        e.openIf();
        this.largePage(21, RESERVED_2M, EntryOrigin.Large);
        this.largePage(30, RESERVED_1G, EntryOrigin.Huge);
        this.giveUp();
        e.close();
        e.localGet(this.entry);
        this.maskAddress();
        e.localSet(this.table);
        e.localGet(this.shift);
        e.i32Const(9);
        e.opcode(Wasm.I32Sub);
        e.localSet(this.shift);
        this.branch(0); // the loop
        e.out.byte(Wasm.End);
        e.out.byte(Wasm.End);
    }

    /** Inside the `if` for entries with PS: deals with those of this level. */
    private largePage(shift: number, reserved: number, origin: EntryOrigin): void {
        const { e } = this;
        const inside = 2 ** shift - 0x1000;
        e.localGet(this.shift);
        e.i32Const(shift);
        e.opcode(Wasm.I32Eq);
        e.openIf();
        this.giveUpIf(() => {
            this.entryBits(reserved, 0);
            e.opcode(Wasm.I32WrapI64);
        });
        e.localGet(this.entry);
        e.i64Const(~inside & ~0xfff, PHYSICAL_ADDRESS_HIGH_MASK);
        e.opcode(Wasm.I64And);
        e.localGet(this.address);
        e.i64Const(inside, 0);
        e.opcode(Wasm.I64And);
        e.opcode(Wasm.I64Add);
        e.localSet(this.table);
        e.i32Const(origin);
        e.localSet(this.origin);
        this.branch(3); // $found
        e.close();
    }

    private checkRights(): void {
        const { e } = this;
        e.loadState(StateOffset.tlb, StateAccess.I32);
        e.localGet(LOCAL_CPU);
        e.opcode(Wasm.I32Sub);
        e.i32Const(CpuArea.tlb);
        e.opcode(Wasm.I32Sub);
        e.localSet(this.mode); // offset of the mode's tables
        // User mode needs user pages; with SMAP a supervisor must not have them.
        e.localGet(this.mode);
        e.i32Const(MmuMode.User * Tlb.modeSize);
        e.opcode(Wasm.I32Eq);
        e.openIf();
        this.giveUpIf(() => {
            this.right(Entry.User);
            e.opcode(Wasm.I32Eqz);
        });
        e.close();
        e.localGet(this.mode);
        e.i32Const(MmuMode.SupervisorSmap * Tlb.modeSize);
        e.opcode(Wasm.I32Eq);
        e.openIf();
        this.giveUpIf(() => this.right(Entry.User));
        e.close();
        // From here on `rights` says in its Writable bit whether this mode may write: CR0.WP binds the user only.
        e.localGet(this.mode);
        e.i32Const(MmuMode.User * Tlb.modeSize);
        e.opcode(Wasm.I32Ne);
        e.loadState(StateOffset.cr0, StateAccess.I32);
        e.i32Const(Cr0.WP);
        e.opcode(Wasm.I32And);
        e.opcode(Wasm.I32Eqz);
        e.opcode(Wasm.I32And);
        e.openIf();
        e.localGet(this.rights);
        e.i64Const(Entry.Writable, 0);
        e.opcode(Wasm.I64Or);
        e.localSet(this.rights);
        e.close();
        this.giveUpIf(() => {
            this.isWrite();
            this.mayStore();
            e.opcode(Wasm.I32Eqz);
            e.opcode(Wasm.I32And);
        });
    }

    private enterTable(): void {
        const { e } = this;
        e.loadState(StateOffset.cr4, StateAccess.I32);
        e.i32Const(Cr4.PGE);
        e.opcode(Wasm.I32And);
        e.openIf();
        e.localGet(this.origin);
        e.localGet(this.entry);
        e.opcode(Wasm.I32WrapI64);
        e.i32Const(Math.log2(Entry.Global / EntryOrigin.Global));
        e.opcode(Wasm.I32ShrU);
        e.i32Const(EntryOrigin.Global);
        e.opcode(Wasm.I32And);
        e.opcode(Wasm.I32Or);
        e.localSet(this.origin);
        e.close();
        // The slot's number. Only the table of this kind of access: a copy between pages of the same slot uses both.
        e.localGet(this.mode);
        e.i32Const(Math.log2(Tlb.entrySize));
        e.opcode(Wasm.I32ShrU);
        e.localGet(this.low);
        e.i32Const(12);
        e.opcode(Wasm.I32ShrU);
        e.i32Const(Tlb.entries - 1);
        e.opcode(Wasm.I32And);
        e.opcode(Wasm.I32Add);
        this.isWrite();
        e.i32Const(Math.log2(Tlb.entries));
        e.opcode(Wasm.I32Shl);
        e.opcode(Wasm.I32Add);
        e.localSet(this.slot);
        this.enterSlot();
        this.noteRegion(EntryOrigin.Large, TlbRecord.largeRegions, 22, 10);
        this.noteRegion(EntryOrigin.Huge, TlbRecord.hugeRegions, 30, 2);
    }

    private enterSlot(): void {
        const { e } = this;
        const at = e.takeLocal(Type.I32);
        const count = e.takeLocal(Type.I32);
        e.localGet(this.slot);
        e.i32Const(Math.log2(Tlb.entrySize));
        e.opcode(Wasm.I32Shl);
        e.localGet(LOCAL_CPU);
        e.opcode(Wasm.I32Add);
        e.localTee(at);
        e.localGet(this.address);
        e.i64Const(~0xfff, -1);
        e.opcode(Wasm.I64And);
        e.memory(Wasm.I64Store, CpuArea.tlb + Tlb.tag);
        e.localGet(at);
        e.localGet(this.host);
        e.localGet(this.low);
        e.i32Const(~0xfff);
        e.opcode(Wasm.I32And);
        e.opcode(Wasm.I32Sub);
        e.memory(Wasm.I32Store, CpuArea.tlb + Tlb.addend);
        e.localGet(at);
        e.localGet(this.origin);
        e.memory(Wasm.I32Store, CpuArea.tlb + Tlb.addend + 4);
        // The log.
        e.localGet(LOCAL_CPU);
        e.localGet(this.slot);
        e.opcode(Wasm.I32Add);
        e.localTee(at);
        e.memory(Wasm.I32Load8U, CpuArea.tlbRecord + TlbRecord.isLogged);
        e.opcode(Wasm.I32Eqz);
        e.openIf();
        e.localGet(at);
        e.i32Const(1);
        e.memory(Wasm.I32Store8, CpuArea.tlbRecord + TlbRecord.isLogged);
        e.localGet(LOCAL_CPU);
        e.memory(Wasm.I32Load, CpuArea.tlbRecord + TlbRecord.logged);
        e.localTee(count);
        e.i32Const(1);
        e.opcode(Wasm.I32Shl);
        e.localGet(LOCAL_CPU);
        e.opcode(Wasm.I32Add);
        e.localGet(this.slot);
        e.memory(Wasm.I32Store16, CpuArea.tlbRecord + TlbRecord.log);
        e.localGet(LOCAL_CPU);
        e.localGet(count);
        e.i32Const(1);
        e.opcode(Wasm.I32Add);
        e.memory(Wasm.I32Store, CpuArea.tlbRecord + TlbRecord.logged);
        e.close();
        e.freeLocal(at);
        e.freeLocal(count);
    }

    /** Enters the address's region in a hash set: (low half >>> `right`) ^ (high half << `left`). */
    private noteRegion(origin: EntryOrigin, set: number, right: number, left: number): void {
        const { e } = this;
        e.localGet(this.origin);
        e.i32Const(origin);
        e.opcode(Wasm.I32And);
        e.openIf();
        e.localGet(this.low);
        e.i32Const(right);
        e.opcode(Wasm.I32ShrU);
        e.localGet(this.address);
        e.i64Const(32, 0);
        e.opcode(Wasm.I64ShrU);
        e.opcode(Wasm.I32WrapI64);
        e.i32Const(left);
        e.opcode(Wasm.I32Shl);
        e.opcode(Wasm.I32Xor);
        e.i32Const((1 << TlbRecord.regionBits) - 1);
        e.opcode(Wasm.I32And);
        e.localGet(LOCAL_CPU);
        e.opcode(Wasm.I32Add);
        e.i32Const(1);
        e.memory(Wasm.I32Store8, CpuArea.tlbRecord + set);
        e.close();
    }

    /** Sets `host` to the address in the shared memory of the page at the physical address in a local. */
    private hostOf(physical: number): void {
        const { e, ram } = this;
        e.localGet(physical);
        e.i64Const(ram.low | 0, 0);
        e.opcode(Wasm.I64LtU);
        e.openIf();
        this.giveUpIf(() => {
            e.localGet(physical);
            e.i64Const(LEGACY_BASE, 0);
            e.opcode(Wasm.I64Sub);
            e.i64Const(LEGACY_END - LEGACY_BASE, 0);
            e.opcode(Wasm.I64LtU);
        });
        e.localGet(physical);
        e.opcode(Wasm.I32WrapI64);
        e.i32Const(ram.base);
        e.opcode(Wasm.I32Add);
        e.localSet(this.host);
        e.else();
        this.giveUpIf(() => {
            e.localGet(physical);
            e.i64Const(0, 1);
            e.opcode(Wasm.I64Sub);
            e.i64Const(ram.high | 0, 0);
            e.opcode(Wasm.I64GeU);
        });
        e.localGet(physical);
        e.opcode(Wasm.I32WrapI64);
        e.i32Const((ram.base + ram.low) | 0);
        e.opcode(Wasm.I32Add);
        e.localSet(this.host);
        e.close();
    }

    private pageOffset(): void {
        this.e.localGet(this.low);
        this.e.i32Const(0xfff);
        this.e.opcode(Wasm.I32And);
    }

    /** 0 or 1. */
    private isWrite(): void {
        this.e.localGet(LOCAL_KIND);
        this.e.i32Const(Math.log2(WRITES));
        this.e.opcode(Wasm.I32ShrU);
    }

    /** 1 if the page is dirty and may be written, else 0. */
    private mayStore(): void {
        this.right(Entry.Writable);
        this.e.opcode(Wasm.I32Eqz);
        this.entryBits(Entry.Dirty, 0);
        this.e.opcode(Wasm.I64Eqz);
        this.e.opcode(Wasm.I32Or);
        this.e.opcode(Wasm.I32Eqz);
    }

    private right(bit: Entry): void {
        this.e.localGet(this.rights);
        this.e.opcode(Wasm.I32WrapI64);
        this.e.i32Const(bit);
        this.e.opcode(Wasm.I32And);
    }

    private entryBits(low: number, high: number): void {
        this.e.localGet(this.entry);
        this.e.i64Const(low, high);
        this.e.opcode(Wasm.I64And);
    }

    /** Keeps the address bits of an entry or of CR3. */
    private maskAddress(): void {
        this.e.i64Const(~0xfff, PHYSICAL_ADDRESS_HIGH_MASK);
        this.e.opcode(Wasm.I64And);
    }

    private branch(depth: number): void {
        this.e.out.byte(Wasm.Br);
        this.e.out.u32(depth);
    }

    private giveUp(): void {
        this.e.i32Const(0);
        this.e.out.byte(Wasm.Return);
    }

    private giveUpIf(condition: () => void): void {
        condition();
        this.e.openIf();
        this.giveUp();
        this.e.close();
    }
}

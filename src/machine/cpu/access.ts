import { CpuArea, type MmuMode, ModeKey, StateOffset, Tlb } from '../state';
import { matchDataBreakpoints } from './breakpoints';
import { Cr4, type CpuState } from './cpu-state';
import { raise, Vector } from './fault';
import { Access, type Mmu, type MmuHooks } from './paging';
import type { PhysicalPort } from './physical';

const PAGE_MASK = 0xfff;

/** What a slow-path access may have to be told to. */
export interface AccessHooks extends MmuHooks {
    /**
     * Bytes at a linear address are about to be accessed outside the fast path: for the debugger's watchpoints.
     * @param physical address of the first byte
     * @param rest physical address of the first byte beyond the page boundary, if the access crosses one
     */
    accessed(lo: number, hi: number, size: number, write: boolean, physical: number, rest: number): void;
    /** The run loop has to look at the vCPU before the next instruction: here for a data breakpoint of the guest. */
    attention(): void;
}

/**
 * Memory at linear addresses: what system code uses, and the slow path of every other access. Addresses are two
 * unsigned halves; the linear address of a segmented access comes from `operands.ts` or from translated code.
 *
 * Every method throws GuestFault #PF, or #GP(0) for an address that is not canonical, before it changes anything: a
 * store that crosses into a page that cannot be written stores nothing.
 */
export class LinearMemory {
    private readonly state: CpuState;
    private readonly mmu: Mmu;
    private readonly port: PhysicalPort;
    private readonly hooks: AccessHooks;
    private readonly memory: Uint32Array;
    private readonly view: DataView;
    private readonly tlb: number;

    constructor(state: CpuState, mmu: Mmu, port: PhysicalPort, hooks: AccessHooks) {
        this.state = state;
        this.mmu = mmu;
        this.port = port;
        this.hooks = hooks;
        this.memory = new Uint32Array(state.buffer);
        this.view = new DataView(state.buffer);
        this.tlb = (state.base + CpuArea.tlb) >>> 2;
    }

    /** Whether the address is canonical in the current mode (SDM Vol. 1, 3.3.7.1); any address is outside long mode. */
    isCanonical(lo: number, hi: number): boolean {
        if ((this.state.mode & ModeKey.Long) === 0) return true;
        return isCanonical(hi, (this.state.cr4 & Cr4.LA57) !== 0);
    }

    read8(lo: number, hi: number, mode: MmuMode): number {
        const slot = this.lookUp(lo, hi, mode, 0);
        if (slot >= 0) return this.view.getUint8((lo + this.memory[slot + 2]) >>> 0);
        return this.readSlowly(lo, hi, 1, mode);
    }

    read16(lo: number, hi: number, mode: MmuMode): number {
        if ((lo & PAGE_MASK) <= 0xffe) {
            const slot = this.lookUp(lo, hi, mode, 0);
            if (slot >= 0) return this.view.getUint16((lo + this.memory[slot + 2]) >>> 0, true);
        }
        return this.readSlowly(lo, hi, 2, mode);
    }

    read32(lo: number, hi: number, mode: MmuMode): number {
        if ((lo & PAGE_MASK) <= 0xffc) {
            const slot = this.lookUp(lo, hi, mode, 0);
            if (slot >= 0) return this.view.getUint32((lo + this.memory[slot + 2]) >>> 0, true);
        }
        return this.readSlowly(lo, hi, 4, mode);
    }

    write8(lo: number, hi: number, value: number, mode: MmuMode): void {
        const slot = this.lookUp(lo, hi, mode, Tlb.writeTable);
        if (slot >= 0) this.view.setUint8((lo + this.memory[slot + 2]) >>> 0, value);
        else this.writeSlowly(lo, hi, 1, value, mode);
    }

    write16(lo: number, hi: number, value: number, mode: MmuMode): void {
        if ((lo & PAGE_MASK) <= 0xffe) {
            const slot = this.lookUp(lo, hi, mode, Tlb.writeTable);
            if (slot >= 0) {
                this.view.setUint16((lo + this.memory[slot + 2]) >>> 0, value, true);
                return;
            }
        }
        this.writeSlowly(lo, hi, 2, value, mode);
    }

    write32(lo: number, hi: number, value: number, mode: MmuMode): void {
        if ((lo & PAGE_MASK) <= 0xffc) {
            const slot = this.lookUp(lo, hi, mode, Tlb.writeTable);
            if (slot >= 0) {
                this.view.setUint32((lo + this.memory[slot + 2]) >>> 0, value, true);
                return;
            }
        }
        this.writeSlowly(lo, hi, 4, value, mode);
    }

    write64(lo: number, hi: number, valueLo: number, valueHi: number, mode: MmuMode): void {
        if ((lo & PAGE_MASK) > 0xff8) this.probeWrite(lo, hi, 8, mode);
        this.write32(lo, hi, valueLo, mode);
        const next = (lo + 4) >>> 0;
        this.write32(next, this.carry(next, hi, 4), valueHi, mode);
    }

    /**
     * Copies `size` bytes from a linear address to `target`, an address in the shared memory. MMIO of more than 4 bytes
     * is read in aligned pieces, lowest address first. Both pages of an access that crosses are checked beforehand.
     */
    readInto(target: number, lo: number, hi: number, size: number, mode: MmuMode): void {
        this.checkCanonical(lo, hi);
        const first = Math.min(size, 0x1000 - (lo & PAGE_MASK));
        const physical = this.mmu.translate(lo, hi, Access.Read, mode);
        const rest = first < size ? this.translateNext(lo, hi, first, Access.Read, mode) : 0;
        this.notice(lo, hi, size, false, physical, rest);
        this.copyIn(target, physical, first);
        if (first < size) this.copyIn(target + first, rest, size - first);
    }

    /** Copies `size` bytes from `source`, an address in the shared memory, to a linear address. */
    writeFrom(source: number, lo: number, hi: number, size: number, mode: MmuMode): void {
        this.checkCanonical(lo, hi);
        const first = Math.min(size, 0x1000 - (lo & PAGE_MASK));
        const physical = this.mmu.translate(lo, hi, Access.Write, mode);
        const rest = first < size ? this.translateNext(lo, hi, first, Access.Write, mode) : 0;
        this.notice(lo, hi, size, true, physical, rest);
        this.copyOut(source, physical, first);
        if (first < size) this.copyOut(source + first, rest, size - first);
    }

    /**
     * Checks that `size` bytes (at most a page) can be written, without writing: the first half of a read-modify-write
     * and of any sequence that must not stop half-way. Sets accessed and dirty flags.
     */
    probeWrite(lo: number, hi: number, size: number, mode: MmuMode): void {
        this.probe(lo, hi, size, Access.Write, mode);
    }

    /** Checks that `size` bytes (at most a page) can be read. */
    probeRead(lo: number, hi: number, size: number, mode: MmuMode): void {
        this.probe(lo, hi, size, Access.Read, mode);
    }

    /** Word index of the entry in the shared memory, or -1. */
    private lookUp(lo: number, hi: number, mode: MmuMode, table: number): number {
        const slot =
            this.tlb + ((mode * Tlb.modeSize + table) >> 2) + ((lo >>> 12) & (Tlb.entries - 1)) * (Tlb.entrySize >> 2);
        return this.memory[slot] === (lo & ~PAGE_MASK) >>> 0 && this.memory[slot + 1] === hi ? slot : -1;
    }

    private probe(lo: number, hi: number, size: number, access: Access, mode: MmuMode): void {
        this.checkCanonical(lo, hi);
        this.mmu.translate(lo, hi, access, mode);
        const first = 0x1000 - (lo & PAGE_MASK);
        if (first < size) this.translateNext(lo, hi, first, access, mode);
    }

    private translateNext(lo: number, hi: number, distance: number, access: Access, mode: MmuMode): number {
        const next = (lo + distance) >>> 0;
        const nextHi = this.carry(next, hi, distance);
        this.checkCanonical(next, nextHi);
        return this.mmu.translate(next, nextHi, access, mode);
    }

    /** High half after adding `distance` to the low half; outside long mode addresses wrap at 4 GiB. */
    private carry(sumLo: number, hi: number, distance: number): number {
        return sumLo < distance && this.state.mode & ModeKey.Long ? (hi + 1) >>> 0 : hi;
    }

    private checkCanonical(lo: number, hi: number): void {
        if (!this.isCanonical(lo, hi)) raise(Vector.GP);
    }

    private readSlowly(lo: number, hi: number, size: number, mode: MmuMode): number {
        this.checkCanonical(lo, hi);
        const first = 0x1000 - (lo & PAGE_MASK);
        const physical = this.mmu.translate(lo, hi, Access.Read, mode);
        if (first >= size) {
            this.notice(lo, hi, size, false, physical, 0);
            return this.port.read(physical, size);
        }
        const rest = this.translateNext(lo, hi, first, Access.Read, mode);
        this.notice(lo, hi, size, false, physical, rest);
        let value = 0;
        for (let index = 0; index < size; index++) {
            const at = index < first ? physical + index : rest + index - first;
            value |= this.port.read(at, 1) << (8 * index);
        }
        return value >>> 0;
    }

    private writeSlowly(lo: number, hi: number, size: number, value: number, mode: MmuMode): void {
        this.checkCanonical(lo, hi);
        const first = 0x1000 - (lo & PAGE_MASK);
        const physical = this.mmu.translate(lo, hi, Access.Write, mode);
        if (first >= size) {
            this.notice(lo, hi, size, true, physical, 0);
            this.store(physical, size, value);
            return;
        }
        const rest = this.translateNext(lo, hi, first, Access.Write, mode);
        this.notice(lo, hi, size, true, physical, rest);
        for (let index = 0; index < size; index++) {
            this.store(index < first ? physical + index : rest + index - first, 1, value >>> (8 * index));
        }
    }

    private notice(lo: number, hi: number, size: number, write: boolean, physical: number, rest: number): void {
        if (this.mmu.dataBreakpoints) {
            const status = matchDataBreakpoints(this.state, lo, hi, size, write);
            if (status !== 0) {
                this.state.setLo(StateOffset.pendingDebug, this.state.lo(StateOffset.pendingDebug) | status);
                this.hooks.attention();
            }
        }
        this.hooks.accessed(lo, hi, size, write, physical, rest);
    }

    private store(physical: number, size: number, value: number): void {
        if (this.hooks.isCodePage(physical - (physical & PAGE_MASK))) this.hooks.codeWritten(physical, size);
        this.port.write(physical, size, value);
    }

    private isPlain(physical: number): boolean {
        return this.port.physical.ramAddress(physical - (physical & PAGE_MASK)) >= 0;
    }

    private copyIn(target: number, physical: number, size: number): void {
        const plain = size <= 4 || this.isPlain(physical);
        for (let done = 0; done < size;) {
            const piece = pieceSize(plain, physical + done, size - done);
            const value = this.port.read(physical + done, piece);
            if (piece === 4) this.view.setUint32(target + done, value, true);
            else if (piece === 2) this.view.setUint16(target + done, value, true);
            else this.view.setUint8(target + done, value);
            done += piece;
        }
    }

    private copyOut(source: number, physical: number, size: number): void {
        if (this.hooks.isCodePage(physical - (physical & PAGE_MASK))) this.hooks.codeWritten(physical, size);
        const plain = size <= 4 || this.isPlain(physical);
        for (let done = 0; done < size;) {
            const piece = pieceSize(plain, physical + done, size - done);
            const at = source + done;
            const value =
                piece === 4
                    ? this.view.getUint32(at, true)
                    : piece === 2
                      ? this.view.getUint16(at, true)
                      : this.view.getUint8(at);
            this.port.write(physical + done, piece, value);
            done += piece;
        }
    }
}

/** Canonical: bits 63 down to 47 (56 with 57-bit linear addresses) are equal. */
export function isCanonical(hi: number, la57: boolean): boolean {
    const shift = la57 ? 24 : 15;
    const top = (hi | 0) >> shift;
    return top === 0 || top === -1;
}

/** Largest piece of at most 4 bytes; in device registers only aligned ones when the access has to be split at all. */
function pieceSize(plain: boolean, address: number, left: number): number {
    if (left >= 4 && (plain || (address & 3) === 0)) return 4;
    return left >= 2 && (plain || (address & 1) === 0) ? 2 : 1;
}

/** Accesses to watched memory: who hears of them, and whether the vCPU stops once the instruction is complete. */
import type { Cpu } from '../../machine/cpu/cpu';
import { HIGH_RAM_BASE } from '../../machine/layout';
import { type AccessObserver, type WatchedAccess, type Watchpoint, Watchpoints } from '../../machine/watchpoints';
import type { KnownCode } from './known-code';
import type { RamMap } from './refill';

export class WatchedAccesses {
    observer: AccessObserver | undefined;
    /** The instruction in progress, or the last one, has made a watched access. */
    hit = false;
    readonly watchpoints = new Watchpoints();

    constructor(
        private readonly code: KnownCode,
        private readonly ram: RamMap | undefined,
    ) {}

    /** Replaces the watchpoints. Pages that none touches go on as before. */
    replace(watchpoints: readonly Watchpoint[], cpus: readonly Cpu[]): void {
        this.markPages(false);
        this.watchpoints.replace(watchpoints);
        this.markPages(true);
        const { lo, hi } = this.watchpoints.linearFilter;
        cpus.forEach(cpu => cpu.mmu.watchChanged(lo, hi));
    }

    /** Tells of an access that touches these. */
    tell(vcpu: number, watchpoints: readonly Watchpoint[], access: WatchedAccess): void {
        for (const watchpoint of watchpoints) {
            this.observer?.accessed(vcpu, watchpoint, access);
            this.hit = true;
        }
    }

    /** A device is about to access physical memory by itself. Returns whether that is watched. */
    deviceAccess(vcpu: number, address: number, size: number, write: boolean): boolean {
        if (!this.watchpoints.isEmpty) {
            const watchpoints = this.watchpoints.matchingDma(address, size, write);
            this.tell(vcpu, watchpoints, { linear: undefined, physical: address, size, write });
        }
        return this.hit;
    }

    /** The instruction that made a watched access is complete. Returns whether to stop. */
    complete(vcpu: number): boolean {
        this.hit = false;
        return this.observer?.completed(vcpu) === true;
    }

    /** The instruction that made a watched access has not been done after all. */
    abandon(): void {
        if (this.hit) {
            this.hit = this.observer?.abandoned() === true;
        }
    }

    /** Marks the physical pages of watchpoints for page walks in WebAssembly. */
    private markPages(watched: boolean): void {
        const { ram } = this;
        if (ram !== undefined) {
            const pages = (ram.high > 0 ? HIGH_RAM_BASE + ram.high : ram.low) / 0x1000;
            for (const page of this.watchpoints.physicalPages(pages)) {
                this.code.setWatched(page * 0x1000, watched);
            }
        }
    }
}

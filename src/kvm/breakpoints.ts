/**
 * Code breakpoints of the debugger on KVM.
 *
 * The first few use the processor's debug registers: they match linear addresses in every address space, whether or not
 * anything is mapped there yet, and leave memory alone. Those beyond are an INT3 in the code, which is in memory only
 * while a KVM_RUN executes, so that nobody but the guest can ever read it. On a vCPU in real mode it is a HLT instead:
 * KVM without hardware beneath it delivers a real-mode INT3 to the guest rather than to us.
 *
 * The guest's own enabled breakpoints keep their place in the debug registers before ours.
 */
import type { CodeBreakpoint } from '../machine/breakpoint';
import type { Cpu } from '../machine/cpu/cpu';
import { Cr0 } from '../machine/cpu/cpu-state';
import { mappingAt, walkPages } from '../machine/cpu/page-walk';
import type { GuestMemory } from '../machine/memory';
import { ModeKey, StateOffset } from '../machine/state';
import { GuestDebug } from './abi';
import { locate } from './linear-memory';
import { type DebugSetting, linearRip } from './vcpu';
import type { RegisterWatchpoints } from './watchpoints';

const REGISTERS = 4;
const INT3 = 0xcc;
const HLT = 0xf4;
const DR7_FIXED = 0x400;
const PAGE = 0x1000;
/** DR7.G0, exact local and global enable leave out what the processor ignores. */
const ENABLE_GLOBAL = 2;

interface Patch {
    readonly byte: number;
    original: number;
}

export class CodeBreakpoints {
    private readonly linear = new Map<bigint, CodeBreakpoint[]>();
    /** Debug registers and INT3 know of linear addresses only: these count where they are mapped to themselves. */
    private readonly physical = new Map<bigint, CodeBreakpoint[]>();
    /** What found no debug register, by its address in the shared memory. */
    private readonly patches = new Map<number, Patch>();
    private patched = false;

    constructor(private readonly memory: GuestMemory) {}

    get isEmpty(): boolean {
        return this.linear.size === 0 && this.physical.size === 0;
    }

    replace(breakpoints: readonly CodeBreakpoint[]): void {
        this.linear.clear();
        this.physical.clear();
        for (const breakpoint of breakpoints) {
            const map = breakpoint.space === 'physical' ? this.physical : this.linear;
            const address = (BigInt(breakpoint.hi >>> 0) << 32n) | BigInt(breakpoint.lo >>> 0);
            const others = map.get(address);
            if (others === undefined) {
                map.set(address, [breakpoint]);
            } else {
                others.push(breakpoint);
            }
        }
    }

    /** The breakpoints at the instruction that is next. */
    at(cpu: Cpu): readonly CodeBreakpoint[] {
        if (this.isEmpty) return [];
        const address = linearRip(cpu);
        const linear = this.linear.get(address) ?? [];
        const physical = this.physical.get(address);
        return physical !== undefined && isMappedToItself(cpu, address) ? [...linear, ...physical] : linear;
    }

    /** Linear addresses where a vCPU is to stop, as its page tables are. */
    private addresses(cpu: Cpu): readonly bigint[] {
        const physical = [...this.physical.keys()].filter(
            address => !this.linear.has(address) && isMappedToItself(cpu, address),
        );
        return [...this.linear.keys(), ...physical];
    }

    /**
     * Whether CPL 3 may get to one of them, as far as the page tables of a vCPU tell: a page is the user's, or nothing is
     * mapped where one may come. Without paging, only what runs now counts.
     */
    mayBeMetInUserMode(cpu: Cpu): boolean {
        if ((cpu.mode & ModeKey.Protected) === 0) return false;
        if ((cpu.cr0 & Cr0.PG) === 0) return cpu.cpl === 3 && !this.isEmpty;
        for (const address of this.addresses(cpu)) {
            const lo = Number(address & 0xffffffffn);
            const hi = Number(address >> 32n);
            if (!cpu.memory.isCanonical(lo, hi)) continue;
            const { mapping } = walkPages(cpu, cpu.port, lo, hi);
            if (mapping === undefined ? (hi & 0x80000000) === 0 : mapping.user) return true;
        }
        return false;
    }

    /** Forgets the patches, which have to be out of memory: {@link prepare} follows for each vCPU that is about to run. */
    begin(): void {
        this.patches.clear();
    }

    /**
     * Lays out debug registers and patches for a vCPU that is about to run; returns what KVM is to be told, but for
     * {@link hasPatches}.
     * @param watched has no other place than the registers
     * @param more addresses of code where the vCPU is to stop as well
     */
    prepare(cpu: Cpu, watched: RegisterWatchpoints['registers'] = [], more: readonly bigint[] = []): DebugSetting {
        if (this.isEmpty && watched.length === 0 && more.length === 0) {
            return { control: 0, addresses: [], dr7: 0 };
        }
        const { addresses, dr7: guests } = guestBreakpoints(cpu);
        let dr7 = guests | DR7_FIXED;
        for (const { address, condition } of watched.slice(0, REGISTERS - addresses.length)) {
            const place = addresses.length;
            dr7 |= (ENABLE_GLOBAL << (2 * place)) | (condition << (16 + 4 * place));
            addresses.push(address);
        }
        for (const address of new Set([...this.addresses(cpu), ...more])) {
            if (addresses.length < REGISTERS) {
                dr7 |= ENABLE_GLOBAL << (2 * addresses.length);
                addresses.push(address);
            } else {
                this.addPatch(cpu, address);
            }
        }
        return { control: GuestDebug.Enable | GuestDebug.HardwareBreakpoints, addresses, dr7 };
    }

    /** Whether INT3s are ours to be told of: by every vCPU that runs meanwhile, wherever its own breakpoints are. */
    get hasPatches(): boolean {
        return this.patches.size > 0;
    }

    /** Puts the patches into memory. To be undone before anybody but the guest looks. */
    insert(): void {
        if (this.patched) {
            return;
        }
        const { bytes } = this.memory;
        for (const [address, patch] of this.patches) {
            patch.original = bytes[address];
            bytes[address] = patch.byte;
        }
        this.patched = true;
    }

    /** Whether patches in memory lie in what somebody is about to read or write. */
    touches(physical: number, size: number): boolean {
        if (!this.patched || this.patches.size === 0) {
            return false;
        }
        for (let page = physical - (physical % PAGE); page < physical + size; page += PAGE) {
            const at = this.memory.ramAddress(page);
            for (const address of at < 0 ? [] : this.patches.keys()) {
                if (address >= at && address < at + PAGE) return true;
            }
        }
        return false;
    }

    remove(): void {
        if (!this.patched) {
            return;
        }
        this.patched = false;
        const { bytes } = this.memory;
        for (const [address, { byte, original }] of this.patches) {
            // What the guest has written there meanwhile is its own.
            if (bytes[address] === byte) bytes[address] = original;
        }
    }

    /** Whether a HLT stands in for the instruction at a linear address while the guest runs. */
    isPatchedHalt(cpu: Cpu, linear: bigint): boolean {
        return this.patchAt(cpu, linear)?.byte === HLT;
    }

    /** Whether it was our INT3 that a vCPU has met, and not one of the guest's that it has replaced. */
    isPatchedTrap(cpu: Cpu): boolean {
        const patch = this.patchAt(cpu, linearRip(cpu));
        return patch !== undefined && patch.byte === INT3 && patch.original !== INT3;
    }

    private patchAt(cpu: Cpu, linear: bigint): Patch | undefined {
        const place = this.patches.size === 0 ? undefined : locate(cpu, this.memory, linear);
        return place && this.patches.get(place.at);
    }

    private addPatch(cpu: Cpu, address: bigint): void {
        const place = locate(cpu, this.memory, address);
        if (place === undefined) {
            return; // not mapped now: looked at again at the next slice
        }
        const byte = cpu.mode & ModeKey.Protected ? INT3 : HLT;
        if (!this.patches.has(place.at)) this.patches.set(place.at, { byte, original: 0 });
    }
}

function isMappedToItself(cpu: Cpu, address: bigint): boolean {
    return mappingAt(cpu, address)?.physical === Number(address);
}

/** The breakpoints that the guest has enabled itself, moved to the front: addresses, and DR7 for them. */
function guestBreakpoints(cpu: Cpu): { readonly addresses: bigint[]; readonly dr7: number } {
    const own = cpu.lo(StateOffset.dr + 7 * 8);
    const addresses: bigint[] = [];
    let dr7 = 0;
    for (let index = 0; index < REGISTERS; index++) {
        if (((own >> (index * 2)) & 3) !== 0) {
            const place = addresses.length;
            dr7 |= (ENABLE_GLOBAL << (place * 2)) | (((own >> (16 + index * 4)) & 0xf) << (16 + place * 4));
            addresses.push(cpu.get64(StateOffset.dr + index * 8));
        }
    }
    return { addresses, dr7 };
}

/**
 * Which of the guest's own breakpoints a hit in the debug registers means, as B0–B3 of its DR6, and which of ours: a bit
 * for each, first of what is watched, then of code.
 * @param dr6 as KVM reports it, by the places that {@link CodeBreakpoints.prepare} gave out
 */
export function sortHits(cpu: Cpu, dr6: number): { readonly guests: number; readonly others: number } {
    const own = cpu.lo(StateOffset.dr + 7 * 8);
    let hits = 0;
    let place = 0;
    for (let index = 0; index < REGISTERS; index++) {
        if (((own >> (index * 2)) & 3) !== 0) {
            if ((dr6 >> place) & 1) hits |= 1 << index;
            place++;
        }
    }
    return { guests: hits, others: (dr6 & 0xf) >> place };
}

/** Whether breakpoint `index` of the guest is one on execution: a fault, not a trap. */
export function isExecution(cpu: Cpu, index: number): boolean {
    return ((cpu.lo(StateOffset.dr + 7 * 8) >> (16 + index * 4)) & 3) === 0;
}

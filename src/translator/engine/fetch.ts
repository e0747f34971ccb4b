/** Instruction fetch: finds or makes the block at a vCPU's current instruction. */
import { type CodeSize, DecodeFailure, type Instruction, MAX_INSTRUCTION_LENGTH, decode } from '../../isa/x86';
import { Access } from '../../machine/cpu/paging';
import { raise, Vector } from '../../machine/cpu/fault';
import type { Cpu } from '../../machine/cpu/cpu';
import { MmuMode, ModeKey, SegmentOffset, StateOffset } from '../../machine/state';
import { Segment } from '../../isa/x86/instruction';
import { type Block, type CodeCache, MAX_INSTRUCTIONS, endsBlock } from './blocks';
import { type Breakpoints } from './breakpoints';
import { type CodeTlb } from './code-tlb';
import { type Handler, type Handlers } from './handlers';

const PAGE = 0x1000;
const CS_BASE = StateOffset.segments + Segment.Cs * SegmentOffset.size;

export class Fetcher {
    /** Linear address of the last {@link block}, and whether its page's translation is global. */
    linearLo = 0;
    linearHi = 0;
    /** Whether the translation of that page survives MOV CR3. */
    isGlobal = false;
    /** Whether that page is a piece of a larger one. */
    isLarge = false;
    private readonly window = new Uint8Array(64);
    private readonly bytes: Uint8Array;

    constructor(
        buffer: ArrayBufferLike,
        private readonly cache: CodeCache,
        private readonly handlers: Handlers,
        private readonly breakpoints: Breakpoints,
        private readonly tlbOf: (cpu: Cpu) => CodeTlb,
    ) {
        this.bytes = new Uint8Array(buffer);
    }

    /**
     * The block at RIP; made if there is none. `single`: one instruction only, for stepping.
     * @throws GuestFault if the first instruction cannot be fetched or is not one
     */
    block(cpu: Cpu, single: boolean): Block {
        const mode = cpu.mode;
        const physical = this.translate(cpu, cpu.ripLo, cpu.ripHi);
        const known = this.cache.find(physical, mode, single);
        if (known !== undefined && (known.secondPage < 0 || this.secondPage(cpu, physical) === known.secondPage)) {
            return known;
        }
        if (known !== undefined) {
            this.cache.invalidate(physical, 1);
        }
        return this.decodeBlock(cpu, physical, mode, single);
    }

    /** Linear address of RIP. */
    linear(cpu: Cpu): { lo: number; hi: number } {
        return (cpu.mode & ModeKey.FlatCode) !== 0
            ? { lo: cpu.ripLo, hi: cpu.ripHi }
            : { lo: (cpu.ripLo + cpu.lo(CS_BASE)) >>> 0, hi: 0 };
    }

    private translate(cpu: Cpu, ripLo: number, ripHi: number): number {
        let lo = ripLo;
        let hi = ripHi;
        if ((cpu.mode & ModeKey.FlatCode) === 0) {
            // #GP(0) beyond the limit (SDM Vol. 3, 5.3); code segments are always expand-up.
            if (lo > cpu.segmentLimit(Segment.Cs)) {
                raise(Vector.GP);
            }
            lo = (lo + cpu.lo(CS_BASE)) >>> 0;
            hi = 0;
        }
        if (!cpu.memory.isCanonical(lo, hi)) {
            raise(Vector.GP);
        }
        this.linearLo = lo;
        this.linearHi = hi;
        const user = cpu.cpl === 3;
        const tlb = this.tlbOf(cpu);
        const slot = tlb.find(lo, hi, user);
        let physical: number;
        if (slot >= 0) {
            this.isGlobal = tlb.isGlobal(slot);
            this.isLarge = tlb.isLarge(slot);
            physical = tlb.pageOf(slot) + (lo & 0xfff);
        } else {
            physical = cpu.mmu.translate(lo, hi, Access.Execute, fetchMode(cpu));
            this.isGlobal = cpu.mmu.lastGlobal;
            this.isLarge = cpu.mmu.lastLarge;
            tlb.enter(lo, hi, user, physical, this.isGlobal, this.isLarge);
        }
        if (!this.breakpoints.isEmpty) {
            const page = physical - (physical & (PAGE - 1));
            if (this.breakpoints.bind(lo, hi, page)) {
                this.cache.invalidate(page, PAGE);
            }
        }
        return physical;
    }

    /**
     * Physical address of the instruction at RIP; its page is bound to the breakpoints of its linear page.
     * @throws GuestFault if it cannot be fetched
     */
    physical(cpu: Cpu): number {
        return this.translate(cpu, cpu.ripLo, cpu.ripHi);
    }

    /** Physical address of the page after the one of the last translation. */
    private secondPage(cpu: Cpu, physical: number): number {
        const lo = ((this.linearLo & ~(PAGE - 1)) + PAGE) >>> 0;
        const hi = lo === 0 ? (this.linearHi + 1) >>> 0 : this.linearHi;
        const long = (cpu.mode & ModeKey.CodeSizeMask) === 2;
        if (long && !cpu.memory.isCanonical(lo, hi)) {
            raise(Vector.GP);
        }
        void physical;
        return cpu.mmu.translate(lo, long ? hi : 0, Access.Execute, fetchMode(cpu));
    }

    private decodeBlock(cpu: Cpu, physical: number, mode: number, single: boolean): Block {
        const codeSize = (16 << (mode & ModeKey.CodeSizeMask)) as CodeSize;
        const page = physical - (physical & (PAGE - 1));
        const ram = cpu.port.physical.ramAddress(page);
        let source = this.bytes;
        let at = ram + (physical - page);
        let end = ram + PAGE;
        if (ram < 0) {
            // Fetching from device registers: possible, if unusual. Nothing tells when those bytes change.
            source = this.window;
            const count = Math.min(MAX_INSTRUCTION_LENGTH, PAGE - (physical - page));
            for (let i = 0; i < count; i++) {
                source[i] = cpu.port.physical.read(physical + i, 1);
            }
            at = 0;
            end = count;
            single = true;
        }
        const limit = this.bytesWithinLimit(cpu, mode);
        const instructions: Instruction[] = [];
        const handlers: Handler[] = [];
        let secondPage = -1;
        const start = at;
        const cuts = this.breakpoints.cutsIn(page);
        while (instructions.length < MAX_INSTRUCTIONS) {
            // A breakpoint begins a block, so that entering it checks.
            if (instructions.length > 0 && cuts?.has(physical - page + at - start) === true) {
                break;
            }
            const left = Math.min(end, start + limit);
            const decoded = decode(source, at, left, codeSize);
            if (typeof decoded !== 'number') {
                const handler = this.handlers.find(decoded, mode);
                instructions.push(decoded);
                handlers.push(handler);
                at += decoded.length;
                if (single || endsBlock(decoded, handler.system)) {
                    break;
                }
                if (at < end) {
                    continue;
                }
                break;
            }
            if (instructions.length > 0) {
                break; // whatever it is, it becomes a block (or a fault) of its own when reached
            }
            if (decoded === DecodeFailure.Undefined) {
                raise(Vector.UD);
            }
            if (decoded === DecodeFailure.TooLong || left < end) {
                raise(Vector.GP); // longer than 15 bytes, or beyond the CS limit
            }
            const crossing = this.decodeCrossing(cpu, source, at, end - at, codeSize, start + limit - at);
            secondPage = crossing.secondPage;
            instructions.push(crossing.instruction);
            handlers.push(this.handlers.find(crossing.instruction, mode));
            break;
        }
        const cut = single ? undefined : cuts?.get(physical - page);
        const check = cut === undefined ? 0 : this.breakpoints.checkOf(cut);
        const second = secondPage < 0 ? 0 : cpu.port.physical.ramAddress(secondPage);
        const first = ram < 0 || second < 0 ? -1 : ram + (physical - page);
        const bytes = { first, second };
        return this.cache.add(physical, mode, instructions, handlers, secondPage, single, check, bytes);
    }

    /** Bytes from RIP to the end of the code segment. */
    private bytesWithinLimit(cpu: Cpu, mode: number): number {
        return (mode & ModeKey.FlatCode) !== 0 ? Number.MAX_SAFE_INTEGER : cpu.segmentLimit(Segment.Cs) - cpu.ripLo + 1;
    }

    private decodeCrossing(
        cpu: Cpu,
        source: Uint8Array,
        at: number,
        count: number,
        codeSize: CodeSize,
        limit: number,
    ): { instruction: Instruction; secondPage: number } {
        const window = new Uint8Array(64);
        window.set(source.subarray(at, at + count));
        const secondPage = this.secondPage(cpu, 0);
        for (let i = count; i < MAX_INSTRUCTION_LENGTH; i++) {
            window[i] = cpu.port.read(secondPage + i - count, 1);
        }
        const decoded = decode(window, 0, Math.min(MAX_INSTRUCTION_LENGTH, limit), codeSize);
        if (typeof decoded !== 'number') {
            return { instruction: decoded, secondPage };
        }
        return raise(decoded === DecodeFailure.Undefined ? Vector.UD : Vector.GP);
    }
}

/** Fetches are user or supervisor accesses; SMAP does not apply to them. */
function fetchMode(cpu: Cpu): MmuMode {
    return cpu.cpl === 3 ? MmuMode.User : MmuMode.Supervisor;
}

import assert from 'node:assert/strict';
import { Cpu } from '../../../src/machine/cpu/cpu';
import { Cr0, Cr4, Efer } from '../../../src/machine/cpu/cpu-state';
import { GuestFault } from '../../../src/machine/cpu/fault';
import { Access } from '../../../src/machine/cpu/paging';
import { GuestMemory } from '../../../src/machine/memory';
import { CpuArea, MmuMode, ModeKey, RefillObstacle, StateOffset, Tlb, TlbRecord } from '../../../src/machine/state';
import { PageFlag } from '../../../src/translator/codegen/page-walk-emitter';
import { CodePages, refillHelpers } from '../../../src/translator/engine/refill';
import { Random } from '../../support/random';

const MIB = 0x100000;
const RAM = 8 * MIB;
const CASES = 20_000;
/** Room for page tables, from 1 MiB on; a page in eight is code. */
const TABLES = 0x100000;
const TABLE_PAGES = 16;
const CODE_PAGE_EVERY = 8;

/** A vCPU in long mode whose page tables are noise with a purpose: most entries are nearly right. */
class Paged {
    readonly memory = new GuestMemory({ ramSize: RAM, cpus: 1, arenaSize: 0x10000 });
    readonly cpu: Cpu;
    readonly pages: CodePages;
    readonly refill: (base: number, kind: number) => number;
    private readonly ram = this.memory.layout.ram.base;
    private readonly isCode = (page: number): boolean => (page / 0x1000) % CODE_PAGE_EVERY === 3;

    constructor() {
        const nothing = (): number => 0;
        this.cpu = new Cpu(this.memory.memory.buffer, this.memory.layout.cpus[0], this.memory, {
            isCodePage: this.isCode,
            codeWritten: nothing,
            watch: nothing,
            translationsFlushed: nothing,
            pageInvalidated: nothing,
            attention: nothing,
            modeChanged: nothing,
            retired: nothing,
            accessed: nothing,
            apic: undefined as never,
            ports: undefined as never,
            tsc: nothing,
            moveTsc: nothing,
            random: nothing,
        });
        const map = { base: this.ram, low: RAM, high: 0, isPlain: () => true };
        const pages = new CodePages(this.memory.memory.buffer, this.memory.layout.arena, map);
        this.pages = pages;
        for (let page = 0; page < RAM; page += 0x1000) {
            pages.set(page, PageFlag.Code, this.isCode(page));
        }
        const slow = { loadMiss: nothing, storeMiss: nothing, regionMiss: nothing };
        this.refill = refillHelpers(this.memory.memory, pages, slow).regionMiss as typeof this.refill;
    }

    /** Fills the tables, and sets the registers that a walk depends on. */
    randomize(random: Random): void {
        const { cpu } = this;
        for (let at = TABLES; at < TABLES + TABLE_PAGES * 0x1000; at += 8) {
            this.memory.write64(at, this.randomEntry(random));
        }
        const one = (value: number): number => (random.below(2) === 0 ? value : 0);
        cpu.setLo(StateOffset.cr0, Cr0.PG | Cr0.PE | one(Cr0.WP));
        cpu.setLo(StateOffset.cr4, Cr4.PAE | one(Cr4.LA57) | one(Cr4.PGE) | one(Cr4.SMAP));
        cpu.setLo(StateOffset.efer, Efer.LME | (random.below(16) === 0 ? 0 : Efer.LMA) | one(Efer.NXE));
        cpu.set(StateOffset.cr3, TABLES + random.below(TABLE_PAGES) * 0x1000, 0);
        cpu.setLo(StateOffset.mode, random.below(8) === 0 ? 1 : 2 | ModeKey.Long);
        cpu.mmu.flushAll();
    }

    private randomEntry(random: Random): bigint {
        const table = TABLES + random.below(TABLE_PAGES) * 0x1000;
        const anywhere = random.below(RAM / 0x1000 + 16) * 0x1000;
        let entry = BigInt(random.below(3) === 0 ? anywhere : table) | 0x67n;
        // Spoil a bit now and then, in the flags or among those that may be reserved.
        const times = random.below(4);
        for (let i = 0; i < times; i++) {
            const position = random.below(4) === 0 ? random.below(64) : random.below(9);
            if (random.below(6) === 0) entry ^= 1n << BigInt(position);
        }
        return entry;
    }

    select(mode: MmuMode, lo: number, hi: number): void {
        this.cpu.setLo(StateOffset.tlb, this.cpu.base + CpuArea.tlb + mode * Tlb.modeSize);
        this.cpu.set(StateOffset.accessAddress, lo, hi);
    }

    /** What the vCPU's area holds about the soft TLB. */
    tlb(): Buffer {
        const { base } = this.cpu;
        const tables = this.memory.bytes.slice(base + CpuArea.tlb, base + CpuArea.jumpCache);
        const record = this.memory.bytes.slice(base + CpuArea.tlbRecord, base + CpuArea.tlbRecord + TlbRecord.size);
        return Buffer.concat([tables, record]);
    }

    ramAddress(physical: number): number {
        return physical + this.ram;
    }
}

describe('soft TLB refill in WebAssembly', () => {
    it('does what the MMU does, or leaves the access to it', () => {
        const machine = new Paged();
        const { cpu } = machine;
        const random = new Random(20261122);
        let done = 0;
        for (let i = 0; i < CASES; i++) {
            if (i % 50 === 0) machine.randomize(random);
            const mode = random.below(3) as MmuMode;
            const kind = random.below(5) | (random.below(2) * 8);
            const write = kind >= 8;
            const hi = random.pick([0, 0x7f, 0xffff8000, 0xffffffff, 0xff000000, 0x00ff0000, 1]);
            const lo = (random.below(0x10000) * 0x10000 + random.below(0x10000)) >>> 0;
            machine.select(mode, lo, hi);
            const host = machine.refill(cpu.base, kind) >>> 0;
            if (host === 0) continue;
            done++;
            const text = `case ${i}: ${hi.toString(16)}:${lo.toString(16)} mode ${mode} kind ${kind}`;
            const after = machine.tlb();
            cpu.mmu.tlb.flushPage(lo, hi);
            const before = machine.tlb();
            let physical: number;
            try {
                physical = cpu.mmu.translate(lo, hi, write ? Access.Write : Access.Read, mode);
            } catch (error) {
                assert.ok(error instanceof GuestFault);
                assert.fail(`${text}: should fault`);
            }
            assert.equal(host, machine.ramAddress(physical), text);
            assert.ok(before.compare(after) !== 0 && machine.tlb().compare(after) === 0, `${text}: other entries`);
            assert.equal(cpu.mmu.entered(lo, hi, write, mode), host, text);
        }
        assert.ok(done > CASES / 50, `only ${done} refills`);
    });

    it('leaves everything to the MMU while something has to notice accesses', () => {
        const machine = new Paged();
        const { cpu, memory } = machine;
        cpu.setLo(StateOffset.cr0, Cr0.PG | Cr0.PE);
        cpu.setLo(StateOffset.cr4, Cr4.PAE);
        cpu.setLo(StateOffset.efer, Efer.LME | Efer.LMA);
        cpu.set(StateOffset.cr3, TABLES, 0);
        cpu.setLo(StateOffset.mode, 2 | ModeKey.Long);
        for (const table of [0, 1, 2]) {
            memory.write64(TABLES + table * 0x1000, BigInt(TABLES + (table + 1) * 0x1000) | 0x67n);
        }
        memory.write64(TABLES + 0x3000, 0x200067n);
        machine.select(MmuMode.Supervisor, 0x123, 0);
        assert.equal(machine.refill(cpu.base, 0) >>> 0, machine.ramAddress(0x200123));
        cpu.mmu.tlb.setObstacle(RefillObstacle.Map, true);
        assert.equal(machine.refill(cpu.base, 0), 0);
        cpu.mmu.tlb.setObstacle(RefillObstacle.Map, false);
        assert.notEqual(machine.refill(cpu.base, 0), 0);
    });

    it('leaves pages that may be watched, by the guest or by a debugger, and no others', () => {
        const machine = new Paged();
        const { cpu, memory } = machine;
        cpu.setLo(StateOffset.cr0, Cr0.PG | Cr0.PE);
        cpu.setLo(StateOffset.cr4, Cr4.PAE);
        cpu.setLo(StateOffset.efer, Efer.LME | Efer.LMA);
        cpu.set(StateOffset.cr3, TABLES, 0);
        cpu.setLo(StateOffset.mode, 2 | ModeKey.Long);
        for (const table of [0, 1, 2]) {
            memory.write64(TABLES + table * 0x1000, BigInt(TABLES + (table + 1) * 0x1000) | 0x67n);
        }
        for (const page of [0, 1, 2, 40]) {
            memory.write64(TABLES + 0x3000 + page * 8, BigInt(0x200000 + page * 0x1000) | 0x67n);
        }
        const refilled = (): number[] =>
            [0, 1, 2, 40].filter(page => {
                machine.select(MmuMode.Supervisor, page * 0x1000 + 0x123, 0);
                return machine.refill(cpu.base, 0) !== 0;
            });
        assert.deepEqual(refilled(), [0, 1, 2, 40]);
        cpu.mmu.watchChanged(1 << 1, 1 << 8);
        assert.deepEqual(refilled(), [0, 2]);
        // DR1: a breakpoint on writes of 4 bytes in page 2.
        cpu.setLo(StateOffset.dr + 8, 0x2008);
        cpu.setLo(StateOffset.dr + 7 * 8, 0x00d00404);
        cpu.debugRegistersChanged();
        assert.deepEqual(refilled(), [0]);
        cpu.setLo(StateOffset.dr + 7 * 8, 0x400);
        cpu.debugRegistersChanged();
        cpu.mmu.watchChanged(0, 0);
        machine.pages.set(0x202000, PageFlag.Watched, true);
        assert.deepEqual(refilled(), [0, 1, 40]);
    });
});

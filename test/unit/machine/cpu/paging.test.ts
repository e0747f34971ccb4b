import assert from 'node:assert/strict';
import { walkPages } from '../../../../src/machine/cpu/page-walk';
import { Access } from '../../../../src/machine/cpu/paging';
import { CpuArea, MmuMode, StateOffset, Tlb } from '../../../../src/machine/state';
import { TestMachine } from './test-machine';

const PG = 0x80000001;
const WP = 0x10000;
const PSE = 0x10;
const PAE = 0x20;
const PGE = 0x80;
const LA57 = 0x1000;
const SMEP = 0x100000;
const SMAP = 0x200000;
const LMA = 0x500;
const NXE = 0x800;
const NX = 1n << 63n;

const READ = Access.Read;
const WRITE = Access.Write;
const FETCH = Access.Execute;
const USER = MmuMode.User;
const SUPERVISOR = MmuMode.Supervisor;

class PagedMachine extends TestMachine {
    constructor(cr0: number, cr4: number, efer: number) {
        super();
        this.cpu.setLo(StateOffset.cr0, PG | cr0);
        this.cpu.setLo(StateOffset.cr4, cr4);
        this.cpu.setLo(StateOffset.efer, efer);
        this.cpu.setLo(StateOffset.cr3, 0x10000);
    }

    translate(lo: number, access: Access, mode: MmuMode, hi = 0): number {
        return this.cpu.mmu.translate(lo, hi, access, mode);
    }

    /** Error code of the page fault that a translation raises. */
    pageFault(lo: number, access: Access, mode: MmuMode, hi = 0): number {
        const fault = this.catch(() => this.translate(lo, access, mode, hi));
        assert.equal(fault.vector, 14);
        assert.equal(fault.address, (BigInt(hi) << 32n) | BigInt(lo));
        return fault.errorCode;
    }

    isEntered(lo: number, write: boolean, mode: MmuMode, hi = 0): boolean {
        const words = new Uint32Array(this.buffer, CpuArea.tlb);
        const slot = (mode * 2 + (write ? 1 : 0)) * Tlb.entries + ((lo >>> 12) & (Tlb.entries - 1));
        return words[slot * 4] === (lo & ~0xfff) >>> 0 && words[slot * 4 + 1] === hi;
    }
}

/** 4-level (or 5-level) tables for the page at linear 0000_7F12_3456_7000: PTE at 14000h + index × 8. */
function longTables(machine: PagedMachine, pte: bigint, upper = 7n): { lo: number; hi: number; pte: number } {
    const linear = 0x7f1234567000n;
    let table = 0x11000;
    machine.poke64(0x10000 + Number((linear >> 39n) & 511n) * 8, BigInt(table) | upper);
    machine.poke64(table + Number((linear >> 30n) & 511n) * 8, 0x12000n | 7n);
    table = 0x12000;
    machine.poke64(table + Number((linear >> 21n) & 511n) * 8, 0x13000n | 7n);
    const at = 0x13000 + Number((linear >> 12n) & 511n) * 8;
    machine.poke64(at, pte);
    return { lo: Number(linear & 0xffffffffn), hi: Number(linear >> 32n), pte: at };
}

describe('paging: none', () => {
    it('maps linear addresses to themselves and enters RAM in the table of the access', () => {
        const machine = new PagedMachine(0, 0, 0);
        machine.cpu.setLo(StateOffset.cr0, 1);
        assert.equal(machine.translate(0x1234, READ, SUPERVISOR), 0x1234);
        assert.ok(machine.isEntered(0x1000, false, SUPERVISOR));
        assert.ok(!machine.isEntered(0x1000, true, SUPERVISOR));
        machine.translate(0x1234, WRITE, SUPERVISOR);
        assert.ok(machine.isEntered(0x1000, true, SUPERVISOR));
    });
});

describe('paging: 32-bit', () => {
    function tables(pde: number, pte: number, cr4 = 0, cr0 = 0): PagedMachine {
        const machine = new PagedMachine(cr0, cr4, 0);
        machine.poke32(0x10000 + 1 * 4, pde);
        machine.poke32(0x11000 + 2 * 4, pte);
        return machine;
    }
    const LINEAR = 0x402abc;

    it('translates and sets accessed and dirty flags', () => {
        const machine = tables(0x11007, 0x5007);
        assert.equal(machine.translate(LINEAR, READ, USER), 0x5abc);
        assert.equal(machine.peek32(0x10004), 0x11027);
        assert.equal(machine.peek32(0x11008), 0x5027);
        assert.equal(machine.translate(LINEAR, WRITE, USER), 0x5abc);
        assert.equal(machine.peek32(0x10004), 0x11027, 'a directory entry has no dirty flag');
        assert.equal(machine.peek32(0x11008), 0x5067);
    });

    it('faults on what is not present, on either level', () => {
        assert.equal(tables(0x11006, 0x5007).pageFault(LINEAR, READ, SUPERVISOR), 0);
        assert.equal(tables(0x11007, 0x5006).pageFault(LINEAR, WRITE, USER), 6);
    });

    it('leaves entries alone when it faults', () => {
        const machine = tables(0x11007, 0x5003);
        machine.pageFault(LINEAR, READ, USER);
        assert.deepEqual([machine.peek32(0x10004), machine.peek32(0x11008)], [0x11007, 0x5003]);
    });

    it('combines the rights of both levels', () => {
        for (const [pde, pte] of [
            [0x11005, 0x5007],
            [0x11007, 0x5005],
        ]) {
            assert.equal(tables(pde, pte).translate(LINEAR, READ, USER), 0x5abc);
            assert.equal(tables(pde, pte).pageFault(LINEAR, WRITE, USER), 7);
            assert.equal(tables(pde, pte).translate(LINEAR, WRITE, SUPERVISOR), 0x5abc);
            assert.equal(tables(pde, pte, 0, WP).pageFault(LINEAR, WRITE, SUPERVISOR), 3);
        }
        assert.equal(tables(0x11003, 0x5007).pageFault(LINEAR, READ, USER), 5);
    });

    it('maps 4 MiB pages only with CR4.PSE', () => {
        const machine = tables(0x400087, 0, PSE);
        assert.equal(machine.translate(LINEAR, WRITE, USER), 0x402abc);
        assert.equal(machine.peek32(0x10004), 0x4000e7);
        assert.equal(tables(0x11087, 0x5007).translate(LINEAR, READ, USER), 0x5abc);
    });

    it('takes address bits 39–32 of a 4 MiB page from bits 20–13, and reserves bit 21', () => {
        assert.equal(tables(0x400087 | (0xa5 << 13), 0, PSE).translate(LINEAR, READ, USER), 0xa500402abc);
        assert.equal(tables(0x600087, 0, PSE).pageFault(LINEAR, READ, USER), 0xd);
    });

    it('reports instruction fetches only where SMEP or NX can tell them', () => {
        assert.equal(tables(0x11006, 0).pageFault(LINEAR, FETCH, USER), 4);
        assert.equal(tables(0x11006, 0, SMEP).pageFault(LINEAR, FETCH, USER), 0x14);
    });
});

describe('paging: PAE', () => {
    function tables(pde: bigint, pte: bigint, efer = 0): PagedMachine {
        const machine = new PagedMachine(0, PAE, efer);
        machine.cpu.set64(StateOffset.pdpte + 8, 0x11001n);
        machine.poke64(0x11000 + 2 * 8, pde);
        machine.poke64(0x12000 + 3 * 8, pte);
        return machine;
    }
    const LINEAR = 0x40403abc;

    it('walks from the PDPTE registers, not from memory', () => {
        const machine = tables(0x12007n, 0x5007n);
        assert.equal(machine.translate(LINEAR, WRITE, USER), 0x5abc);
        assert.equal(machine.peek64(0x12018), 0x5067n);
        assert.equal(machine.pageFault(0x80000000, READ, SUPERVISOR), 0);
    });

    it('maps 2 MiB pages and reserves their bits 20–13', () => {
        assert.equal(tables(0x200087n, 0n).translate(LINEAR, READ, USER), 0x203abc);
        assert.equal(tables(0x202087n, 0n).pageFault(LINEAR, READ, USER), 0xd);
    });

    it('reserves bits 62–40, and bit 63 without EFER.NXE', () => {
        for (const bit of [40n, 51n, 52n, 62n, 63n]) {
            assert.equal(tables(0x12007n, 0x5007n | (1n << bit)).pageFault(LINEAR, READ, SUPERVISOR), 9, `bit ${bit}`);
        }
        assert.equal(tables(0x12007n, 0x5007n | NX, NXE).translate(LINEAR, READ, USER), 0x5abc);
    });

    it('takes addresses above 4 GiB', () => {
        assert.equal(tables(0x12007n, 0xff_1234_5007n).translate(LINEAR, READ, USER), 0xff12345abc);
    });
});

describe('paging: 4-level and 5-level', () => {
    const machineOf = (pte: bigint, options: { cr0?: number; cr4?: number; efer?: number; upper?: bigint } = {}) => {
        const machine = new PagedMachine(options.cr0 ?? 0, PAE | (options.cr4 ?? 0), LMA | (options.efer ?? 0));
        return { machine, ...longTables(machine, pte, options.upper) };
    };

    it('walks four levels and marks each', () => {
        const { machine, lo, hi, pte } = machineOf(0x5007n);
        assert.equal(machine.translate(lo + 0xabc, WRITE, USER, hi), 0x5abc);
        assert.equal(machine.peek64(pte), 0x5067n);
        assert.equal(machine.peek64(0x10000 + 254 * 8), 0x11027n);
    });

    it('walks five levels with LA57', () => {
        const machine = new PagedMachine(0, PAE | LA57, LMA);
        const { lo, hi } = longTables(machine, 0x5007n);
        machine.poke64(0x15000 + 0x1a * 8, 0x10007n);
        machine.cpu.setLo(StateOffset.cr3, 0x15000);
        assert.equal(machine.translate(lo, READ, USER, hi | 0x1a0000), 0x5000);
    });

    it('maps 1 GiB pages and reserves their bits 29–13', () => {
        const { machine, lo, hi } = machineOf(0n);
        const pdpte = 0x11000 + ((hi << 2) & 0x1ff) * 8;
        machine.poke64(pdpte, 0x80000087n);
        assert.equal(machine.translate(lo, READ, USER, hi), 0x80000000 + (lo & 0x3fffffff));
        machine.poke64(pdpte, 0x80002087n);
        assert.equal(machine.pageFault(lo, READ, USER, hi), 0xd);
    });

    it('reserves the page size bit of a PML4E and address bits 51–40', () => {
        const { machine, lo, hi } = machineOf(0x5007n, { upper: 0x87n });
        assert.equal(machine.pageFault(lo, READ, SUPERVISOR, hi), 9);
        for (const bit of [40n, 51n]) {
            const broken = machineOf(0x5007n | (1n << bit));
            assert.equal(broken.machine.pageFault(broken.lo, READ, SUPERVISOR, broken.hi), 9);
        }
        const ignored = machineOf(0x5007n | (1n << 52n) | (1n << 62n));
        assert.equal(ignored.machine.translate(ignored.lo, READ, USER, ignored.hi), 0x5000);
    });

    it('prevents execution where any level says so', () => {
        for (const [pte, upper] of [
            [0x5007n | NX, 7n],
            [0x5007n, 7n | NX],
        ]) {
            const { machine, lo, hi } = machineOf(pte, { efer: NXE, upper });
            assert.equal(machine.translate(lo, READ, USER, hi), 0x5000);
            assert.equal(machine.pageFault(lo, FETCH, USER, hi), 0x15);
            assert.equal(machine.pageFault(lo, FETCH, SUPERVISOR, hi), 0x11);
        }
    });

    it('reports a fetch from a page that is not present as such', () => {
        const { machine, lo, hi } = machineOf(0n, { efer: NXE });
        assert.equal(machine.pageFault(lo, FETCH, USER, hi), 0x14);
    });

    it('keeps the supervisor from executing user pages with SMEP', () => {
        const { machine, lo, hi } = machineOf(0x5007n, { cr4: SMEP });
        assert.equal(machine.pageFault(lo, FETCH, SUPERVISOR, hi), 0x11);
        assert.equal(machine.translate(lo, READ, SUPERVISOR, hi), 0x5000);
        assert.equal(machine.translate(lo, FETCH, USER, hi), 0x5000);
    });

    it('keeps the supervisor from touching user pages in the SMAP mode, but not from fetching', () => {
        const { machine, lo, hi } = machineOf(0x5007n, { cr4: SMAP });
        assert.equal(machine.pageFault(lo, READ, MmuMode.SupervisorSmap, hi), 1);
        assert.equal(machine.pageFault(lo, WRITE, MmuMode.SupervisorSmap, hi), 3);
        assert.equal(machine.translate(lo, READ, SUPERVISOR, hi), 0x5000);
        assert.equal(machine.translate(lo, FETCH, MmuMode.SupervisorSmap, hi), 0x5000);
        const kernel = machineOf(0x5003n, { cr4: SMAP });
        assert.equal(kernel.machine.translate(kernel.lo, READ, MmuMode.SupervisorSmap, kernel.hi), 0x5000);
    });
});

describe('paging: soft TLB', () => {
    const setUp = (pte: bigint, cr4 = 0) => {
        const machine = new PagedMachine(WP, PAE | cr4, LMA);
        return { machine, ...longTables(machine, pte) };
    };

    it('enters a page for the kind of access that was made', () => {
        const { machine, lo, hi } = setUp(0x5067n);
        machine.translate(lo, READ, USER, hi);
        assert.ok(machine.isEntered(lo, false, USER, hi));
        assert.ok(!machine.isEntered(lo, true, USER, hi));
        machine.translate(lo, WRITE, USER, hi);
        assert.ok(machine.isEntered(lo, true, USER, hi));
    });

    it('leaves the entry of a page that is read alone when one that shares its slot is written', () => {
        const { machine, lo, hi } = setUp(0x5067n);
        machine.poke64(0x12000 + (((lo >>> 21) & 511) + 2) * 8, 0x13007n);
        machine.translate(lo, READ, USER, hi);
        machine.translate(lo + 0x400000, WRITE, USER, hi);
        assert.ok(machine.isEntered(lo, false, USER, hi) && machine.isEntered(lo + 0x400000, true, USER, hi));
    });

    it('keeps code pages and ROM out of the write table, and MMIO out of both', () => {
        const code = setUp(0x5067n);
        code.machine.codePages.add(0x5000);
        code.machine.translate(code.lo, WRITE, USER, code.hi);
        code.machine.translate(code.lo, READ, USER, code.hi);
        assert.deepEqual(
            [false, true].map(write => code.machine.isEntered(code.lo, write, USER, code.hi)),
            [true, false],
        );
        const rom = setUp(0x5067n);
        rom.machine.readOnly.add(0x5000);
        rom.machine.translate(rom.lo, WRITE, USER, rom.hi);
        assert.ok(!rom.machine.isEntered(rom.lo, true, USER, rom.hi));
        const device = setUp(0xe0000067n);
        device.machine.translate(device.lo, WRITE, USER, device.hi);
        assert.ok(!device.machine.isEntered(device.lo, false, USER, device.hi));
    });

    it('drops write entries of a page that becomes code, wherever it is mapped', () => {
        const { machine, lo, hi } = setUp(0x5067n);
        machine.translate(lo, READ, USER, hi);
        machine.translate(lo, WRITE, USER, hi);
        machine.translate(lo, WRITE, SUPERVISOR, hi);
        machine.cpu.mmu.protectCodePage(0x5000);
        assert.ok(!machine.isEntered(lo, true, USER, hi) && !machine.isEntered(lo, true, SUPERVISOR, hi));
        assert.ok(machine.isEntered(lo, false, USER, hi));
    });

    it('keeps pages with a data breakpoint of the guest on the slow path', () => {
        const { machine, lo, hi } = setUp(0x5067n);
        machine.cpu.set(StateOffset.dr, lo + 8, hi);
        machine.cpu.setLo(StateOffset.dr + 56, 0x10402); // DR0, write, 1 byte
        machine.cpu.debugRegistersChanged();
        machine.translate(lo, READ, USER, hi);
        machine.translate(lo, WRITE, USER, hi);
        assert.deepEqual(
            [false, true].map(write => machine.isEntered(lo, write, USER, hi)),
            [true, false],
        );
    });

    it('flushes all, or all but global pages', () => {
        const { machine, lo, hi } = setUp(0x5167n, PGE);
        machine.translate(lo, READ, USER, hi);
        machine.poke64(0x13000, 0x6067n);
        machine.translate(lo - 0x167000, READ, USER, hi);
        machine.cpu.mmu.flushNonGlobal();
        assert.ok(machine.isEntered(lo, false, USER, hi));
        assert.ok(!machine.isEntered(lo - 0x167000, false, USER, hi));
        machine.cpu.mmu.flushAll();
        assert.ok(!machine.isEntered(lo, false, USER, hi));
    });

    it('flushes every piece of a large page with any of its addresses', () => {
        const { machine, lo, hi } = setUp(0n);
        machine.poke64(0x12000 + ((lo >>> 21) & 511) * 8, 0x2000e7n);
        const page = lo & ~0x1fffff;
        machine.translate(page + 0x3000, READ, USER, hi);
        machine.translate(page + 0x9000, READ, USER, hi);
        machine.cpu.mmu.flushPage(page + 0x5000, hi);
        assert.ok(!machine.isEntered(page + 0x3000, false, USER, hi));
        assert.ok(!machine.isEntered(page + 0x9000, false, USER, hi));
    });

    it('flushes nothing else with one page', () => {
        const { machine, lo, hi } = setUp(0x5067n);
        machine.poke64(0x13000 + (((lo >>> 12) & 511) + 1) * 8, 0x6067n);
        machine.translate(lo, READ, USER, hi);
        machine.translate(lo + 0x1000, READ, USER, hi);
        machine.cpu.mmu.flushPage(lo + 0x123, hi);
        assert.ok(!machine.isEntered(lo, false, USER, hi));
        assert.ok(machine.isEntered(lo + 0x1000, false, USER, hi));
    });

    it('reports stores to paging structures that are code', () => {
        const { machine, lo, hi } = setUp(0x5007n);
        machine.codePages.add(0x13000);
        machine.translate(lo, WRITE, USER, hi);
        assert.deepEqual(machine.codeWrites, [0x13000 + 0x167 * 8]);
    });
});

describe('page walk for the debugger', () => {
    it('reports every level and changes nothing', () => {
        const machine = new PagedMachine(0, PAE, LMA);
        const { lo, hi, pte } = longTables(machine, 0x5005n);
        const walk = walkPages(machine.cpu, machine.cpu.port, lo + 5, hi);
        assert.equal(walk.mode, '4-level');
        assert.deepEqual(
            walk.levels.map(level => level.structure),
            ['pml4e', 'pdpte', 'pde', 'pte'],
        );
        assert.equal(walk.levels[3].address, pte);
        assert.equal(walk.levels[3].entry, 0x5005n);
        assert.deepEqual([walk.mapping?.physical, walk.mapping?.writable, walk.mapping?.user], [0x5005, false, true]);
        assert.equal(machine.peek64(pte), 0x5005n);
    });

    it('stops at the entry that is not present or not well-formed', () => {
        const machine = new PagedMachine(0, PAE, LMA);
        const { lo, hi } = longTables(machine, 0x5007n | (1n << 45n));
        const walk = walkPages(machine.cpu, machine.cpu.port, lo, hi);
        assert.equal(walk.mapping, undefined);
        assert.equal(walk.levels[3].reserved, 1n << 45n);
        machine.poke64(0x12000 + ((lo >>> 21) & 511) * 8, 0n);
        assert.equal(walkPages(machine.cpu, machine.cpu.port, lo, hi).levels.length, 3);
    });

    it('agrees with the MMU in every mode', () => {
        const none = new PagedMachine(0, 0, 0);
        none.cpu.setLo(StateOffset.cr0, 1);
        assert.equal(walkPages(none.cpu, none.cpu.port, 0x1234, 0).mapping?.physical, 0x1234);
        const pse = new PagedMachine(0, PSE, 0);
        pse.poke32(0x10004, 0x400087 | (3 << 13));
        const pseWalk = walkPages(pse.cpu, pse.cpu.port, 0x412345, 0);
        assert.equal(pseWalk.mapping?.physical, pse.translate(0x412345, READ, USER));
        const pae = new PagedMachine(0, PAE, 0);
        pae.cpu.set64(StateOffset.pdpte, 0x11001n);
        pae.poke64(0x11000, 0x2000087n);
        const paeWalk = walkPages(pae.cpu, pae.cpu.port, 0x12345, 0);
        assert.equal(paeWalk.mode, 'pae');
        assert.equal(paeWalk.mapping?.physical, pae.translate(0x12345, READ, USER));
    });
});

import assert from 'node:assert/strict';
import { systemState } from '../../../src/debug/machine-inspection';
import { GatheredMemory } from '../../../src/debug/inspection-source';
import { isolatedHalves, viewAddressSpaces } from '../../../src/inspect/paging/address-spaces';
import { viewEntries, viewRanges } from '../../../src/inspect/paging/page-tables-view';
import type { GuestNaming } from '../../../src/inspect/naming';
import { pageTables } from '../../../src/inspect/paging/paging-format';
import { reverseMap } from '../../../src/inspect/paging/reverse-map';
import { viewWalk, walk } from '../../../src/inspect/paging/walk';
import { Access } from '../../../src/machine/cpu/paging';
import { MmuMode, StateOffset } from '../../../src/machine/state';
import type { PageAccess, PageRange, PageTableEntry, PageTableReference } from '../../../src/messages/page-tables';
import { RAM_SIZE, TestMachine } from '../machine/cpu/test-machine';
import {
    CR0_PG,
    CR0_WP,
    CR4_LA57,
    CR4_PAE,
    CR4_PSE,
    EFER_LONG,
    EFER_NXE,
    FakeSource,
    LONG_MODE,
    NX,
    REAL_MODE,
} from './fake-source';

const PAE_MODE = { ...LONG_MODE, cr0: CR0_PG, cr4: CR4_PAE, efer: 0, cr3: 0x10020n };
const ALL = { limit: 1000 };

function ranges(source: FakeSource, request: Parameters<typeof viewRanges>[2] = ALL): string[] {
    return viewRanges(source, pageTables(source.system), request).ranges.map(lineOf);
}

function lineOf(range: PageRange): string {
    const { permissions: p, flags: f } = range;
    const rights = `r${p.writable ? 'w' : '-'}${p.executable ? 'x' : '-'}${p.user ? 'u' : 's'}`;
    const sizes = range.pages.map(({ size, count }) => `${count}*${size.toString(16)}`).join('+');
    const repeats = range.repeats === undefined ? '' : ` ${range.repeats.count}x${range.repeats.every}`;
    const rest = `${f.global ? ' g' : ''}${range.contiguous ? '' : ' scattered'}${range.recursive ? ' recursive' : ''}`;
    return `${range.first}-${range.last} ${range.physical} ${rights} ${sizes}${rest}${repeats}`;
}

/** Numbers that look random, the same ones every time. */
function* pseudoRandom(seed: number): Generator<number> {
    for (let state = seed; ;) {
        state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
        yield state >>> 4;
    }
}

describe('page tables of a guest whose system is known', () => {
    const naming: GuestNaming = {
        regions: (_source, root) => (first, last) =>
            first < 0x500000n ? `${root.toString(16)}: ${first.toString(16)} to ${last.toString(16)}` : undefined,
    };

    it('name what they map: regions before symbols, but single entries by their symbols', () => {
        const source = new FakeSource();
        const tables = pageTables(source.system);
        source.map(0x400000n, 0x5000n | 0x25n);
        source.map(0x401000n, 0x6000n | 0x25n);
        source.map(0x800000n, 0x7000n | 0x25n);
        source.symbols.set(0x400000n, 'start').set(0x800000n, 'other');
        assert.deepEqual(
            viewRanges(source, tables, ALL, naming).ranges.map(({ label }) => label),
            ['10000: 400000 to 401fff', 'other'],
        );
        const below = (table?: PageTableReference): PageTableEntry[] =>
            viewEntries(source, tables, table, false, naming).entries.filter(({ kind }) => kind !== 'absent');
        const [pdpt] = below();
        const [pd] = below(pdpt.table);
        const [first, second] = below(pd.table);
        assert.deepEqual([first.label, second.label], ['start', 'other']);
        assert.deepEqual(
            below(first.table).map(({ label }) => label),
            ['start', '10000: 401000 to 401fff'],
        );
    });
});

describe('page table ranges', () => {
    it('fold neighbouring pages with equal attributes, at every page size of 4-level paging', () => {
        const source = new FakeSource();
        source.map(0x400000n, 0x5000n | 0x25n);
        source.map(0x401000n, 0x6000n | 0x65n);
        source.map(0x402000n, 0x9000n | 0x67n | NX);
        source.map(0xffff888000000000n, 0n | 0x1e3n | NX, 2, 3n);
        source.map(0xffff888000200000n, 0x200000n | 0x1e3n | NX, 2, 3n);
        source.map(0xffffc00040000000n, 0x40000000n | 0x83n, 3, 3n);
        assert.deepEqual(ranges(source), [
            '0x400000-0x401fff 0x5000 r-xu 2*1000',
            '0x402000-0x402fff 0x9000 rw-u 1*1000',
            '0xffff888000000000-0xffff8880003fffff 0x0 rw-s 2*200000 g',
            '0xffffc00040000000-0xffffc0007fffffff 0x40000000 rwxs 1*40000000',
        ]);
        assert.deepEqual(ranges(source, { ...ALL, byUse: true }).slice(0, 2), [
            '0x400000-0x400fff 0x5000 r-xu 1*1000',
            '0x401000-0x401fff 0x6000 r-xu 1*1000',
        ]);
    });

    it('read all five levels where CR4.LA57 is set', () => {
        const source = new FakeSource({ ...LONG_MODE, cr4: CR4_PAE | CR4_LA57 });
        source.map(0xff12345678901000n, 0x7000n | 7n);
        source.map(0x0012345678901000n, 0x8000n | 5n);
        assert.deepEqual(ranges(source), [
            '0x12345678901000-0x12345678901fff 0x8000 r-xu 1*1000',
            '0xff12345678901000-0xff12345678901fff 0x7000 rwxu 1*1000',
        ]);
    });

    it('read PAE tables, from the PDPTE registers or from memory', () => {
        const source = new FakeSource(PAE_MODE);
        source.poke64(0x10020 + 3 * 8, 0x11000n | 1n);
        source.poke64(0x11000 + 511 * 8, 0x12000n | 3n);
        source.poke64(0x12000 + 511 * 8, 0x1234000n | 3n);
        source.poke64(0x11000, 0x1_0020_0000n | 0x87n);
        const fromMemory = [
            '0xc0000000-0xc01fffff 0x100200000 rwxu 1*200000',
            '0xfffff000-0xffffffff 0x1234000 rwxs 1*1000',
        ];
        assert.deepEqual(ranges(source), fromMemory);
        // Registers stay as they were loaded, whatever memory says by now.
        source.system = { ...PAE_MODE, pdptes: [0x11001n, 0n, 0n, 0n] };
        assert.deepEqual(ranges(source), [
            '0x0-0x1fffff 0x100200000 rwxu 1*200000',
            '0x3ffff000-0x3fffffff 0x1234000 rwxs 1*1000',
        ]);
    });

    it('read 32-bit tables, with 4 MiB pages and PSE-36 where CR4.PSE is set', () => {
        const source = new FakeSource({ ...REAL_MODE, cr0: CR0_PG, cr3: 0x10000n, cr4: CR4_PSE });
        source.poke32(0x10000 + 4 * 4, 0x00c00000 | (1 << 13) | 0x87);
        source.poke32(0x10000 + 1023 * 4, 0x11003);
        source.poke32(0x11000 + 1023 * 4, 0x5003);
        assert.deepEqual(ranges(source), [
            '0x1000000-0x13fffff 0x100c00000 rwxu 1*400000',
            '0xfffff000-0xffffffff 0x5000 rwxs 1*1000',
        ]);
        // Without PSE bit 7 means nothing, and the entry names a table.
        source.system = { ...source.system, cr4: 0 };
        source.addMemory(0xc02000);
        source.poke32(0xc02000, 0x6001);
        assert.equal(ranges(source)[0], '0x1000000-0x1000fff 0x6000 r-xs 1*1000');
    });

    it('tell of reserved bits and of tables outside memory, and go on', () => {
        const source = new FakeSource();
        source.map(0x1000n, 0x5000n | 7n | (1n << 45n));
        source.map(0x2000n, 0x6000n | 7n);
        source.poke64(0x10000 + 8, 0x5_0000_0000n | 7n);
        source.poke64(0x10000 + 16, 0x11000n | 0x87n);
        source.poke64(0x10000 + 511 * 8, BigInt.asUintN(64, -1n));
        const { problems, ranges: found } = viewRanges(source, pageTables(source.system), ALL);
        assert.deepEqual(
            found.map(({ first }) => first),
            ['0x2000'],
        );
        assert.deepEqual(
            problems.map(({ linear, structure, text }) => `${linear} ${structure}: ${text}`),
            [
                '0x1000 pte: reserved bits 0x200000000000 are set',
                '0x8000000000 pml4e: the table at 0x500000000 is not in memory',
                '0x10000000000 pml4e: reserved bits 0x80 are set',
                '0xffffff8000000000 pml4e: reserved bits 0xfff0000000080 are set',
            ],
        );
    });

    it('show a recursive slot as what it maps: the page tables', () => {
        const source = new FakeSource();
        source.map(0x400000n, 0x5000n | 7n);
        source.poke64(0x10000 + 510 * 8, 0x10000n | 3n);
        const found = ranges(source);
        assert.equal(found[0], '0x400000-0x400fff 0x5000 rwxu 1*1000');
        assert.ok(found.length > 1 && found.slice(1).every(line => line.endsWith('recursive')), found.join('\n'));
        // The PML4 itself, at the address that all nines lead to.
        const self = viewWalk(source, pageTables(source.system), {
            linear: 0xffffff7fbfdfe000n,
            access: 'read',
            user: false,
        });
        assert.equal(self.mapping?.physical, '0x10000');
        assert.ok(found.some(line => line.startsWith('0xffffff7fbfdfe000-')));
    });

    it('come to an end on tables that contain nothing but themselves, and go on where they stopped', () => {
        const source = new FakeSource();
        for (let index = 0; index < 512; index++) source.poke64(0x10000 + index * 8, 0x10000n | 7n);
        const tables = pageTables(source.system);
        const first = viewRanges(source, tables, ALL);
        assert.equal(first.tables, 0x4000);
        assert.ok(first.next !== undefined && BigInt(first.next) > 0n);
        const second = viewRanges(source, tables, { ...ALL, first: BigInt(first.next) });
        assert.equal(second.ranges[0].first, first.next);
        assert.ok(BigInt(second.next!) > BigInt(first.next));
    });

    it('fold the same memory mapped again and again', () => {
        const source = new FakeSource();
        for (let index = 0n; index < 100n; index++) source.map(0x10000000n + index * 0x10000n, 0x5000n | 7n);
        source.map(0x20000000n, 0x6000n | 7n);
        assert.deepEqual(ranges(source), [
            '0x10000000-0x10630fff 0x5000 rwxu 1*1000 100x0x10000',
            '0x20000000-0x20000fff 0x6000 rwxu 1*1000',
        ]);
    });

    it('come in pieces, without losing or repeating one', () => {
        const source = new FakeSource();
        const random = pseudoRandom(1);
        for (let index = 0n; index < 200n; index++) {
            source.map(index * 0x3000n, BigInt((random.next().value as number) & 0xff000) | 5n | ((index & 1n) << 1n));
        }
        const tables = pageTables(source.system);
        const whole = viewRanges(source, tables, { limit: 10_000 }).ranges;
        const pieces: PageRange[] = [];
        for (let first: string | undefined = '0x0'; first !== undefined;) {
            const piece = viewRanges(source, tables, { limit: 7, first: BigInt(first) });
            pieces.push(...piece.ranges);
            first = piece.next;
        }
        assert.deepEqual(pieces.map(lineOf), whole.map(lineOf));
    });

    it('agree with a walk of each of their ends, on random tables of every format', () => {
        const random = pseudoRandom(7);
        const next = (): number => random.next().value as number;
        for (const system of [
            LONG_MODE,
            { ...LONG_MODE, efer: EFER_LONG },
            { ...LONG_MODE, cr4: CR4_PAE | CR4_LA57 },
            PAE_MODE,
            { ...PAE_MODE, cr4: CR4_PSE },
        ]) {
            const source = new FakeSource(system);
            source.addMemory(0x10000, 8);
            for (let page = 0; page < 8; page++) {
                for (let index = 0; index < 40; index++) {
                    const target = (next() % 9) * 0x1000 + 0x10000;
                    const odd = next() % 16 === 0 ? BigInt(next()) << 34n : 0n;
                    const nx = next() % 3 === 0 ? NX : 0n;
                    const at = 0x10000 + page * 0x1000 + (next() % 512) * 8;
                    source.poke64(at, BigInt(target | (next() & 0x1ff)) | odd | nx);
                }
            }
            for (let index = 0n; index < 4n; index++) {
                if (system.efer === 0) source.poke64(0x10020 + Number(index) * 8, (0x11000n + index * 0x1000n) | 1n);
            }
            const tables = pageTables(source.system);
            const found = viewRanges(source, tables, { limit: 300 });
            assert.ok(found.ranges.length > 0);
            for (const range of found.ranges) {
                const end = walk(source, tables, BigInt(range.first));
                assert.equal(
                    `0x${end.mapping?.physical.toString(16)}`,
                    range.physical,
                    `${tables.mode} ${range.first}`,
                );
                assert.deepEqual(end.mapping?.permissions, range.permissions);
                assert.ok(walk(source, tables, BigInt(range.last)).mapping);
            }
        }
    });
});

describe('page table entries', () => {
    it('decode a table, fold what is absent, and lead to the tables below', () => {
        const source = new FakeSource();
        source.map(0x400000n, 0x5000n | 0x1e7n | (5n << 59n) | NX);
        const tables = pageTables(source.system);
        const top = viewEntries(source, tables, undefined, false);
        assert.deepEqual(
            top.entries.map(({ index, count, kind }) => [index, count, kind]),
            [
                [0, 1, 'table'],
                [1, 511, 'absent'],
            ],
        );
        assert.equal(top.entries[1].last, '0xffffffffffffffff');
        let reference = top.entries[0].table;
        for (let depth = 0; depth < 2; depth++) {
            reference = viewEntries(source, tables, reference, false).entries.find(({ table }) => table)?.table;
        }
        const [leaf] = viewEntries(source, tables, reference, false).entries;
        assert.equal(leaf.bits, 'P RW US A D G PAT NX PK=5');
        assert.equal(leaf.first, '0x400000');
        assert.equal(leaf.target, '0x5000');
        assert.equal(viewEntries(source, tables, reference, true).entries.length, 512);
    });

    it('refuse a level that the mode does not have, and say where a table is not in memory', () => {
        const source = new FakeSource({ ...PAE_MODE, cr4: 0 });
        const tables = pageTables(source.system);
        const reference = {
            address: '0xdeadbee000',
            structure: 'pml4e',
            linear: '0x0',
            permissions: { writable: true, user: true, executable: true },
        } as const;
        assert.throws(() => viewEntries(source, tables, reference, false), /32-bit paging has no pml4e/);
        const missing = viewEntries(source, tables, { ...reference, structure: 'pde' }, false);
        assert.match(missing.problem ?? '', /0xdeadbee000 is not in memory/);
        assert.throws(() => viewEntries(source, pageTables(REAL_MODE), undefined, false), /paging is off/);
    });
});

describe('page walk', () => {
    /** The machine's own translation, which faults, against the walk that explains it. */
    it('predicts what the MMU does, error code and all, on random tables, modes and rights', () => {
        const random = pseudoRandom(42);
        const next = (): number => random.next().value as number;
        const accesses: readonly [PageAccess, Access][] = [
            ['read', Access.Read],
            ['write', Access.Write],
            ['execute', Access.Execute],
        ];
        let faults = 0;
        let mapped = 0;
        for (let round = 0; round < 60; round++) {
            const machine = new TestMachine();
            machine.mmioValue = 0xffffffff;
            const { cpu } = machine;
            const mode = round % 4;
            const cr4 = [CR4_PSE * (next() & 1), CR4_PAE, CR4_PAE, CR4_PAE | CR4_LA57][mode];
            cpu.setLo(StateOffset.cr0, CR0_PG | (next() & 1 ? CR0_WP : 0));
            cpu.setLo(StateOffset.cr4, cr4 | (next() & 0x300000));
            cpu.setLo(StateOffset.efer, (mode >= 2 ? EFER_LONG : 0) | (next() & 1 && mode > 0 ? EFER_NXE : 0));
            cpu.setLo(StateOffset.cr3, 0x10000);
            for (let at = 0x10000; at < 0x14000; at += 4) {
                const usual = 0x10000 + (next() % 5) * 0x1000 + (next() % 8 === 0 ? RAM_SIZE : 0);
                const low = usual | (next() & 0x17f) | (next() % 12 === 0 ? 0 : 7) | (next() % 6 === 0 ? 0x80 : 0);
                const isHigh = mode > 0 && at % 8 === 4;
                machine.poke32(at, isHigh ? (next() % 5 === 0 ? (next() << 4) >>> 0 : 0) : low);
            }
            for (let index = 0; index < 4; index++) {
                cpu.set(StateOffset.pdpte + index * 8, 0x11000 + index * 0x1000 + (next() % 5 === 0 ? 0 : 1), 0);
            }
            const source = new FakeSource(systemState(cpu));
            for (let page = 0x10000; page < 0x16000; page += 0x1000) {
                source.poke(page, new Uint8Array(machine.buffer, machine.ramAddress(page), 0x1000));
            }
            for (let trial = 0; trial < 60; trial++) {
                const lo = ((next() << 8) ^ next()) >>> 0;
                const wide = mode >= 2 ? next() & (mode === 3 ? 0xffffff : 0x7fff) : 0;
                const user = (next() & 1) === 1;
                const smap = (cpu.cr4 & 0x200000) !== 0;
                const supervisor = smap ? MmuMode.SupervisorSmap : MmuMode.Supervisor;
                const [access, machineAccess] = accesses[next() % 3];
                const linear = (BigInt(wide) << 32n) | BigInt(lo);
                // The MMU sets accessed bits in its own memory only.
                const view = viewWalk(source, pageTables(source.system), { linear, access, user });
                let expected: { physical?: number; code?: number };
                try {
                    const kind = user ? MmuMode.User : supervisor;
                    expected = { physical: cpu.mmu.translate(lo, wide, machineAccess, kind) };
                    mapped++;
                } catch {
                    const fault = machine.catch(() =>
                        cpu.mmu.translate(lo, wide, machineAccess, user ? MmuMode.User : supervisor),
                    );
                    expected = { code: fault.errorCode };
                    faults++;
                }
                const what = `round ${round}: ${access} ${user ? 'user' : 'supervisor'} ${linear.toString(16)}`;
                assert.equal(view.fault?.errorCode, expected.code, `${what}: ${view.summary}`);
                if (expected.physical !== undefined) {
                    assert.equal(view.mapping?.physical, `0x${expected.physical.toString(16)}`, what);
                }
            }
        }
        assert.ok(faults > 300 && mapped > 300, `${faults} faults, ${mapped} mapped`);
    });

    it('gives the reason', () => {
        const source = new FakeSource({ ...LONG_MODE, cr4: LONG_MODE.cr4 | 0x300000 });
        source.map(0x400000n, 0x5000n | 5n);
        source.map(0xffff800000000000n, 0x6000n | 1n | NX, 1, 3n);
        const reason = (linear: bigint, access: PageAccess, user: boolean): string | undefined =>
            viewWalk(source, pageTables(source.system), { linear, access, user }).fault?.reason;
        assert.equal(reason(0x400000n, 'read', true), undefined);
        assert.match(reason(0x400000n, 'write', true)!, /R\/W is 0/);
        assert.match(reason(0x400000n, 'execute', false)!, /SMEP/);
        assert.match(reason(0x400000n, 'read', false)!, /SMAP/);
        assert.match(reason(0xffff800000000000n, 'read', true)!, /U\/S is 0/);
        assert.match(reason(0xffff800000000000n, 'execute', false)!, /NX/);
        assert.match(reason(0xffff800000000000n, 'write', false)!, /CR0\.WP/);
        assert.match(reason(0x401000n, 'read', true)!, /pte\[0x1\] = 0x0 is not present/);
        assert.match(reason(0x800000000000n, 'read', false)!, /not canonical/);
    });

    it('is written in one line', () => {
        const source = new FakeSource();
        source.map(0xffffffff81000000n, 0x1000000n | 0x1e3n, 2, 3n);
        const request = { linear: 0xffffffff8107a1c2n, access: 'execute', user: false } as const;
        const { summary } = viewWalk(source, pageTables(source.system), request);
        assert.equal(summary, 'PML4[511] → PDPT[510] → PD[8] 2M → 0x107a1c2');
    });
});

describe('reverse mapping', () => {
    it('finds every address that a page is mapped at, large pages included, and its use as a table', () => {
        const source = new FakeSource();
        source.map(0x400000n, 0x205000n | 5n);
        source.map(0x7000000000n, 0x205000n | 7n | NX);
        source.map(0xffff888000200000n, 0x200000n | 0x83n, 2, 3n);
        const tables = pageTables(source.system);
        const found = reverseMap(source, tables, 0x205000, 10);
        assert.deepEqual(
            found.mappings.map(({ linear }) => linear.toString(16)),
            ['400000', '7000000000', 'ffff888000205000'],
        );
        assert.deepEqual(reverseMap(source, tables, 0x10000, 10).usedAs, ['PML4 of 0x0']);
        assert.equal(reverseMap(source, tables, 0x205000, 2).more, true);
        assert.equal(reverseMap(source, tables, 0x999000, 2).mappings.length, 0);
    });

    it('comes to an end on tables that contain nothing but themselves', () => {
        const source = new FakeSource();
        for (let index = 0; index < 512; index++) source.poke64(0x10000 + index * 8, 0x10000n | 7n);
        assert.deepEqual(reverseMap(source, pageTables(source.system), 0x5000, 10).mappings, []);
        assert.equal(reverseMap(source, pageTables(source.system), 0x10000, 10).more, true);
    });
});

describe('address spaces', () => {
    it('show the user half of page table isolation, and only where there is one', () => {
        const source = new FakeSource({ ...LONG_MODE, cr3: 0x10000n });
        source.addMemory(0x10000, 2);
        source.poke64(0x10000, 0x20000n | 7n | NX);
        source.poke64(0x11000, 0x20000n | 0x27n);
        source.poke64(0x10000 + 300 * 8, 0x21000n | 3n);
        source.poke64(0x10000 + 508 * 8, 0x22000n | 3n);
        source.poke64(0x11000 + 508 * 8, 0x22000n | 3n);
        // The entry code is mapped by tables of the user half's own.
        source.poke64(0x10000 + 511 * 8, 0x23000n | 3n);
        source.poke64(0x11000 + 511 * 8, 0x24000n | 3n);
        assert.deepEqual(
            viewAddressSpaces(source, [source.system]).map(({ cr3, label, current }) => [cr3, label, current]),
            [
                ['0x10000', 'vCPU 0', true],
                ['0x11000', 'vCPU 0, user half (page table isolation)', false],
            ],
        );
        source.poke64(0x11000 + 8, 0x99000n | 7n);
        assert.equal(isolatedHalves(source, pageTables(source.system)), undefined);
    });
});

describe('memory behind a wire', () => {
    it('is fetched page by page as a look asks for it, and the result is that of a look at all of it', async () => {
        const source = new FakeSource();
        source.map(0x400000n, 0x5000n | 5n);
        const fetched: number[] = [];
        const memory = new GatheredMemory(async physical => {
            fetched.push(physical);
            return source.page(physical);
        });
        const tables = pageTables(source.system);
        const end = await memory.gather(page => walk({ page }, tables, 0x400123n));
        assert.equal(end.mapping?.physical, 0x5123);
        assert.equal(fetched.length, 4);
    });
});

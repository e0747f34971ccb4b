import assert from 'node:assert/strict';
import { systemState } from '../../../src/debug/machine-inspection';
import { viewDescriptorTables } from '../../../src/inspect/descriptors/descriptor-tables-view';
import { StateOffset } from '../../../src/machine/state';
import type { DescriptorTable } from '../../../src/messages/descriptor-tables';
import { GDT, IDT, Selector, TestMachine, TSS } from '../machine/cpu/test-machine';
import { FakeSource } from './fake-source';

/** What a vCPU of the processor tests looks like to a view. */
function sourceOf(machine: TestMachine): FakeSource {
    const source = new FakeSource(systemState(machine.cpu));
    for (let page = 0; page < 0x40000; page += 0x1000) {
        source.poke(page, new Uint8Array(machine.buffer, machine.ramAddress(page), 0x1000));
    }
    return source;
}

function lines({ entries }: DescriptorTable): string[] {
    return entries.map(({ index, count, text, usedBy, segment, gate, problem }) =>
        [
            `${index}${count > 1 ? `-${index + count - 1}` : ''}: ${text}`,
            segment && `base ${segment.base} limit ${segment.limit} [${segment.bits}]`,
            gate && `${gate.selector}:${gate.offset} at ${gate.linear}${gate.symbol ? ` ${gate.symbol}` : ''}`,
            usedBy && `used by ${usedBy.join(' ')}`,
            problem && `! ${problem}`,
        ]
            .filter(part => part)
            .join('; '),
    );
}

describe('descriptor tables', () => {
    it('of protected mode: segments, call and task gates, 16- and 32-bit gates, a 32-bit TSS with its I/O map', () => {
        const machine = new TestMachine().protect();
        machine.gate(GDT + 0x40, Selector.Code0, 0x12345678, 0xec, 3);
        machine.gate(GDT + 0x48, Selector.Tss, 0, 0x85);
        machine.describe(0x50, 0x1000, 0xff, 0xf7, 0);
        machine.describe(0x58, 0, 0xfffff, 0x1d, 0x5);
        machine.describe(0x60, 0x123456, 0x27, 0x82, 0);
        machine.poke32(GDT + 0x68 + 4, 0x8a00);
        machine.gate(IDT, Selector.Code0, 0x1111, 0x8e);
        machine.gate(IDT + 14 * 8, Selector.Code0, 0x2222, 0x8f);
        machine.gate(IDT + 0x30 * 8, Selector.Code0, 0x99993333, 0xe6);
        machine.gate(IDT + 0x31 * 8, Selector.Tss, 0, 0x85);
        machine.poke16(TSS + 0x66, 0x68);
        for (let at = 0x68; at < 0x800; at++) machine.ram.setUint8(TSS + at, 0xff);
        machine.ram.setUint8(TSS + 0x68 + 0x3f8 / 8, 0x00);
        machine.cpu.set(StateOffset.idtrBase, IDT, 0);
        machine.cpu.setLo(StateOffset.idtrLimit, 0x40 * 8 - 1);
        machine.cpu.setLo(StateOffset.gdtrLimit, 0x7f);
        const source = sourceOf(machine);
        source.symbols.set(0x2222n, 'page_fault');
        const { mode, gdt, idt, tss, ldt } = viewDescriptorTables(source);
        assert.equal(mode, 'protected mode');
        assert.equal(ldt, undefined);
        assert.deepEqual(lines(gdt), [
            '0: null',
            '1: code 32-bit readable ring 0 accessed; base 0x0 limit 0xffffffff [G D P R A]; used by cs',
            '2: data writable 32-bit ring 0 accessed; base 0x0 limit 0xffffffff [G B P W A]; used by es ss ds fs gs',
            '3: code 32-bit readable ring 3 accessed; base 0x0 limit 0xffffffff [G D P R A]',
            '4: data writable 32-bit ring 3 accessed; base 0x0 limit 0xffffffff [G B P W A]',
            '5: code 16-bit readable ring 0 accessed; base 0x0 limit 0xffffffff [G P R A]',
            '6: 32-bit TSS, busy; base 0x3000 limit 0xfff [P]; used by tr',
            '7: null',
            '8: 32-bit call gate, 3 parameters, DPL 3; 0x8:0x12345678 at undefined',
            '9: task gate, DPL 0; 0x30:0x0 at undefined',
            '10: data writable expand-down 16-bit ring 3 accessed; base 0x1000 limit 0xff [P E W A]',
            '11: code 32-bit execute-only conforming ring 0 accessed not present; base 0x0 limit 0xfffff [D AVL C A]',
            '12: LDT; base 0x123456 limit 0x27 [P]',
            '13: reserved type 10; ! reserved type',
            '14-15: null',
        ]);
        assert.deepEqual(lines(idt), [
            '0: 32-bit interrupt gate, DPL 0; 0x8:0x1111 at 0x1111',
            '1-13: null',
            '14: 32-bit trap gate, DPL 0; 0x8:0x2222 at 0x2222 page_fault',
            '15-47: null',
            '48: 16-bit interrupt gate, DPL 3; 0x8:0x3333 at 0x3333',
            '49: task gate, DPL 0; 0x30:0x0 at undefined',
            '50-63: null',
        ]);
        assert.equal(idt.entries[2].name, '#PF page fault');
        assert.equal(tss?.format, '32-bit');
        assert.equal(tss.fields.find(({ name }) => name === 'esp0')?.value, '0x9000');
        assert.equal(tss.ioMap.text, `${8 + (0x1000 - 0x800 - 1) * 8} ports`);
        assert.deepEqual(tss.ioMap.allowed[0], { first: 0x3f8, last: 0x3ff });
    });

    it('of long mode: 16-byte system descriptors and gates, IST, the 64-bit TSS', () => {
        const machine = new TestMachine().enterLongMode();
        machine.poke32(GDT + Selector.Tss + 8, 0xffff8000);
        machine.longGate(IDT + 8 * 16, Selector.Code64, 0xffffffff81000010n, 0x8e, 1);
        machine.longGate(IDT + 9 * 16, Selector.Code64, 0x10n, 0x86);
        machine.cpu.setLo(StateOffset.gdtrLimit, 0x5f);
        machine.cpu.setLo(StateOffset.idtrLimit, 10 * 16 - 1);
        const source = sourceOf(machine);
        source.symbols.set(0xffffffff81000010n, 'double_fault');
        const { mode, gdt, idt, tss } = viewDescriptorTables(source);
        assert.equal(mode, '64-bit mode');
        assert.equal(
            lines(gdt)[5],
            '5: code 64-bit readable ring 0 accessed; base 0x0 limit 0xffffffff [G L P R A]; used by cs',
        );
        assert.equal(lines(gdt)[6], '6: 64-bit TSS, busy; base 0xffff800000003000 limit 0xfff [P]; used by tr');
        assert.equal(gdt.entries[7].index, 8);
        assert.deepEqual(lines(idt).slice(1), [
            '8: 64-bit interrupt gate, IST 1, DPL 0; 0x28:0xffffffff81000010 at 0xffffffff81000010 double_fault',
            '9: reserved type 6; ! type 6 is reserved in long mode',
        ]);
        assert.deepEqual(
            tss?.fields.slice(0, 4).map(({ name, value }) => `${name} ${value}`),
            ['rsp0 0x9000', 'rsp1 0x0', 'rsp2 0x0', 'ist1 0xa000'],
        );
    });

    it('of real mode: the vector table', () => {
        const machine = new TestMachine().realMode();
        machine.poke32(0x10 * 4, 0xf0001234);
        const { mode, idt, tss } = viewDescriptorTables(sourceOf(machine));
        assert.equal(mode, 'real mode');
        assert.equal(idt.name, 'IVT');
        const video = idt.entries.find(({ index }) => index === 0x10)!;
        assert.equal(video.text, 'f000:1234');
        assert.equal(video.gate?.linear, '0xf1234');
        assert.equal(
            idt.entries.reduce((sum, { count }) => sum + count, 0),
            256,
        );
        assert.equal(tss, undefined);
    });

    it('that cannot be read say why, and show what can be', () => {
        const machine = new TestMachine().enterLongMode();
        machine.cpu.set(StateOffset.gdtrBase, 0x1ffc0, 0xffff8000);
        machine.cpu.set(StateOffset.idtrBase, 0, 0x12345678);
        machine.cpu.setLo(StateOffset.gdtrLimit, 0xffff);
        const { gdt, idt } = viewDescriptorTables(sourceOf(machine));
        assert.match(gdt.problem ?? '', /0xffff80000001ffc0 cannot be read: pml4e\[0x100\] = 0x0 is not present/);
        assert.match(idt.problem ?? '', /not canonical/);
        assert.deepEqual([gdt.entries, idt.entries], [[], []]);
    });

    it('of any state can be looked at', () => {
        const machine = new TestMachine().enterLongMode();
        let state = 3;
        const next = (): number => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0);
        for (let round = 0; round < 40; round++) {
            for (let at = 0; at < 0x5000; at += 4) machine.poke32(at, next() ^ (next() >>> 7));
            machine.cpu.setLo(StateOffset.cr0, 0x80000011 & ~((next() >>> 30) & 1));
            machine.cpu.setLo(StateOffset.efer, next() & 1 ? 0xd01 : 0);
            machine.cpu.setLo(StateOffset.gdtrLimit, next() & 0xffff);
            machine.cpu.setLo(StateOffset.idtrLimit, next() & 0xffff);
            machine.cpu.setSegment(7, next() & 0xffff, next() & 0x3fff, 0, next(), next() & 0xf0ff);
            const view = viewDescriptorTables(sourceOf(machine));
            assert.ok(JSON.stringify(view).length < 3_000_000);
        }
    });
});

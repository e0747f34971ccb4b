import assert from 'node:assert/strict';
import { LONGEST_REPLY, ReplyReader } from '../../../../src/gdb/client/reply-reader';
import { parseMemoryMap, parseRegisters } from '../../../../src/gdb/client/monitor-state';
import { parseStopReply, threadNumber } from '../../../../src/gdb/client/stop-reply';
import { layoutOfLength, readDescription } from '../../../../src/gdb/client/target-description';
import { encodePacket } from '../../../../src/gdb/packet';
import { Random } from '../../../support/random';

/** What a reader makes of some bytes, in pieces. */
function read(bytes: string | Uint8Array, piece = Infinity): string[] {
    const found: string[] = [];
    const reader = new ReplyReader({
        packet: payload => found.push(Buffer.from(payload).toString('latin1')),
        damaged: () => found.push('(damaged)'),
        rejected: () => found.push('(rejected)'),
        tooLong: () => found.push('(too long)'),
    });
    const all = Buffer.from(bytes as string, 'latin1');
    for (let at = 0; at < all.length; at += piece) reader.push(all.subarray(at, Math.min(all.length, at + piece)));
    return found;
}

function packet(text: string): string {
    const sum = [...Buffer.from(text, 'latin1')].reduce((total, byte) => total + byte, 0);
    return `$${text}#${(sum & 0xff).toString(16).padStart(2, '0')}`;
}

describe('packets from a stub', () => {
    it('are found in whatever pieces they come', () => {
        const wire = `+${packet('OK')}noise${packet('E01')}-`;
        for (const piece of [1, 2, 3, 100]) assert.deepEqual(read(wire, piece), ['OK', 'E01', '(rejected)']);
    });

    it('have run lengths and escapes', () => {
        assert.deepEqual(read(packet('0* ')), ['0000']);
        assert.deepEqual(read(packet('ab*"c')), ['abbbbbbc']);
        assert.deepEqual(read(packet('}\x03}]')), ['#}']);
        assert.deepEqual(read(encodePacket(Buffer.from('#$}*'))), ['#$}*']);
    });

    it('are damaged by a wrong checksum, or a run of nothing', () => {
        assert.deepEqual(read('$OK#00'), ['(damaged)']);
        assert.deepEqual(read('$OK#zz'), ['(damaged)']);
        assert.deepEqual(read(packet('* ')), ['(damaged)']);
        assert.deepEqual(read(packet('a*\x05')), ['(damaged)']);
    });

    it('are no notifications', () => {
        assert.deepEqual(read(`%Stop:T05#xx${packet('OK')}`), ['OK']);
    });

    it('that never end are given up, and the next one is read', () => {
        const flood = `$${'x*~'.repeat(Math.ceil(LONGEST_REPLY / 97) + 2)}#00`;
        assert.deepEqual(read(`${flood}${packet('OK')}`), ['(too long)', 'OK']);
    });

    it('of random bytes are anything but an error of ours', () => {
        const random = new Random(7);
        for (let round = 0; round < 2000; round++) {
            const bytes = Uint8Array.from({ length: 200 }, () => [0x24, 0x23, 0x7d, 0x2a, 0x30, 0x31][random.below(6)]);
            read(bytes, 1 + random.below(20));
        }
    });
});

describe('target descriptions', () => {
    const documents: Record<string, string> = {
        'target.xml':
            '<?xml version="1.0"?><!DOCTYPE target SYSTEM "gdb-target.dtd"><target>' +
            '<architecture>i386:x86-64</architecture><xi:include href="core.xml"/><!-- <reg name="no" bitsize="8"/> -->' +
            "<feature name='sys'><reg name='cr0' bitsize='64' regnum='9'/><reg name=\"cr3\" bitsize=\"64\"/></feature></target>",
        'core.xml':
            '<feature name="core"><reg name="rax" bitsize="64"/><reg name="eflags" bitsize="32" type="x"/></feature>',
    };
    const readFrom = (all: Record<string, string>) => readDescription(async name => all[name] ?? '');

    it('are read with what they include', async () => {
        const { registers, features, architecture } = await readFrom(documents);
        assert.deepEqual(registers, [
            { name: 'rax', number: 0, size: 8, offset: 0 },
            { name: 'eflags', number: 1, size: 4, offset: 8 },
            { name: 'cr0', number: 9, size: 8, offset: 12 },
            { name: 'cr3', number: 10, size: 8, offset: 20 },
        ]);
        assert.deepEqual([features, architecture], [['core', 'sys'], 'i386:x86-64']);
    });

    it('that make no sense are refused in words', async () => {
        await assert.rejects(readFrom({ 'target.xml': '<target/>' }), /has no registers/);
        await assert.rejects(readFrom({ 'target.xml': '<xi:include href="target.xml"/>' }), /without an end/);
        await assert.rejects(readFrom({ 'target.xml': '<reg name="a" bitsize="7"/>' }), /makes no sense/);
        await assert.rejects(readFrom({ 'target.xml': '<reg name="a" bitsize="8" regnum="-1"/>' }), /makes no sense/);
        await assert.rejects(readFrom({ 'target.xml': '<reg name="a" bitsize="8"/>'.repeat(3000) }), /more than/);
    });

    it('cannot keep us busy', async () => {
        // A quadratic reader would need minutes.
        for (const text of ['<!--', '<a b=', '<reg ', 'a', '<a a a a a']) {
            await assert.rejects(readFrom({ 'target.xml': text.repeat(200_000) }), /has no registers/);
        }
    });

    it('are not needed for what gdb assumes', () => {
        assert.equal(layoutOfLength(608).registers.find(({ name }) => name === 'rip')?.offset, 128);
        assert.equal(layoutOfLength(312).registers.find(({ name }) => name === 'eip')?.offset, 32);
        assert.throws(() => layoutOfLength(68), /neither/);
    });
});

describe('stop replies', () => {
    it('are read with thread and watched address', () => {
        assert.deepEqual(parseStopReply('T05thread:p01.02;watch:ffff800000001000;'), {
            kind: 'stopped',
            signal: 5,
            thread: 'p01.02',
            watch: { access: 'write', address: 0xffff800000001000n },
        });
        assert.deepEqual(parseStopReply('S02'), { kind: 'stopped', signal: 2 });
        assert.deepEqual(parseStopReply('W07'), { kind: 'ended', status: 7 });
        assert.deepEqual(parseStopReply('X06;process:1'), { kind: 'ended', signal: 6 });
        assert.equal(threadNumber('p01.0A'), 'a');
    });

    it('that are none, are none', () => {
        for (const text of ['', 'OK', 'Txx', 'T', 'E01', 'vCont']) assert.equal(parseStopReply(text), undefined);
        assert.deepEqual(parseStopReply('T05thread:;;:;watch:zz;constructor:1;'), { kind: 'stopped', signal: 5 });
    });
});

const QEMU_REGISTERS = `
CPU#0
RAX=0000000000000000 RBX=0000000000000000 RCX=0000000000000000 RDX=0000000000000000
RIP=ffffffff80104650 RFL=00000286 [--S--P-] CPL=0 II=0 A20=1 SMM=0 HLT=0
ES =0010 0000000000000000 ffffffff 00cf9300 DPL=0 DS   [-WA]
CS =0008 0000000000000000 ffffffff 00af9b00 DPL=0 CS64 [-RA]
LDT=0000 0000000000000000 0000ffff 00008200 DPL=0 LDT
TR =0030 ffffffff80111380 00000067 00008b00 DPL=0 TSS64-busy
GDT=     ffffffff80111340 0000003f
IDT=     ffffffff80112000 00000fff
CR0=80010011 CR2=0000000000000000 CR3=0000000000200000 CR4=00000020
DR6=00000000ffff0ff0 DR7=0000000000000400
EFER=0000000000000d01
FCW=037f FSW=0000 [ST=0] FTW=81 MXCSR=00001f80
CPU#1
CS =0008 0000000000000000 ffffffff 00af9b00 DPL=0 CS64 [-RA]
GDT=     ffffffff80111340 0000003f
`;

describe("what QEMU's monitor tells", () => {
    it('are the hidden parts of segments, tables and control registers of each vCPU', () => {
        const [first, second, third] = parseRegisters(QEMU_REGISTERS)!;
        assert.deepEqual(first.segments.get('cs'), { selector: 8, base: 0n, limit: 0xffffffff, attributes: 0xa09b });
        assert.deepEqual(first.segments.get('tr')?.base, 0xffffffff80111380n);
        assert.deepEqual(first.tables.get('gdtr'), { base: 0xffffffff80111340n, limit: 63 });
        assert.deepEqual([first.others.get('cr3'), first.others.get('efer'), first.tags], [0x200000n, 0xd01n, 0x81]);
        assert.equal(second.segments.size, 1);
        assert.equal(third, undefined);
    });

    it('is not taken from other texts', () => {
        assert.equal(parseRegisters("there is no command 'info': monitor help lists them\n"), undefined);
        assert.equal(parseRegisters(''), undefined);
        assert.equal(parseRegisters('CS =0008\nGDT= x y\n'.repeat(1000)), undefined);
    });

    it('is the map of physical memory', () => {
        const text = `FlatView #0
 AS "VGA", root: bus master container
FlatView #1
 AS "memory", root: system
 Root memory region: system
  0000000000000000-000000000009ffff (prio 0, ram): pc.ram
  00000000000a0000-00000000000bffff (prio 1, i/o): vga-lowmem
  0000000000100000-0000000003ffffff (prio 0, ram): pc.ram @0000000000100000 KVM
  00000000fffc0000-00000000ffffffff (prio 0, rom): pc.bios
`;
        assert.deepEqual(parseMemoryMap(text), [
            { name: 'pc.ram', first: 0, last: 0x9ffff, kind: 'ram' },
            { name: 'vga-lowmem', first: 0xa0000, last: 0xbffff, kind: 'device' },
            { name: 'pc.ram', first: 0x100000, last: 0x3ffffff, kind: 'ram' },
            { name: 'pc.bios', first: 0xfffc0000, last: 0xffffffff, kind: 'rom' },
        ]);
        assert.equal(parseMemoryMap('nothing of the kind'), undefined);
    });
});

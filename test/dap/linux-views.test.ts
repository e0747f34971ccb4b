/** The views on a booted Linux, held against what Linux itself says about the process that runs. */
import assert from 'node:assert/strict';
import path from 'node:path';
import type { DebugProtocol } from '@vscode/debugprotocol';
import { guestFiles, guestsDirectory, needs } from '../support/requirements';
import { TestClient } from './client';

const BOOT_LIMIT = 240_000;
const READY = 'MAPS-END';
/** A shell that tells its memory map and then stays in user mode. */
const COMMAND = `cat /proc/$$/maps; echo ${READY}; while :; do i=1; done`;

interface Mapping {
    readonly first: bigint;
    readonly last: bigint;
    readonly rights: string;
    readonly name: string;
}

function readMaps(text: string): Mapping[] {
    return [...text.matchAll(/^([0-9a-f]+)-([0-9a-f]+) ([r-][w-][x-])[ps] \S+ \S+ \d+ *(.*)$/gm)].map(
        ([, first, end, rights, name]) => ({
            first: BigInt(`0x${first}`),
            last: BigInt(`0x${end}`) - 1n,
            rights,
            name: name.trim(),
        }),
    );
}

describe('the views of a Linux process', function () {
    this.timeout(BOOT_LIMIT);

    let client: TestClient;
    let maps: Mapping[];

    before(async function () {
        needs(this, guestFiles('vmlinuz-cloud', 'initrd-busybox.cpio.gz'));
        client = new TestClient();
        let console = '';
        client.onOutput(text => (console += text));
        await client.launch({
            kernel: path.join(guestsDirectory, 'vmlinuz-cloud'),
            initrd: path.join(guestsDirectory, 'initrd-busybox.cpio.gz'),
            append: `console=ttyS0 pti=on hs.cmd=${encodeURIComponent(COMMAND)}`,
            memory: '256M',
            stopOnEntry: false,
        });
        await client.request('configurationDone', {});
        while (!console.includes(`\n${READY}`)) await new Promise(resolve => setTimeout(resolve, 100));
        maps = readMaps(console.replaceAll('\r', ''));
        // Until it is the shell that is stopped, in user mode.
        for (;;) {
            await client.run('pause');
            if ((await client.ask('hyperscope/registers', {})).groups[2].registers[1].value === '0x33') break;
            await client.request('continue', { threadId: 1 });
            await new Promise(resolve => setTimeout(resolve, 10));
        }
    });

    after(() => client?.stop());

    it('page tables: user memory is what /proc/PID/maps says, with its rights', async () => {
        assert.ok(maps.length >= 4, 'the map was printed');
        const { ranges, problems, next } = await client.ask('hyperscope/pageTables', { last: '0x7fffffffffff' });
        assert.deepEqual([problems, next], [[], undefined]);
        const user = ranges.filter(({ permissions }) => permissions.user);
        assert.ok(user.length >= 4, JSON.stringify(ranges));
        for (const { first, last, permissions } of user) {
            for (let page = BigInt(first); page <= BigInt(last); page += 0x1000n) {
                const mapping = maps.find(one => one.first <= page && one.last >= page);
                assert.ok(mapping !== undefined, `${page.toString(16)} of ${first}–${last} is in no mapping`);
                // Copy on write takes rights away, never gives any.
                assert.ok(!permissions.writable || mapping.rights[1] === 'w', `${first} ${mapping.rights}`);
                assert.ok(!permissions.executable || mapping.rights[2] === 'x', `${first} ${mapping.rights}`);
            }
        }
        const code = maps.find(({ rights, name }) => rights === 'r-x' && name.includes('busybox'));
        assert.ok(user.some(({ first, permissions }) => permissions.executable && BigInt(first) >= code!.first));
    });

    it('stack: user code is named by the program that is mapped there', async () => {
        const { stackFrames } = await client.ask<DebugProtocol.StackTraceResponse['body']>('stackTrace', {
            threadId: 1,
        });
        const { name, instructionPointerReference } = stackFrames[0];
        const code = maps.find(({ name: file }) => file === '/bin/busybox')!;
        assert.equal(name, `user mode: busybox+0x${(BigInt(instructionPointerReference!) - code.first).toString(16)}`);
    });

    it('page table isolation: both halves of the address space are offered', async () => {
        const { spaces } = await client.ask('hyperscope/addressSpaces', {});
        const other = spaces.find(({ label }) => /half \(page table isolation\)/.test(label));
        assert.ok(other !== undefined, JSON.stringify(spaces));
        const here = await client.ask('hyperscope/pageTables', {});
        assert.match(here.note ?? '', /user half \(page table isolation\); kernel half: 0x/);
        const there = await client.ask('hyperscope/pageTables', { cr3: other.cr3 });
        assert.ok(there.ranges.length > here.ranges.length, 'the kernel sees more');
        assert.match(there.note ?? '', /^kernel half/);
        const labels = there.ranges.map(({ label }) => label);
        for (const name of ['direct map', 'kernel text', 'stack of init (1)', '[stack]', '/bin/busybox'])
            assert.ok(labels.includes(name), `${name} in ${labels.join()}`);
    });

    it('memory: the stack is where the map has it, and found again by its contents', async () => {
        const stack = maps.find(({ name }) => name === '[stack]')!;
        const view = await client.ask('hyperscope/memory', { address: 'rsp', count: 64 });
        assert.ok(BigInt(view.address) >= stack.first && BigInt(view.address) <= stack.last);
        assert.deepEqual(view.pages[0].permissions, { writable: true, user: true, executable: false });
        assert.equal(view.pages[0].use, '[stack]');
        const bytes = Buffer.from(view.data, 'base64').toString('hex').replace(/../g, '$& ');
        const here = { first: `0x${stack.first.toString(16)}`, last: `0x${stack.last.toString(16)}` };
        const { matches } = await client.ask('hyperscope/searchMemory', { pattern: bytes, ...here });
        assert.ok(matches.some(({ address }) => address === view.address));
        const physical = await client.ask('hyperscope/searchMemory', { pattern: bytes, space: 'physical' });
        assert.ok(physical.matches.some(match => match.address === matches[0].physical));
        const { mappings } = await client.ask('hyperscope/pageMappings', { place: { address: 'rsp' } });
        assert.ok(
            mappings.some(({ linear }) => BigInt(linear) === BigInt(view.address) - (BigInt(view.address) & 0xfffn)),
        );
    });

    it('descriptor tables, interrupts and devices of a system that runs', async () => {
        const { mode, idt, tss, gdt } = await client.ask('hyperscope/descriptorTables', {});
        assert.equal(mode, '64-bit mode');
        assert.equal(gdt.problem, undefined);
        const gates = idt.entries.filter(({ kind }) => kind === 'interruptGate');
        assert.ok(gates.reduce((sum, { count }) => sum + count, 0) > 200);
        assert.equal(tss?.format, '64-bit');
        assert.ok(idt.entries.find(({ name }) => name?.startsWith('#DF'))?.gate?.ist !== undefined);
        const { processors, pic } = await client.ask('hyperscope/interrupts', {});
        assert.equal(processors[0].interruptsEnabled, true, 'as in every user process');
        assert.equal(processors[0].apic?.softwareEnabled, true);
        assert.equal(pic?.[0].imr, 0xff, 'Linux uses the APICs');
        const { pci } = await client.ask('hyperscope/devices', {});
        assert.ok(pci.length >= 3);
    });
});

/** The requests behind the views, asked over the protocol, on the sample guest in user mode and in its kernel. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import type { InspectionRequests } from '../../src/messages/requests';
import type { RegisterItem } from '../../src/messages/registers';
import { sampleElf, sampleRom } from '../support/sample';
import { TestClient } from './client';
import { guestImage } from './guest';

type Name = keyof InspectionRequests;

describe('inspection over DAP', () => {
    let client: TestClient;
    let folder: string;

    before(() => {
        folder = mkdtempSync(path.join(os.tmpdir(), 'hyperscope-inspect-'));
    });

    after(() => rmSync(folder, { recursive: true, force: true }));

    const ask = async <N extends Name>(name: N, args: InspectionRequests[N][0]): Promise<InspectionRequests[N][1]> => {
        const body = await client.request<InspectionRequests[N][1]>(name, args as Readonly<Record<string, unknown>>);
        assert.ok(body !== undefined, `${name} ${JSON.stringify(args)} was refused`);
        return body;
    };
    const refused = (name: Name, args: Readonly<Record<string, unknown>>): Promise<string> =>
        client.refusal(name, args);
    const registers = async (args: InspectionRequests['hyperscope/registers'][0] = {}) => {
        const { groups } = await ask('hyperscope/registers', args);
        const items = new Map<string, RegisterItem>();
        const add = (item: RegisterItem): void => {
            items.set(item.name, item);
            item.parts?.forEach(add);
        };
        groups.forEach(group => group.registers.forEach(add));
        return items;
    };

    /** Runs the sample guest to a function. */
    const runTo = async (name: string): Promise<void> => {
        await client.request('setFunctionBreakpoints', { breakpoints: [{ name }] });
        await client.run('continue');
    };

    describe('in the kernel and in user mode', () => {
        before(async function () {
            this.timeout(30_000);
            client = new TestClient();
            await client.launch({ kernel: sampleElf, memory: '64M' });
            await client.run('configurationDone', {});
            await runTo('page_fault');
        });

        after(() => client.stop());

        it('registers: named, marked where a step changed them, edited by part and by lane', async () => {
            const first = await registers();
            assert.match(first.get('rip')?.symbol ?? '', /^page_fault/);
            assert.equal(first.get('cs')?.description, 'code 64-bit readable ring 0');
            await client.run('stepIn', { threadId: 1, granularity: 'instruction' });
            const second = await registers({ base: 'binary', lanes: 'f64' });
            assert.equal(second.get('rip')?.changed?.value, first.get('rip')?.value);
            assert.equal(second.get('cr3')?.changed, undefined);
            assert.equal(second.get('xmm0')?.parts?.length, 2);
            assert.equal(second.get('rax')?.text.length, 66);

            const { register } = await ask('hyperscope/setRegister', { name: 'xmm3.f64.1', value: '-2.5' });
            assert.equal(register.value, '0xc004000000000000');
            await ask('hyperscope/setRegister', { name: 'df', value: '1' });
            const third = await registers();
            assert.equal(third.get('df')?.changed?.text, '0');
            await ask('hyperscope/setRegister', { name: 'df', value: '0' });
            assert.equal((await registers()).get('df')?.changed, undefined);
            assert.match(
                await refused('hyperscope/setRegister', { name: 'nothing', value: '1' }),
                /no register 'nothing'/,
            );
            assert.match(await refused('hyperscope/registers', { lanes: 'u12' }), /lanes has to be one of u8, /);
            assert.match(await refused('hyperscope/registers', { vcpu: 5 }), /vcpu has to be from 0 to 0/);
        });

        it('page tables: everything that is mapped, tables one by one, walks and what would fault', async () => {
            const { mode, ranges, cr3 } = await ask('hyperscope/pageTables', {});
            assert.equal(mode, '4-level');
            const kernel = ranges.find(({ label }) => label !== undefined);
            assert.ok(kernel !== undefined && BigInt(kernel.first) >= 0xffffffff80000000n, JSON.stringify(ranges));
            const text = await ask('hyperscope/pageWalk', { address: 'page_fault', access: 'execute' });
            assert.equal(text.fault, undefined);
            assert.equal(text.symbol, 'page_fault');
            assert.match(text.summary, /^PML4\[511\] → PDPT\[510\] → /);
            const user = await ask('hyperscope/pageWalk', { address: 'page_fault', access: 'write', user: true });
            assert.equal(user.fault?.errorCodeBits, 'P W U');
            const table = text.steps.at(-1)?.table;
            const { entries } = await ask('hyperscope/pageTableEntries', { table });
            assert.ok(entries.some(({ kind, index }) => kind === 'page' && index === text.steps.at(-1)?.index));
            const { spaces } = await ask('hyperscope/addressSpaces', {});
            assert.deepEqual(
                spaces.map(space => [space.cr3, space.current]),
                [[cr3, true]],
            );
            const back = await ask('hyperscope/pageMappings', { place: { address: 'page_fault' } });
            assert.equal(BigInt(back.physical), BigInt(text.mapping!.physical) & ~0xfffn);
            const page = BigInt(text.linear) & ~0xfffn;
            assert.ok(back.mappings.some(({ linear }) => BigInt(linear) === page));
            const top = await ask('hyperscope/pageMappings', { place: { address: cr3, space: 'physical' } });
            assert.equal(top.usedAs[0], 'PML4 of 0x0');
        });

        it('memory: bytes with their pages and names, searched, saved and loaded', async () => {
            const stack = await ask('hyperscope/memory', { address: 'rsp', count: 256, annotate: true });
            assert.equal(Buffer.from(stack.data, 'base64').length, 256);
            assert.ok(stack.annotations.length > 0, 'return addresses have names');
            assert.equal(stack.pages[0].kind, 'ram');
            const gap = await ask('hyperscope/memory', { address: '0x7fff00000000', count: 16 });
            assert.match(gap.pages[0].problem ?? '', /is not present/);

            const physical = await ask('hyperscope/searchMemory', { pattern: '"hello from ring"', space: 'physical' });
            assert.ok(physical.matches.length > 0);
            assert.equal(physical.next, undefined);
            const { address, bytes } = physical.matches[0];
            assert.ok(bytes.startsWith('68 65 6c 6c 6f 20'), bytes);
            const aligned = await ask('hyperscope/searchMemory', {
                pattern: 'u64 = page_fault',
                first: 'rsp & ~0xfff',
            });
            assert.equal(aligned.length, 8);
            assert.match(await refused('hyperscope/searchMemory', { pattern: '??' }), /matches everything/);

            const file = path.join(folder, 'memory.bin');
            await ask('hyperscope/saveMemory', { address, space: 'physical', count: 5, file });
            assert.equal(readFileSync(file, 'latin1'), 'hello');
            writeFileSync(file, '>>HELLO<<');
            const load = { address, space: 'physical', file, fileOffset: 2, count: 5 } as const;
            assert.deepEqual(await ask('hyperscope/loadMemory', load), { bytes: 5 });
            const again = await ask('hyperscope/memory', { address: `phys:${address}`, count: 5 });
            assert.equal(Buffer.from(again.data, 'base64').toString('latin1'), 'HELLO');
            assert.match(await refused('hyperscope/loadMemory', { ...load, file: 'here' }), /absolute path/);
            assert.match(await refused('hyperscope/loadMemory', { ...load, file: `${file}.not` }), /no such file/);
            const beyond = { ...load, address: '0x40000000' };
            assert.match(await refused('hyperscope/loadMemory', beyond), /only 0 of 5 bytes were loaded/);
        });

        it('descriptor tables: the handler of each gate, and the 64-bit TSS', async () => {
            const { mode, gdt, idt, tss } = await ask('hyperscope/descriptorTables', {});
            const brief = await ask('hyperscope/descriptorTables', { brief: true });
            assert.deepEqual(brief, {
                ...(await ask('hyperscope/descriptorTables', {})),
                idt: { ...idt, entries: [] },
            });
            assert.equal(mode, '64-bit mode');
            assert.ok(gdt.entries.some(({ usedBy, kind }) => kind === 'code' && usedBy?.includes('cs')));
            assert.ok(gdt.entries.some(({ usedBy, text }) => usedBy?.includes('tr') && text.startsWith('64-bit TSS')));
            const fault = idt.entries.find(({ name }) => name === '#PF page fault');
            assert.equal(fault?.kind, 'interruptGate');
            assert.ok(fault.gate?.symbol !== undefined, JSON.stringify(fault));
            assert.equal(tss?.format, '64-bit');
            assert.ok(tss.fields.some(({ name, value }) => name === 'rsp0' && value !== '0x0'));
        });

        it('interrupts and devices: what waits, and every chip', async () => {
            const { processors, ioApics, pic } = await ask('hyperscope/interrupts', {});
            assert.equal(processors[0].activity, 'active');
            assert.equal(processors[0].apic?.softwareEnabled, true);
            assert.ok(processors[0].text.length > 0);
            assert.equal(ioApics[0].pins.length, 24);
            assert.equal(pic?.length, 2);
            const { pci, chips, memoryMap } = await ask('hyperscope/devices', {});
            assert.equal(pci[0].className, 'host bridge');
            assert.ok(chips.length > 15 && memoryMap.length > 3);
        });

        it('user mode: what it may touch, and its registers', async () => {
            await runTo('user_crash');
            const walk = await ask('hyperscope/pageWalk', { address: 'page_fault' });
            assert.equal(walk.user, true, 'asked as the vCPU is');
            assert.match(walk.fault?.reason ?? '', /user code may not read supervisor pages/);
            assert.equal((await registers()).get('cs.dpl')?.text, '3');
        });
    });

    it('translated code: a loop that became a region, instruction by instruction as IR and WebAssembly', async () => {
        client = new TestClient();
        const kernel = path.join(folder, 'spin.elf');
        writeFileSync(kernel, guestImage('spin'));
        try {
            await client.launch({ kernel, memory: '16M' });
            await client.run('configurationDone', {});
            const cold = await ask('hyperscope/translation', {});
            assert.match(cold.problem ?? '', /has not run in this mode yet/);
            await client.request('continue', { threadId: 1 });
            // Regions that wait are compiled after some instructions: a few slices of the guest.
            let hot = await ask('hyperscope/translation', { address: 'spin' });
            for (let tries = 0; tries < 100 && hot.tier !== 'region'; tries++) {
                await new Promise(resolve => setTimeout(resolve, 20));
                hot = await ask('hyperscope/translation', { address: 'spin' });
            }
            await client.run('pause');
            assert.equal(hot.tier, 'region');
            assert.equal(hot.mode, '32-bit ring 0 flat x87');
            const [entry] = hot.blocks;
            assert.deepEqual(
                [entry.symbol, entry.isEntry, entry.isLoopHeader, entry.current],
                ['spin', true, true, true],
            );
            assert.deepEqual(
                entry.instructions.map(({ text, bytes }) => `${bytes}: ${text}`),
                ['ff c3: inc ebx', 'e9 f9 ff ff ff: jmp 0x10003e <spin>'],
            );
            assert.deepEqual(entry.exits, [{ kind: 'taken', target: entry.address, symbol: 'spin', inside: true }]);
            assert.ok(
                entry.instructions[0].ir!.some(line => line.includes('rbx')),
                JSON.stringify(entry),
            );
            const lines = hot.wasm!.split('\n');
            assert.ok(lines.includes('  loop') && !lines.some(line => line.includes(';; the')), hot.wasm);
            const [first, last] = entry.instructions[0].wasmLines!;
            assert.ok(
                lines.slice(first, last + 1).some(line => line.includes('i32.add')),
                hot.wasm,
            );
            const once = await ask('hyperscope/translation', { address: 'increment', brief: true });
            assert.equal(once.tier, 'interpreter');
            assert.equal(once.wasm, undefined);
            assert.ok(once.blocks[0].exits[0].kind === 'indirect' && once.heat! < once.hotThreshold!);
            const nowhere = await ask('hyperscope/translation', { address: '0x00f00000' });
            assert.match(nowhere.problem ?? '', /not decoded/);
        } finally {
            await client.stop();
        }
    });

    it('works from the reset vector on', async () => {
        client = new TestClient();
        try {
            await client.launch({ firmware: sampleRom, memory: '64M' });
            await client.run('configurationDone', {});
            assert.equal((await ask('hyperscope/descriptorTables', {})).mode, 'real mode');
            assert.equal((await ask('hyperscope/pageTables', {})).mode, 'none');
            assert.match((await ask('hyperscope/pageWalk', { address: 'pc' })).summary, /paging is off/);
            assert.match(await refused('hyperscope/pageTableEntries', {}), /paging is off/);
            const code = await ask('hyperscope/memory', { address: 'rip', space: 'virtual', segment: 'cs', count: 4 });
            assert.equal(code.linear, '0xfffffff0');
            assert.equal(code.pages[0].kind, 'rom');
            const { spaces } = await ask('hyperscope/addressSpaces', {});
            assert.deepEqual(spaces, []);
        } finally {
            await client.stop();
        }
    });
});

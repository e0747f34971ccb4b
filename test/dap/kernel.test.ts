import assert from 'node:assert/strict';
import path from 'node:path';
import type { DebugProtocol } from '@vscode/debugprotocol';
import { guestFiles, guestsDirectory, needs } from '../support/requirements';
import { TestClient } from './client';

const KERNEL = path.join(guestsDirectory, 'vmlinuz-cloud');

/** Where a kernel without KASLR is put by its decompressor, and where it maps itself. */
const PHYSICAL_START = 0x1000000;
const VIRTUAL_START = 0xffffffff81000000n;

describe('debugging a Linux kernel', () => {
    let client: TestClient;

    before(function () {
        needs(this, guestFiles('vmlinuz-cloud'));
    });

    beforeEach(async () => {
        client = new TestClient();
        await client.launch({ kernel: KERNEL, append: 'console=ttyS0 nokaslr', memory: '256M' });
        await client.run('configurationDone', {});
    });

    afterEach(() => client.stop());

    const ask = async <T>(command: string, args: Readonly<Record<string, unknown>>): Promise<T> => {
        const body = await client.request<T>(command, args);
        assert.ok(body !== undefined, `${command} was refused`);
        return body;
    };
    const evaluate = async (expression: string): Promise<bigint> =>
        BigInt((await ask<{ result: string }>('evaluate', { expression })).result.split(' ')[0]);

    it('stops where the decompressed kernel begins, and at its first page fault on its own page tables', async () => {
        await client.request('setInstructionBreakpoints', {
            breakpoints: [{ instructionReference: `0x${PHYSICAL_START.toString(16)}` }],
        });
        const stop = await client.run('continue');
        assert.equal(stop.reason, 'instruction breakpoint');
        assert.equal(await evaluate('pc'), BigInt(PHYSICAL_START));
        // startup_64 sets its stack, then takes its own address.
        const { instructions } = await ask<DebugProtocol.DisassembleResponse['body'] & object>('disassemble', {
            memoryReference: `0x${PHYSICAL_START.toString(16)}`,
            instructionCount: 2,
        });
        assert.deepEqual(
            instructions.map(({ instruction }) => instruction.replace(/0x\w+/g, 'N').split('  ')[0]),
            ['lea rsp, [rip+N]', 'lea rdi, [rip-N]'],
        );

        await client.request('setInstructionBreakpoints', { breakpoints: [] });
        await client.request('setExceptionBreakpoints', { filters: ['pf'] });
        const fault = await client.run('continue');
        assert.match(fault.text ?? '', /#PF page fault: supervisor code \w+ 0x\w+: p\w+\[0x\w+\] = 0x0 is not present/);
        assert.ok((await evaluate('pc')) > VIRTUAL_START);
        // The direct map is filled in by the handler: the same instruction then goes on.
        const { mapping } = await ask<{ mapping?: { physical: string } }>('hyperscope/translateAddress', {
            address: 'pc',
        });
        assert.equal(BigInt(mapping!.physical), (await evaluate('pc')) - VIRTUAL_START + BigInt(PHYSICAL_START));
        const before = await evaluate('pc');
        await client.run('next');
        assert.notEqual(await evaluate('pc'), before);
    });
});

import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import type { DebugProtocol } from '@vscode/debugprotocol';
import { Activity } from '../../src/dap/activity';
import { sampleElf, sampleRom } from '../support/sample';
import { guestImage } from './guest';
import { guestFolder } from './guest-folder';
import { InProcessClient } from './in-process';

const base64 = (...bytes: readonly number[]): string => Buffer.from(bytes).toString('base64');

describe('requests', () => {
    const at = guestFolder();
    let client: InProcessClient;

    beforeEach(() => {
        client = new InProcessClient();
    });

    afterEach(() => client.close());

    const start = async (attributes: object = {}, initialize: object = {}): Promise<void> => {
        await client.launch({ kernel: at('spin.elf'), ...attributes }, initialize);
        await client.run('configurationDone', {});
    };
    const evaluate = async (expression: string, more: object = {}): Promise<string> =>
        (await client.request<{ result: string }>('evaluate', { expression, ...more })).result;

    it('can be cancelled while they wait and while they are worked on', async () => {
        await start({ memory: '64M' });
        // Nothing like it is in memory: all of it has to be searched.
        const search = client.send('hyperscope/searchMemory', {
            space: 'physical',
            pattern: '5a 17 c3 99 e1 42',
            length: '0x4000000',
        });
        const waiting = client.send('evaluate', { expression: 'eax' });
        const last = client.send('threads');
        await client.request('cancel', { requestId: waiting.seq });
        await client.request('cancel', { progressId: `request ${search.seq}` });
        assert.deepEqual(await waiting.answer.then(({ success, message }) => [success, message]), [false, 'cancelled']);
        // Who has taken a request back is not told of it by a dialog.
        const { error } = (await waiting.answer).body as { error: { showUser?: boolean } };
        assert.equal(error.showUser, false);
        assert.equal((await last.answer).success, true);
        // What is answered already, or was never asked, is no reason to refuse.
        await client.request('cancel', { requestId: 999 });
        await client.request('cancel', {});
    });

    it('show their progress if they take long, and end when they are cancelled', async () => {
        const said: string[] = [];
        const activity = new Activity(7, {
            showsProgress: true,
            emitEvent: (event, body) => said.push(`${event} ${JSON.stringify(body)}`),
        });
        for (let turn = 0; said.length < 2; turn++) {
            const until = performance.now() + 20;
            while (performance.now() < until);
            await activity.breathe('Searching memory', Math.min(1, turn / 20));
        }
        activity.end();
        activity.cancel();
        await assert.rejects(activity.breathe('Searching memory'), /cancelled/);
        assert.match(
            said[0],
            /^progressStart .*"progressId":"request 7","title":"Searching memory","requestId":7,"cancellable":true,"percentage":\d+/,
        );
        assert.match(
            said[1],
            /^progressUpdate .*"progressId":"request 7","message":"Searching memory","percentage":\d+/,
        );
        assert.equal(said[2], 'progressEnd {"progressId":"request 7"}');
    });

    it('page variables, and show numbers in the base that is wanted', async () => {
        await start({}, { supportsVariableType: true, supportsInvalidatedEvent: true });
        await evaluate('eax = 1234', { context: 'repl' });
        const { scopes } = await client.request<{ scopes: DebugProtocol.Scope[] }>('scopes', { frameId: 1 });
        const general = scopes[0].variablesReference;
        const variables = async (args: object): Promise<DebugProtocol.Variable[]> =>
            (await client.request<{ variables: DebugProtocol.Variable[] }>('variables', args)).variables;
        const all = await variables({ variablesReference: general });
        assert.equal(all[0].value, '0x00000000000004d2');
        assert.deepEqual(await variables({ variablesReference: general, start: 3, count: 2 }), all.slice(3, 5));
        assert.deepEqual(await variables({ variablesReference: general, filter: 'indexed' }), []);
        assert.equal((await variables({ variablesReference: general, format: { hex: false } }))[0].value, '1234');
        assert.equal(await evaluate('eax', { format: { hex: false } }), '1234');
        assert.equal(await evaluate('eax'), '0x4d2 (1234)');
        assert.equal(await evaluate('eax', { context: 'clipboard' }), '0x4d2');
        const invalidated = client.next('invalidated');
        await client.request('hyperscope/numberBase', { base: 'binary' });
        assert.deepEqual((await invalidated).body.areas, ['variables', 'stacks']);
        assert.equal(await evaluate('eax'), '0b10011010010');
    });

    it('show the stack word by word, and change it', async () => {
        await start();
        await client.request('setFunctionBreakpoints', { breakpoints: [{ name: 'increment' }] });
        await client.run('continue');
        const { scopes } = await client.request<{ scopes: DebugProtocol.Scope[] }>('scopes', { frameId: 1 });
        const { variablesReference, indexedVariables } = scopes.find(({ name }) => name === 'Stack')!;
        assert.equal(indexedVariables, 64);
        const { variables } = await client.request<{ variables: DebugProtocol.Variable[] }>('variables', {
            variablesReference,
            filter: 'indexed',
            start: 0,
            count: 2,
        });
        assert.deepEqual(
            variables.map(({ name, value, evaluateName }) => ({ name, value, evaluateName })),
            [
                { name: '+0x0', value: '0x10001d <again+0x5>', evaluateName: 'u32[linear:0x7fffc]' },
                { name: '+0x4', value: '0x0', evaluateName: 'u32[linear:0x80000]' },
            ],
        );
        await client.request('setVariable', { variablesReference, name: '+0x4', value: '0x11223344' });
        assert.equal(await evaluate('u32[0x80000]', { context: 'clipboard' }), '0x11223344');
        assert.match(
            await client.refusal('setVariable', { variablesReference, name: '+0x999', value: '1' }),
            /no '\+0x999'/,
        );
    });

    it('read what is readable of memory, and write all or nothing unless told otherwise', async () => {
        await start({ memory: '2M' }, { supportsMemoryEvent: true });
        const end = 'phys:0x1ffffe';
        const read = await client.request<object>('readMemory', { memoryReference: end, count: 8 });
        assert.deepEqual(read, { address: '0x1ffffe', data: 'AAA=', unreadableBytes: 6 });
        const data = base64(1, 2, 3, 4);
        assert.match(
            await client.refusal('writeMemory', { memoryReference: end, data }),
            /^only 2 of 4 bytes at phys:0x1ffffe meet memory: nothing was written$/,
        );
        assert.deepEqual(client.said('memory'), []);
        assert.deepEqual(await client.request('writeMemory', { memoryReference: end, data, allowPartial: true }), {
            bytesWritten: 2,
        });
        await client.request('writeMemory', { memoryReference: '0x110000', offset: 0x10, data });
        assert.deepEqual(client.said('memory'), [
            { memoryReference: end, offset: 0, count: 2 },
            { memoryReference: '0x110000', offset: 0x10, count: 4 },
        ]);
    });

    it('tell of everything that was written by hand, memory and what depends on it', async () => {
        await start({}, { supportsMemoryEvent: true, supportsInvalidatedEvent: true });
        const writes = async (command: string, args: object): Promise<unknown> => {
            const invalidated = client.next('invalidated');
            await client.request(command, args);
            await invalidated;
            return client.said('memory').at(-1);
        };
        assert.deepEqual(await writes('writeMemory', { memoryReference: '0x70000', data: base64(1, 2) }), {
            ...{ memoryReference: '0x70000', offset: 0, count: 2 },
        });
        assert.deepEqual(await writes('evaluate', { expression: 'u32[0x70010] = 5', context: 'repl' }), {
            ...{ memoryReference: '0x70010', offset: 0, count: 4 },
        });
        assert.deepEqual(await writes('setExpression', { expression: 'u8[phys:0x70020]', value: '7' }), {
            ...{ memoryReference: 'phys:0x70020', offset: 0, count: 1 },
        });
        await client.request('evaluate', { expression: 'rsp = 0x80000', context: 'repl' });
        const { scopes } = await client.request<{ scopes: DebugProtocol.Scope[] }>('scopes', { frameId: 1 });
        const { variablesReference } = scopes.find(({ name }) => name === 'Stack')!;
        assert.deepEqual(await writes('setVariable', { variablesReference, name: '+0x4', value: '1' }), {
            ...{ memoryReference: '0x80004', offset: 0, count: 4 },
        });
        const before = client.said('memory').length;
        const registers = scopes.find(({ name }) => name === 'General')!.variablesReference;
        await writes('setVariable', { variablesReference: registers, name: 'rax', value: '1' });
        assert.equal(client.said('memory').length, before);
    });

    it('keep the ids and counts of breakpoints that stay', async () => {
        await start();
        const increment = { name: 'increment', hitCondition: '3' };
        const ids = async (...breakpoints: object[]): Promise<unknown[]> => {
            const body = await client.request<{ breakpoints: DebugProtocol.Breakpoint[] }>('setFunctionBreakpoints', {
                breakpoints,
            });
            return body.breakpoints.map(({ id }) => id);
        };
        assert.deepEqual(await ids(increment, { name: 'again', hitCondition: '2' }), [1, 2]);
        assert.deepEqual((await client.run('continue')).hitBreakpointIds, [2]);
        assert.deepEqual(await ids({ name: 'print' }, increment, increment), [3, 1, 4]);
        assert.deepEqual((await client.run('continue')).hitBreakpointIds, [1]);
        assert.equal(await evaluate('eax'), '0x2');
        // An edited one begins anew.
        assert.deepEqual(await ids({ ...increment, hitCondition: '1' }), [5]);
    });

    it('know FLAGS as the lower half of EFLAGS', async () => {
        await start();
        await evaluate('rflags = 0x40247', { context: 'repl' });
        assert.equal(await evaluate('flags', { context: 'clipboard' }), '0x247');
        await evaluate('flags = 0x202', { context: 'repl' });
        assert.equal(await evaluate('rflags', { context: 'clipboard' }), '0x40202');
    });

    it('refuse to go where the code segment does not reach', async () => {
        // Real mode at the reset vector, CS at 0xffff0000.
        await start({ kernel: undefined, firmware: sampleRom });
        const before = await evaluate('pc');
        const targets = async (name: string): Promise<number> =>
            (
                await client.request<{ targets: DebugProtocol.GotoTarget[] }>('gotoTargets', {
                    source: { name },
                    line: 1,
                })
            ).targets[0].id;
        assert.match(
            await client.refusal('goto', { threadId: 1, targetId: await targets('0x7c00') }),
            /^0x7c00 cannot be reached: 16-bit code goes on in its segment, which begins at 0xffff0000$/,
        );
        assert.equal(await evaluate('pc'), before);
        await client.run('goto', { threadId: 1, targetId: await targets('0xffff7c00') });
        assert.match(await evaluate('pc'), /^0xffff7c00/);
    });

    it('refuse an exception filter that is none, whatever it is called', async () => {
        await start();
        const { breakpoints } = await client.request<{ breakpoints: DebugProtocol.Breakpoint[] }>(
            'setExceptionBreakpoints',
            { filters: ['constructor', 'toString'] },
        );
        assert.deepEqual(
            breakpoints.map(({ message }) => message),
            ["there is no exception filter 'constructor'", "there is no exception filter 'toString'"],
        );
    });

    it('give exactly as many instructions as are asked for, also where there is no memory', async () => {
        await start();
        for (const [memoryReference, instructionOffset, instructionCount] of [
            ['0x10000c', -50, 100],
            ['0x10000c', 0, 50],
            ['0x0', -10, 30],
            ['0x1ffff0', 0, 40],
            ['0x50000000', -5, 10],
            ['0xfffffff8', 0, 20],
        ] as const) {
            const { instructions } = await client.request<{ instructions: unknown[] }>('disassemble', {
                memoryReference,
                instructionOffset,
                instructionCount,
            });
            assert.equal(instructions.length, instructionCount, memoryReference);
        }
    });

    it('tell when a data breakpoint is set that was asked for before there was a guest', async () => {
        await client.request('initialize', { adapterID: 'hyperscope' });
        const { breakpoints } = await client.request<{ breakpoints: DebugProtocol.Breakpoint[] }>(
            'setDataBreakpoints',
            { breakpoints: [{ dataId: '0x1000:4', accessType: 'write' }] },
        );
        const [{ id, verified, reason, message }] = breakpoints;
        assert.deepEqual(
            { verified, reason, message },
            { verified: false, reason: 'pending', message: 'there is no guest yet' },
        );
        const told = client.next('breakpoint');
        await client.request('launch', { kernel: sampleElf, memory: '64M' });
        assert.deepEqual((await told).body, { reason: 'changed', breakpoint: { id, verified: true } });
    });

    it('tell when a breakpoint binds that was set before its address existed', async () => {
        await client.launch({ kernel: sampleElf, memory: '64M' });
        await client.run('configurationDone', {});
        const { breakpoints } = await client.request<{ breakpoints: DebugProtocol.Breakpoint[] }>(
            'setInstructionBreakpoints',
            { breakpoints: [{ instructionReference: '0xffffffff80101000' }] },
        );
        const [{ id, verified, reason, message }] = breakpoints;
        assert.deepEqual({ verified, reason }, { verified: false, reason: 'pending' });
        assert.match(message!, /^set, and waits for the guest to map its address: /);
        await client.request('setFunctionBreakpoints', { breakpoints: [{ name: 'kernel_main' }] });
        // The one that is hit first, then what else has become possible.
        const told = [client.next('breakpoint'), client.next('breakpoint')];
        await client.run('continue');
        const changes = (await Promise.all(told)).map(({ body }) => body);
        assert.deepEqual(
            changes.map(({ reason: change, breakpoint }) => {
                const now = breakpoint as DebugProtocol.Breakpoint;
                return [change, now.id, now.verified, now.message];
            }),
            [
                ['changed', id! + 1, true, undefined],
                ['changed', id, true, undefined],
            ],
        );
    });

    it('stop at a function of a kernel that still runs where it was loaded, not where it is linked', async () => {
        const kernel = at('high.elf');
        writeFileSync(kernel, guestImage('spin', 0xc0000000));
        await start({ kernel });
        const { breakpoints } = await client.request<{ breakpoints: DebugProtocol.Breakpoint[] }>(
            'setFunctionBreakpoints',
            { breakpoints: [{ name: 'increment', condition: 'eax == 3' }] },
        );
        assert.equal(breakpoints[0].verified, false);
        assert.equal(breakpoints[0].instructionReference, '0xc0100045');
        const bound = client.next('breakpoint');
        const stop = await client.run('continue');
        assert.deepEqual(stop.hitBreakpointIds, [breakpoints[0].id]);
        assert.equal(await evaluate('pc', { context: 'clipboard' }), '0x100045');
        assert.equal(await evaluate('eax', { context: 'clipboard' }), '0x3');
        assert.equal(((await bound).body.breakpoint as DebugProtocol.Breakpoint).verified, true);
    });
});

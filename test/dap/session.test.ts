import assert from 'node:assert/strict';
import { kvm, needs } from '../support/requirements';
import { TestClient } from './client';
import { GoldenLog } from './golden-log';
import { type ENDINGS } from './guest';
import { guestFolder } from './guest-folder';

/** Both engines have to say the same; what differs in the requests is scrubbed. */
const ENGINES = {
    translator: {},
    KVM: { engine: 'kvm' },
};

for (const [name, attributes] of Object.entries(ENGINES)) {
    describe(`debug session on ${name}`, () => {
        before(function () {
            if ('engine' in attributes) needs(this, kvm);
        });
        const at = guestFolder();
        let client: TestClient | undefined;
        const kernel = (ending: keyof typeof ENDINGS): string => at(`${ending}.elf`);
        const launch = async (
            log: GoldenLog | undefined,
            ending: keyof typeof ENDINGS,
            more: Readonly<Record<string, unknown>> = {},
            initialize: Readonly<Record<string, unknown>> = {},
        ): Promise<TestClient> => {
            log?.scrub(at(), '<folder>');
            log?.scrub(',"engine":"kvm"', '');
            client = new TestClient(log);
            await client.launch({ kernel: kernel(ending), memory: '16M', ...attributes, ...more }, initialize);
            return client;
        };

        afterEach(async () => {
            await client?.stop();
            client = undefined;
        });

        it('stops at the entry, steps, runs to a breakpoint and to the end', async () => {
            const log = new GoldenLog('first-steps');
            const session = await launch(log, 'exit');
            await session.request('setFunctionBreakpoints', { breakpoints: [{ name: 'print' }, { name: 'missing' }] });
            await session.run('configurationDone', {});
            await session.request('threads');
            await session.request('modules');
            await session.request('stackTrace', { threadId: 1 });
            await session.run('stepIn', { threadId: 1, granularity: 'instruction' });
            await session.run('next', { threadId: 1, granularity: 'instruction' });
            await session.request('scopes', { frameId: 1 });
            await session.request('variables', { variablesReference: 2 });
            await session.run('continue');
            await session.request('stackTrace', { threadId: 1 });
            await session.request('disassemble', {
                memoryReference: '0x100050',
                instructionOffset: -4,
                instructionCount: 8,
            });
            await session.runToEnd('continue');
            log.check();
        });

        it('steps into, over and out of functions, and over repeated strings', async () => {
            const log = new GoldenLog('stepping');
            const session = await launch(log, 'exit');
            await session.request('setInstructionBreakpoints', {
                breakpoints: [{ instructionReference: '0x100018', hitCondition: '2' }],
            });
            await session.run('configurationDone', {});
            await session.run('continue');
            await session.request('evaluate', { expression: 'eax', context: 'watch' });
            for (const step of ['stepIn', 'stepOut', 'stepIn']) {
                await session.run(step, { threadId: 1, granularity: 'instruction' });
                await session.request('stackTrace', { threadId: 1 });
            }
            // From the middle of a function, where its frame is set up.
            await session.request('setFunctionBreakpoints', { breakpoints: [{ name: 'increment+3' }] });
            await session.run('continue');
            await session.request('stackTrace', { threadId: 1 });
            await session.run('stepOut');
            await session.request('setFunctionBreakpoints', { breakpoints: [{ name: 'finish-2' }] });
            await session.run('continue');
            await session.request('evaluate', { expression: 'ecx', context: 'watch' });
            await session.run('next', { threadId: 1, granularity: 'instruction' });
            await session.request('evaluate', { expression: 'ecx', context: 'watch' });
            await session.request('evaluate', { expression: 'pc', context: 'watch' });
            log.check();
        });

        it('honours conditions and log messages', async () => {
            const log = new GoldenLog('conditions');
            const session = await launch(log, 'exit');
            await session.request('setFunctionBreakpoints', {
                breakpoints: [
                    { name: 'increment', condition: 'eax == 3 && u32[esp] == again + 5' },
                    { name: 'print', condition: 'eax =' },
                ],
            });
            await session.request('setInstructionBreakpoints', {
                breakpoints: [{ instructionReference: '0x100018', logMessage: 'round {eax}' }],
            });
            await session.run('configurationDone', {});
            await session.run('continue');
            await session.request('evaluate', { expression: 'eax', context: 'watch' });
            await session.runToEnd('continue');
            log.check();
        });

        it('evaluates, assigns, and points at what is wrong', async () => {
            const log = new GoldenLog('evaluate');
            const session = await launch(log, 'exit', {}, { supportsInvalidatedEvent: true });
            await session.run('configurationDone', {});
            for (const expression of [
                'eax',
                'u16[0x100000]',
                '*(u32*)phys:0x100000 == 0x1badb002',
                'increment',
                'eax = 2 + 3 * 4',
                'u64[0x70000] = -1',
                'u8[0x70007]',
                'cs.limit',
                'cr0 = 0x80000000',
                'u32[0x40000000]',
                '1 +',
                'eax eax',
                '7 / (3 - 3)',
            ]) {
                await session.request('evaluate', { expression, context: 'repl' });
            }
            await session.request('evaluate', { expression: 'eax = 1', context: 'watch' });
            await session.request('setExpression', { expression: 'u8[0x70001]', value: '0x42' });
            await session.request('setVariable', { variablesReference: 2, name: 'zf', value: '1' });
            await session.request('scopes', { frameId: 1 });
            await session.request('setVariable', { variablesReference: 2, name: 'zf', value: '1' });
            await session.request('setVariable', { variablesReference: 1, name: 'rip', value: 'increment' });
            await session.request('stackTrace', { threadId: 1 });
            await session.request('completions', { text: 'eax + incr', column: 11 });
            await session.request('hyperscope/translateAddress', { address: 'increment' });
            log.check();
        });

        it('reads and writes memory, also code that has run', async () => {
            const log = new GoldenLog('memory');
            const session = await launch(log, 'exit');
            await session.request('setFunctionBreakpoints', {
                breakpoints: [{ name: 'increment', hitCondition: '3' }],
            });
            await session.run('configurationDone', {});
            await session.run('continue');
            await session.request('readMemory', { memoryReference: '0x100100', count: 20 });
            await session.request('readMemory', { memoryReference: 'phys:0xfffff8', offset: 4, count: 8 });
            await session.request('readMemory', { memoryReference: '0x40000000', count: 8 });
            await session.request('writeMemory', {
                memoryReference: '0x100100',
                data: Buffer.from('HELLO').toString('base64'),
            });
            // inc eax becomes dec eax, in code that has been translated already.
            await session.request('writeMemory', {
                memoryReference: '0x100045',
                data: Buffer.from('48', 'hex').toString('base64'),
            });
            await session.request('evaluate', { expression: 'eax = 6', context: 'repl' });
            await session.request('setFunctionBreakpoints', { breakpoints: [{ name: 'again+5' }] });
            await session.run('continue');
            await session.request('evaluate', { expression: 'eax', context: 'watch' });
            await session.runToEnd('continue');
            log.check();
        });

        it('stops at exceptions and tells what led to a triple fault', async () => {
            const log = new GoldenLog('exceptions');
            const session = await launch(log, 'tripleFault');
            await session.request('setExceptionBreakpoints', {
                filters: ['tripleFault'],
                filterOptions: [{ filterId: 'ud', condition: 'cpl == 0' }, { filterId: 'nonsense' }],
            });
            await session.run('configurationDone', {});
            await session.request('exceptionInfo', { threadId: 1 });
            await session.run('continue');
            await session.request('exceptionInfo', { threadId: 1 });
            await session.request('stackTrace', { threadId: 1 });
            await session.run('continue');
            await session.request('exceptionInfo', { threadId: 1 });
            await session.runToEnd('continue');
            log.check();
        });

        it('pauses a guest that runs, and restarts it', async () => {
            const session = await launch(undefined, 'spin', { stopOnEntry: false });
            await session.request('configurationDone');
            await session.request('threads');
            assert.equal((await session.run('pause')).reason, 'pause');
            const { result } = (await session.request<{ result: string }>('evaluate', { expression: 'ebx' }))!;
            assert.notEqual(BigInt(result.split(' ')[0]), 0n);
            // Runs on: the restarted guest does not stop at its entry either.
            await session.request('restart');
            assert.equal((await session.run('pause')).reason, 'pause');
            const stop = await session.run('restart', { arguments: { kernel: kernel('spin'), memory: '16M' } });
            assert.equal(stop.reason, 'entry');
            const { stackFrames } = (await session.request<{ stackFrames: { name: string }[] }>('stackTrace', {
                threadId: 1,
            }))!;
            assert.equal(stackFrames[0].name, 'start');
        });

        it('moves the instruction pointer', async () => {
            const session = await launch(undefined, 'exit');
            await session.run('configurationDone', {});
            const found = await session.request<{ targets: { id: number }[] }>('gotoTargets', {
                source: { name: 'finish' },
                line: 1,
            });
            await session.run('goto', { threadId: 1, targetId: found!.targets[0].id });
            const { result } = (await session.request<{ result: string }>('evaluate', { expression: 'pc' }))!;
            assert.match(result, /<finish>/);
        });

        it('hides its reason to stop from VS Code only where there is no source to focus', async () => {
            const session = await launch(undefined, 'exit', {}, { clientID: 'vscode' });
            assert.equal((await session.run('configurationDone', {})).reason, 'entry');
            const targets = (await session.request<{ targets: { id: number }[] }>('gotoTargets', {
                source: { name: '0x40000000' },
                line: 1,
            }))!;
            const stop = await session.run('goto', { threadId: 1, targetId: targets.targets[0].id });
            assert.equal(stop.reason, 'instruction breakpoint');
            assert.equal(stop.description, 'Moved');
        });

        it('names the launch attribute that is wrong and what it takes', async () => {
            const log = new GoldenLog('launch-errors');
            log.scrub(at(), '<folder>');
            log.scrub(process.cwd(), '<cwd>');
            client = new TestClient(log);
            await client.start();
            for (const attributes of [
                {},
                { kernel: 7 },
                { kernel: at('missing.elf') },
                { kernel: at() },
                { kernel: kernel('exit'), memory: 'lots' },
                { kernel: kernel('exit'), memory: '1K' },
                { kernel: kernel('exit'), cpus: 0 },
                { kernel: kernel('exit'), stopOnEntry: 'yes' },
                { kernel: kernel('exit'), serial: 'printer' },
                { firmware: kernel('exit'), initrd: 'x' },
                { kernel: kernel('exit'), symbols: ['missing'] },
            ]) {
                await client.request('launch', attributes);
            }
            await client.request('continue', { threadId: 1 });
            await client.request('restart');
            await client.request('launch', { kernel: kernel('exit'), memory: 16, kernle: 'mistyped', __private: true });
            log.check();
        });
    });
}

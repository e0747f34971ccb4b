/**
 * The debugger's sessions of session.test.ts on guests behind stubs: what a session says is what it says of the same
 * guest on our own engine. Left out is what no stub offers: stops at exceptions and what led to a triple fault (gdb's
 * protocol knows no machine events), and breakpoints at physical addresses.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { needs, tool } from '../support/requirements';
import { guestImage } from './guest';
import { InProcessClient } from './in-process';
import { type StubGuest, startStub, type StubKind } from './stub-guests';

/** A request, and whether the guest runs on it, up to a stop or to its end. */
type Act = readonly [command: string, args?: object, runs?: 'stop' | 'end'];

const step = (command: string): Act => [command, { threadId: 1, granularity: 'instruction' }, 'stop'];
const run: Act = ['continue', { threadId: 1 }, 'stop'];
const toEnd: Act = ['continue', { threadId: 1 }, 'end'];
const stack: Act = ['stackTrace', { threadId: 1 }];
const evaluate = (expression: string, context = 'watch'): Act => ['evaluate', { expression, context }];
const functions = (...breakpoints: object[]): Act => ['setFunctionBreakpoints', { breakpoints }];
const base64 = (text: string, encoding: BufferEncoding): string => Buffer.from(text, encoding).toString('base64');

const SESSIONS: Readonly<Record<string, readonly Act[]>> = {
    'stops, steps, runs to a breakpoint and to the end': [
        functions({ name: 'print' }, { name: 'missing' }),
        ['threads'],
        stack,
        step('stepIn'),
        step('next'),
        run,
        stack,
        ['disassemble', { memoryReference: '0x100050', instructionOffset: -4, instructionCount: 8 }],
        toEnd,
    ],
    'steps into, over and out of functions, and over repeated strings': [
        ['setInstructionBreakpoints', { breakpoints: [{ instructionReference: '0x100018', hitCondition: '2' }] }],
        run,
        evaluate('eax'),
        ...['stepIn', 'stepOut', 'stepIn'].flatMap(name => [step(name), stack]),
        functions({ name: 'increment+3' }),
        run,
        stack,
        ['stepOut', { threadId: 1 }, 'stop'],
        functions({ name: 'finish-2' }),
        run,
        evaluate('ecx'),
        step('next'),
        evaluate('ecx'),
        evaluate('pc'),
    ],
    'honours conditions and log messages': [
        functions(
            { name: 'increment', condition: 'eax == 3 && u32[esp] == again + 5' },
            { name: 'print', condition: 'eax =' },
        ),
        [
            'setInstructionBreakpoints',
            { breakpoints: [{ instructionReference: '0x100018', logMessage: 'round {eax}' }] },
        ],
        run,
        evaluate('eax'),
        toEnd,
    ],
    'evaluates, assigns, and points at what is wrong': [
        ...[
            ...['eax', 'u16[0x100000]', '*(u32*)phys:0x100000 == 0x1badb002', 'increment', 'eax = 2 + 3 * 4'],
            ...['u64[0x70000] = -1', 'u8[0x70007]', 'cs.limit', '1 +', 'eax eax', '7 / (3 - 3)'],
        ].map(expression => evaluate(expression, 'repl')),
        evaluate('eax = 1'),
        ['setExpression', { expression: 'u8[0x70001]', value: '0x42' }],
        evaluate('u16[0x70000]'),
        ['scopes', { frameId: 1 }],
        ['setVariable', { variablesReference: 2, name: 'zf', value: '1' }],
        evaluate('zf'),
        ['setVariable', { variablesReference: 1, name: 'rip', value: 'increment' }],
        stack,
        ['completions', { text: 'eax + incr', column: 11 }],
        ['hyperscope/translateAddress', { address: 'increment' }],
    ],
    'reads and writes memory, also code that has run': [
        functions({ name: 'increment', hitCondition: '3' }),
        run,
        ['readMemory', { memoryReference: '0x100100', count: 20 }],
        ['readMemory', { memoryReference: 'phys:0xfffff8', offset: 4, count: 8 }],
        ['writeMemory', { memoryReference: '0x100100', data: base64('HELLO', 'latin1') }],
        ['readMemory', { memoryReference: '0x100100', count: 20 }],
        // inc eax becomes dec eax, in code that has been translated already.
        ['writeMemory', { memoryReference: '0x100045', data: base64('48', 'hex') }],
        evaluate('eax = 6', 'repl'),
        functions({ name: 'again+5' }),
        run,
        evaluate('eax'),
        functions(),
        toEnd,
    ],
    'watches memory': [
        functions({ name: 'print' }),
        run,
        functions(),
        ['dataBreakpointInfo', { name: '0x70000', asAddress: true, bytes: 4 }],
        ['setDataBreakpoints', { breakpoints: [{ dataId: '', accessType: 'write', condition: 'now == 0xaaaaaaaa' }] }],
        run,
        evaluate('u32[0x70000]'),
        evaluate('edi'),
    ],
    'moves the instruction pointer': [
        ['gotoTargets', { source: { name: 'finish' }, line: 1 }],
        ['goto', { threadId: 1, targetId: 1 }, 'stop'],
        evaluate('pc'),
        stack,
    ],
};

/** Words in which a stub tells the same less exactly. */
function normalized(text: string): string {
    return (
        text
            .replace(/, by the instruction [^"]*/g, '')
            // Stubs tell where an access began, at most.
            .replace(/(write of) \d bytes? at 0x[0-9a-f]+:( 0x[0-9a-f]+ =)?/g, '$1')
            // Lines of a listing depend on what else was shown of the data in front of the code.
            .replace(/"line":\d+/g, '"line":0')
            // Of a debugger's own making, and of no other meaning.
            .replace(/"(targetId|id)":\d+/g, '"$1":0')
    );
}

/** Everything that a session answers and says, line by line. */
async function observe(client: InProcessClient, acts: readonly Act[]): Promise<string[]> {
    const seen: string[] = [];
    const exited = client.next('exited');
    let dataId: unknown;
    let target: unknown;
    for (const [command, args = {}, runs] of acts) {
        // A session that ends where it should stop must not be waited for.
        const event = runs && Promise.race([client.next('stopped'), exited]);
        const said = client.said('output').length;
        const filled = JSON.parse(
            JSON.stringify(args)
                .replace('"dataId":""', `"dataId":${JSON.stringify(dataId)}`)
                .replace('"targetId":1', `"targetId":${JSON.stringify(target)}`),
        ) as object;
        const { success, message, body } = await client.send(command, filled).answer;
        ({ dataId = dataId } = (body ?? {}) as { dataId?: unknown });
        target = (body as { targets?: { id: number }[] } | undefined)?.targets?.[0]?.id ?? target;
        seen.push(`${command} ${JSON.stringify(success ? body : message)}`);
        if (event !== undefined && success) {
            const { body: then } = await event;
            // QEMU's debug exit ends QEMU without a word in the protocol: the connection is lost.
            seen.push(runs === 'end' ? 'the end' : `then ${JSON.stringify(then)}`);
        }
        for (const { output } of client.said('output').slice(said)) seen.push(`output ${JSON.stringify(output)}`);
    }
    return seen.map(normalized).filter(line => !/^output "(attached to|the guest exited|the gdb stub says)/.test(line));
}

for (const kind of ['our own server', 'QEMU'] as const satisfies readonly StubKind[]) {
    describe(`the debugger's sessions, attached to ${kind}`, function () {
        this.timeout(60_000);
        let folder: string;
        let kernel: string;
        let guest: StubGuest | undefined;
        const clients: InProcessClient[] = [];

        before(function () {
            if (kind === 'QEMU') needs(this, tool('qemu-system-x86_64'));
            folder = mkdtempSync(path.join(os.tmpdir(), 'hyperscope-sessions-'));
            kernel = path.join(folder, 'exit.elf');
            writeFileSync(kernel, guestImage('exit'));
        });

        after(() => rmSync(folder, { recursive: true, force: true }));

        afterEach(async () => {
            for (const client of clients.splice(0)) await client.close();
            await guest?.kill();
            guest = undefined;
        });

        /** At the guest's first instruction, whatever firmware came before. */
        const begin = async (request: 'launch' | 'attach', attributes: object): Promise<InProcessClient> => {
            const client = new InProcessClient();
            clients.push(client);
            await client.request('initialize', { adapterID: 'hyperscope' });
            const initialized = client.next('initialized');
            await client.request(request, { stopOnEntry: true, ...attributes });
            await initialized;
            await client.run('configurationDone');
            if (request === 'attach') {
                await client.request('setFunctionBreakpoints', { breakpoints: [{ name: 'start' }] });
                if (kind === 'QEMU') await client.run('continue');
                await client.request('setFunctionBreakpoints', { breakpoints: [] });
            } else {
                // So that the ids of breakpoints are the same.
                await client.request('setFunctionBreakpoints', { breakpoints: [{ name: 'start' }] });
                await client.request('setFunctionBreakpoints', { breakpoints: [] });
            }
            // What the firmware leaves in registers is no part of the sessions.
            for (const name of ['esp', 'ebp', 'edi']) {
                await client.request('evaluate', { expression: `${name} = 0`, context: 'repl' });
            }
            return client;
        };

        for (const [name, acts] of Object.entries(SESSIONS)) {
            it(name, async () => {
                const launched = await begin('launch', { kernel, memory: '64M', serial: 'none' });
                const expected = await observe(launched, acts);
                guest = await startStub(kind, kernel);
                const attached = await begin('attach', { target: guest.port, symbols: [kernel] });
                assert.deepEqual(await observe(attached, acts), expected);
            });
        }
    });
}

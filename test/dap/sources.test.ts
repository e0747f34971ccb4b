import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import type { DebugProtocol } from '@vscode/debugprotocol';
import { openFile } from '../../src/dap/symbol-files';
import { fromAddress } from '../../src/symbols/cursor';
import { Program } from '../../src/symbols/program';
import type { ListingBody } from '../../src/messages/listing';
import { projectRoot } from '../support/project';
import { debugKernel, guestFiles, guestsDirectory, needs } from '../support/requirements';
import { SourceClient } from './source-client';

const SAMPLE = path.join(projectRoot, 'media', 'sample-guest');
const WORKLOAD = path.join(SAMPLE, 'kernel', 'workload.c');

function lineOf(text: string): number {
    const index = readFileSync(WORKLOAD, 'utf8')
        .split('\n')
        .findIndex(line => line.includes(text));
    assert.ok(index >= 0, text);
    return index + 1;
}

class WorkloadClient extends SourceClient {
    async breakAt(text: string, condition?: string): Promise<void> {
        await this.ask('setBreakpoints', {
            source: { path: WORKLOAD },
            breakpoints: [{ line: lineOf(text), condition }],
        });
    }
}

describe('debugging with sources', () => {
    let client: WorkloadClient;

    const start = async (attributes: object = {}): Promise<void> => {
        client = new WorkloadClient();
        await client.launch({ kernel: path.join(SAMPLE, 'sample.elf'), memory: '64M', ...attributes });
        await client.run('configurationDone', {});
    };

    // A test that lacks what it needs has started none.
    afterEach(async function () {
        if (this.currentTest?.isPending() !== true) await client.stop();
    });

    it('stops at lines of inlined functions, on conditions over local variables, and shows the stack', async () => {
        await start();
        await client.breakAt('return value % 2', 'value == 16');
        const stop = await client.run('continue');
        assert.equal(stop.reason, 'breakpoint');
        const frames = await client.frames();
        assert.deepEqual(
            frames.slice(0, 4).map(({ name }) => name),
            ['collatz_next', 'collatz', 'producer', 'task_first'],
        );
        assert.equal(frames[0].source?.path, WORKLOAD);
        assert.equal(frames[1].line, lineOf('value = collatz_next'));
        assert.equal(await client.evaluate('value'), '16');
        assert.equal((await client.variables('Arguments', 1)).get('start')?.value, '3');
        assert.equal(await client.evaluate('count', 2), '12');
        assert.equal((await client.variables('Frame', 2)).get('found by')?.value, 'call frame information');
    });

    it('stops at functions by name wherever they are inlined', async () => {
        await start();
        const { breakpoints } = await client.ask<DebugProtocol.SetFunctionBreakpointsResponse['body']>(
            'setFunctionBreakpoints',
            { breakpoints: [{ name: 'port_write8' }] },
        );
        assert.match(breakpoints[0].message!, /waits for the guest to map/);
        const callers = new Set<string>();
        for (let stops = 0; stops < 100 && callers.size < 3; stops++) {
            const { reason } = await client.run('continue');
            assert.equal(reason, 'function breakpoint');
            const [{ name }, caller] = await client.frames();
            assert.equal(name, 'port_write8');
            callers.add(caller.name);
        }
        assert.equal(callers.size, 3, [...callers].join());
        await client.ask('setFunctionBreakpoints', {
            breakpoints: [{ name: 'collatz_next', condition: 'value == 16' }],
        });
        await client.run('continue');
        assert.equal((await client.frames())[0].name, 'collatz_next');
        assert.equal(await client.evaluate('value'), '16');
    });

    it('watches a variable that the guest has not mapped yet', async () => {
        await start();
        const { dataId, description } = await client.ask<DebugProtocol.DataBreakpointInfoResponse['body']>(
            'dataBreakpointInfo',
            { name: 'moves' },
        );
        assert.match(description, /^4 bytes at 0xf\w+ \(moves\)$/);
        const { breakpoints } = await client.ask<DebugProtocol.SetDataBreakpointsResponse['body']>(
            'setDataBreakpoints',
            { breakpoints: [{ dataId, accessType: 'write' }] },
        );
        assert.match(breakpoints[0].message!, /^set, and waits for the guest to map its address/);
        const changed = client.next<DebugProtocol.BreakpointEvent['body']>('breakpoint');
        const { reason } = await client.run('continue');
        assert.equal(reason, 'data breakpoint');
        assert.deepEqual((await changed).breakpoint, { id: breakpoints[0].id, verified: true });
    });

    it('steps by line: over calls, into inlined functions and out of them', async () => {
        await start();
        await client.breakAt('struct item item = collatz(');
        await client.run('continue');
        await client.ask('setBreakpoints', { source: { path: WORKLOAD }, breakpoints: [] });
        const step = async (command: string): Promise<string> => {
            await client.run(command);
            return (await client.places())[0];
        };
        assert.equal(await step('next'), `producer:${lineOf('semaphore_wait(&queue.free)')}`);
        assert.equal(await step('next'), `producer:${lineOf('queue.items[queue.written++')}`);
        assert.equal(await step('next'), `producer:${lineOf('semaphore_signal(&queue.filled)')}`);
        assert.match(await step('stepIn'), /^(?:interrupts_save|semaphore_signal):/);
        await client.run('stepOut');
        while (!(await client.places())[0].startsWith('producer:')) await client.run('stepOut');
        assert.equal(await step('next'), `producer:${lineOf('struct item item = collatz(')}`);
        assert.match(await step('stepIn'), /^collatz:/);
        await client.run('next', { threadId: 1, granularity: 'instruction' });
        assert.equal((await client.places())[1], `producer:${lineOf('struct item item = collatz(')}`);
    });

    it('shows structures, follows pointers, and evaluates C', async () => {
        await start();
        await client.breakAt('semaphore_signal(&queue.filled)');
        await client.run('continue');
        const free = await client.ask<DebugProtocol.EvaluateResponse['body']>('evaluate', { expression: 'queue.free' });
        assert.match(free.result, /^\{name = 0x\w+ "free", count = \d+\}$/);
        assert.equal(free.type, 'struct semaphore');
        assert.equal((await client.unfold(free.variablesReference)).get('count')?.type, 'int');
        assert.equal(await client.evaluate('queue.written'), '1');
        assert.equal(await client.evaluate('queue.items[0].start'), '3');
        assert.equal(await client.evaluate('(&queue)->items[0].start + 1'), '0x4');
        assert.equal(await client.evaluate('sizeof(struct queue) == sizeof queue'), '0x1');
        assert.match(await client.evaluate('container_of(&queue.written, struct queue, written)'), /<queue>$/);
        assert.match(await client.evaluate('collatz'), /^\{struct item \(unsigned int\)\} 0x\w+ <collatz>$/);
        assert.match(await client.evaluate('last_move.disk'), /^1 /);
        assert.equal(await client.evaluate('queue.items[0].start,x'), '0x3');
        assert.equal(await client.evaluate('(unsigned char)0x5a , b'), '0b1011010');
        assert.equal(await client.evaluate('rip == pc,d'), '1');
        // Nothing else that is behind a comma, and structures read as ever.
        assert.match(await client.evaluate('queue.free,x'), /^\{name = /);
        assert.match(await client.refusal('evaluate', { expression: 'queue.written,q' }), /before ','/);
        // In backquotes it is the symbol.
        assert.match(await client.evaluate('`queue`'), /^0x\w+ <queue>$/);
    });

    it('changes variables, members and elements', async () => {
        await start();
        await client.breakAt('semaphore_signal(&queue.filled)');
        await client.run('continue');
        const { variablesReference } = await client.ask<DebugProtocol.EvaluateResponse['body']>('evaluate', {
            expression: 'last_move',
        });
        const changed = await client.ask<{ value: string }>('setVariable', {
            variablesReference,
            name: 'disk',
            value: '9',
        });
        assert.match(changed.value, /^9 /);
        assert.match(await client.evaluate('last_move'), /^\{from = 0 .*, to = 2 .*, disk = 9 /);
        await client.ask('setExpression', { expression: 'queue.items[1].highest', value: '1 << 40' });
        assert.equal(await client.evaluate('queue.items[1].highest'), String(2 ** 40));
        assert.equal(
            await client.request('setVariable', { variablesReference, name: 'nosuch', value: '1' }),
            undefined,
        );
    });

    it('shows what has become of frames and variables where registers and memory are changed', async () => {
        await start();
        await client.request('setFunctionBreakpoints', { breakpoints: [{ name: 'collatz' }] });
        await client.run('continue');
        assert.equal((await client.variables('Arguments')).get('start')?.value, '3');
        assert.equal((await client.frames())[1].name, 'producer');
        const { id } = (await client.frames())[0];
        const { scopes } = await client.ask<DebugProtocol.ScopesResponse['body']>('scopes', { frameId: id });
        const { variablesReference } = scopes.find(({ name }) => name === 'General')!;
        await client.ask('setVariable', { variablesReference, name: 'rdi', value: '153' });
        assert.equal((await client.variables('Arguments')).get('start')?.value, '153');
        // Where it returns to.
        const rsp = (await client.evaluate('rsp')).split(' ')[0];
        await client.ask('writeMemory', { memoryReference: rsp, data: Buffer.alloc(8).toString('base64') });
        assert.deepEqual(
            (await client.frames()).map(({ name }) => name),
            ['collatz'],
        );
    });

    it('reads parts of registers in the frame that is asked about', async () => {
        await start();
        await client.breakAt('return value % 2', 'value == 16');
        await client.run('continue');
        // A callee that has saved it has its own by now.
        await client.request('evaluate', { expression: 'rbx = 0x1122334455667788', context: 'repl' });
        const depth = (await client.frames()).findIndex(({ name }) => name === 'task_first');
        assert.match(await client.evaluate('ebx'), /^0x55667788 /);
        assert.equal(await client.evaluate('rbx', depth), '0x0');
        for (const name of ['ebx', 'bx', 'bl', 'bh']) {
            assert.equal(await client.evaluate(name, depth), '0x0', name);
        }
        assert.equal(await client.evaluate('ebp == (u32)rbp && eip == (u32)rip && rip == pc', depth), '0x1');
    });

    it('maps sources to where they are here', async () => {
        await start({ sourceMap: { 'kernel/': '/elsewhere/src' } });
        await client.ask('setBreakpoints', {
            source: { path: '/elsewhere/src/workload.c' },
            breakpoints: [{ line: lineOf('return value % 2') }],
        });
        await client.run('continue');
        assert.equal((await client.frames())[0].source?.path, '/elsewhere/src/workload.c');
    });

    it('fetches sources by a command of the user, without a shell, and stops at lines of them', async () => {
        const script = 'console.log(`/* ${process.argv.slice(1).join(" ")} */`)';
        await start({
            sourceMap: { 'kernel/': '/else where/$(false);src' },
            sourceCommand: [process.execPath, '-e', script, '--', 'of {path}', '{path}'],
        });
        await client.ask('setFunctionBreakpoints', { breakpoints: [{ name: 'run_workload' }] });
        await client.run('continue');
        const [{ source, line }] = await client.frames();
        assert.equal(source?.path, '/else where/$(false);src/workload.c');
        assert.ok(source.sourceReference! > 0);
        const { content } = await client.ask<{ content: string }>('source', {
            source,
            sourceReference: source.sourceReference,
        });
        assert.equal(content, `/* of ${source.path} ${source.path} */\n`);
        const { breakpoints } = await client.ask<DebugProtocol.SetBreakpointsResponse['body']>('setBreakpoints', {
            source,
            breakpoints: [{ line: line + 1 }],
        });
        assert.ok(breakpoints[0].verified, breakpoints[0].message);
    });

    it('says what a command had to say that could not fetch a source', async () => {
        const failing = 'console.error("no such revision"); process.exit(1)';
        await start({ sourceMap: { 'kernel/': '/elsewhere' }, sourceCommand: [process.execPath, '-e', failing] });
        await client.ask('setFunctionBreakpoints', { breakpoints: [{ name: 'run_workload' }] });
        await client.run('continue');
        const [{ source }] = await client.frames();
        const { sourceReference } = source!;
        assert.match(await client.refusal('source', { sourceReference }), /^sourceCommand: .*: no such revision$/);
    });

    it('names the lines that instructions were compiled from, those of inlined code in its own source', async () => {
        await start();
        await client.breakAt('return value % 2');
        await client.run('continue');
        const [inner] = await client.frames();
        const { instructions } = await client.ask<DebugProtocol.DisassembleResponse['body'] & object>('disassemble', {
            memoryReference: inner.instructionPointerReference,
            instructionOffset: -20,
            instructionCount: 40,
        });
        const here = instructions.find(({ address }) => BigInt(address) === BigInt(inner.instructionPointerReference!));
        assert.deepEqual([here?.location?.path, here?.line], [inner.source?.path, inner.line]);
        const lines = new Set(instructions.map(({ line }) => line));
        assert.ok(lines.size > 3, [...lines].join(', '));
        for (const { location, line } of instructions) {
            if (location === undefined) continue;
            const text = readFileSync(location.path!, 'utf8').split('\n')[line! - 1];
            assert.ok(text.trim() !== '', `${location.path}:${line}`);
        }
    });

    it('shows listings with the source lines above their instructions, and where calls were inlined', async () => {
        await start();
        await client.breakAt('return value % 2');
        await client.run('continue');
        const [inner, outer] = await client.frames();
        const { text, lines, line, sourceReference } = await client.ask<ListingBody>('hyperscope/listing', {
            address: 'pc',
        });
        const rows = text.split('\n');
        const above = rows
            .slice(0, line - 1)
            .reverse()
            .find(row => row.startsWith(';'))!;
        assert.ok(above.includes(`workload.c:${inner.line}  return value % 2`), above);
        assert.match(above, new RegExp(`\\[collatz_next, inlined at workload\\.c:${outer.line}\\]$`));
        const headings = rows.filter(row => row.startsWith(';'));
        assert.ok(headings[0].startsWith(`; ${WORKLOAD}:`), headings[0]);
        const sources = readFileSync(WORKLOAD, 'utf8').split('\n');
        for (const heading of headings) {
            const [, number, code] = /^; \S*workload\.c:(\d+) {2}(.*?)(?: {2}\[.*\])?$/.exec(heading) ?? [];
            if (number !== undefined) assert.equal(code, sources[Number(number) - 1].trim().replace(/\s+/g, ' '));
        }
        // A heading stands for the instruction below.
        const heading = rows.indexOf(above) + 1;
        assert.deepEqual(lines[heading - 1], { length: 0 });
        const { breakpoints } = await client.ask<DebugProtocol.SetBreakpointsResponse['body']>('setBreakpoints', {
            source: { sourceReference },
            breakpoints: [{ line: heading }],
        });
        assert.equal(breakpoints[0].line, rows.findIndex((row, index) => index >= heading && !row.startsWith(';')) + 1);
    });

    it('shows disassembly in VS Code where a source file is missing, and says how to name its place', async () => {
        client = new WorkloadClient();
        const said: string[] = [];
        client.onOutput(text => said.push(text));
        const kernel = path.join(SAMPLE, 'sample.elf');
        const sourceMap = { 'kernel/': '/elsewhere' };
        await client.launch({ kernel, memory: '64M', sourceMap }, { clientID: 'vscode' });
        await client.run('configurationDone', {});
        await client.ask('setFunctionBreakpoints', { breakpoints: [{ name: 'run_workload' }] });
        await client.run('continue');
        const [{ name, source }] = await client.frames();
        assert.match(name, /^run_workload\+?\S* at workload\.c:\d+$/);
        assert.ok(source!.sourceReference! > 0 && /\.disasm$/.test(source!.name!));
        assert.equal(said.filter(text => /\/elsewhere\/workload\.c is not here.*sourceMap/.test(text)).length, 1);
    });

    it('finds a kernel that has moved itself, and stops in it at a line', async function () {
        needs(this, guestFiles('vmlinuz-cloud'), debugKernel);
        await start({
            kernel: path.join(guestsDirectory, 'vmlinuz-cloud'),
            symbols: [path.join(guestsDirectory, 'vmlinux-cloud')],
            memory: '256M',
            append: 'kaslr',
            serial: 'none',
        });
        const vmlinux = new Program(openFile(path.join(guestsDirectory, 'vmlinux-cloud')), { open: () => undefined });
        const linked = vmlinux.symbols.named('start_kernel')[0].address;
        const line = vmlinux.info.positionAt(fromAddress(linked))!.line;
        await client.ask('setBreakpoints', { source: { path: 'init/main.c' }, breakpoints: [{ line }] });
        await client.run('continue');
        const [frame] = await client.frames();
        assert.equal(frame.name, 'start_kernel');
        const moved = BigInt(frame.instructionPointerReference!) - linked;
        assert.ok(moved > 0n && moved % 0x200000n === 0n, frame.instructionPointerReference);
        assert.equal(await client.evaluate('init_task.comm'), '"swapper"');
    });
});

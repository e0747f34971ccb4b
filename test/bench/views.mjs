/**
 * What the views cost on a booted Linux, through the adapter as an editor talks to it: a process's whole address space,
 * a search of all memory, and what all views ask after a stop. How long it takes until a window shows that is printed by
 * test/e2e/extension.test.ts.
 */
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { median } from './statistics.mjs';

const { DebugClient } = createRequire(import.meta.url)('@vscode/debugadapter-testsupport');

const ROOT = path.resolve(import.meta.dirname, '..', '..');
const GUESTS = path.join(ROOT, '.cache', 'guests');
const ADAPTER = path.join(ROOT, 'dist', 'adapter.js');
const BOOT_LIMIT = 300_000;
const MARKER = 'VIEWS-READY';
/** Of Linux's accounting, proc(5): USER_HZ is 100. */
const MILLISECONDS_PER_TICK = 10;

/** A shell in user mode, where most of the time goes. */
const COMMAND = `echo ${MARKER}; while :; do i=1; done`;

/** What the views ask at a stop when all are open, in this order and all at once, as the extension sends it. */
const VIEWS = [
    ['hyperscope/memory', { address: 'rsp', count: 1 }],
    ['hyperscope/memory', { address: 'rsp & ~0xfff', count: 4096, annotate: true }],
    ['hyperscope/vmExits', { summary: { group: 'cause', limit: 100 }, timeline: { buckets: 240 } }],
    ['hyperscope/registers', {}],
    ['hyperscope/pageTables', {}],
    ['hyperscope/pageWalk', { address: 'pc', access: 'execute' }],
    ['hyperscope/descriptorTables', { brief: true }],
    ['hyperscope/interrupts', {}],
    ['hyperscope/devices', {}],
    ['hyperscope/translation', { brief: true }],
    ['hyperscope/linuxTasks', {}],
];

/** What VS Code itself asks then, with the disassembly view open. */
const EDITOR = [
    ['threads', {}],
    ['stackTrace', { threadId: 1, startFrame: 0, levels: 20 }],
    ['disassemble', { memoryReference: 'pc', instructionOffset: -50, instructionCount: 100 }],
];

class Session {
    client = new DebugClient(process.execPath, ADAPTER, 'hyperscope');
    console = '';

    async boot({ memory, cpus }) {
        const { client } = this;
        client.defaultTimeout = BOOT_LIMIT;
        await client.start();
        client.on('output', ({ body }) => (this.console += body.output));
        await client.customRequest('initialize', { adapterID: 'hyperscope', clientID: 'bench' });
        const initialized = client.waitForEvent('initialized', BOOT_LIMIT);
        await client.customRequest('launch', {
            kernel: path.join(GUESTS, 'vmlinuz-cloud'),
            initrd: path.join(GUESTS, 'initrd-busybox.cpio.gz'),
            append: `console=ttyS0 hs.cmd=${encodeURIComponent(COMMAND)}`,
            memory: `${memory}M`,
            cpus,
            stopOnEntry: false,
        });
        await initialized;
        await client.customRequest('configurationDone');
        const started = performance.now();
        while (!this.console.includes(`\n${MARKER}`)) {
            if (performance.now() - started > BOOT_LIMIT) throw new Error('Linux did not come up');
            await new Promise(resolve => setTimeout(resolve, 100));
        }
    }

    /** Does something that ends in a stop. */
    async stop(command, args = { threadId: 1 }) {
        const stopped = this.client.waitForEvent('stopped', BOOT_LIMIT);
        await this.client.customRequest(command, args);
        await stopped;
    }

    ask(command, args) {
        return this.client.customRequest(command, args).then(({ body }) => body);
    }

    /** Milliseconds of processor time that the adapter has used: what a busy host does not add to. */
    cpuTime() {
        const fields = readFileSync(`/proc/${this.client._adapterProcess.pid}/stat`, 'utf8').split(') ')[1].split(' ');
        return (Number(fields[11]) + Number(fields[12])) * MILLISECONDS_PER_TICK;
    }

    /** Milliseconds that an action takes: the median of so many times. */
    async time(times, action) {
        const taken = [];
        for (let index = 0; index < times; index++) {
            const start = performance.now();
            await action();
            taken.push(performance.now() - start);
        }
        return median(taken);
    }
}

function report(what, milliseconds, must, aim, more = '') {
    const verdict = milliseconds <= must ? 'met' : 'MISSED';
    const figure = `${milliseconds.toFixed(1)} ms`.padStart(10);
    console.log(`VIEWS ${what.padEnd(50)} ${figure}   must ≤ ${must} ms (${verdict}), aim ≤ ${aim} ms${more}`);
}

export async function run({ runs, memory, cpus }) {
    if (!existsSync(ADAPTER)) throw new Error('dist/adapter.js is missing: run npm run build');
    const session = new Session();
    try {
        await session.boot({ memory, cpus });
        await session.stop('pause');
        const times = Math.max(5, runs);

        const whole = await session.ask('hyperscope/pageTables', {});
        const tables = await session.time(times, () => session.ask('hyperscope/pageTables', {}));
        const kinds = `; ${whole.mode}, ${whole.tables} tables, ${whole.ranges.length} ranges`;
        report('page tables of a Linux process', tables, 100, 20, kinds);

        for (const [what, pattern] of [
            ['bytes with wildcards', '48 8b ?? c3 90 12 77'],
            ['a text', '"no such text anywhere"'],
        ]) {
            const search = () => session.ask('hyperscope/searchMemory', { pattern, space: 'physical' });
            const { searched } = await search();
            const size = `; ${Math.round(searched / 2 ** 20)} MiB`;
            report(`search of physical memory for ${what}`, await session.time(times, search), 300, 100, size);
        }

        const steps = [];
        let cpu = 0;
        let bytes = 0;
        for (let index = 0; index < 10 * times; index++) {
            await session.stop('stepIn', { threadId: 1, granularity: 'instruction' });
            const before = session.cpuTime();
            const start = performance.now();
            const answers = await Promise.all(VIEWS.map(([command, args]) => session.ask(command, args)));
            steps.push(performance.now() - start);
            cpu += session.cpuTime() - before;
            bytes = JSON.stringify(answers).length;
        }
        const own = `of the adapter’s processor time ${(cpu / steps.length).toFixed(1)} ms`;
        const size = `${VIEWS.length} requests, ${Math.round(bytes / 1024)} KiB`;
        const best = `; ${size}, best ${Math.min(...steps).toFixed(1)} ms, ${own}`;
        report('all views answered after a stop, without a window', median(steps), 100, 30, best);
        const { result } = await session.ask('evaluate', { expression: 'pc' });
        for (const [command, more] of [...VIEWS, ...EDITOR]) {
            const args = command === 'disassemble' ? { ...more, memoryReference: result.split(' ')[0] } : more;
            const alone = await session.time(times, () => session.ask(command, args));
            console.log(`VIEWS   ${command.padEnd(48)} ${alone.toFixed(1).padStart(7)} ms`);
        }
        const step = await session.time(times, () =>
            session.stop('stepIn', { threadId: 1, granularity: 'instruction' }),
        );
        report('instruction step through DAP', step, 5, 2);
    } finally {
        await session.client.stop();
    }
}

/**
 * Steps through the adapter as an editor makes them, and what it then asks: the step itself, from the request to its
 * `stopped` event, and the answers that its windows wait for.
 */
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { median } from './statistics.mjs';

const { DebugClient } = createRequire(import.meta.url)('@vscode/debugadapter-testsupport');

const ROOT = path.resolve(import.meta.dirname, '..', '..');
const ADAPTER = path.join(ROOT, 'dist', 'adapter.js');
const SAMPLE = path.join(ROOT, 'media', 'sample-guest', 'sample.elf');
const LINUX = path.join(ROOT, '.cache', 'guests', 'vmlinuz-cloud');
const STEPS = 300;
/** Milliseconds that Linux boots before it is paused: into the kernel itself. */
const BOOTING = 3000;

const percentile = (values, part) => [...values].sort((a, b) => a - b)[Math.floor(values.length * part)];

async function start(attributes) {
    const client = new DebugClient(process.execPath, ADAPTER, 'hyperscope');
    client.defaultTimeout = 60_000;
    await client.start();
    await client.customRequest('initialize', { adapterID: 'hyperscope', clientID: 'bench' });
    const initialized = client.waitForEvent('initialized', 60_000);
    await client.customRequest('launch', attributes);
    await initialized;
    return client;
}

async function stopped(client, command, args) {
    const stop = client.waitForEvent('stopped', 60_000);
    await client.customRequest(command, args);
    return stop;
}

/** What VS Code asks at a stop, with the Variables and the Disassembly view open. */
async function refresh(client) {
    const threads = client.customRequest('threads');
    const { stackFrames } = (await client.customRequest('stackTrace', { threadId: 1, startFrame: 0, levels: 20 })).body;
    const { scopes } = (await client.customRequest('scopes', { frameId: stackFrames[0].id })).body;
    await Promise.all([
        threads,
        ...scopes
            .slice(0, 2)
            .map(({ variablesReference }) => client.customRequest('variables', { variablesReference })),
        client.customRequest('disassemble', {
            memoryReference: stackFrames[0].instructionPointerReference,
            instructionOffset: -50,
            instructionCount: 100,
        }),
    ]);
}

async function measure(name, client) {
    const steps = [];
    const refreshes = [];
    for (let step = 0; step < STEPS; step++) {
        let started = performance.now();
        await stopped(client, 'stepIn', { threadId: 1, granularity: 'instruction' });
        steps.push(performance.now() - started);
        started = performance.now();
        await refresh(client);
        refreshes.push(performance.now() - started);
    }
    for (const [what, times] of [
        ['instruction step', steps],
        ['refresh', refreshes],
    ]) {
        const figures = [median(times), percentile(times, 0.95)].map(time => `${time.toFixed(2)} ms`.padStart(10));
        console.log(`${name.padEnd(16)} ${what.padEnd(18)} median ${figures[0]}   95th percentile ${figures[1]}`);
    }
}

export async function run() {
    if (!existsSync(ADAPTER)) throw new Error("build the adapter first: 'npm run build'");
    console.log(
        `${STEPS} steps; refresh: threads, stack, scopes, two groups of variables, 100 instructions around RIP`,
    );

    const sample = await start({ kernel: SAMPLE, memory: '64M' });
    await sample.customRequest('setFunctionBreakpoints', { breakpoints: [{ name: 'hanoi' }] });
    await stopped(sample, 'configurationDone');
    await stopped(sample, 'continue', { threadId: 1 });
    await measure('sample guest', sample);
    await sample.stop();

    if (!existsSync(LINUX)) {
        console.log('Linux: no kernel in .cache/guests: npm run guests');
        return;
    }
    const linux = await start({ kernel: LINUX, append: 'console=ttyS0 nokaslr', memory: '256M', stopOnEntry: false });
    await linux.customRequest('configurationDone');
    await new Promise(resolve => setTimeout(resolve, BOOTING));
    await stopped(linux, 'pause', { threadId: 1 });
    await measure('Linux', linux);
    await linux.stop();
}

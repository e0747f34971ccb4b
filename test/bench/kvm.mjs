/**
 * What the engine on /dev/kvm costs beyond KVM itself: a port-I/O exit, against the same loop in C; and how soon a guest
 * that spins comes back when it is paused.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { median } from './statistics.mjs';

const require = createRequire(import.meta.url);
const root = path.resolve(import.meta.dirname, '..', '..');
const compiled = name => require(path.join(root, 'out', 'src', ...name.split('/')));

const EXITS = 100_000;
const PAUSES = 40;

export async function run({ runs }) {
    const folder = mkdtempSync(path.join(tmpdir(), 'hyperscope-bench-'));
    try {
        const program = path.join(folder, 'port-exits');
        execFileSync('gcc', ['-O2', '-o', program, path.join(root, 'test', 'bench', 'port-exits.c')]);
        const c = [];
        const ours = [];
        for (let round = 0; round < runs; round++) {
            c.push(Number(execFileSync(program, [String(EXITS)], { encoding: 'utf8' })));
            ours.push(await withMachine(portLoop, portExit));
        }
        const ratio = median(ours) / median(c);
        console.log(
            `port-I/O exit   C ${median(c).toFixed(0)} ns   Hyperscope ${median(ours).toFixed(0)} ns   ratio ${ratio.toFixed(2)}`,
        );
        const pauses = await withMachine(spin, pauseLatency);
        console.log(
            `pause of a spinning guest   median ${median(pauses).toFixed(1)} ms   worst of ${PAUSES} ${Math.max(...pauses).toFixed(1)} ms`,
        );
    } finally {
        rmSync(folder, { recursive: true });
    }
}

const portLoop = [0xe6, 0x80, 0xeb, 0xfc]; // out 0x80, al; jmp
const spin = [0xeb, 0xfe];

async function withMachine(code, measure) {
    const { chooseEngine } = compiled('engines/choose.js');
    const { Machine } = compiled('machine/machine.js');
    const engine = chooseEngine({ choice: 'kvm', cpus: 1, translator: {} });
    const machine = new Machine({
        memory: 16 << 20,
        engine: engine.factory,
        engineArena: engine.arenaSize,
        features: engine.features,
        kernel: { kernel: { name: 'bench', data: kernel(code) }, modules: [], commandLine: '' },
    });
    try {
        return await measure(machine);
    } finally {
        machine.engine.dispose();
    }
}

async function portExit(machine) {
    const exits = () => machine.engine.statistics().kvmIo;
    while (exits() < EXITS / 10) machine.run({ instructions: 20_000_000 });
    const [before, start] = [exits(), performance.now()];
    while (exits() - before < EXITS) machine.run({ instructions: 20_000_000 });
    return ((performance.now() - start) * 1e6) / (exits() - before);
}

async function pauseLatency(machine) {
    const { MachineTarget } = compiled('debug/machine-target.js');
    const { SymbolTable } = compiled('symbols/symbol-table.js');
    const target = new MachineTarget(machine, new SymbolTable(), {
        now: () => performance.now(),
        yield: () => new Promise(resolve => setImmediate(resolve)),
        sleep: milliseconds => new Promise(resolve => setTimeout(resolve, milliseconds)),
    });
    const latencies = [];
    for (let pause = 0; pause < PAUSES; pause++) {
        const stopped = new Promise(resolve => {
            target.listener = { stopped: resolve, ended: resolve, logged() {}, failed: resolve };
        });
        await target.resume();
        await new Promise(resolve => setTimeout(resolve, 20 + pause));
        const asked = performance.now();
        await target.pause(0);
        await stopped;
        latencies.push(performance.now() - asked);
    }
    return latencies;
}

/** A Multiboot ELF file of a few bytes. */
function kernel(code) {
    const base = 0x100000;
    const image = new Uint8Array(0x1020);
    const view = new DataView(image.buffer);
    const words = (at, ...values) =>
        values.forEach((value, index) => view.setUint32(at + index * 4, value >>> 0, true));
    words(0, 0x464c457f, 0x00010101);
    words(16, 0x00030002, 1, base + 12, 52, 0, 0, 0x00200034, 1);
    words(52, 1, 0x1000, base, base, 0x20, 0x20, 7, 0x1000);
    words(0x1000, 0x1badb002, 0, -0x1badb002);
    image.set(code, 0x100c);
    return image;
}

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
        const two = [];
        for (let round = 0; round < runs; round++) {
            c.push(Number(execFileSync(program, [String(EXITS)], { encoding: 'utf8' })));
            ours.push(await withMachine(portLoop, portExit));
            two.push(
                await withMachine([...startSecond(...halt), ...portLoop], machine => portExit(machine, EXITS / 10), 2),
            );
        }
        const ratio = median(ours) / median(c);
        console.log(
            `port-I/O exit   C ${median(c).toFixed(0)} ns   Hyperscope ${median(ours).toFixed(0)} ns   ratio ${ratio.toFixed(2)}`,
        );
        console.log(`the same of a vCPU with a thread of its own, a second one halted   ${median(two).toFixed(0)} ns`);
        for (const [name, code, cpus] of [
            ['a spinning guest', spin, 1],
            ['two spinning vCPUs', [...startSecond(...spin, ...spin), ...spin], 2],
        ]) {
            const pauses = await withMachine(code, pauseLatency, cpus);
            console.log(
                `pause of ${name}   median ${median(pauses).toFixed(1)} ms   worst of ${PAUSES} ${Math.max(...pauses).toFixed(1)} ms`,
            );
        }
    } finally {
        rmSync(folder, { recursive: true });
    }
}

const portLoop = [0xe6, 0x80, 0xeb, 0xfc]; // out 0x80, al; jmp
const spin = [0xeb, 0xfe];
const halt = [0xfa, 0xf4, 0xeb, 0xfc]; // cli; hlt; jmp
// Starts the second vCPU, with 4 bytes of code.
const startSecond = (...code) => [
    ...[0xc7, 0x05, 0x00, 0x80, 0x00, 0x00, ...code], // mov dword [0x8000], code
    ...[0xb8, 0x00, 0x00, 0xe0, 0xfe], // mov eax, the local APIC
    ...[0xc7, 0x80, 0x10, 0x03, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01], // mov dword [eax+0x310], 1 << 24
    ...[0xc7, 0x80, 0x00, 0x03, 0x00, 0x00, 0x00, 0x45, 0x0c, 0x00], // INIT
    ...[0xc7, 0x80, 0x00, 0x03, 0x00, 0x00, 0x08, 0x46, 0x0c, 0x00], // start-up at 0x8000
];

async function withMachine(code, measure, cpus = 1) {
    const { chooseEngine } = compiled('engines/choose.js');
    const { Machine } = compiled('machine/machine.js');
    const engine = chooseEngine({ choice: 'kvm', cpus, translator: {} });
    const machine = new Machine({
        memory: 16 << 20,
        cpus,
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

async function portExit(machine, count = EXITS) {
    const exits = () => machine.engine.statistics().kvmIo;
    while (exits() < count / 10) machine.run({ instructions: 20_000_000 });
    const [before, start] = [exits(), performance.now()];
    while (exits() - before < count) machine.run({ instructions: 20_000_000 });
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
    const image = new Uint8Array(0x1080);
    const view = new DataView(image.buffer);
    const words = (at, ...values) =>
        values.forEach((value, index) => view.setUint32(at + index * 4, value >>> 0, true));
    words(0, 0x464c457f, 0x00010101);
    words(16, 0x00030002, 1, base + 12, 52, 0, 0, 0x00200034, 1);
    words(52, 1, 0x1000, base, base, 0x80, 0x80, 7, 0x1000);
    words(0x1000, 0x1badb002, 0, -0x1badb002);
    image.set(code, 0x100c);
    return image;
}

/**
 * What it costs to count the guest's exits, to keep them, and to ask a condition about each: per OUT instruction of a loop,
 * and for a whole boot of Debian's cloud kernel. Processor time of this process, from the compiled sources in out/.
 */
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { median } from './statistics.mjs';

const root = path.join(import.meta.dirname ?? path.dirname(fileURLToPath(import.meta.url)), '..', '..');
const OUTS = 1_000_000;
/** Instructions of a round: OUT and LOOP. */
const PER_OUT = 2;

const MODES = ['not observed', 'counted', 'kept', 'false condition'];

export async function run({ runs, cpus, memory }) {
    const load = file => import(path.join(root, 'out', 'src', file)).then(module => module.default ?? module);
    const { Machine } = await load('machine/machine.js');
    const { CODE_ARENA_SIZE, translatorEngine } = await load('translator/index.js');
    const { EventStops } = await load('debug/events/event-stops.js');
    const build = options => {
        const machine = new Machine({
            engine: translatorEngine({ now: () => performance.now() }),
            engineArena: CODE_ARENA_SIZE,
            exitClock: () => performance.now() * 1e6,
            ...options,
        });
        return machine;
    };
    const prepare = (machine, mode) => {
        const { observation } = machine;
        switch (mode) {
            case 'not observed':
                machine.bus.observer = undefined;
                machine.memory.observer = undefined;
                machine.processors.forEach(({ cpu }) => delete cpu.hooks.observer);
                break;
            case 'kept':
                observation.journal.keep(65_536);
                break;
            case 'false condition': {
                const stops = new EventStops(
                    () => ({ readRegister: () => undefined, symbol: () => undefined }),
                    () => undefined,
                );
                stops.replace([{ kind: 'portOut', condition: 'port == 0x1234 && value == 1' }]);
                observation.setStopKinds(stops.kinds);
                observation.onEvent = event => stops.stops(event, machine.engine.retired());
            }
        }
    };

    const perOut = Object.fromEntries(MODES.map(mode => [mode, []]));
    for (let round = 0; round < runs; round++) {
        for (const mode of MODES) {
            const machine = build({ memory: 4 << 20, firmware: { name: 'loop', data: outLoop() }, postCode() {} });
            prepare(machine, mode);
            machine.run({ instructions: OUTS / 5 });
            perOut[mode].push((cpuSeconds(() => machine.run({ instructions: OUTS * PER_OUT })) / OUTS) * 1e9);
        }
    }
    for (const mode of MODES) {
        console.log(`EXITS ${mode.padEnd(16)} ${median(perOut[mode]).toFixed(0).padStart(5)} ns for an OUT and a LOOP`);
    }

    const kernel = path.join(root, '.cache', 'guests', 'vmlinuz-cloud');
    if (!existsSync(kernel)) {
        console.log('EXITS boot: no kernel (npm run guests)');
        return;
    }
    const file = name => ({ name, data: readFileSync(path.join(root, '.cache', 'guests', name)) });
    const boots = Object.fromEntries(MODES.slice(0, 3).map(mode => [mode, []]));
    let exits = 0;
    for (let round = 0; round < runs; round++) {
        for (const mode of Object.keys(boots)) {
            const machine = build({
                memory: memory << 20,
                cpus,
                serial: [() => undefined],
                kernel: {
                    kernel: file('vmlinuz-cloud'),
                    modules: [{ ...file('initrd-busybox.cpio.gz'), commandLine: '' }],
                    commandLine: `console=ttyS0 hs.cmd=${encodeURIComponent('ls / && cat /proc/cpuinfo')}`,
                },
            });
            prepare(machine, mode);
            boots[mode].push(cpuSeconds(() => machine.run()));
            exits = mode === 'counted' ? machine.observation.journal.total : exits;
        }
    }
    for (const [mode, seconds] of Object.entries(boots)) {
        console.log(`EXITS boot, ${mode.padEnd(16)} median of ${runs}: ${median(seconds).toFixed(2)} s`);
    }
    const share = (exits * (median(perOut.counted) - median(perOut['not observed']))) / 1e9 / median(boots.counted);
    console.log(`EXITS boot: ${exits} exits; counting them is ${(share * 100).toFixed(2)} % of the boot`);
}

/** `mov cx, 0; l: out 0x80, al; loop l; jmp` from the start. */
function outLoop() {
    const rom = new Uint8Array(0x10000);
    rom.set([0xb9, 0, 0, 0xe6, 0x80, 0xe2, 0xfc, 0xeb, 0xf7]);
    rom.set([0xea, 0, 0, 0, 0xf0], 0xfff0);
    return rom;
}

function cpuSeconds(work) {
    const before = process.cpuUsage();
    work();
    return process.cpuUsage(before).user / 1e6;
}

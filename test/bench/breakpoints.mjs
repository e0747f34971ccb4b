/**
 * What breakpoints cost a boot of Debian's cloud kernel: a condition that never holds, on the hottest function and in the
 * hottest loop, and a watchpoint on memory that nobody touches; then what it takes to set and remove a breakpoint in the
 * booted guest. Processor time of this process, from the compiled sources in out/.
 */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { median } from './statistics.mjs';

const ROOT = path.resolve(import.meta.dirname, '..', '..');
const GUESTS = path.join(ROOT, '.cache', 'guests');

/** Called more often than any other function while Linux verifies the certificates in its image, and its loop. */
const FUNCTION = 'mpihelp_addmul_1';
const LOOP = `${FUNCTION} + 0x38`;
/** Never reached. */
const NEVER = '>= 900000000';

/** By name: breakpoints and watchpoints. `counts` tells how often the place of the same name is met. */
const MODES = {
    'no breakpoint': {},
    [`${FUNCTION}, registers`]: {
        breakpoint: { at: FUNCTION, condition: 'rdx == 0x12345 && rdi != 0' },
        counts: FUNCTION,
    },
    [`${FUNCTION}, memory`]: { breakpoint: { at: FUNCTION, condition: 'u64[rsp] == 1' }, counts: FUNCTION },
    [`${FUNCTION}, hit count`]: { breakpoint: { at: FUNCTION, hitCondition: NEVER }, counts: FUNCTION },
    'its loop, registers': { breakpoint: { at: LOOP, condition: 'rax == 0x1234567' }, counts: LOOP },
    'untouched memory watched': {
        watchpoint: { space: 'linear', address: 0x6000_0000_0000n, length: 64, kind: 'readWrite' },
    },
};

/** The breakpoint that is set and removed in the booted guest, and what runs between. */
const SETTING_INSTRUCTIONS = 10_000_000;

export async function run({ runs, cpus, memory }) {
    const load = file => import(path.join(ROOT, 'out', 'src', file)).then(module => module.default ?? module);
    const { Machine } = await load('machine/machine.js');
    const { CODE_ARENA_SIZE, translatorEngine } = await load('translator/index.js');
    const { MachineTarget } = await load('debug/machine-target.js');
    const { readElfSymbols } = await load('symbols/elf.js');
    const { SymbolTable } = await load('symbols/symbol-table.js');

    const read = name => ({ name, data: readFileSync(path.join(GUESTS, name)) });
    const symbols = new SymbolTable();
    symbols.add(readElfSymbols('vmlinux', readFileSync(path.join(GUESTS, 'vmlinux-cloud'))));
    const build = (append, serial = () => undefined) => {
        const machine = new Machine({
            memory: memory << 20,
            cpus,
            engine: translatorEngine({ now: () => performance.now() }),
            engineArena: CODE_ARENA_SIZE,
            kernel: {
                kernel: read('vmlinuz-cloud'),
                modules: [read('initrd-busybox.cpio.gz')],
                commandLine: `console=ttyS0 nokaslr ${append}`,
            },
            serial: [serial],
        });
        const host = { now: () => performance.now(), yield: async () => undefined, sleep: async () => undefined };
        return { machine, target: new MachineTarget(machine, symbols, host) };
    };
    const set = async (target, { breakpoint, watchpoint }) => {
        if (breakpoint !== undefined) {
            const { at, ...asked } = breakpoint;
            const { value } = await target.evaluate(0, at, false);
            await target.setBreakpoints([{ id: 1, address: value.bits, ...asked }]);
        }
        if (watchpoint !== undefined) {
            await target.setWatchpoints([{ id: 1, ...watchpoint }]);
        }
    };
    const boot = async mode => {
        const { machine, target } = build('hs.exit');
        await set(target, mode);
        let stop;
        const milliseconds = await cpuMilliseconds(() => {
            stop = machine.run();
        });
        if (stop.reason !== 'poweredOff') {
            throw new Error(`the guest stopped with '${stop.reason}' instead of powering off`);
        }
        return { seconds: milliseconds / 1e3, retired: machine.engine.retired() };
    };

    await timeChecks(({ firmware, memory: bytes }) => {
        const engine = translatorEngine({ now: () => performance.now() });
        const machine = new Machine({ memory: bytes, engine, engineArena: CODE_ARENA_SIZE, firmware });
        const host = { now: () => performance.now(), yield: async () => undefined, sleep: async () => undefined };
        return { machine, target: new MachineTarget(machine, symbols, host) };
    });
    const checks = {};
    for (const place of [FUNCTION, LOOP]) {
        checks[place] = await countHits(place, build);
    }
    await boot({}); // the host's compiler is warm from here on
    const times = Object.fromEntries(Object.keys(MODES).map(name => [name, []]));
    const retired = new Set();
    for (let round = 0; round < runs; round++) {
        for (const [name, mode] of Object.entries(MODES)) {
            const result = await boot(mode);
            times[name].push(result.seconds);
            retired.add(result.retired);
        }
    }
    if (retired.size > 1) {
        throw new Error(`breakpoints change the guest: ${[...retired].join(', ')} instructions`);
    }
    const best = name => Math.min(...times[name]);
    const plain = best('no breakpoint');
    console.log(`BREAKPOINTS boot without any: ${plain.toFixed(2)} s, ${[...retired][0]} instructions in every run`);
    for (const [name, { counts }] of Object.entries(MODES)) {
        const seconds = best(name);
        const slower = `${(((seconds - plain) / plain) * 100).toFixed(1)} % more`;
        if (counts !== undefined) {
            const extra = seconds - plain;
            const rate =
                extra > 0
                    ? `${((extra / checks[counts]) * 1e9).toFixed(0)} ns each, ${(checks[counts] / extra / 1e6).toFixed(1)} million a second`
                    : 'no time to be seen';
            console.log(`BREAKPOINTS ${name}: ${seconds.toFixed(2)} s, ${slower}; ${checks[counts]} checks, ${rate}`);
        } else if (name !== 'no breakpoint') {
            console.log(`BREAKPOINTS ${name}: ${seconds.toFixed(2)} s, ${slower}`);
        }
    }
    await timeSetting(build);
}

/** Checks alone: a loop of INC BX and JMP at the reset vector, with a condition at its start. */
async function timeChecks(build) {
    const data = new Uint8Array(0x10000);
    data.set([0x43, 0xeb, 0xfd], 0xfff0);
    const { machine, target } = build({ firmware: { name: 'loop', data }, memory: 4 << 20 });
    const condition = 'bx == 5 && ecx == 77';
    await target.setBreakpoints([{ id: 1, address: 0xffff_fff0n, condition }]);
    const rounds = 5_000_000;
    machine.run({ instructions: rounds });
    const times = [];
    for (let run = 0; run < 5; run++) {
        times.push(await cpuMilliseconds(() => machine.run({ instructions: 2 * rounds })));
    }
    const best = Math.min(...times);
    console.log(
        `BREAKPOINTS false condition in a loop: ${((best * 1e6) / rounds).toFixed(1)} ns each, ` +
            `${(rounds / best / 1e3).toFixed(1)} million checks a second`,
    );
}

/** How often a boot gets to a place. */
async function countHits(place, build) {
    const { machine, target } = build('hs.exit');
    const { value } = await target.evaluate(0, place, false);
    const counter = {};
    const { HitCounter } = await import(path.join(ROOT, 'out', 'src', 'machine', 'breakpoint.js'));
    counter.hits = new HitCounter();
    machine.engine.setBreakpoints([
        {
            id: 1,
            lo: Number(value.bits & 0xffffffffn),
            hi: Number((value.bits >> 32n) & 0xffffffffn),
            condition: () => false,
            program: { hitTest: { operator: '>', number: 2 ** 31 - 1 }, counter: counter.hits },
        },
    ]);
    machine.run();
    return counter.hits.count;
}

/** Time to set and to remove a breakpoint on a hot function at the shell prompt, and what follows of either. */
async function timeSetting(build) {
    let console_ = '';
    const { machine, target } = build('hs.shell', byte => {
        console_ += String.fromCharCode(byte);
    });
    while (!console_.includes('/ # ')) {
        machine.run({ instructions: 4_000_000 });
    }
    const { value } = await target.evaluate(0, 'memcpy', false);
    const work = async () => {
        machine.sendSerial(0, new TextEncoder().encode('ls / > /dev/null\n'));
        return cpuMilliseconds(() => machine.run({ instructions: SETTING_INSTRUCTIONS }));
    };
    for (let warm = 0; warm < 20; warm++) {
        await work();
    }
    const figures = { set: [], afterSet: [], remove: [], afterRemove: [], undisturbed: [] };
    for (let round = 0; round < 10; round++) {
        figures.undisturbed.push(await work());
        figures.set.push(
            await cpuMilliseconds(() =>
                target.setBreakpoints([{ id: 1, address: value.bits, condition: 'rdx == 0x123456' }]),
            ),
        );
        figures.afterSet.push(await work());
        figures.remove.push(await cpuMilliseconds(() => target.setBreakpoints([])));
        figures.afterRemove.push(await work());
    }
    const ms = name => `${median(figures[name]).toFixed(2)} ms`;
    console.log(
        `BREAKPOINTS set in a booted Linux: ${ms('set')}, remove: ${ms('remove')}; the next ` +
            `${SETTING_INSTRUCTIONS / 1e6} million instructions: ${ms('afterSet')} and ${ms('afterRemove')}, ` +
            `undisturbed ${ms('undisturbed')}`,
    );
}

/** Processor time of this process: other work on the host counts less than it does in wall time. */
async function cpuMilliseconds(action) {
    const start = process.cpuUsage();
    await action();
    const { user, system } = process.cpuUsage(start);
    return (user + system) / 1e3;
}

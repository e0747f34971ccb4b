#!/usr/bin/env node
/** `npm run bench -- NAME [options]`: runs one benchmark; each is a file of this folder that exports `run`. */
import { parseArgs } from 'node:util';

const BENCHMARKS = {
    boot: 'boot Linux to a shell command and power off: wall time',
    kvm: 'the engine on /dev/kvm: a port-I/O exit against the same loop in C, and the latency of a pause',
    lockstep: 'the translator against /dev/kvm, instruction by instruction: the sample guest, random instructions',
    compute: 'the compute suite inside Linux, item by item: wall time',
    views: 'page tables, search of memory and the answers to all views at a stop of a booted Linux, through the adapter',
    breakpoints: 'conditions that never hold, in a boot of Linux; setting and removing a breakpoint',
    exits: 'counting the guest’s exits: per exit, and in a boot of Linux',
    gdb: 'gdb on our server and on QEMU’s: steps and memory',
    dap: 'instruction steps and what an editor asks after each, through the adapter',
    symbols: 'the kernel’s DWARF: a line’s breakpoint, and lines, layouts, stacks, locals against readelf and gdb',
    memory: 'what a booted Linux costs of the host’s memory, beyond its own RAM',
};

const USAGE = `usage: npm run bench -- NAME [--runs N] [--only ENGINE] [--cpus N] [--memory MIB]

${Object.entries(BENCHMARKS)
    .map(([name, what]) => `  ${name.padEnd(11)} ${what}`)
    .join('\n')}

  --runs N         runs of each engine, taken in turns (3)
  --only ENGINE    qemu or hyperscope alone; for symbols: lookups, lines, stacks, layouts or memory
  --cpus N         virtual CPUs (1)
  --memory MIB     guest memory (256)`;

const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
        runs: { type: 'string', default: '3' },
        only: { type: 'string' },
        cpus: { type: 'string', default: '1' },
        memory: { type: 'string', default: '256' },
        help: { type: 'boolean' },
    },
});
const [name] = positionals;
if (values.help || !(name in BENCHMARKS)) {
    console.log(USAGE);
    process.exitCode = values.help ? 0 : 2;
} else {
    try {
        const { run } = await import(`./${name}.mjs`);
        await run({
            runs: Number(values.runs),
            only: values.only,
            cpus: Number(values.cpus),
            memory: Number(values.memory),
        });
    } catch (error) {
        console.error(`bench ${name}: ${error.message}`);
        process.exitCode = 1;
    }
}

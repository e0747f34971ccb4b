/**
 * The translator against /dev/kvm: the sample guest from its start to its end and random instructions, compared
 * instruction by instruction. Prints how many were compared, and the differences that known faults of the host's KVM
 * explain. The first other difference ends it, with both states.
 */
import { createRequire } from 'node:module';
import path from 'node:path';

const require = createRequire(import.meta.url);
const root = path.resolve(import.meta.dirname, '..', '..');
const compiled = name => require(path.join(root, 'out', 'src', ...name.split('/')));
const sample = name => path.join(root, 'media', 'sample-guest', name);

const GUESTS = [
    ['sample guest, PVH, 1 vCPU', { kernel: sample('sample.elf') }],
    ['sample guest, PVH, 2 vCPUs', { kernel: sample('sample.elf'), cpus: 2 }],
    ['sample guest, PVH, 3 vCPUs', { kernel: sample('sample.elf'), cpus: 3 }],
    ['sample guest, reset vector, 1 vCPU', { firmware: sample('sample.rom') }],
    ['sample guest, reset vector, 2 vCPUs', { firmware: sample('sample.rom'), cpus: 2 }],
];

/** Random instructions of one run; each run has another seed. */
const STREAMS = [
    ['64-bit, integer', { instructions: 50_000 }],
    ['32-bit, integer', { bits: 32, instructions: 25_000 }],
    ['16-bit, integer', { bits: 16, instructions: 25_000 }],
    ['64-bit, x87, MMX, SSE', { floating: true, instructions: 25_000 }],
    ['32-bit, x87, MMX, SSE', { bits: 32, floating: true, instructions: 15_000 }],
    ['16-bit, x87, MMX, SSE', { bits: 16, floating: true, instructions: 15_000 }],
    ['64-bit, CPL 3, integer', { user: true, instructions: 40_000 }],
    ['64-bit, CPL 3, x87, MMX, SSE', { user: true, floating: true, instructions: 15_000 }],
];

export async function run({ runs }) {
    const { compareEngines } = compiled('cli/lockstep.js');
    const { describeDivergence } = compiled('cli/lockstep-report.js');
    const total = { executed: 0, compared: 0, explained: new Map() };
    const common = { append: '', memory: 32 << 20, cpus: 1, bits: 64, floating: false, user: false, except: new Set() };

    const compare = async (name, options) => {
        const start = performance.now();
        const result = await compareEngines({ ...common, instructions: Infinity, ...options });
        const { executed, elsewhere, explained, divergence, end } = result;
        total.executed += executed;
        total.compared += executed - elsewhere;
        for (const [reason, count] of explained) {
            total.explained.set(reason, (total.explained.get(reason) ?? 0) + count);
        }
        const seconds = ((performance.now() - start) / 1000).toFixed(0);
        const reasons = [...explained].map(([reason, count]) => `; ${count} × ${reason}`).join('');
        const ended = end === undefined ? '' : `, ended: ${end.reason}`;
        console.log(
            `${name.padEnd(38)} ${String(executed).padStart(8)} instructions, ${String(elsewhere).padStart(6)} left to ` +
                `the translator, ${seconds} s${ended}${reasons}`,
        );
        if (divergence !== undefined) {
            throw new Error(`a difference:\n${describeDivergence(divergence)}`);
        }
    };

    for (const [name, options] of GUESTS) await compare(name, options);
    for (let seed = 1; seed <= runs; seed++) {
        for (const [name, options] of STREAMS) await compare(`${name}, seed ${seed}`, { ...options, random: seed });
    }

    console.log(`\n${total.executed} instructions on both engines, ${total.compared} of them executed by KVM itself`);
    console.log('unexplained differences   0');
    console.log(`explained by faults of this host's KVM   ${[...total.explained.values()].reduce((a, b) => a + b, 0)}`);
    for (const [reason, count] of total.explained) console.log(`    ${String(count).padStart(6)}  ${reason}`);
}

/**
 * Debugging information of Debian's kernel (`npm run guests -- --with dbg`): what it takes to use it, and whether it is
 * read as readelf and gdb read it.
 */
import { compareLayouts } from './symbols/layouts.mjs';
import { compareLines, measureLookups } from './symbols/lookups.mjs';
import { compareMemory } from './symbols/memory.mjs';
import { requireVmlinux } from './symbols/project.mjs';
import { compareStacks } from './symbols/stacks.mjs';

/** `--only` takes one of these. */
const PARTS = {
    lookups: runs => measureLookups(runs),
    lines: () => compareLines(),
    stacks: () => compareStacks(1100),
    layouts: () => compareLayouts(2400),
    memory: () => compareMemory(300),
};

export async function run({ runs, only }) {
    requireVmlinux();
    if (only !== undefined && !(only in PARTS)) throw new Error(`--only takes ${Object.keys(PARTS).join(', ')}`);
    for (const [name, part] of Object.entries(PARTS)) {
        if (only === undefined || only === name) await part(runs);
    }
}

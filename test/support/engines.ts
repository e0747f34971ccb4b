/** The engines that a test of the debugger runs on, each in the same words. */
import { kvm, type Requirement } from './requirements';

export interface TestEngine {
    /** The launch attribute. */
    readonly name: 'translator' | 'kvm';
    /** What it takes: `needs(this, ...engine.requirements)`. */
    readonly requirements: readonly Requirement[];
}

const ENGINES: readonly TestEngine[] = [
    { name: 'translator', requirements: [] },
    { name: 'kvm', requirements: [kvm] },
];

/** Those of the environment variable HYPERSCOPE_ENGINES (names with commas between), or all. */
export function engines(): readonly TestEngine[] {
    const chosen = process.env.HYPERSCOPE_ENGINES?.split(',');
    return chosen === undefined ? ENGINES : ENGINES.filter(({ name }) => chosen.includes(name));
}

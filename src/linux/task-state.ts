/** What a task does, in the letters of `ps`. */
import { optional } from './errors';
import type { KernelReader, Structure } from './structure';

/** TASK_IDLE: sleeps without being counted as load, shown as idle. The two bits are the same in all kernels since 4.2. */
const UNINTERRUPTIBLE = 0x2;
const NOLOAD = 0x400;
/** TASK_RTLOCK_WAIT, TASK_FROZEN: shown as an uninterruptible sleep. Kernels with `__state` only. */
const RTLOCK_WAIT = 0x1000;
const FROZEN = 0x8000;

/** Since 4.14: what each bit means, after the one for none. */
const STATES = [
    'R (running)',
    'S (sleeping)',
    'D (disk sleep)',
    'T (stopped)',
    't (tracing stop)',
    'X (dead)',
    'Z (zombie)',
    'P (parked)',
    'I (idle)',
];

export interface TaskState {
    /** `S`, as in the column STAT of `ps`. */
    readonly letter: string;
    /** `sleeping`. */
    readonly name: string;
}

/**
 * The words of this kernel: it keeps them as an array of strings, by number of the highest bit of the state. What the bits
 * mean has changed over time, and the array with it.
 */
export function stateNames(reader: KernelReader): readonly string[] {
    const address = reader.kernel.address('task_state_array');
    if (address === undefined) {
        return STATES;
    }
    const names: string[] = [];
    for (let index = 0; index < 16; index++) {
        // What lies behind the array is no string.
        const name = optional(() => reader.string(reader.number(address + BigInt(index * 8), 8), 32));
        if (name === undefined || !/^[A-Za-z] \([a-z ]+\)$/.test(name)) break;
        names.push(name);
    }
    // Those that every kernel has.
    return names.length >= 7 && names.slice(0, 5).every((name, index) => name[0] === STATES[index][0]) ? names : STATES;
}

/** @param names from {@link stateNames} */
export function taskState(task: Structure, names: readonly string[]): TaskState {
    const isNew = task.has('__state');
    const state = task.number(task.either('__state', 'state'));
    const exit = task.number('exit_state');
    // Bits that are reported: as many as have names, but for the one that stands for idle.
    const idle = names.findIndex(name => name.startsWith('I '));
    const reported = (1 << ((idle > 0 ? idle : names.length) - 1)) - 1;
    let bits = (state | exit) & reported;
    if (isNew && (state & (RTLOCK_WAIT | FROZEN)) !== 0) {
        bits = UNINTERRUPTIBLE;
    }
    const isIdle = idle > 0 && (state & (UNINTERRUPTIBLE | NOLOAD)) === (UNINTERRUPTIBLE | NOLOAD);
    const index = isIdle ? idle : 32 - Math.clz32(bits);
    const [letter, name] = /^(.) \((.*)\)$/.exec(names[index] ?? '')?.slice(1) ?? [
        '?',
        `state 0x${state.toString(16)}`,
    ];
    return { letter, name };
}

/** Panics and oopses, in words: what the kernel says, and which task was at work. */
import { LinuxError, optional } from './errors';
import { logLines, readLog } from './log';
import { printf } from './printf';
import type { KernelReader } from './structure';
import { currentTask, taskAt } from './tasks';

export type FailureKind = 'panic' | 'oops';

/**
 * Functions at which to stop, by the first name that a kernel has. A panic is met before it does anything; an oops when the
 * kernel has written down what it knows, with the frames of the fault still on the stack.
 */
export const FAILURE_FUNCTIONS: Readonly<Record<FailureKind, readonly string[]>> = {
    panic: ['panic'],
    oops: ['oops_end', 'oops_begin', 'oops_enter'],
};

/** General registers at the first instruction of such a function. */
export interface CallRegisters {
    readonly rsp: bigint;
    /** RDI, RSI, RDX, RCX, R8, R9: the first arguments. */
    readonly arguments: readonly bigint[];
}

export interface Failure {
    /** One line. */
    readonly text: string;
    /** The end of the log. */
    readonly log: readonly string[];
}

/** What an oops begins with in the log. */
const BEGINNING =
    /^(BUG: |kernel BUG at |general protection fault|Oops|invalid opcode|divide error|stack segment|double fault|int3|traps: |unchecked MSR|Unable to handle)/;
const PLACE = /^RIP: \S+ ?(\S+)/;
/** Records before the end in which an oops can have begun: its registers, code and stack are some fifty lines. */
const LONGEST_OOPS = 120;
const SHOWN_LINES = 40;
const LONGEST_MESSAGE = 1024;

/** @param cpu that stopped at one of {@link FAILURE_FUNCTIONS} */
export function describeFailure(
    reader: KernelReader,
    kind: FailureKind,
    cpu: number,
    registers: CallRegisters,
): Failure {
    const records = optional(() => readLog(reader).items) ?? [];
    const log = records.flatMap(logLines).slice(-SHOWN_LINES);
    const message =
        kind === 'panic'
            ? (optional(() => panicMessage(reader, registers)) ?? 'its message cannot be read')
            : oopsMessage(records.slice(-LONGEST_OOPS).map(({ text }) => text));
    const task = optional(() => taskAt(reader, currentTask(reader, cpu)));
    const who = task === undefined ? '' : ` (in ${task.name}, pid ${task.pid}, CPU ${cpu})`;
    return { text: `${kind === 'panic' ? 'Kernel panic' : 'Oops'}: ${message}${who}`, log };
}

/** `panic(format, …)` has been called with these registers. */
function panicMessage(reader: KernelReader, registers: CallRegisters): string {
    const [format, ...others] = registers.arguments;
    let index = 0;
    const text = printf(reader.string(format, LONGEST_MESSAGE), {
        // What has no register stands above the return address.
        next: () => {
            const number = index++;
            return number < others.length
                ? others[number]
                : reader.number(registers.rsp + 8n + BigInt((number - others.length) * 8), 8);
        },
        string: address => reader.string(address, LONGEST_MESSAGE),
        symbol: address => reader.kernel.symbol(address),
    });
    if (text.trim() === '') {
        throw new LinuxError('the message is empty');
    }
    return text.trim().replaceAll('\n', ' ');
}

function oopsMessage(texts: readonly string[]): string {
    // From the end back: an oops may follow another one.
    let last = texts.length - 1;
    while (
        last >= 0 &&
        !/^Oops|^(general protection|invalid opcode|divide error|stack segment|double fault)/.test(texts[last])
    ) {
        last--;
    }
    let first = last;
    while (
        first > 0 &&
        (BEGINNING.test(texts[first - 1]) || texts[first - 1].startsWith('#PF:') || texts[first - 1].startsWith('PGD '))
    ) {
        first--;
    }
    const beginning = texts.slice(Math.max(0, first), last + 1).find(text => BEGINNING.test(text));
    if (beginning === undefined) {
        return 'the log says nothing of it';
    }
    const place = texts
        .slice(last)
        .map(text => PLACE.exec(text)?.[1])
        .find(found => found !== undefined);
    return beginning.split('\n')[0] + (place === undefined ? '' : `, at ${place}`);
}

/** `--exits`: what the guest does to its machine, in a file. */
import { HyperscopeError } from '../common/errors';
import { ExitRecorder } from '../dap/exit-recorder';
import { EventLog } from '../debug/events/event-log';
import type { Machine } from '../machine/machine';
import { MACHINE_EVENTS } from '../machine/observation/kinds';
import { isElf, readElfSymbols } from '../symbols/elf';
import { SymbolTable } from '../symbols/symbol-table';
import { UsageError } from './usage';

/**
 * Begins to write a guest's exits to a file: JSON if its name ends in `.jsonl`, otherwise text.
 * @returns ends it
 * @throws UsageError
 */
export function recordExits(path: string, machine: Machine): () => void {
    const symbols = new SymbolTable();
    const kernel = machine.options.kernel?.kernel;
    if (kernel !== undefined && isElf(kernel.data)) {
        symbols.add(readElfSymbols(kernel.name, kernel.data));
    }
    const recorder = open(path);
    new EventLog(machine, symbols).listen(record => recorder.add(record));
    return () => {
        recorder.close();
        const { problem, dropped } = recorder.state;
        if (problem !== undefined) {
            process.stderr.write(`hyperscope: --exits ${path}: ${problem}; ${dropped} exits are missing\n`);
        }
    };
}

function open(path: string): ExitRecorder {
    try {
        return ExitRecorder.forPath('--exits', path);
    } catch (error) {
        if (error instanceof HyperscopeError) {
            throw new UsageError(error.message);
        }
        throw error;
    }
}

/** How often each kind of exit occurred. */
export function exitCounts(machine: Machine): Record<string, number> {
    const counts: Record<string, number> = {};
    for (const { kind, count } of machine.observation.journal.counters.rows) {
        const name = MACHINE_EVENTS[kind];
        counts[name] = (counts[name] ?? 0) + count;
    }
    return counts;
}

/** `hyperscope run --gdb`: the guest runs as a debugger's target, and gdb may attach and leave as it likes. */
import { readFileSync } from 'node:fs';
import type { Endpoint } from '../common/endpoint';
import { NODE_HOST } from '../dap/node-host';
import type { TargetHost } from '../debug/machine-runner';
import { MachineTarget } from '../debug/machine-target';
import type { End, Stop } from '../debug/target';
import { openProgram } from '../gdb/program';
import { GdbServer } from '../gdb/server';
import { MemoryKernels } from '../linux/memory-kernel';
import type { Machine } from '../machine/machine';
import { ProgramSet } from '../symbols/program';
import { readElfSymbols } from '../symbols/elf';
import { SymbolTable } from '../symbols/symbol-table';

/** What `--gdb` and `--wait` ask for. */
export interface GdbOptions {
    readonly endpoint: Endpoint;
    /** The guest starts when gdb says so. */
    readonly wait: boolean;
    /** The guest's program, an ELF file: gdb may fetch it, and expressions know its symbols. */
    readonly program: string | undefined;
    /** Whether the guest has to wait for a reader of what it prints. */
    holdsBack(): boolean;
}

/** How the run under gdb ended. */
export type GdbRunEnd = End | { readonly reason: 'killed' } | { readonly reason: 'failed'; readonly error: unknown };

export interface GdbRun {
    /** Settles when the guest has ended, or somebody has ended it. */
    readonly ended: Promise<GdbRunEnd>;
    /** Ends it from outside. */
    stop(): void;
    /** Stops the guest, and takes leave of gdb. */
    close(): Promise<void>;
}

/**
 * Starts the guest as a target for gdb.
 * @param say tells the user a line
 * @throws GdbServerError
 */
export async function runWithGdb(machine: Machine, options: GdbOptions, say: (line: string) => void): Promise<GdbRun> {
    const host: TargetHost = { ...NODE_HOST, holdsBack: () => options.holdsBack() };
    const target = new MachineTarget(machine, symbolsOf(options.program), host, {
        programs: new ProgramSet(),
        discovery: new MemoryKernels(),
    });
    let finish: (end: GdbRunEnd) => void = () => undefined;
    const ended = new Promise<GdbRunEnd>(resolve => {
        finish = resolve;
    });
    const program = options.program === undefined ? undefined : openProgram(options.program);
    const server = await GdbServer.listen(target, options.endpoint, {
        program,
        kill: () => finish({ reason: 'killed' }),
        failed: error => say(error instanceof Error ? (error.stack ?? error.message) : String(error)),
    });
    target.listener = {
        stopped: (stop: Stop) => {
            if (server.isAttached) {
                server.stopped(stop);
            } else if (stop.reason !== 'pause') {
                // Nobody is there to look at it.
                void target.resume();
            }
        },
        ended: end => {
            server.ended(end);
            finish(end);
        },
        logged: text => server.logged(text),
        failed: error => finish({ reason: 'failed', error }),
    };
    say(`gdb can attach: target remote ${server.address}${options.wait ? '; the guest waits for it' : ''}`);
    if (!options.wait) {
        await target.resume();
    }
    return {
        ended,
        stop: () => finish({ reason: 'killed' }),
        close: async () => {
            await server.close();
            target.listener = undefined;
            await target.dispose();
            program?.close();
        },
    };
}

function symbolsOf(file: string | undefined): SymbolTable {
    return new SymbolTable(file === undefined ? [] : readElfSymbols(file, readFileSync(file)));
}

/** `hyperscope run`: a guest in the terminal. */
import { performance } from 'node:perf_hooks';
import type { Endpoint } from '../common/endpoint';
import { HyperscopeError } from '../common/errors';
import { isSwitchable } from '../machine/engine';
import { Machine } from '../machine/machine';
import { bytesInUse } from '../machine/snapshot/snapshot';
import type { MachineStop } from '../machine/stop';
import { chooseEngine } from '../engines/choose';
import { type RunOptions, parseRunOptions } from './options';
import { isElf } from '../symbols/elf';
import { Console } from './console';
import { exitCounts, recordExits } from './exits';
import { sampleElf, sampleRom } from './package-files';
import { decompressors } from '../dap/decompressors';
import { readImage, readModules } from './files';
import { type GdbRunEnd, runWithGdb } from './run-with-gdb';
import { restoreFrom, StateFile } from './state-file';
import { describeTripleFault } from './triple-fault';
import { SerialOutput } from './serial-output';
import { LONGEST_SLICE, nextSlice } from './slice-length';
import { type TierShares, TierSampling } from './tier-sampling';
import { UsageError, writeText } from './usage';
import { boundYoungGeneration } from './young-generation';

/** Exit statuses other than the guest's own. */
const enum Status {
    PoweredOff = 0,
    Unusable = 2,
    TripleFault = 3,
    EngineFailed = 4,
    Timeout = 124,
    Interrupted = 130,
    /** As shells tell a process that SIGPIPE has ended. */
    ReaderGone = 141,
}

/** Milliseconds that the reader of the guest's output has for the rest of it when a run is to end. */
const PATIENCE = 1000;

/** Host milliseconds after which a slice of idle skipping comes back. */
const IDLE_SKIPS = 200;

/** Runs a guest to its end; returns the process's exit status. */
export async function run(args: readonly string[]): Promise<number> {
    const options = parseRunOptions(args);
    boundYoungGeneration();
    const serial = new SerialOutput(options.serial);
    if (options.stats !== undefined) {
        writeText('--stats', options.stats, ''); // a run of hours should not end with a file that cannot be written
    }
    const state = options.save === undefined ? undefined : new StateFile(options.save);
    let machine: Machine;
    try {
        machine = buildMachine(options, serial);
    } catch (error) {
        if (error instanceof HyperscopeError) {
            throw new UsageError(error.message);
        }
        throw error;
    }
    const endExits = options.exits === undefined ? undefined : recordExits(options.exits, machine);
    const terminal = options.serial === 'stdio' ? new Console(bytes => machine.sendSerial(0, bytes)) : undefined;
    const tiers = options.stats !== undefined && isTranslated(machine) ? new TierSampling(machine) : undefined;
    const start = performance.now();
    let status: number | undefined;
    let complete: boolean;
    try {
        status =
            options.gdb === undefined
                ? await runToEnd(machine, options, serial, terminal, state)
                : await runUnderGdb(machine, options, options.gdb, serial, terminal);
    } finally {
        terminal?.close();
        endExits?.();
        const stopped = status === undefined || status === Status.Interrupted || status === Status.Timeout;
        // A reader that is slow does not keep a run beyond its timeout.
        const left = start + (options.timeout ?? Infinity) * 1000 - performance.now();
        complete = await serial.close(stopped ? PATIENCE : Math.max(PATIENCE, left));
        if (!complete && !stopped) {
            process.stderr.write(
                `hyperscope: timeout after ${options.timeout} s: not all of the output has been read\n`,
            );
            status = Status.Timeout;
        }
    }
    serial.check();
    if (options.stats !== undefined) {
        const seconds = (performance.now() - start) / 1000;
        writeStatistics(options.stats, machine, seconds, await tiers?.end());
    }
    machine.engine.dispose?.();
    if (!complete) {
        // What the reader does not take would keep the process.
        process.exit(status);
    }
    return status;
}

function buildMachine(options: RunOptions, serial: SerialOutput): Machine {
    const startOfHostTime = process.hrtime.bigint();
    const engine = chooseEngine({
        choice: options.engine,
        cpus: options.cpus,
        vcpuThreads: options.vcpuThreads,
        translator: { translate: !options.interpret, notesTier: options.stats !== undefined },
    });
    if (engine.note !== undefined) {
        process.stderr.write(`hyperscope: ${engine.note}\n`);
    }
    // A restored guest's time goes on where it was saved.
    let timeBefore = 0;
    const machine = new Machine({
        memory: options.memory,
        cpus: options.cpus,
        engine: engine.factory,
        engineArena: engine.arenaSize,
        features: engine.features,
        firmware: options.firmware === undefined ? undefined : readImage('--firmware', options.firmware),
        kernel:
            options.kernel === undefined
                ? undefined
                : {
                      kernel: readImage('--kernel', options.kernel),
                      modules: readModules(options.initrd),
                      commandLine: options.append,
                      decompressors,
                  },
        stopOnReset: options.noReboot,
        hostTime: options.realTime ? () => timeBefore + Number(process.hrtime.bigint() - startOfHostTime) : undefined,
        epochSeconds: options.realTime ? Math.floor(Date.now() / 1000) : undefined,
        serial: [byte => serial.write(byte)],
        debugConsole: byte => serial.write(byte),
        exitClock: options.exits === undefined ? undefined : () => performance.now() * 1e6,
    });
    if (options.restore !== undefined) {
        restoreFrom(options.restore, machine);
        timeBefore = machine.clock.now();
    }
    return machine;
}

async function runToEnd(
    machine: Machine,
    options: RunOptions,
    serial: SerialOutput,
    terminal: Console | undefined,
    state: StateFile | undefined,
): Promise<number> {
    const deadline = options.timeout === undefined ? Infinity : performance.now() + options.timeout * 1000;
    let interrupted = false;
    const interrupt = (): void => {
        interrupted = true;
    };
    process.once('SIGINT', interrupt);
    process.once('SIGTERM', interrupt);
    const requestSave = (): void => state?.request();
    process.on('SIGUSR2', requestSave);
    if (terminal !== undefined) {
        terminal.onSave = requestSave;
    }
    let slice = LONGEST_SLICE;
    try {
        for (;;) {
            state?.saveIfRequested(machine);
            const started = performance.now();
            const stop = machine.run({ time: machine.clock.now() + slice, idleSkips: IDLE_SKIPS });
            slice = nextSlice(slice, performance.now() - started);
            const status = await endStatus(stop, machine, terminal, options.kernel);
            if (status !== undefined) {
                return status;
            }
            // Lets the terminal, the signals and the serial output have their turn.
            await new Promise(resolve => setImmediate(resolve));
            do {
                await serial.waitForReader();
                serial.check();
                if (serial.readerIsGone) {
                    return Status.ReaderGone;
                }
                if (interrupted || terminal?.quit) {
                    state?.save(machine);
                    return Status.Interrupted;
                }
                if (performance.now() > deadline) {
                    state?.save(machine);
                    process.stderr.write(`hyperscope: timeout after ${options.timeout} s\n`);
                    return Status.Timeout;
                }
            } while (serial.isFull);
        }
    } finally {
        process.off('SIGINT', interrupt);
        process.off('SIGTERM', interrupt);
        process.off('SIGUSR2', requestSave);
    }
}

/** Runs the guest for gdb to attach to; meanwhile the terminal, signals and the timeout end it as ever. */
async function runUnderGdb(
    machine: Machine,
    options: RunOptions,
    endpoint: Endpoint,
    serial: SerialOutput,
    terminal: Console | undefined,
): Promise<number> {
    const { kernel, firmware, wait } = options;
    const program =
        kernel !== undefined && isElf(readImage('--kernel', kernel).data)
            ? kernel
            : firmware === sampleRom()
              ? sampleElf()
              : undefined;
    const holdsBack = (): boolean => serial.isFull;
    const run = await runWithGdb(machine, { endpoint, wait, program, holdsBack }, line =>
        process.stderr.write(`hyperscope: ${line}\n`),
    );
    const deadline = options.timeout === undefined ? Infinity : performance.now() + options.timeout * 1000;
    let status: number | undefined;
    const end = (result: number): void => {
        status ??= result;
        run.stop();
    };
    const interrupt = (): void => end(Status.Interrupted);
    process.once('SIGINT', interrupt);
    process.once('SIGTERM', interrupt);
    const timer = setInterval(() => {
        if (serial.readerIsGone) end(Status.ReaderGone);
        if (serial.isLost) run.stop(); // of which the check after the run tells
        if (terminal?.quit) end(Status.Interrupted);
        if (performance.now() > deadline) {
            process.stderr.write(`hyperscope: timeout after ${options.timeout} s\n`);
            end(Status.Timeout);
        }
    }, 50);
    try {
        const ended = await run.ended;
        return status ?? statusOfEnd(ended);
    } finally {
        clearInterval(timer);
        process.off('SIGINT', interrupt);
        process.off('SIGTERM', interrupt);
        await run.close();
    }
}

/** @throws what has failed */
function statusOfEnd(end: GdbRunEnd): number {
    switch (end.reason) {
        case 'failed':
            throw end.error;
        case 'killed':
            return Status.Interrupted;
        case 'tripleFault':
            process.stderr.write(`hyperscope: ${end.note}\n`);
            return Status.TripleFault;
        case 'debugExit':
            return (end.status ?? 0) & 0xff;
        default:
            return Status.PoweredOff;
    }
}

/** The exit status that a stop means, or undefined to go on. */
async function endStatus(
    stop: MachineStop,
    machine: Machine,
    terminal: Console | undefined,
    kernel: string | undefined,
): Promise<number | undefined> {
    switch (stop.reason) {
        case 'poweredOff':
        case 'reset':
            return Status.PoweredOff;
        case 'debugExit':
            return stop.status & 0xff;
        case 'tripleFault':
            process.stderr.write(describeTripleFault(machine, stop.vcpu, stop.report, kernel));
            return Status.TripleFault;
        case 'engineFailed':
            process.stderr.write(`hyperscope: vCPU ${stop.vcpu} cannot go on: ${stop.problem}\n`);
            return Status.EngineFailed;
        case 'idle':
            await waitForInput(stop.deadline, machine, terminal);
            return undefined;
        default:
            return undefined;
    }
}

/** Nothing to do until input comes or the clock reaches the deadline. */
function waitForInput(deadline: number | undefined, machine: Machine, terminal: Console | undefined): Promise<void> {
    const wait = deadline === undefined ? 100 : Math.min(100, Math.max(0, (deadline - machine.clock.now()) / 1e6));
    return new Promise(resolve => {
        const timer = setTimeout(resolve, wait);
        terminal?.onceInput(() => {
            clearTimeout(timer);
            resolve();
        });
    });
}

/** On KVM there are no tiers. */
function isTranslated({ engine }: Machine): boolean {
    return !isSwitchable(engine) || engine.active === 'translator';
}

function writeStatistics(path: string, machine: Machine, seconds: number, tiers: TierShares | undefined): void {
    const usage = process.memoryUsage();
    const { ram } = machine.memory.layout;
    const statistics = {
        instructions: machine.engine.retired(),
        wallSeconds: seconds,
        guestSeconds: machine.clock.now() / 1e9,
        mips: machine.engine.retired() / seconds / 1e6,
        ...machine.engine.statistics(),
        timeShares: tiers,
        exits: exitCounts(machine),
        residentBytes: usage.rss,
        guestBytesInUse: bytesInUse(machine.memory.bytes.subarray(ram.base, ram.base + ram.size)),
        heapBytes: usage.heapUsed,
        stateHash: machine.stateHash(),
    };
    writeText('--stats', path, `${JSON.stringify(statistics, null, 2)}\n`);
}

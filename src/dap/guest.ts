/** A guest as a launch configuration describes it: the machine with its files, symbols and output. */
import { appendFileSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { performance } from 'node:perf_hooks';
import type { DebugProtocol } from '@vscode/debugprotocol';
import type { Endpoint } from '../common/endpoint';
import { MachineTarget } from '../debug/machine-target';
import { SharedTarget } from '../debug/shared-target';
import type { DebugTarget } from '../debug/target';
import { openProgram } from '../gdb/program';
import { GdbServer } from '../gdb/server';
import { isElf } from '../symbols/elf';
import { linuxNaming } from '../linux/naming';
import { RunningKernel } from '../linux/kernel-source';
import { MemoryKernels } from '../linux/memory-kernel';
import { ProgramKernels } from '../linux/program-kernel';
import { userCodeNaming } from '../linux/user-code';
import type { GuestNaming } from '../inspect/naming';
import type { BootModule } from '../machine/loaders/boot-context';
import type { ImageFile } from '../machine/loaders/image';
import { parseModuleList } from '../machine/loaders/multiboot';
import { Machine } from '../machine/machine';
import { chooseEngine } from '../engines/choose';
import type { BackgroundIndex } from './background-index';
import { KernelModules } from './kernel-modules';
import type { LaunchConfiguration } from './launch-configuration';
import type { GuestLinux } from './linux-context';
import { decompressors } from './decompressors';
import { ModuleFiles } from './module-files';
import { NODE_HOST } from './node-host';
import { RequestError } from './request-error';
import { SerialOutput } from './serial-output';
import { SourceMap } from './source-map';
import { type GuestModule, SymbolFiles } from './symbol-files';

/** Takes the characters of a serial port: 0 for COM1, which the debug console shares. */
export type GuestOutput = (port: number, byte: number) => void;

export interface Guest {
    readonly target: DebugTarget;
    /** The files that the guest consists of. */
    readonly modules: readonly GuestModule[];
    /** What the guest's kernel has loaded while it ran; absent where nobody looks for it. */
    readonly kernelModules?: KernelModules;
    /** Fetches sources that are not here: a program and its arguments. */
    readonly sourceCommand?: readonly string[];
    /** Symbol files that are still being read. */
    readonly indexing?: readonly BackgroundIndex[];
    /** Begins to listen for gdb: not before the guest before has let go of its port. */
    readonly listen?: () => void;
    /** Lets go of the files. */
    readonly close?: () => void;
    /** What is known of the guest's operating system: names for the views. */
    readonly naming?: GuestNaming;
    /** Linux in it, as far as it can be known. */
    readonly linux?: GuestLinux;
    /** Where this guest can do less, or more, than was promised before there was one. */
    readonly capabilities?: DebugProtocol.Capabilities;
    /** How it was made, and of what it was given, for the console. */
    readonly note?: string;
    /** Connects to the guest anew; undefined while the connection stands. */
    readonly reconnect?: () => Promise<Guest> | undefined;
    /** Moves to the translator where it first stops at a breakpoint. */
    readonly thenTranslate?: boolean;
}

/** Ends a guest that nobody wants any more, and lets go of its files. */
export async function disposeOf(guest: Guest): Promise<void> {
    await guest.target.dispose();
    guest.close?.();
}

/**
 * @throws HyperscopeError for files that cannot be read or loaded, and for a machine that cannot be built
 */
export function createGuest(configuration: LaunchConfiguration, output: GuestOutput, host = NODE_HOST): Guest {
    const { kernel, firmware, symbols: symbolFiles, realTime } = configuration;
    const kernelFile = kernel === undefined ? undefined : readFile('kernel', kernel);
    const firmwareFile = firmware === undefined ? undefined : readFile('firmware', firmware);
    const symbols = new SymbolFiles();
    if (kernel !== undefined) symbols.add('kernel', kernel);
    if (firmware !== undefined) symbols.add('firmware', firmware);
    for (const name of symbolFiles) symbols.add('symbols', name);

    const engine = chooseEngine({
        choice: configuration.engine,
        cpus: configuration.cpus,
        vcpuThreads: configuration.vcpuThreads,
        translator: { translate: !configuration.interpret },
    });
    const startOfHostTime = process.hrtime.bigint();
    const machine = new Machine({
        memory: configuration.memory,
        cpus: configuration.cpus,
        engine: engine.factory,
        engineArena: engine.arenaSize,
        features: engine.features,
        firmware: firmwareFile,
        kernel: kernelFile && {
            kernel: kernelFile,
            modules: readModules(configuration.initrd),
            commandLine: configuration.append,
            decompressors,
        },
        stopOnReset: configuration.stopOnReset,
        exitClock: () => performance.now() * 1e6,
        hostTime: realTime ? () => Number(process.hrtime.bigint() - startOfHostTime) : undefined,
        epochSeconds: realTime ? Math.floor(Date.now() / 1000) : undefined,
        serial: [serialOutput(configuration.serial, byte => output(0, byte)), byte => output(1, byte)],
        debugConsole: byte => output(0, byte),
    });
    const { table, programs, modules, directories } = symbols;
    const mapping = new SourceMap(
        configuration.sourceMap,
        modules.map(module => module.path),
    );
    const discovery = new MemoryKernels();
    const running = new RunningKernel([new ProgramKernels(programs), discovery]);
    const kernelModules = new KernelModules(symbols, new ModuleFiles(directories), running, text =>
        own.listener?.logged(text),
    );
    const own: MachineTarget = new MachineTarget(machine, table, host, {
        ...{ programs, mapping, discovery, plain: symbols.plain, loadable: kernelModules },
        userCode: userCodeNaming(running),
    });
    const shared =
        configuration.gdbServer === undefined
            ? { target: own }
            : shareWithGdb(own, configuration.gdbServer, [kernel, firmware].find(isProgram));
    return {
        ...shared,
        modules,
        kernelModules,
        sourceCommand: configuration.sourceCommand,
        indexing: symbols.indexing,
        close: () => symbols.close(),
        note: noteOf(engine.note, symbols.notes),
        thenTranslate: configuration.thenTranslate,
        naming: linuxNaming(running),
        linux: { kernel: running, toLocal: path => mapping.toLocal(path) },
    };
}

/** Lines for the console; undefined for none. */
export function noteOf(first: string | undefined, others: readonly string[]): string | undefined {
    const lines = [...(first === undefined ? [] : [first]), ...others];
    return lines.length === 0 ? undefined : lines.join('\n');
}

/** gdb has the same machine as the session, which is told where, and why not. */
function shareWithGdb(
    target: MachineTarget,
    endpoint: Endpoint,
    program: string | undefined,
): Required<Pick<Guest, 'target' | 'listen'>> {
    const shared = new SharedTarget(target);
    const say = (text: string): void => session.listener?.logged(text);
    const file = program === undefined ? undefined : openProgram(program);
    const forGdb = shared.join(async () => undefined);
    let listening: Promise<GdbServer | void> | undefined;
    const listen = (): void => {
        // A session that attaches to a guest that was left finds it listening.
        listening ??= GdbServer.listen(forGdb, endpoint, {
            program: file,
            kill: () => say('gdb has asked to end the guest: end the session to do so'),
            failed: error => target.listener?.failed(error),
        }).then(
            server => {
                forGdb.listener = {
                    stopped: stop => server.stopped(stop),
                    ended: end => server.ended(end),
                    logged: text => server.logged(text),
                    failed: () => undefined,
                };
                say(`gdb can attach: target remote ${server.address}`);
                return server;
            },
            (error: unknown) => say(error instanceof Error ? error.message : String(error)),
        );
    };
    const session = shared.join(async () => {
        await (await listening)?.close();
        file?.close();
        await target.dispose();
    });
    return { target: session, listen };
}

function isProgram(name: string | undefined): name is string {
    return name !== undefined && isElf(readFileSync(name));
}

function serialOutput(to: LaunchConfiguration['serial'], output: (byte: number) => void): (byte: number) => void {
    if (typeof to === 'string') {
        return to === 'console' ? output : () => undefined;
    }
    const { file } = to;
    try {
        writeFileSync(file, '');
    } catch (error) {
        throw new RequestError(`serial: ${file}: cannot be written (${(error as NodeJS.ErrnoException).code})`);
    }
    // Pieces, so that a chatty guest does not make a system call for every character.
    const pieces = new SerialOutput(text => appendFileSync(file, text));
    return byte => pieces.write(byte);
}

function readFile(attribute: string, name: string): ImageFile {
    try {
        return { name, data: readFileSync(name) };
    } catch (error) {
        const { code } = error as NodeJS.ErrnoException;
        const reason =
            code === 'ENOENT' ? 'no such file' : code === 'EISDIR' ? 'is a directory' : `cannot be read (${code})`;
        const from = path.isAbsolute(name) ? '' : ` (looked for in ${process.cwd()})`;
        throw new RequestError(`${attribute}: ${name}: ${reason}${from}`);
    }
}

/** The initial RAM disk, or a list of Multiboot modules with their arguments. */
function readModules(text: string | undefined): BootModule[] {
    if (text === undefined) {
        return [];
    }
    if (existsSync(text)) {
        return [{ ...readFile('initrd', text), commandLine: text }];
    }
    return parseModuleList(text).map(({ file, commandLine }) => ({ ...readFile('initrd', file), commandLine }));
}

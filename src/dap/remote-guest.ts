/** A guest in another process, behind a gdb stub. */
import type { Endpoint } from '../common/endpoint';
import { RemoteTarget } from '../gdb/client/remote-target';
import { RunningKernel } from '../linux/kernel-source';
import { linuxNaming } from '../linux/naming';
import { ProgramKernels } from '../linux/program-kernel';
import { type Guest, noteOf } from './guest';
import type { AttachConfiguration } from './launch-configuration';
import { NODE_HOST } from './node-host';
import { SourceMap } from './source-map';
import { SymbolFiles } from './symbol-files';

/**
 * Connects to a stub. The guest stands still from then on: that is what stubs do when somebody comes.
 * @throws HyperscopeError
 */
export async function connectToStub(endpoint: Endpoint, configuration: AttachConfiguration): Promise<Guest> {
    const symbols = new SymbolFiles();
    try {
        for (const name of configuration.symbols) symbols.add('symbols', name);
        const { table, programs, modules } = symbols;
        const mapping = new SourceMap(
            configuration.sourceMap,
            modules.map(module => module.path),
        );
        // What a kernel without symbol files tells of itself takes megabytes of its memory: too much for a wire.
        const running = new RunningKernel([new ProgramKernels(programs)]);
        const target = await RemoteTarget.connect(endpoint, table, NODE_HOST, { programs, mapping });
        return {
            target,
            modules,
            sourceCommand: configuration.sourceCommand,
            indexing: symbols.indexing,
            close: () => symbols.close(),
            capabilities: { supportTerminateDebuggee: true, supportSuspendDebuggee: true },
            note: noteOf(target.description, symbols.notes),
            // Names of regions would take all lists of the kernel over the wire at each look.
            naming: { addressSpaces: linuxNaming(running).addressSpaces },
            linux: { kernel: running, toLocal: path => mapping.toLocal(path) },
            reconnect: () =>
                target.lost === undefined && target.state !== 'ended'
                    ? undefined
                    : connectToStub(endpoint, configuration),
        };
    } catch (error) {
        symbols.close();
        throw error;
    }
}

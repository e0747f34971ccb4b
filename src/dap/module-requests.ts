/** The files that a guest consists of, and the modules that its kernel has loaded, as the protocol's modules. */
import path from 'node:path';
import type { DebugProtocol } from '@vscode/debugprotocol';
import type { SymbolSource } from '../symbols/symbol-table';
import type { RequestArguments } from './arguments';
import type { Guest } from './guest';
import type { LoadedModule } from './kernel-modules';
import { hex } from './presentation';
import type { RequestHandlers } from './protocol-session';
import type { SessionContext } from './session-context';
import { programProblem } from './symbol-problems';

export class ModuleRequests {
    readonly handlers: RequestHandlers = {
        modules: args => this.list(args),
    };

    /** As the client was told, by id. */
    private readonly told = new Map<DebugProtocol.Module['id'], string>();

    constructor(private readonly session: Pick<SessionContext, 'guest' | 'emitEvent'>) {}

    /** Tells of the modules of a guest that comes or goes. */
    announce(reason: 'new' | 'removed', guest: Guest): void {
        this.tell(reason === 'new' ? present(guest) : []);
    }

    /** Tells what has become of them. */
    changed(guest: Guest): void {
        this.tell(present(guest));
    }

    private tell(modules: readonly DebugProtocol.Module[]): void {
        const { session, told } = this;
        const there = new Set(modules.map(({ id }) => id));
        for (const [id, text] of [...told]) {
            if (there.has(id)) continue;
            told.delete(id);
            session.emitEvent('module', { reason: 'removed', module: JSON.parse(text) as DebugProtocol.Module });
        }
        for (const module of modules) {
            const text = JSON.stringify(module);
            const before = told.get(module.id);
            if (before === text) continue;
            told.set(module.id, text);
            session.emitEvent('module', { reason: before === undefined ? 'new' : 'changed', module });
        }
    }

    private list(args: RequestArguments): DebugProtocol.ModulesResponse['body'] {
        const { guest } = this.session;
        const all = guest === undefined ? [] : present(guest);
        const start = args.optionalInteger('startModule', 0, 0);
        const count = args.optionalInteger('moduleCount', 0, 0);
        return { modules: all.slice(start, count === 0 ? undefined : start + count), totalModules: all.length };
    }
}

function present({ modules, kernelModules }: Guest): DebugProtocol.Module[] {
    return [
        ...modules.map(({ path: file, symbols, program }, id) => ({
            id,
            name: path.basename(file),
            path: file,
            symbolStatus: [symbolStatus(symbols), programProblem(program)]
                .filter(text => text !== undefined)
                .join('; '),
        })),
        ...(kernelModules?.loaded ?? []).map(module => presentLoaded(module)),
    ];
}

function presentLoaded(module: LoadedModule): DebugProtocol.Module {
    const { name, base, size, file, program, problem, ownNames } = module;
    const own = ownNames === undefined ? 'no symbols' : `${symbolStatus(ownNames)} in the guest's memory`;
    return {
        id: `${name} at ${hex(base)}`,
        name,
        path: file,
        addressRange: `${hex(base)}-${hex(base + BigInt(size))}`,
        symbolStatus: problem === undefined ? symbolStatus(program?.symbols) : `${own}; ${problem}`,
        symbolFilePath: program?.info.elf.name,
    };
}

function symbolStatus(source: SymbolSource | undefined): string {
    const symbols = source?.size ?? 0;
    return symbols > 0 ? `${symbols} symbols` : 'no symbols';
}

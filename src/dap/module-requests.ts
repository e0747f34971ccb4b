/** The files that a guest consists of, as the protocol's modules. */
import path from 'node:path';
import type { DebugProtocol } from '@vscode/debugprotocol';
import type { RequestArguments } from './arguments';
import type { Guest } from './guest';
import type { RequestHandlers } from './protocol-session';
import type { SessionContext } from './session-context';

export class ModuleRequests {
    readonly handlers: RequestHandlers = {
        modules: args => this.list(args),
    };

    constructor(private readonly session: Pick<SessionContext, 'guest' | 'emitEvent'>) {}

    /** Tells of the modules of a guest that comes or goes. */
    announce(reason: 'new' | 'removed', guest: Guest): void {
        for (const module of present(guest)) {
            this.session.emitEvent('module', { reason, module });
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

function present({ modules }: Guest): DebugProtocol.Module[] {
    return modules.map(({ path: file, symbols: source }, id) => {
        const symbols = source?.size ?? 0;
        return {
            id,
            name: path.basename(file),
            path: file,
            symbolStatus: symbols > 0 ? `${symbols} symbols` : 'no symbols',
        };
    });
}

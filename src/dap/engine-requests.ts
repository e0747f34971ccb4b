/** Requests about the engine that executes the guest, and the launch attribute that changes it. */
import { HyperscopeError } from '../common/errors';
import type { EngineName, EngineOption } from '../debug/target';
import type { DebugTarget, Stop } from '../debug/target';
import type { EngineBody, EngineEvent, SwitchEngineBody } from '../messages/engine';
import type { RequestArguments } from './arguments';
import { choice } from './inspection-context';
import type { RequestHandlers } from './protocol-session';
import { RequestError } from './request-error';
import type { SessionContext } from './session-context';

const NAMES: readonly EngineName[] = ['translator', 'kvm'];
const LABELS: Readonly<Record<EngineName, string>> = { translator: 'Translator', kvm: 'KVM' };

export class EngineRequests {
    readonly handlers: RequestHandlers = {
        'hyperscope/engine': () => this.describe(),
        'hyperscope/switchEngine': args => this.switch(args),
    };

    constructor(private readonly session: SessionContext) {}

    /**
     * Moves a guest that has stopped at its first breakpoint to the translator, if it was launched to be; to be called
     * before the stop is told to anybody.
     */
    async stopped(target: DebugTarget, stop: Stop): Promise<void> {
        if (this.session.guest?.thenTranslate !== true || stop.reason !== 'breakpoint') {
            return;
        }
        if (active(await target.engines?.()) !== 'kvm') {
            return;
        }
        try {
            await target.switchEngine?.('translator');
            this.announce('translator', 'the guest has reached its first breakpoint');
        } catch (error) {
            if (!(error instanceof HyperscopeError)) throw error;
            this.session.console(`the guest stays on KVM: ${error.message}\n`, 'important');
        }
    }

    private async describe(): Promise<EngineBody> {
        const { target } = this.session;
        const engines = (await target.engines?.()) ?? [];
        return {
            engine: active(engines),
            engines: engines.map(engine => ({ ...engine, label: LABELS[engine.name] })),
            statistics: await target.engineStatistics?.(),
        };
    }

    private async switch(args: RequestArguments): Promise<SwitchEngineBody> {
        const { target } = this.session;
        const engine = choice(args, 'engine', NAMES);
        if (engine === undefined) {
            throw new RequestError("engine: is missing; give 'translator' or 'kvm'");
        }
        if (target.switchEngine === undefined) {
            throw new RequestError('the engine of this guest cannot be changed: it runs elsewhere');
        }
        const note = await target.switchEngine(engine);
        this.announce(engine);
        if (note !== undefined) {
            this.session.console(`${note}\n`);
        }
        if (args.flag('resume')) {
            await target.resume();
            this.session.resumed();
        }
        return { engine, note };
    }

    private announce(engine: EngineName, reason?: string): void {
        const event: EngineEvent = { engine, reason };
        this.session.emitEvent('hyperscope/engine', event);
        if (reason !== undefined) {
            this.session.console(`${reason}: it goes on on the ${LABELS[engine].toLowerCase()}\n`);
        }
    }
}

function active(engines: readonly EngineOption[] | undefined): EngineName | undefined {
    return engines?.find(engine => engine.active)?.name;
}

/** Requests that make the guest run, and end where it stops. */
import type { DebugProtocol } from '@vscode/debugprotocol';
import { pattern } from '../debug/expression/value';
import type { StepKind } from '../debug/target';
import type { RequestArguments } from './arguments';
import { hex } from './presentation';
import type { RequestHandlers } from './protocol-session';
import { RequestError } from './request-error';
import type { SessionContext } from './session-context';
import type { SourceRequests } from './source-requests';
import { whatIsKnown } from './what-is-known';

const MOST_GOTO_TARGETS = 256;

export class ExecutionRequests {
    readonly handlers: RequestHandlers = {
        threads: () => this.threads(),
        continue: () => this.continue(),
        pause: args => this.session.target.pause(this.session.vcpu(args)),
        next: args => this.step(args, 'over'),
        stepIn: args => this.step(args, 'into'),
        stepOut: args => this.step(args, 'out'),
        gotoTargets: args => this.gotoTargets(args),
        goto: args => this.goto(args),
    };

    /** Addresses by the ids that were given out, but for those that were forgotten. */
    private readonly gotoAddresses: bigint[] = [];
    private gotoForgotten = 0;

    constructor(
        private readonly session: SessionContext,
        private readonly sources: SourceRequests,
    ) {}

    private async threads(): Promise<DebugProtocol.ThreadsResponse['body']> {
        const target = this.session.guest?.target;
        const threads: DebugProtocol.Thread[] = [];
        for (let vcpu = 0; vcpu < (target?.vcpus ?? 0); vcpu++) {
            // Clients cannot show a stop without its thread, whatever has become of that.
            const halted = await whatIsKnown(() => target!.isHalted(vcpu), false);
            threads.push({ id: vcpu + 1, name: `vCPU ${vcpu}${halted ? ' (halted)' : ''}` });
        }
        return { threads };
    }

    private async continue(): Promise<DebugProtocol.ContinueResponse['body']> {
        await this.session.target.resume();
        this.session.resumed();
        return { allThreadsContinued: true };
    }

    private async step(args: RequestArguments, kind: StepKind): Promise<void> {
        const byInstruction = args.optionalString('granularity') === 'instruction';
        await this.session.target.step(this.session.vcpu(args), kind, {
            granularity: byInstruction ? 'instruction' : 'line',
            intoInterrupts: this.session.stepsIntoInterrupts,
        });
        this.session.resumed();
    }

    /** Of a line in a listing or source file; or the source's name is an expression that gives an address. */
    private async gotoTargets(args: RequestArguments): Promise<DebugProtocol.GotoTargetsResponse['body']> {
        const { target, focus } = this.session;
        const source = args.object('source');
        const line = args.integer('line');
        if (!source.has('path') && !source.has('sourceReference') && source.has('name')) {
            const { value } = await target.evaluate(focus, source.string('name'), false);
            return { targets: [this.gotoTarget(pattern(value), line)] };
        }
        const place = await (await this.sources.named(args)).locate(target, this.sources.ownLine(line));
        if (typeof place === 'string') {
            throw new RequestError(place);
        }
        const found = this.sources.clientLine(place.line);
        return { targets: place.addresses.slice(0, MOST_GOTO_TARGETS).map(address => this.gotoTarget(address, found)) };
    }

    private gotoTarget(address: bigint, line: number): DebugProtocol.GotoTarget {
        if (this.gotoAddresses.length >= MOST_GOTO_TARGETS) {
            // Clients choose among the targets that they were given last.
            this.gotoAddresses.shift();
            this.gotoForgotten++;
        }
        const id = this.gotoForgotten + this.gotoAddresses.push(address);
        return { id, label: hex(address), line, instructionPointerReference: hex(address) };
    }

    private async goto(args: RequestArguments): Promise<void> {
        const vcpu = this.session.vcpu(args);
        const address = this.gotoAddresses[args.integer('targetId', 1) - 1 - this.gotoForgotten] as bigint | undefined;
        if (address === undefined) {
            throw new RequestError('targetId was never given out');
        }
        await this.session.target.setProgramCounter(vcpu, address);
        this.session.stopSoon({ reason: 'goto', vcpu });
    }
}

/** Requests that make the guest run, and end where it stops. */
import type { DebugProtocol } from '@vscode/debugprotocol';
import { pattern } from '../debug/expression/value';
import type { StepKind } from '../debug/target';
import type { RequestArguments } from './arguments';
import { hex } from './presentation';
import type { RequestHandlers } from './protocol-session';
import { RequestError } from './request-error';
import type { SessionContext } from './session-context';

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

    private readonly gotoAddresses: bigint[] = [];

    constructor(private readonly session: SessionContext) {}

    private async threads(): Promise<DebugProtocol.ThreadsResponse['body']> {
        const target = this.session.guest?.target;
        const threads: DebugProtocol.Thread[] = [];
        for (let vcpu = 0; vcpu < (target?.vcpus ?? 0); vcpu++) {
            const halted = await target!.isHalted(vcpu);
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
        await this.session.target.step(this.session.vcpu(args), kind);
        this.session.resumed();
    }

    /** Until there are sources: the place is an address, or an expression that gives one, as the source's name. */
    private async gotoTargets(args: RequestArguments): Promise<DebugProtocol.GotoTargetsResponse['body']> {
        const source = args.object('source').string('name');
        const { value } = await this.session.target.evaluate(this.session.focus, source, false);
        const address = pattern(value);
        const id = this.gotoAddresses.push(address);
        return { targets: [{ id, label: hex(address), line: 0, instructionPointerReference: hex(address) }] };
    }

    private async goto(args: RequestArguments): Promise<void> {
        const vcpu = this.session.vcpu(args);
        const address = this.gotoAddresses.at(args.integer('targetId', 1) - 1);
        if (address === undefined) {
            throw new RequestError('targetId was never given out');
        }
        await this.session.target.setProgramCounter(vcpu, address);
        this.session.stopSoon({ reason: 'goto', vcpu });
    }
}

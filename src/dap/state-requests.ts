/** Requests about the state of a stopped vCPU: its frames, variables, and what stopped it. */
import type { DebugProtocol } from '@vscode/debugprotocol';
import type { RequestArguments } from './arguments';
import { numberOf } from './expression-requests';
import { hex } from './presentation';
import type { RequestHandlers } from './protocol-session';
import { RequestError } from './request-error';
import { FRAMES_PER_VCPU, type SessionContext } from './session-context';
import { VariableStore } from './variable-store';

export class StateRequests {
    readonly handlers: RequestHandlers = {
        stackTrace: args => this.stackTrace(args),
        scopes: args => this.scopes(args),
        variables: args => this.variables(args),
        setVariable: args => this.setVariable(args),
        exceptionInfo: args => this.exceptionInfo(args),
    };

    private readonly store = new VariableStore();

    constructor(private readonly session: SessionContext) {}

    /** Values may have changed. */
    invalidate(): void {
        this.store.invalidate();
    }

    private async stackTrace(args: RequestArguments): Promise<DebugProtocol.StackTraceResponse['body']> {
        const { target } = this.session;
        const vcpu = this.session.vcpu(args);
        if (target.state === 'running') {
            throw new RequestError('the guest is running');
        }
        const frames = await target.stack(vcpu);
        const first = args.optionalInteger('startFrame', 0, 0);
        const levels = args.optionalInteger('levels', 0, 0);
        const stackFrames = frames.map(({ pc, symbol }, depth): DebugProtocol.StackFrame => ({
            id: vcpu * FRAMES_PER_VCPU + depth + 1,
            name: symbol ?? hex(pc),
            line: 0,
            column: 0,
            instructionPointerReference: hex(pc),
        }));
        return {
            stackFrames: stackFrames.slice(first, levels === 0 ? undefined : first + levels),
            totalFrames: frames.length,
        };
    }

    private async scopes(args: RequestArguments): Promise<DebugProtocol.ScopesResponse['body']> {
        const { vcpu, depth } = this.session.frame(args);
        return { scopes: await this.store.scopes(this.session.target, vcpu, depth) };
    }

    private async variables(args: RequestArguments): Promise<DebugProtocol.VariablesResponse['body']> {
        const all = await this.store.variables(this.session.target, args.integer('variablesReference', 1));
        const start = args.optionalInteger('start', 0, 0);
        const count = args.optionalInteger('count', 0, 0);
        return { variables: all.slice(start, count === 0 ? undefined : start + count) };
    }

    private async setVariable(args: RequestArguments): Promise<DebugProtocol.SetVariableResponse['body']> {
        const { target } = this.session;
        const reference = args.integer('variablesReference', 1);
        const { vcpu, name } = await this.store.register(target, reference, args.string('name'));
        const value = await numberOf(target, vcpu, args.string('value'));
        const register = await target.writeRegister(vcpu, name, value);
        this.session.guestChanged();
        return { value: register.text, variablesReference: 0 };
    }

    private exceptionInfo(args: RequestArguments): DebugProtocol.ExceptionInfoResponse['body'] {
        this.session.vcpu(args);
        const { lastStop } = this.session;
        if (lastStop?.reason !== 'exception') {
            throw new RequestError('the guest has not stopped on an exception');
        }
        return {
            exceptionId: lastStop.fault?.name ?? 'triple fault',
            description: lastStop.fault?.text ?? lastStop.note,
            breakMode: 'always',
        };
    }
}

/** Requests about the state of a stopped vCPU: its frames, variables, and what stopped it. */
import type { DebugProtocol } from '@vscode/debugprotocol';
import type { RequestArguments } from './arguments';
import { assigned, baseOf, numberOf } from './expression-requests';
import { memoryWritten } from './inspection-context';
import { hex } from './presentation';
import type { RequestHandlers } from './protocol-session';
import { RequestError } from './request-error';
import { FRAMES_PER_VCPU, type SessionContext } from './session-context';
import type { SourceRequests } from './source-requests';
import { VariableStore } from './variable-store';

export class StateRequests {
    readonly handlers: RequestHandlers = {
        stackTrace: args => this.stackTrace(args),
        scopes: args => this.scopes(args),
        variables: args => this.variables(args),
        setVariable: args => this.setVariable(args),
        exceptionInfo: args => this.exceptionInfo(args),
    };

    readonly store = new VariableStore();

    constructor(
        private readonly session: SessionContext,
        private readonly sources: SourceRequests,
    ) {}

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
        const stackFrames: DebugProtocol.StackFrame[] = [];
        const end = levels === 0 ? frames.length : Math.min(frames.length, first + levels);
        for (let depth = first; depth < end; depth++) {
            const frame = frames[depth];
            stackFrames.push({
                id: vcpu * FRAMES_PER_VCPU + depth + 1,
                ...(await this.sources.placeOf(target, vcpu, frame)),
                instructionPointerReference: hex(frame.pc),
                // Return addresses that were found by looking through the stack may be left over.
                presentationHint: frame.guessed === true ? 'subtle' : undefined,
            });
        }
        return { stackFrames, totalFrames: frames.length };
    }

    private async scopes(args: RequestArguments): Promise<DebugProtocol.ScopesResponse['body']> {
        const { vcpu, depth } = this.session.frame(args);
        return { scopes: await this.store.scopes(this.session.target, vcpu, depth) };
    }

    private async variables(args: RequestArguments): Promise<DebugProtocol.VariablesResponse['body']> {
        const reference = args.integer('variablesReference', 1);
        const paging = {
            filter: args.optionalString('filter'),
            start: args.optionalInteger('start', 0, 0),
            count: args.optionalInteger('count', 0, 0),
        };
        const base = baseOf(args, this.session);
        return { variables: await this.store.variables(this.session.target, reference, paging, base) };
    }

    private async setVariable(args: RequestArguments): Promise<DebugProtocol.SetVariableResponse['body']> {
        const { target } = this.session;
        const reference = args.integer('variablesReference', 1);
        const variable = await this.store.expressionFor(target, reference, args.string('name'));
        if (variable !== undefined) {
            const { vcpu, depth } = variable.place;
            const text = `${variable.expression} = ${args.string('value')}`;
            const changed = await target.evaluate(vcpu, text, true, depth);
            const { view, value } = changed;
            assigned(this.session, changed);
            return { value: view?.value ?? hex(value.bits), type: view?.type, variablesReference: 0 };
        }
        const value = await numberOf(target, this.store.vcpuOf(reference), args.string('value'));
        const base = baseOf(args, this.session);
        const { body, memory } = await this.store.assign(target, reference, args.string('name'), value, base);
        if (memory === undefined) {
            this.session.guestChanged();
        } else {
            memoryWritten(this.session, memory.memoryReference, 0, memory.count);
        }
        return body;
    }

    private exceptionInfo(args: RequestArguments): DebugProtocol.ExceptionInfoResponse['body'] {
        this.session.vcpu(args);
        const { lastStop, target } = this.session;
        if (target.state === 'running') {
            throw new RequestError('the guest is running');
        }
        if (lastStop?.reason !== 'exception' && lastStop?.reason !== 'event') {
            throw new RequestError('the guest has not stopped on an exception or another machine event');
        }
        const { event, note } = lastStop;
        return {
            exceptionId: event?.title ?? lastStop.title ?? 'triple fault',
            description: note ?? event?.text,
            breakMode: 'always',
            details:
                event === undefined
                    ? lastStop.details === undefined
                        ? undefined
                        : { message: lastStop.details }
                    : { typeName: event.kind, message: `${event.text}\nThe vCPU is ${event.when}.` },
        };
    }
}

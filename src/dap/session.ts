/** A debug session: the requests of the Debug Adapter Protocol on one guest. */
import path from 'node:path';
import type { DebugProtocol } from '@vscode/debugprotocol';
import { Expression } from '../debug/expression/evaluator';
import { pattern } from '../debug/expression/value';
import type { DebugTarget, End, StepKind, Stop, TargetListener } from '../debug/target';
import type { RequestArguments } from './arguments';
import { BreakpointStore } from './breakpoint-store';
import { CAPABILITIES } from './capabilities';
import { type ChosenFilter, readFilters } from './exception-filters';
import { createGuest, type Guest } from './guest';
import { complete, disassemble, readMemory, shortened, translateAddress, writeMemory } from './inspection-requests';
import { type LaunchConfiguration, readLaunchConfiguration } from './launch-configuration';
import { hex, presentResult, presentStop } from './presentation';
import { ProtocolSession, type RequestHandler } from './protocol-session';
import { RequestError } from './request-error';
import { SerialOutput } from './serial-output';
import { VariableStore } from './variable-store';

/** Frame ids hold the vCPU and the depth. */
const FRAMES_PER_VCPU = 0x1000;

const NO_GUEST = 'there is no guest: launch one first';

export class HyperscopeSession extends ProtocolSession implements TargetListener {
    protected readonly handlers: Readonly<Record<string, RequestHandler>> = {
        initialize: args => this.initialize(args),
        launch: args => this.launch(args),
        configurationDone: () => this.configurationDone(),
        restart: args => this.restart(args),
        terminate: () => this.terminate(),
        disconnect: () => this.disconnect(),

        threads: () => this.threads(),
        continue: () => this.continue(),
        pause: args => this.target.pause(this.vcpu(args)),
        next: args => this.step(args, 'over'),
        stepIn: args => this.step(args, 'into'),
        stepOut: args => this.step(args, 'out'),
        gotoTargets: args => this.gotoTargets(args),
        goto: args => this.goto(args),

        setBreakpoints: args => refuseSourceBreakpoints(args),
        setInstructionBreakpoints: args => this.setInstructionBreakpoints(args),
        setFunctionBreakpoints: args => this.setFunctionBreakpoints(args),
        setExceptionBreakpoints: args => this.setExceptionBreakpoints(args),

        stackTrace: args => this.stackTrace(args),
        scopes: args => this.scopes(args),
        variables: args => this.variables(args),
        setVariable: args => this.setVariable(args),
        evaluate: args => this.evaluate(args),
        setExpression: args => this.setExpression(args),
        completions: args => complete(this.target, args),
        exceptionInfo: args => this.exceptionInfo(args),
        modules: args => this.modules(args),
        readMemory: args => readMemory(this.target, this.focus, args),
        writeMemory: args => this.writeMemory(args),
        disassemble: args => disassemble(this.target, this.focus, args),
        'hyperscope/translateAddress': args => translateAddress(this.target, this.focus, args),
        'hyperscope/sendSerial': args => this.sendSerial(args),
    };

    private guest: Guest | undefined;
    private configuration: LaunchConfiguration | undefined;
    private configured = false;
    private started = false;
    /** vCPU that requests without a thread are about: the last one that stopped. */
    private focus = 0;
    private lastStop: Stop | undefined;
    private client = { isVsCode: false, invalidated: false, memory: false };
    private readonly breakpoints = new BreakpointStore();
    private readonly variableStore = new VariableStore();
    private readonly gotoAddresses: bigint[] = [];
    private chosenFilters: readonly ChosenFilter[] = [{ filter: 'tripleFault' }];
    private serial = new SerialOutput(text => this.console(text, 'stdout'));

    /** @param closed called once the client has gone */
    constructor(private readonly closed: () => void) {
        super();
    }

    override shutdown(): void {
        void this.disposeGuest().then(() => this.closed());
    }

    private get target(): DebugTarget {
        if (this.guest === undefined) {
            throw new RequestError(NO_GUEST);
        }
        return this.guest.target;
    }

    // ---- life ----------------------------------------------------------------------------------------------------

    private initialize(args: RequestArguments): DebugProtocol.Capabilities {
        this.client = {
            isVsCode: args.optionalString('clientID')?.startsWith('vscode') === true,
            invalidated: args.flag('supportsInvalidatedEvent'),
            memory: args.flag('supportsMemoryEvent'),
        };
        return CAPABILITIES;
    }

    private async launch(args: RequestArguments): Promise<void> {
        if (this.guest !== undefined) {
            throw new RequestError('this session has launched its guest already: use restart');
        }
        const configuration = readLaunchConfiguration(args.raw);
        await this.adopt(
            createGuest(configuration, byte => this.serial.write(byte)),
            configuration,
        );
    }

    protected override afterResponse(command: string): void {
        switch (command) {
            case 'launch':
                // Not earlier: breakpoints by name need the symbols.
                if (this.guest !== undefined && !this.configured) {
                    this.emitEvent('initialized');
                }
                break;
            case 'disconnect':
                this.shutdown();
        }
    }

    private async adopt(guest: Guest, configuration: LaunchConfiguration): Promise<void> {
        await this.disposeGuest();
        this.guest = guest;
        this.configuration = configuration;
        this.started = false;
        this.focus = 0;
        this.variableStore.invalidate();
        guest.target.listener = this;
        for (const name of configuration.unknown) {
            this.console(`launch attribute '${name}' is not known and has no effect\n`, 'important');
        }
        await this.breakpoints.apply(guest.target);
        await guest.target.setFaultFilter(readFilters(this.chosenFilters).filter);
        if (this.configured) {
            await this.begin();
        }
    }

    private async configurationDone(): Promise<void> {
        this.configured = true;
        if (this.guest !== undefined && !this.started) {
            await this.begin();
        }
    }

    private async begin(): Promise<void> {
        this.started = true;
        if (this.configuration?.stopOnEntry === true) {
            this.stopSoon({ reason: 'entry', vcpu: 0 });
        } else {
            await this.resume();
        }
    }

    private async restart(args: RequestArguments): Promise<void> {
        if (this.configuration === undefined) {
            throw new RequestError(NO_GUEST);
        }
        const configuration = args.has('arguments')
            ? readLaunchConfiguration(args.object('arguments').raw)
            : this.configuration;
        // The old guest goes only once the new one exists.
        await this.adopt(
            createGuest(configuration, byte => this.serial.write(byte)),
            configuration,
        );
    }

    private async terminate(): Promise<void> {
        await this.disposeGuest();
        this.emitEvent('terminated');
    }

    private async disconnect(): Promise<void> {
        await this.disposeGuest();
    }

    private async disposeGuest(): Promise<void> {
        const { guest } = this;
        this.guest = undefined;
        if (guest !== undefined) {
            guest.target.listener = undefined;
            await guest.target.dispose();
        }
        this.serial.flush();
    }

    /** Reports a stop that the session itself is the reason of, after the response to the request. */
    private stopSoon(stop: Stop): void {
        const { guest } = this;
        setImmediate(() => {
            if (guest === this.guest) {
                this.stopped(stop);
            }
        });
    }

    // ---- what the target says ------------------------------------------------------------------------------------

    stopped(stop: Stop): void {
        this.serial.flush();
        this.focus = stop.vcpu;
        this.lastStop = stop;
        this.variableStore.invalidate();
        this.emitEvent('stopped', presentStop(stop, stop.vcpu + 1, this.client.isVsCode));
    }

    ended({ reason, status, note }: End): void {
        this.serial.flush();
        this.console(`${note}\n`);
        if (reason === 'poweredOff' || reason === 'debugExit') {
            this.emitEvent('exited', { exitCode: status ?? 0 });
        }
        this.emitEvent('terminated');
    }

    logged(text: string): void {
        this.console(`${text}\n`);
    }

    failed(error: unknown): void {
        const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
        this.console(`Hyperscope itself has failed; this is a defect:\n${text}\n`, 'stderr');
        this.emitEvent('terminated');
    }

    // ---- execution -----------------------------------------------------------------------------------------------

    private async threads(): Promise<DebugProtocol.ThreadsResponse['body']> {
        const target = this.guest?.target;
        const threads: DebugProtocol.Thread[] = [];
        for (let vcpu = 0; vcpu < (target?.vcpus ?? 0); vcpu++) {
            const halted = await target!.isHalted(vcpu);
            threads.push({ id: vcpu + 1, name: `vCPU ${vcpu}${halted ? ' (halted)' : ''}` });
        }
        return { threads };
    }

    private async continue(): Promise<DebugProtocol.ContinueResponse['body']> {
        await this.resume();
        return { allThreadsContinued: true };
    }

    private async resume(): Promise<void> {
        await this.target.resume();
        this.variableStore.invalidate();
    }

    private async step(args: RequestArguments, kind: StepKind): Promise<void> {
        await this.target.step(this.vcpu(args), kind);
        this.variableStore.invalidate();
    }

    /** Until there are sources: the place is an address, or an expression that gives one, as the source's name. */
    private async gotoTargets(args: RequestArguments): Promise<DebugProtocol.GotoTargetsResponse['body']> {
        const source = args.object('source').string('name');
        const { value } = await this.target.evaluate(this.focus, source, false);
        const address = pattern(value);
        const id = this.gotoAddresses.push(address);
        return { targets: [{ id, label: hex(address), line: 0, instructionPointerReference: hex(address) }] };
    }

    private async goto(args: RequestArguments): Promise<void> {
        const vcpu = this.vcpu(args);
        const address = this.gotoAddresses.at(args.integer('targetId', 1) - 1);
        if (address === undefined) {
            throw new RequestError('targetId was never given out');
        }
        await this.target.setProgramCounter(vcpu, address);
        this.stopSoon({ reason: 'goto', vcpu });
    }

    private vcpu(args: RequestArguments): number {
        return args.integer('threadId', 1, this.target.vcpus) - 1;
    }

    // ---- breakpoints ---------------------------------------------------------------------------------------------

    private async setInstructionBreakpoints(args: RequestArguments): Promise<object> {
        this.breakpoints.setInstructionBreakpoints(args.list('breakpoints'));
        return { breakpoints: await this.breakpoints.apply(this.guest?.target, 'instruction') };
    }

    private async setFunctionBreakpoints(args: RequestArguments): Promise<object> {
        this.breakpoints.setFunctionBreakpoints(args.list('breakpoints'));
        return { breakpoints: await this.breakpoints.apply(this.guest?.target, 'function') };
    }

    private async setExceptionBreakpoints(args: RequestArguments): Promise<object> {
        const chosen: ChosenFilter[] = [
            ...args.strings('filters').map(filter => ({ filter })),
            ...args.list('filterOptions').map(option => ({
                filter: option.string('filterId'),
                condition: option.optionalString('condition'),
            })),
        ];
        const { filter, problems } = readFilters(chosen);
        this.chosenFilters = chosen;
        await this.guest?.target.setFaultFilter(filter);
        return { breakpoints: problems.map(message => ({ verified: message === undefined, message })) };
    }

    // ---- inspection ----------------------------------------------------------------------------------------------

    private async stackTrace(args: RequestArguments): Promise<DebugProtocol.StackTraceResponse['body']> {
        const { target } = this;
        const vcpu = this.vcpu(args);
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

    private frame(args: RequestArguments): { vcpu: number; depth: number } {
        if (!args.has('frameId')) {
            return { vcpu: this.focus, depth: 0 };
        }
        const id = args.integer('frameId', 1, this.target.vcpus * FRAMES_PER_VCPU) - 1;
        return { vcpu: Math.floor(id / FRAMES_PER_VCPU), depth: id % FRAMES_PER_VCPU };
    }

    private async scopes(args: RequestArguments): Promise<DebugProtocol.ScopesResponse['body']> {
        const { vcpu, depth } = this.frame(args);
        return { scopes: await this.variableStore.scopes(this.target, vcpu, depth) };
    }

    private async variables(args: RequestArguments): Promise<DebugProtocol.VariablesResponse['body']> {
        const all = await this.variableStore.variables(this.target, args.integer('variablesReference', 1));
        const start = args.optionalInteger('start', 0, 0);
        const count = args.optionalInteger('count', 0, 0);
        return { variables: all.slice(start, count === 0 ? undefined : start + count) };
    }

    private async setVariable(args: RequestArguments): Promise<DebugProtocol.SetVariableResponse['body']> {
        const { target } = this;
        const reference = args.integer('variablesReference', 1);
        const { vcpu, name } = await this.variableStore.register(target, reference, args.string('name'));
        const value = await this.numberOf(vcpu, args.string('value'));
        const register = await target.writeRegister(vcpu, name, value);
        this.guestChanged();
        return { value: register.text, variablesReference: 0 };
    }

    /** A number as the user typed it: an expression, or more digits than expressions have. */
    private async numberOf(vcpu: number, text: string): Promise<bigint> {
        if (/^\s*0x[0-9a-f]{17,32}\s*$/i.test(text)) {
            return BigInt(text.trim());
        }
        return pattern((await this.target.evaluate(vcpu, text, false)).value);
    }

    private async evaluate(args: RequestArguments): Promise<DebugProtocol.EvaluateResponse['body']> {
        const context = args.optionalString('context');
        try {
            const text = args.string('expression');
            const assigns = context === 'repl' && new Expression(text).assigns;
            const result = await this.target.evaluate(this.frame(args).vcpu, text, assigns);
            if (assigns) {
                this.guestChanged();
            }
            return presentResult(result);
        } catch (error) {
            throw shortened(error, context);
        }
    }

    private async setExpression(args: RequestArguments): Promise<DebugProtocol.SetExpressionResponse['body']> {
        const text = `${args.string('expression')} = ${args.string('value')}`;
        const { vcpu } = this.frame(args);
        const { result, ...rest } = presentResult(await this.target.evaluate(vcpu, text, true));
        this.guestChanged();
        return { value: result, ...rest };
    }

    private async writeMemory(args: RequestArguments): Promise<object> {
        const body = await writeMemory(this.target, this.focus, args);
        if (this.client.memory) {
            const { memoryReference } = args.raw;
            this.emitEvent('memory', { memoryReference, offset: 0, count: body?.bytesWritten ?? 0 });
        }
        return body ?? {};
    }

    /** Something was changed by hand: what the client shows may depend on it. */
    private guestChanged(): void {
        this.variableStore.invalidate();
        if (this.client.invalidated) {
            setImmediate(() => this.emitEvent('invalidated', { areas: ['variables', 'stacks'] }));
        }
    }

    private exceptionInfo(args: RequestArguments): DebugProtocol.ExceptionInfoResponse['body'] {
        this.vcpu(args);
        const { lastStop } = this;
        if (lastStop?.reason !== 'exception') {
            throw new RequestError('the guest has not stopped on an exception');
        }
        return {
            exceptionId: lastStop.fault?.name ?? 'triple fault',
            description: lastStop.fault?.text ?? lastStop.note,
            breakMode: 'always',
        };
    }

    private modules(args: RequestArguments): DebugProtocol.ModulesResponse['body'] {
        const all = (this.guest?.modules ?? []).map(({ path: file, symbols }, id) => ({
            id,
            name: path.basename(file),
            path: file,
            symbolStatus: symbols > 0 ? `${symbols} symbols` : 'no symbols',
        }));
        const start = args.optionalInteger('startModule', 0, 0);
        const count = args.optionalInteger('moduleCount', 0, 0);
        return { modules: all.slice(start, count === 0 ? undefined : start + count), totalModules: all.length };
    }

    private async sendSerial(args: RequestArguments): Promise<void> {
        const bytes = new TextEncoder().encode(args.string('text'));
        await this.target.sendSerial(args.optionalInteger('port', 0, 0), bytes);
    }
}

/** Clients send the breakpoints of all sources to every session. */
function refuseSourceBreakpoints(args: RequestArguments): DebugProtocol.SetBreakpointsResponse['body'] {
    const message = 'source breakpoints need debug information: set function or instruction breakpoints';
    return { breakpoints: args.list('breakpoints').map(() => ({ verified: false, message, reason: 'failed' })) };
}

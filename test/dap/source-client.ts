/** A client that debugs programs with sources. */
import type { DebugProtocol } from '@vscode/debugprotocol';
import { TestClient } from './client';

export class SourceClient extends TestClient {
    async frames(): Promise<DebugProtocol.StackFrame[]> {
        return (await this.ask<DebugProtocol.StackTraceResponse['body']>('stackTrace', { threadId: 1 })).stackFrames;
    }

    /** `function:line` of the frames, innermost first. */
    async places(): Promise<string[]> {
        return (await this.frames()).map(({ name, line }) => `${name}:${line}`);
    }

    async variables(scope: string, depth = 0): Promise<Map<string, DebugProtocol.Variable>> {
        const { id } = (await this.frames())[depth];
        const { scopes } = await this.ask<DebugProtocol.ScopesResponse['body']>('scopes', { frameId: id });
        const found = scopes.find(({ name }) => name === scope);
        return found === undefined ? new Map() : this.unfold(found.variablesReference);
    }

    async unfold(variablesReference: number): Promise<Map<string, DebugProtocol.Variable>> {
        const { variables } = await this.ask<DebugProtocol.VariablesResponse['body']>('variables', {
            variablesReference,
        });
        return new Map(variables.map(variable => [variable.name, variable]));
    }

    async evaluate(expression: string, depth = 0): Promise<string> {
        const { id } = (await this.frames())[depth];
        return (await this.ask<{ result: string }>('evaluate', { expression, frameId: id, context: 'watch' })).result;
    }

    /** Breakpoints in a file, in the place of those that it had. */
    async breakAtLines(file: string, ...lines: readonly number[]): Promise<DebugProtocol.Breakpoint[]> {
        const { breakpoints } = await this.ask<DebugProtocol.SetBreakpointsResponse['body']>('setBreakpoints', {
            source: { path: file },
            breakpoints: lines.map(line => ({ line })),
        });
        return breakpoints;
    }
}

/** A session on the sample guest, written down in terms that are the same on every engine. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import type { DebugProtocol } from '@vscode/debugprotocol';
import type { PageWalkBody } from '../../src/messages/page-tables';
import type { TestEngine } from '../support/engines';
import { sampleElf, sampleFolder, sampleRom, type SampleStart } from '../support/sample';
import { TestClient } from './client';
import type { GoldenLog } from './golden-log';

type Arguments = Readonly<Record<string, unknown>>;

/** User mode without SYSCALL: not every hypervisor that emulates its guests knows it. */
const WITHOUT_SYSCALL = 'nosyscall';

export class SampleSession {
    readonly client = new TestClient();

    constructor(
        private readonly engine: TestEngine,
        private readonly log: GoldenLog,
    ) {}

    /** Launches the guest, which then waits for breakpoints. */
    launch(start: SampleStart, attributes: Arguments = {}): Promise<void> {
        const guest =
            start === 'reset'
                ? { firmware: sampleRom, symbols: sampleElf }
                : { kernel: sampleElf, append: WITHOUT_SYSCALL };
        return this.client.launch({ ...guest, memory: '64M', engine: this.engine.name, ...attributes });
    }

    /** Does something that ends in a stop, and writes down where. */
    async run(command: string, args: Arguments = {}): Promise<void> {
        const { reason, description, text } = await this.client.run(command, { threadId: 1, ...args });
        this.log.line(`${[command, ...Object.values(args)].join(' ')} → ${reason}: ${text ?? description}`);
        const { instructions } = await this.ask<DebugProtocol.DisassembleResponse['body'] & object>('disassemble', {
            memoryReference: hex(await this.value('pc')),
            instructionCount: 1,
            resolveSymbols: true,
        });
        const [{ address, instruction, instructionBytes, symbol }] = instructions;
        this.log.line(`  ${address}  ${instructionBytes}  ${instruction}  <${symbol}>`);
    }

    async breakAt(...breakpoints: readonly DebugProtocol.FunctionBreakpoint[]): Promise<void> {
        await this.ask('setFunctionBreakpoints', { breakpoints });
        this.log.line(`break at ${breakpoints.map(breakpoint => JSON.stringify(breakpoint)).join(', ') || 'nothing'}`);
    }

    /** Breaks at the first line of one of the guest's sources that holds `text`. */
    async breakAtLine(file: string, text: string): Promise<void> {
        const source = { name: path.basename(file), path: path.join(sampleFolder, file) };
        const line =
            readFileSync(source.path, 'utf8')
                .split('\n')
                .findIndex(content => content.includes(text)) + 1;
        await this.ask('setBreakpoints', { source, breakpoints: [{ line }] });
        this.log.line(`break at ${file}: ${text}`);
    }

    async clearLines(file: string): Promise<void> {
        await this.ask('setBreakpoints', { source: { path: path.join(sampleFolder, file) }, breakpoints: [] });
    }

    /** Writes down the line that a frame is at, and the parameters and variables that are there. */
    async frame(depth: number): Promise<void> {
        const { stackFrames } = await this.ask<DebugProtocol.StackTraceResponse['body']>('stackTrace', { threadId: 1 });
        const { id, name, line, source } = stackFrames[depth];
        const text = readFileSync(source!.path!, 'utf8').split('\n')[line - 1].trim();
        this.log.line(`  #${depth} ${name}  ${path.basename(source!.path!)}: ${text}`);
        const { scopes } = await this.ask<DebugProtocol.ScopesResponse['body']>('scopes', { frameId: id });
        for (const scope of scopes.filter(({ name }) => /^(arguments|locals)$/i.test(name))) {
            await this.variables(scope.variablesReference, '    ');
        }
    }

    private async variables(variablesReference: number, indent: string): Promise<void> {
        const { variables } = await this.ask<DebugProtocol.VariablesResponse['body']>('variables', {
            variablesReference,
        });
        variables.forEach(({ name, type, value }) => this.log.line(`${indent}${type} ${name} = ${value}`));
    }

    /** Writes down what expressions of C give in the innermost frame, and what is in it. */
    async evaluate(...expressions: readonly string[]): Promise<void> {
        const { stackFrames } = await this.ask<DebugProtocol.StackTraceResponse['body']>('stackTrace', { threadId: 1 });
        for (const expression of expressions) {
            const { result, type, variablesReference } = await this.ask<DebugProtocol.EvaluateResponse['body']>(
                'evaluate',
                { expression, frameId: stackFrames[0].id, context: 'repl' },
            );
            this.log.line(`  ${expression} = ${result}: ${type}`);
            if (variablesReference > 0) {
                await this.variables(variablesReference, '    ');
            }
        }
    }

    /** Writes down the values of expressions. */
    async show(...expressions: readonly string[]): Promise<void> {
        for (const expression of expressions) {
            this.log.line(`  ${expression} = ${hex(await this.value(expression))}`);
        }
    }

    /** The functions of the innermost frames. */
    async stack(levels: number): Promise<void> {
        const { stackFrames } = await this.ask<DebugProtocol.StackTraceResponse['body']>('stackTrace', {
            threadId: 1,
            levels,
        });
        stackFrames.forEach(({ name, instructionPointerReference }, depth) =>
            this.log.line(`  #${depth} ${instructionPointerReference} ${name.replace(/\+0x[0-9a-f]+$/, '')}`),
        );
    }

    async walk(address: string, access: 'read' | 'write' | 'execute'): Promise<void> {
        const walk = await this.ask<PageWalkBody>('hyperscope/pageWalk', { address, access });
        this.log.line(`  walk ${access} ${address} = ${walk.linear}, ${walk.mode}`);
        for (const { structure, index, bits } of walk.steps) {
            this.log.line(`    ${structure}[${index}] ${bits}`);
        }
        const { mapping, fault } = walk;
        if (mapping !== undefined) {
            this.log.line(`    ${mapping.physical} ${JSON.stringify(mapping.permissions)}`);
        }
        if (fault !== undefined) {
            this.log.line(`    ${fault.name} ${fault.errorCodeBits}: ${fault.reason}`);
        }
    }

    /** Writes down memory, or that it cannot be read. */
    async memory(reference: string, count: number): Promise<void> {
        const body = await this.ask<DebugProtocol.ReadMemoryResponse['body'] & object>('readMemory', {
            memoryReference: reference,
            count,
        });
        const bytes = Buffer.from(body.data ?? '', 'base64');
        const text = bytes.toString('latin1').replace(/[^ -~]/g, '.');
        this.log.line(`  ${reference}: ${bytes.toString('hex')} '${text}' ${body.unreadableBytes ?? 0} unreadable`);
    }

    async value(expression: string): Promise<bigint> {
        const { result } = await this.ask<{ result: string }>('evaluate', { expression, context: 'watch' });
        return BigInt(result.split(' ')[0]);
    }

    async ask<T>(command: string, args: Arguments): Promise<T> {
        const body = await this.client.request<T>(command, args);
        assert.ok(body !== undefined, `${command} ${JSON.stringify(args)} was refused`);
        return body;
    }

    /** Runs to the guest's end. */
    async finish(): Promise<void> {
        const exited = this.client.next<DebugProtocol.ExitedEvent['body']>('exited');
        await this.client.runToEnd('continue');
        this.log.line(`the guest ended with ${(await exited).exitCode}`);
    }
}

function hex(value: bigint): string {
    return `0x${value.toString(16)}`;
}

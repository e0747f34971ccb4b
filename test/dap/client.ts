/** A client of the adapter that writes down what is said. */
import assert from 'node:assert/strict';
import path from 'node:path';
import { DebugClient } from '@vscode/debugadapter-testsupport';
import type { DebugProtocol } from '@vscode/debugprotocol';
import type { InspectionRequests } from '../../src/messages/requests';
import { projectRoot } from '../support/project';
import type { GoldenLog } from './golden-log';

const ADAPTER = path.join(projectRoot, 'out', 'src', 'dap', 'main.js');
const LOGGED_EVENTS = ['stopped', 'output', 'exited', 'terminated', 'invalidated'] as const;

type Body = Readonly<Record<string, unknown>>;

export class TestClient {
    private readonly client = new DebugClient(process.execPath, ADAPTER, 'hyperscope');
    /** Events since the last request was logged. */
    private events: string[] = [];

    /**
     * @param log nothing is logged without one
     * @param patience milliseconds that an event or a response may take
     */
    constructor(
        private readonly log?: GoldenLog,
        patience = 30_000,
    ) {
        this.client.defaultTimeout = patience;
        for (const name of LOGGED_EVENTS) {
            this.client.on(name, (event: DebugProtocol.Event) =>
                this.events.push(`event ${name} ${JSON.stringify(event.body)}`),
            );
        }
    }

    /** Starts the adapter and launches a guest, up to the point where breakpoints are set. */
    async launch(attributes: Body, initialize: Body = {}): Promise<void> {
        await this.start(initialize);
        const initialized = this.client.waitForEvent('initialized');
        await this.request('launch', attributes);
        await initialized;
    }

    async start(initialize: Body = {}): Promise<void> {
        await this.client.start();
        await this.client.customRequest('initialize', { adapterID: 'hyperscope', ...initialize });
    }

    /** The body of the response; a refusal is logged too, and gives undefined. */
    async request<T = unknown>(command: string, args: Body = {}): Promise<T | undefined> {
        const body = await this.send<T>(command, args);
        await this.logEvents();
        return body;
    }

    /** The body of the response to a request that must not be refused. */
    async ask<N extends keyof InspectionRequests>(
        command: N,
        args: InspectionRequests[N][0],
    ): Promise<InspectionRequests[N][1]>;
    async ask<T>(command: string, args?: Body): Promise<T>;
    async ask(command: string, args: object = {}): Promise<unknown> {
        const body = await this.request(command, args as Body);
        assert.ok(body !== undefined, `${command} ${JSON.stringify(args)} was refused`);
        return body;
    }

    /** What a request that has to be refused is told. */
    async refusal(command: string, args: Body = {}): Promise<string> {
        try {
            await this.client.customRequest(command, args);
        } catch (error) {
            return (error as Error).message;
        }
        throw new Error(`${command} ${JSON.stringify(args)} was not refused`);
    }

    /** A request that makes the guest run, up to where it stops. */
    async run(command: string, args: Body = { threadId: 1 }): Promise<DebugProtocol.StoppedEvent['body']> {
        const stopped = this.client.waitForEvent('stopped');
        await this.send(command, args);
        const { body } = (await stopped) as DebugProtocol.StoppedEvent;
        await this.logEvents();
        return body;
    }

    async runToEnd(command: string, args: Body = { threadId: 1 }): Promise<void> {
        const terminated = this.client.waitForEvent('terminated');
        await this.send(command, args);
        await terminated;
        await this.logEvents();
    }

    /** Called with all output: the guest's console, and what the adapter says. */
    onOutput(heard: (text: string) => void): void {
        this.client.on('output', (event: DebugProtocol.OutputEvent) => heard(event.body.output));
    }

    /** The body of the next event of that name. */
    async next<T>(event: string): Promise<T> {
        return ((await this.client.waitForEvent(event)) as { body: T }).body;
    }

    stop(): Promise<void> {
        return this.client.stop();
    }

    private async send<T>(command: string, args: Body): Promise<T | undefined> {
        const asked = `${command} ${JSON.stringify(args)}`;
        try {
            const { body } = (await this.client.customRequest(command, args)) as { body: T };
            this.log?.line([asked, ...describe(body)].join('\n  '));
            return body;
        } catch (error) {
            this.log?.line(`${asked}\n  refused: ${(error as Error).message.replace(/\n/g, '\n  ')}`);
            return undefined;
        }
    }

    /**
     * Logs the events that belong to the request before. They race with its response, and some follow it: the answer
     * to one more request tells that all of them are here.
     */
    private async logEvents(): Promise<void> {
        await this.client.customRequest('threads');
        joinLines(this.events).forEach(event => this.log?.line(event));
        this.events = [];
    }
}

const GUEST_OUTPUT = 'event output {"category":"stdout","output":"';

/** A line that a guest has taken its time for comes in pieces: how many depends on the host. */
function joinLines(events: readonly string[]): string[] {
    const joined: string[] = [];
    for (const event of events) {
        const last = joined.at(-1);
        const continues = last?.startsWith(GUEST_OUTPUT) === true && !last.endsWith('\\n"}');
        if (continues && event.startsWith(GUEST_OUTPUT)) {
            joined[joined.length - 1] = last.slice(0, -'"}'.length) + event.slice(GUEST_OUTPUT.length);
        } else {
            joined.push(event);
        }
    }
    return joined;
}

/** The items of a list on a line each. */
function describe(body: unknown): string[] {
    const members = Object.entries((body ?? {}) as Body);
    return members.flatMap(([name, value]) =>
        Array.isArray(value)
            ? [`${name}:`, ...value.map(item => `  ${JSON.stringify(item)}`)]
            : [`${name}: ${JSON.stringify(value)}`],
    );
}

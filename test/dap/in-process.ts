/** A session on two streams in this process: quick, and with everything that it says kept. */
import assert from 'node:assert/strict';
import { PassThrough } from 'node:stream';
import { HyperscopeSession, type SessionOptions } from '../../src/dap/session';

export interface Answer {
    readonly request_seq: number;
    readonly command: string;
    readonly success: boolean;
    readonly message?: string;
    readonly body?: unknown;
}

export interface SaidEvent {
    readonly event: string;
    readonly body: Readonly<Record<string, unknown>>;
}

export class InProcessClient {
    readonly input = new PassThrough();
    readonly events: SaidEvent[] = [];
    readonly answers = new Map<number, Answer>();
    readonly session: HyperscopeSession;
    isClosed = false;
    /** Called for everything that arrives. */
    onMessage: (() => void) | undefined;
    private pending: Buffer[] = [];
    private readonly waiting = new Map<number, (answer: Answer) => void>();
    private readonly expected: { readonly event: string; readonly settle: (event: SaidEvent) => void }[] = [];
    private lastSeq = 0;

    constructor(
        options: Partial<SessionOptions> = {},
        /** Keep events and answers; a long fuzz cannot. */
        private readonly keeps = true,
    ) {
        const output = new PassThrough();
        output.on('data', (data: Buffer) => this.receive(data));
        this.session = new HyperscopeSession({ closed: () => (this.isClosed = true), ...options });
        this.session.start(this.input, output);
    }

    /** Any text as a message with a sound header. */
    raw(text: string): void {
        this.input.write(`Content-Length: ${Buffer.byteLength(text)}\r\n\r\n${text}`);
    }

    /** Sends a request; its answer, refusals too. */
    send(command: string, args: unknown = {}): { readonly seq: number; readonly answer: Promise<Answer> } {
        const seq = ++this.lastSeq;
        const answer = new Promise<Answer>(resolve => this.waiting.set(seq, resolve));
        this.raw(JSON.stringify({ seq, type: 'request', command, arguments: args }));
        return { seq, answer };
    }

    /** The body of an answer that has to be a success. */
    async request<T = unknown>(command: string, args: unknown = {}): Promise<T> {
        const { success, message, body } = await this.send(command, args).answer;
        assert.ok(success, `${command}: ${message}`);
        return body as T;
    }

    /** Why a request is refused. */
    async refusal(command: string, args: unknown = {}): Promise<string> {
        const { success, message } = await this.send(command, args).answer;
        assert.ok(!success, `${command} was not refused`);
        return message ?? '';
    }

    /** The next event of a name. */
    next(event: string): Promise<SaidEvent> {
        return new Promise(settle => this.expected.push({ event, settle }));
    }

    /** A request that makes the guest run, up to its stop. */
    async run(command: string, args: unknown = { threadId: 1 }): Promise<SaidEvent['body']> {
        const stopped = this.next('stopped');
        await this.request(command, args);
        return (await stopped).body;
    }

    async launch(attributes: object, initialize: object = {}): Promise<void> {
        await this.request('initialize', { adapterID: 'hyperscope', ...initialize });
        const initialized = this.next('initialized');
        await this.request('launch', { memory: '2M', ...attributes });
        await initialized;
    }

    /** Bodies of the events of a name so far. */
    said(event: string): SaidEvent['body'][] {
        return this.events.filter(said => said.event === event).map(({ body }) => body);
    }

    async close(): Promise<void> {
        if (!this.isClosed) await this.send('disconnect', { terminateDebuggee: true }).answer;
        this.input.end();
    }

    private receive(data: Buffer): void {
        this.pending.push(data);
        let bytes = this.pending.length === 1 ? data : Buffer.concat(this.pending);
        for (;;) {
            const header = /^Content-Length: (\d+)\r\n\r\n/.exec(bytes.toString('latin1', 0, 60));
            const end = header === null ? Infinity : header[0].length + Number(header[1]);
            if (header === null || bytes.length < end) break;
            this.handle(
                JSON.parse(bytes.toString('utf8', header[0].length, end)) as { type: string } & Answer & SaidEvent,
            );
            bytes = bytes.subarray(end);
        }
        this.pending = bytes.length === 0 ? [] : [bytes];
        this.onMessage?.();
    }

    private handle(message: { type: string } & Answer & SaidEvent): void {
        if (message.type === 'response') {
            const seq = message.request_seq;
            if (this.keeps) {
                assert.ok(!this.answers.has(seq), `request ${seq} was answered twice`);
                this.answers.set(seq, message);
            }
            this.waiting.get(seq)?.(message);
            this.waiting.delete(seq);
        } else {
            if (this.keeps) this.events.push(message);
            const at = this.expected.findIndex(({ event }) => event === message.event);
            if (at >= 0) this.expected.splice(at, 1)[0].settle(message);
        }
    }
}

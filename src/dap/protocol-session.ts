import { DebugSession, Event } from '@vscode/debugadapter';
import type { DebugProtocol } from '@vscode/debugprotocol';
import { HyperscopeError } from '../common/errors';
import { RequestArguments } from './arguments';

/** Answers one request: its return value is the body of the response. */
export type RequestHandler = (args: RequestArguments) => unknown;

/**
 * The protocol's mechanics: every request gets exactly one response, in the order of the requests, and nothing that a
 * client sends comes out of here as anything but a response.
 */
export abstract class ProtocolSession extends DebugSession {
    /** By command. */
    protected abstract readonly handlers: Readonly<Record<string, RequestHandler>>;
    /** The answers so far: the next request waits for them. */
    private answered: Promise<void> = Promise.resolve();

    constructor() {
        super();
        // The base class ends the process for a message that is not JSON.
        this.removeAllListeners('error');
        this.on('error', (event: DebugProtocol.Event) => this.reportClientError(String(event.body ?? event.event)));
    }

    /** The client has gone. */
    override shutdown(): void {}

    /** Sends an event; its body as it stands in the specification. */
    protected emitEvent(event: string, body: object = {}): void {
        this.sendEvent(new Event(event, body));
    }

    protected console(text: string, category: 'console' | 'important' | 'stdout' | 'stderr' = 'console'): void {
        this.emitEvent('output', { category, output: text });
    }

    protected override dispatchRequest(request: DebugProtocol.Request): void {
        this.answered = this.answered.then(() => this.answer(request)).catch(error => this.reportDefect(error));
    }

    private async answer(request: DebugProtocol.Request): Promise<void> {
        const response: DebugProtocol.Response = {
            type: 'response',
            seq: 0,
            request_seq: request.seq,
            command: typeof request.command === 'string' ? request.command : '',
            success: true,
        };
        try {
            const handler = Object.hasOwn(this.handlers, response.command)
                ? this.handlers[response.command]
                : undefined;
            if (handler === undefined) {
                throw new HyperscopeError(`this adapter does not know the request '${response.command}'`);
            }
            const body = await handler(new RequestArguments(request.arguments));
            if (body !== undefined) {
                response.body = body;
            }
        } catch (error) {
            response.success = false;
            response.message = error instanceof Error ? error.message : String(error);
            response.body = { error: { id: 1, format: '{message}', variables: { message: response.message } } };
            if (!(error instanceof HyperscopeError)) {
                this.reportDefect(error);
            }
        }
        this.sendResponse(response);
        this.afterResponse(response.command);
    }

    /** For what may follow a response only, such as the end of the session. */
    protected afterResponse(_command: string): void {}

    /** Somebody has to be able to tell us. */
    private reportDefect(error: unknown): void {
        this.console(`${error instanceof Error ? error.stack : String(error)}\n`, 'stderr');
    }

    private reportClientError(text: string): void {
        this.console(`a message of the client could not be read: ${text}\n`, 'stderr');
    }
}

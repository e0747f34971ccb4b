import { DebugSession, Event } from '@vscode/debugadapter';
import type { DebugProtocol } from '@vscode/debugprotocol';
import { HyperscopeError } from '../common/errors';
import { Activity, CancelledError } from './activity';
import { RequestArguments } from './arguments';
import { MessageFrames } from './message-frames';
import { describeError, SessionLog } from './session-log';

/** Answers one request: its return value is the body of the response. */
export type RequestHandler = (args: RequestArguments, activity: Activity) => unknown;

export type RequestHandlers = Readonly<Record<string, RequestHandler>>;

export type OutputCategory = 'console' | 'important' | 'stdout' | 'stderr';

/** Messages say what could not be read, up to here. */
const LONGEST_PROBLEM = 300;

/**
 * The protocol's mechanics: every request gets exactly one response, in the order of the requests, and nothing that a
 * client sends comes out of here as anything but a response. `cancel` alone overtakes.
 */
export abstract class ProtocolSession extends DebugSession {
    /** By command. */
    protected abstract readonly handlers: RequestHandlers;
    /** The answers so far: the next request waits for them. */
    private answered: Promise<void> = Promise.resolve();
    /** Requests that are not answered yet. */
    private readonly activities = new Set<Activity>();
    /** The client's last word: nothing that it may say behind it takes that back. */
    private leaving: Activity | undefined;
    /** The client shows progress. */
    protected showsProgress = false;
    protected readonly log = new SessionLog();
    /** Nobody reads any more what is sent. */
    private deaf = false;

    constructor() {
        super();
        // The base class ends the process for a message that is not JSON.
        this.removeAllListeners('error');
        this.on('error', (event: DebugProtocol.Event) => this.reportClientError(String(event.body ?? event.event)));
    }

    override start(input: NodeJS.ReadableStream, output: NodeJS.WritableStream): void {
        const frames = new MessageFrames(problem => this.reportClientError(problem));
        input.on('error', error => this.reportClientError(error.message));
        input.on('close', () => frames.destroy());
        // A client that was killed: to tell it of the failure would be the next failure, without end.
        output.on('error', () => {
            this.deaf = true;
            this.shutdown();
        });
        super.start(input.pipe(frames), output);
    }

    /** The client has gone. */
    override shutdown(): void {}

    override sendEvent(event: DebugProtocol.Event): void {
        this.log.note(`<- event ${event.event} ${JSON.stringify(event.body)}`);
        super.sendEvent(event);
    }

    override sendResponse(response: DebugProtocol.Response): void {
        const { request_seq: seq, command, success, message, body } = response;
        const said = this.log.isOpen ? JSON.stringify(body ?? {}) : 'answered';
        const answer = success ? said : `refused: ${message}`;
        this.log.note(`<- ${seq} ${command} ${answer}`);
        super.sendResponse(response);
    }

    /** Sends an event; its body as it stands in the specification. */
    emitEvent(event: string, body: object = {}): void {
        this.sendEvent(new Event(event, body));
    }

    console(text: string, category: OutputCategory = 'console'): void {
        this.emitEvent('output', { category, output: text });
    }

    /** Long work that nobody will want the result of ends. */
    protected cancelAll(): void {
        this.activities.forEach(activity => activity.cancel());
    }

    protected override dispatchRequest(request: DebugProtocol.Request): void {
        this.log.note(`-> ${JSON.stringify(request)}`);
        if (request.command === 'cancel') {
            this.cancel(request);
            return;
        }
        const activity = new Activity(request.seq, {
            emitEvent: (event, body) => this.emitEvent(event, body),
            showsProgress: this.showsProgress,
        });
        this.activities.add(activity);
        if (request.command === 'disconnect') {
            this.leaving = activity;
        }
        if (request.command === 'disconnect' || request.command === 'terminate') {
            this.cancelAllBut(activity);
        }
        this.answered = this.answered
            .then(() => this.answer(request, activity))
            .catch(error => this.reportDefect(error))
            .finally(() => this.activities.delete(activity));
    }

    /** DAP, "cancel": a hint, and as such never refused. */
    private cancel(request: DebugProtocol.Request): void {
        const args = new RequestArguments(request.arguments).raw;
        for (const activity of this.activities) {
            if (activity.id === args.requestId || activity.progressId === args.progressId) {
                activity.cancel();
            }
        }
        this.cancelProgress(args.progressId);
        this.sendResponse(responseTo(request));
    }

    /** A progress that belongs to no request. */
    protected cancelProgress(_progressId: unknown): void {}

    private cancelAllBut(last: Activity): void {
        this.activities.forEach(activity => {
            if (activity !== last && activity !== this.leaving) activity.cancel();
        });
    }

    private async answer(request: DebugProtocol.Request, activity: Activity): Promise<void> {
        const response = responseTo(request);
        try {
            activity.check();
            const handler = Object.hasOwn(this.handlers, response.command)
                ? this.handlers[response.command]
                : undefined;
            if (handler === undefined) {
                throw new HyperscopeError(`this adapter does not know the request '${response.command}'`);
            }
            const body = await handler(new RequestArguments(request.arguments), activity);
            if (body !== undefined) {
                response.body = body;
            }
        } catch (error) {
            response.success = false;
            response.message = error instanceof Error ? error.message : String(error);
            const told = { id: 1, format: '{message}', variables: { message: response.message } };
            // Whoever has cancelled a request, or ended the session meanwhile, need not be told.
            const showUser = error instanceof CancelledError ? false : undefined;
            response.body = { error: { ...told, showUser } };
            if (!(error instanceof HyperscopeError)) {
                this.reportDefect(error);
            }
        }
        activity.end();
        this.sendResponse(response);
        this.afterResponse(response.command);
    }

    /** For what may follow a response only, such as the end of the session. */
    protected afterResponse(_command: string): void {}

    /** Somebody has to be able to tell us. */
    protected reportDefect(error: unknown): void {
        this.console(`${describeError(error)}\n`, 'stderr');
    }

    private reportClientError(text: string): void {
        if (this.deaf) return;
        this.console(`a message of the client could not be read: ${text.slice(0, LONGEST_PROBLEM)}\n`, 'stderr');
    }
}

function responseTo(request: DebugProtocol.Request): DebugProtocol.Response {
    return {
        type: 'response',
        seq: 0,
        request_seq: request.seq,
        command: typeof request.command === 'string' ? request.command : '',
        success: true,
    };
}

/**
 * The debug adapter as a process of its own. VS Code would run it too, but then its last words would be lost: here
 * they go to a log, and a crash is told to the user with it.
 */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import * as vscode from 'vscode';
import type { AdapterLine } from './guest-sessions';
import { MessageQueue, MOVES } from './message-queue';

interface Message {
    readonly seq: number;
    readonly type: 'request' | 'response' | 'event';
}

interface Request extends Message {
    readonly command: string;
}

interface Response extends Message {
    readonly request_seq: number;
    readonly success: boolean;
    readonly message?: string;
    readonly body?: unknown;
}

interface Waiting {
    readonly resolve: (body: unknown) => void;
    readonly reject: (error: Error) => void;
}

/** Bytes of standard error that are kept for the report of a crash. */
const LAST_WORDS = 8192;

/** Milliseconds that the adapter has to leave by itself once VS Code is done with it. */
const PATIENCE = 2000;

/** Numbers of the extension's own requests begin here; VS Code counts its own from 1. */
const OWN_REQUESTS = 2 ** 30;

const GONE = 'the debug adapter has gone';

const EXCUSED = { success: true, message: undefined, body: undefined };

const HEADER_END = Buffer.from('\r\n\r\n');

export interface AdapterCommand {
    readonly command: string;
    readonly args: readonly string[];
    readonly env: Readonly<Record<string, string>>;
}

/** Splits the adapter's output into the protocol's messages. */
export class MessageReader {
    private pieces: Buffer[] = [];
    private length = 0;
    /** Of the message being received; undefined while its header is. */
    private expected: number | undefined;

    constructor(private readonly deliver: (message: unknown) => void) {}

    /** @throws Error for what is no message */
    write(data: Buffer): void {
        this.pieces.push(data);
        this.length += data.length;
        for (;;) {
            if (this.expected === undefined) {
                const all = this.joined();
                const end = all.indexOf(HEADER_END);
                if (end < 0) return;
                const length = /(?:^|\n)content-length: *(\d+)/i.exec(all.toString('latin1', 0, end))?.[1];
                if (length === undefined) throw new Error('the adapter sent something else than messages');
                this.expected = Number(length);
                this.take(end + HEADER_END.length);
            }
            if (this.length < this.expected) return;
            const body = this.take(this.expected);
            this.expected = undefined;
            this.deliver(JSON.parse(body.toString('utf8')));
        }
    }

    private joined(): Buffer {
        if (this.pieces.length !== 1) this.pieces = [Buffer.concat(this.pieces)];
        return this.pieces[0];
    }

    private take(length: number): Buffer {
        const all = this.joined();
        this.pieces = [all.subarray(length)];
        this.length -= length;
        return all.subarray(0, length);
    }
}

/** VS Code says what it can do; what this extension can do comes on top. */
function withAbilities(message: object): object {
    const { arguments: given } = message as { arguments?: object };
    return { ...message, arguments: { ...given, supportsHyperscopeSerialEvent: true } };
}

export class AdapterProcess implements vscode.DebugAdapter, AdapterLine {
    private readonly messages = new vscode.EventEmitter<vscode.DebugProtocolMessage>();
    readonly onDidSendMessage = this.messages.event;

    private readonly child: ChildProcessWithoutNullStreams;
    private readonly unanswered = new Map<number, Request>();
    private readonly own = new Map<number, Waiting>();
    private nextOwn = OWN_REQUESTS;
    private readonly reader = new MessageReader(message => this.receive(message as Message));
    private lastWords = '';
    private leaving = false;
    private gone = false;
    /** Adapters count their messages; those sent in the name of a dead one go on from there. */
    private sequence = 0;
    /** For VS Code. */
    private readonly queue = new MessageQueue<Message>(message =>
        this.messages.fire(message as unknown as vscode.DebugProtocolMessage),
    );
    /** See {@link AdapterLine}. */
    preview: ((message: object) => Promise<void> | undefined) | undefined;

    constructor(
        command: AdapterCommand,
        private readonly log: vscode.LogOutputChannel,
    ) {
        log.info(`starting ${command.command} ${command.args.join(' ')}`);
        this.child = spawn(command.command, command.args, {
            env: { ...process.env, ...command.env },
            stdio: ['pipe', 'pipe', 'pipe'],
            windowsHide: true,
        });
        this.child.stdout.on('data', (data: Buffer) => this.read(data));
        this.child.stderr.setEncoding('utf8').on('data', (text: string) => this.complain(text));
        // Writing to a process that has died: `close` tells.
        this.child.stdin.on('error', () => undefined);
        this.child.on('error', error => this.end(`it could not be started: ${error.message}`));
        this.child.on('close', (status, signal) =>
            this.end(signal === null ? `it ended with status ${status}` : `it was ended by ${signal}`),
        );
    }

    handleMessage(message: vscode.DebugProtocolMessage): void {
        const request = message as unknown as Request;
        if (request.type === 'request') {
            this.leaving ||= request.command === 'disconnect';
            if (this.gone) {
                this.refuse(request);
                return;
            }
            if (MOVES.has(request.command) && this.queue.hidesMove) {
                this.ignoreMove(request);
                return;
            }
            this.unanswered.set(request.seq, request);
        }
        this.write(request.command === 'initialize' ? withAbilities(message) : message);
    }

    /**
     * A request of the extension's own. It takes the straight way: VS Code's would lead through its window and back, twice,
     * and the window has most to do right after a stop.
     * @throws Error with the adapter's words
     */
    request(command: string, args: object): Promise<unknown> {
        if (this.gone) return Promise.reject(new Error(GONE));
        return new Promise((resolve, reject) => {
            const seq = this.nextOwn++;
            this.own.set(seq, { resolve, reject });
            this.write({ seq, type: 'request', command, arguments: args });
        });
    }

    private write(message: object): void {
        const text = JSON.stringify(message);
        this.child.stdin.write(`Content-Length: ${Buffer.byteLength(text)}\r\n\r\n${text}`);
    }

    dispose(): void {
        this.leaving = true;
        this.child.stdin.end();
        const timer = setTimeout(() => this.child.kill('SIGKILL'), PATIENCE);
        this.child.once('close', () => clearTimeout(timer));
    }

    private read(data: Buffer): void {
        try {
            this.reader.write(data);
        } catch (error) {
            this.complain(`${String(error)}\n`);
            this.child.kill();
        }
    }

    private receive(message: Message): void {
        this.sequence = Math.max(this.sequence, message.seq);
        if (message.type === 'response' && this.settle(message as Response)) return;
        const { command } = message as Request;
        this.pass(message.type === 'response' && this.excuses(command) ? { ...message, ...EXCUSED } : message);
    }

    private pass(message: Message): void {
        this.queue.pass(message, this.preview?.(message));
    }

    /** Takes answers to the extension's own requests. */
    private settle({ request_seq, success, message, body }: Response): boolean {
        this.unanswered.delete(request_seq);
        const waiting = this.own.get(request_seq);
        if (waiting === undefined) return false;
        this.own.delete(request_seq);
        if (success) waiting.resolve(body);
        else waiting.reject(new Error(message));
        return true;
    }

    private complain(text: string): void {
        this.lastWords = (this.lastWords + text).slice(-LAST_WORDS);
        for (const line of text.trimEnd().split('\n')) this.log.error(line);
    }

    private end(how: string): void {
        if (this.gone) return;
        this.gone = true;
        this.log.info(`the adapter has gone: ${how}`);
        // After everybody has been told that the guest has ended.
        queueMicrotask(() => {
            for (const { reject } of this.own.values()) reject(new Error(GONE));
            this.own.clear();
        });
        if (this.leaving) return;
        for (const request of this.unanswered.values()) this.refuse(request);
        const words = this.lastWords.trim() === '' ? '' : `\n${this.lastWords.trim()}`;
        this.send({
            type: 'event',
            event: 'output',
            body: { category: 'stderr', output: `The debug adapter has gone: ${how}.${words}\n` },
        });
        this.send({ type: 'event', event: 'terminated', body: {} });
        const showLog = 'Show Log';
        void vscode.window
            .showErrorMessage(
                `Hyperscope's debug adapter has gone: ${how}. The views keep what they showed last.`,
                showLog,
            )
            .then(choice => {
                if (choice === showLog) this.log.show();
            });
    }

    /** VS Code reports that this one has failed whatever is said of it, also to who has just ended the session. */
    private excuses(command: string): boolean {
        return this.leaving && command === 'configurationDone';
    }

    private refuse({ seq, command }: Request): void {
        this.unanswered.delete(seq);
        // Leaving it cannot fail.
        const success = command === 'disconnect' || command === 'terminate' || this.excuses(command);
        // The message of `end` tells everything: no dialog for each request besides.
        const body = success ? undefined : { error: { id: 1, format: GONE, showUser: false } };
        this.send({ type: 'response', request_seq: seq, command, success, message: success ? undefined : GONE, body });
    }

    /** A key that is held down: the guest has moved already, which its button would say by now. */
    private ignoreMove({ seq, command }: Request): void {
        this.queue.pass({
            ...{ seq: ++this.sequence, type: 'response', request_seq: seq, command, success: true, body: {} },
        } as Message);
    }

    private send(message: object): void {
        this.pass({ seq: ++this.sequence, ...message } as Message);
    }
}

/**
 * The wire to a gdb stub: one packet at a time and its answer, stop replies while the guest runs. Whatever the other end
 * does, every request is answered or fails within its time.
 */
import net, { type Socket } from 'node:net';
import type { Endpoint } from '../../common/endpoint';
import { ACKNOWLEDGE, encodePacket, REJECT } from '../packet';
import { fromHex, fromLatin1, latin1 } from '../text';
import { StubError } from './errors';
import { ReplyReader } from './reply-reader';
import { parseStopReply } from './stop-reply';

export interface ConnectionTimes {
    /** Milliseconds that a connection may take. */
    readonly connect: number;
    /** Milliseconds that an answer may take. */
    readonly answer: number;
}

export const USUAL_TIMES: ConnectionTimes = { connect: 5_000, answer: 10_000 };

/** Damaged packets in a row after which the wire is given up. */
const MOST_DAMAGED = 8;
/** Characters that a stub may print while one command, or one run, is in progress. */
const MOST_OUTPUT = 0x100000;

export interface ConnectionListener {
    /** The guest has stopped, or is gone: the stop reply. */
    stopReply(text: string): void;
    /** Console output while the guest runs. */
    output(text: string): void;
    /** Nothing more will come. */
    closed(reason: string): void;
}

interface Pending {
    /** What was asked, for messages. */
    readonly what: string;
    readonly resolve: (answer: Uint8Array) => void;
    readonly reject: (error: StubError) => void;
    readonly timer: NodeJS.Timeout;
    /** Takes console output (`monitor`); absent: there is none to expect. */
    readonly output?: (text: string) => void;
}

export class StubConnection {
    listener: ConnectionListener | undefined;
    private acknowledges = true;
    private pending: Pending | undefined;
    /** The guest has been told to go on: what arrives unasked is about its stop. */
    private awaitsStop = false;
    private lastSent: Uint8Array | undefined;
    private stopTimer: NodeJS.Timeout | undefined;
    private hasHeard = false;
    private endedThere = false;
    private damaged = 0;
    private printed = 0;
    private closedBy: string | undefined;
    private readonly reader = new ReplyReader({
        packet: payload => this.received(payload),
        damaged: () => this.receivedDamaged(),
        rejected: () => this.resend(),
        tooLong: () => this.close(`${this.name} sent a packet without an end`),
    });

    private constructor(
        private readonly socket: Socket,
        /** `127.0.0.1:1234` */
        readonly name: string,
        private readonly times: ConnectionTimes,
    ) {
        socket.setNoDelay(true);
        socket.on('data', bytes => this.reader.push(bytes));
        socket.on('error', (error: NodeJS.ErrnoException) => {
            this.endedThere ||= this.closedBy === undefined;
            this.close(`${name}: ${error.code ?? error.message}`);
        });
        socket.on('close', () => {
            this.endedThere ||= this.closedBy === undefined;
            this.close(`${name} has closed the connection`);
        });
    }

    /** @throws StubError if nobody listens there */
    static open({ host, port }: Endpoint, times: ConnectionTimes): Promise<StubConnection> {
        const name = host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
        return new Promise((resolve, reject) => {
            const socket = net.connect({ host, port });
            const fail = (why: string): void => {
                clearTimeout(timer);
                socket.destroy();
                reject(
                    new StubError(
                        `no gdb stub at ${name}: ${why}. Is the guest there, and started with a stub (QEMU: -s, or -gdb tcp::${port})?`,
                    ),
                );
            };
            const timer = setTimeout(() => fail(`no connection within ${times.connect / 1000} s`), times.connect);
            socket.once('error', (error: NodeJS.ErrnoException) =>
                fail(error.code === 'ECONNREFUSED' ? 'nobody listens there' : (error.code ?? error.message)),
            );
            socket.once('connect', () => {
                clearTimeout(timer);
                socket.removeAllListeners('error');
                resolve(new StubConnection(socket, name, times));
            });
        });
    }

    /** The other end has closed the connection without a word. */
    get isTurnedAway(): boolean {
        return this.endedThere && !this.hasHeard;
    }

    /** Why the wire is cut; undefined while it is not. */
    get closed(): string | undefined {
        return this.closedBy;
    }

    close(reason: string): void {
        if (this.closedBy !== undefined) return;
        this.closedBy = reason;
        this.socket.destroy();
        this.awaitsStop = false;
        clearTimeout(this.stopTimer);
        this.settle()?.reject(new StubError(reason));
        this.listener?.closed(reason);
    }

    /** Sends what there is to send, then closes. */
    async end(): Promise<void> {
        if (this.closedBy !== undefined) return;
        clearTimeout(this.stopTimer);
        this.closedBy = 'the connection was ended';
        this.settle()?.reject(new StubError(this.closedBy));
        await new Promise<void>(resolve => {
            const timer = setTimeout(resolve, 500);
            this.socket.end(() => {
                clearTimeout(timer);
                resolve();
            });
        });
        this.socket.destroy();
    }

    /** From now on packets are not acknowledged. */
    stopAcknowledging(): void {
        this.acknowledges = false;
    }

    /**
     * Sends a packet and waits for its answer; there is one request at a time.
     * @throws StubError if there is none in time, or the connection ends
     */
    request(payload: string | Uint8Array, output?: (text: string) => void): Promise<Uint8Array> {
        const what = describePacket(payload);
        if (this.closedBy !== undefined) {
            return Promise.reject(new StubError(this.closedBy));
        }
        if (this.pending !== undefined || this.awaitsStop) {
            return Promise.reject(new StubError(`${what} cannot be asked of ${this.name} now`));
        }
        return new Promise((resolve, reject) => {
            const seconds = this.times.answer / 1000;
            const timer = setTimeout(
                // An answer that comes later would be taken for the next one's.
                () => this.close(`${this.name} has not answered ${what} within ${seconds} s: the connection is closed`),
                this.times.answer,
            );
            this.printed = 0;
            this.pending = { what, resolve, reject, timer, output };
            this.send(payload);
        });
    }

    /** Sends a packet that makes the guest go on: its answer is the stop reply. */
    go(payload: string): void {
        if (this.closedBy !== undefined) {
            throw new StubError(this.closedBy);
        }
        this.awaitsStop = true;
        this.printed = 0;
        this.send(payload);
    }

    /** Sends a packet to which no answer comes. */
    tell(payload: string): void {
        if (this.closedBy === undefined) this.send(payload);
    }

    /** Asks a running guest to stop; a stub that cannot make it stop is of no more use. */
    interrupt(): void {
        if (this.closedBy !== undefined || !this.awaitsStop) return;
        this.socket.write(Uint8Array.of(3));
        const seconds = this.times.answer / 1000;
        clearTimeout(this.stopTimer);
        this.stopTimer = setTimeout(
            () => this.close(`${this.name} has not stopped the guest within ${seconds} s: the connection is closed`),
            this.times.answer,
        );
    }

    private send(payload: string | Uint8Array): void {
        const packet = encodePacket(typeof payload === 'string' ? fromLatin1(payload) : payload);
        this.lastSent = packet;
        this.socket.write(packet);
    }

    private resend(): void {
        if (++this.damaged > MOST_DAMAGED) {
            this.close(`${this.name} does not understand our packets`);
        } else if (this.lastSent !== undefined && this.acknowledges) {
            this.socket.write(this.lastSent);
        }
    }

    private receivedDamaged(): void {
        if (!this.acknowledges || ++this.damaged > MOST_DAMAGED) {
            this.close(`${this.name} sends damaged packets: is it a gdb stub?`);
            return;
        }
        this.socket.write(REJECT);
    }

    private received(payload: Uint8Array): void {
        if (this.closedBy !== undefined) return;
        this.hasHeard = true;
        this.damaged = 0;
        if (this.acknowledges) this.socket.write(ACKNOWLEDGE);
        const isOutput =
            payload.length > 2 && payload[0] === 0x4f && fromHex(latin1(payload.subarray(1))) !== undefined;
        const { pending } = this;
        if (pending !== undefined) {
            if (isOutput && pending.output !== undefined) {
                this.print(payload, pending.output);
                return;
            }
            // No request is answered by one. QEMU before 8.1 tells of having stopped its guest for us whenever a
            // debugger connects, and that may come after our first request.
            if (isStop(payload)) return;
            this.settle()?.resolve(payload);
        } else if (this.awaitsStop) {
            if (isOutput) {
                this.print(payload, text => this.listener?.output(text));
                return;
            }
            this.awaitsStop = false;
            clearTimeout(this.stopTimer);
            this.listener?.stopReply(latin1(payload));
        }
        // Anything else nobody has asked for.
    }

    private print(payload: Uint8Array, output: (text: string) => void): void {
        const before = this.printed;
        this.printed += payload.length;
        if (this.printed <= MOST_OUTPUT) {
            output(Buffer.from(fromHex(latin1(payload.subarray(1)))!).toString());
        } else if (before <= MOST_OUTPUT) {
            output('… (the stub prints too much: the rest is left out)\n');
        }
    }

    private settle(): Pending | undefined {
        const { pending } = this;
        this.pending = undefined;
        if (pending !== undefined) clearTimeout(pending.timer);
        return pending;
    }
}

/** Whether it tells that the guest has stopped: `S` or `T`, and a signal (gdb manual, E.3). */
function isStop(payload: Uint8Array): boolean {
    return parseStopReply(latin1(payload.subarray(0, 3)))?.kind === 'stopped';
}

function describePacket(payload: string | Uint8Array): string {
    const text = typeof payload === 'string' ? payload : latin1(payload.subarray(0, 40));
    return `'${text.slice(0, 40).replace(/[^\x20-\x7e]/g, '.')}'`;
}

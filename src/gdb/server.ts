/**
 * Listens for gdb. One client at a time drives the target; others wait a moment for it to leave, as a gdb that connects
 * anew does, and are turned away then.
 */
import net, { type AddressInfo, type Server, type Socket } from 'node:net';
import type { Endpoint } from '../common/endpoint';
import { HyperscopeError } from '../common/errors';
import { listeningProblem } from '../common/listening';
import type { DebugTarget, End, Stop } from '../debug/target';
import { GdbSession, type SessionHost } from './session';

/** The address cannot be listened at. */
export class GdbServerError extends HyperscopeError {}

/** Packets that wait for their turn before no more are taken. */
const MOST_PENDING = 100;
/** Milliseconds that a client waits for the one before to leave, and how many may. */
const WAIT = 500;
const MOST_WAITING = 8;
/** Milliseconds that a client which takes no answers has when the server closes. */
const PATIENCE = 1_000;
/** Milliseconds of silence after which the host asks whether the client is still there. */
const KEEP_ALIVE = 60_000;

export interface GdbServerOptions extends Pick<SessionHost, 'program'> {
    /** A client wants the guest to end. */
    kill(): void;
    /** A defect of ours: somebody has to be able to tell us. */
    failed(error: unknown): void;
    /** A client has come, or gone. */
    attached?(isAttached: boolean): void;
}

export class GdbServer {
    private session: GdbSession | undefined;
    private isClosing = false;
    private readonly sockets = new Set<Socket>();
    /** Clients that wait for the present one to leave, with the timers that turn them away. */
    private readonly waiting = new Map<Socket, NodeJS.Timeout>();

    private constructor(
        private readonly target: DebugTarget,
        private readonly options: GdbServerOptions,
        private readonly server: Server,
    ) {
        server.on('connection', socket => this.connected(socket));
    }

    /** @throws GdbServerError */
    static listen(target: DebugTarget, { host, port }: Endpoint, options: GdbServerOptions): Promise<GdbServer> {
        const server = net.createServer();
        return new Promise((resolve, reject) => {
            server.once('error', (error: NodeJS.ErrnoException) =>
                reject(new GdbServerError(`cannot listen for gdb at ${host}:${port}: ${listeningProblem(error)}`)),
            );
            server.listen(port, host, () => resolve(new GdbServer(target, options, server)));
        });
    }

    /** `127.0.0.1:1234`: what `:0` became, too. */
    get address(): string {
        const { address, port } = this.server.address() as AddressInfo;
        return `${address.includes(':') ? `[${address}]` : address}:${port}`;
    }

    get isAttached(): boolean {
        return this.session !== undefined;
    }

    /** To be called with each stop of the target. */
    stopped(stop: Stop): void {
        this.session?.stopped(stop);
    }

    ended(end: End): void {
        this.session?.ended(end);
    }

    logged(text: string): void {
        this.session?.logged(text);
    }

    /** Turns everybody away, now and from now on. */
    async close(): Promise<void> {
        this.isClosing = true;
        for (const socket of [...this.waiting.keys()]) this.stopWaiting(socket);
        // A client that takes no answers holds nobody up.
        const timer = setTimeout(() => this.sockets.forEach(socket => socket.destroy()), PATIENCE);
        await this.session?.settled();
        this.sockets.forEach(socket => socket.destroySoon());
        await new Promise(resolve => this.server.close(resolve));
        clearTimeout(timer);
    }

    private connected(socket: Socket): void {
        this.sockets.add(socket);
        socket.on('error', () => undefined); // `close` follows
        socket.on('close', () => {
            this.sockets.delete(socket);
            this.stopWaiting(socket);
        });
        if (this.isClosing) {
            socket.destroySoon();
        } else if (this.session === undefined) {
            this.serve(socket);
        } else if (this.waiting.size < MOST_WAITING) {
            const timer = setTimeout(() => {
                this.stopWaiting(socket);
                socket.destroySoon();
            }, WAIT);
            this.waiting.set(socket, timer);
        } else {
            socket.destroySoon();
        }
    }

    private stopWaiting(socket: Socket): void {
        clearTimeout(this.waiting.get(socket));
        this.waiting.delete(socket);
    }

    private sessionEnded(): void {
        this.session = undefined;
        this.options.attached?.(false);
        const [next] = this.waiting.keys();
        if (next !== undefined) {
            this.stopWaiting(next);
            this.serve(next);
        }
    }

    private serve(socket: Socket): void {
        socket.setNoDelay(true);
        socket.setKeepAlive(true, KEEP_ALIVE);
        const session = new GdbSession(this.target, {
            send: bytes => socket.write(bytes),
            room: () => roomIn(socket),
            // The next one can come at once, whether or not this one hangs up.
            close: () => socket.destroySoon(),
            kill: () => this.options.kill(),
            failed: error => this.options.failed(error),
            program: this.options.program,
        });
        this.session = session;
        socket.on('close', () => {
            void session.disconnected().then(() => this.sessionEnded());
        });
        // gdb takes the guest to be stopped when it arrives.
        void this.target.pause(0).then(() => {
            this.options.attached?.(true);
            socket.on('data', bytes => {
                session.receive(bytes);
                if (session.pending > MOST_PENDING) {
                    socket.pause();
                    void session.settled().then(() => socket.resume());
                }
            });
        });
    }
}

function roomIn(socket: Socket): Promise<void> | undefined {
    if (!socket.writableNeedDrain || socket.destroyed) {
        return undefined;
    }
    return new Promise(resolve => {
        const settle = (): void => {
            socket.off('drain', settle).off('close', settle);
            resolve();
        };
        socket.on('drain', settle).on('close', settle);
    });
}

/** `hyperscope dap`: the adapter on standard input and output, or for clients that connect. */
import net, { type AddressInfo } from 'node:net';
import { parseArgs } from 'node:util';
import { type Endpoint, parseEndpoint } from '../common/endpoint';
import { HyperscopeError } from '../common/errors';
import { listeningProblem } from '../common/listening';
import { GuestRegistry } from './guest-registry';
import { HyperscopeSession } from './session';
import { describeError } from './session-log';

/** Arguments that the command does not take. */
export class DapArgumentError extends HyperscopeError {}

const MOST_DEFECTS = 20;

/**
 * Runs the adapter with the arguments behind `hyperscope dap`; settles with the exit status when it has served. With
 * `--listen` that is never: each connection is a session of its own.
 * @throws DapArgumentError
 */
export async function runDapServer(args: readonly string[]): Promise<number> {
    const endpoint = readEndpoint(args);
    return endpoint === undefined ? serveStandardStreams() : listen(endpoint);
}

function readEndpoint(args: readonly string[]): Endpoint | undefined {
    let listenAt: string | undefined;
    try {
        listenAt = parseArgs({ args: [...args], options: { listen: { type: 'string' } } }).values.listen;
    } catch (error) {
        throw new DapArgumentError(error instanceof Error ? error.message.split('. ')[0] : String(error));
    }
    if (listenAt === undefined) {
        return undefined;
    }
    const endpoint = parseEndpoint(listenAt);
    if (endpoint === undefined) {
        throw new DapArgumentError(`--listen takes HOST:PORT or PORT, such as 127.0.0.1:4711, not '${listenAt}'`);
    }
    return endpoint;
}

/**
 * What nobody caught is a defect, but no reason to take the guests along: it is reported to every session, with the log.
 * The process ends only if it happens again and again.
 */
function surviveDefects(sessions: ReadonlySet<HyperscopeSession>): void {
    let defects = 0;
    const survive = (error: unknown): void => {
        process.stderr.write(`hyperscope: ${describeError(error)}\n`);
        if (++defects > MOST_DEFECTS) {
            process.exit(1);
        }
        sessions.forEach(session => session.crashed(error));
    };
    process.on('uncaughtException', survive);
    process.on('unhandledRejection', survive);
}

function serveStandardStreams(): Promise<number> {
    return new Promise(resolve => {
        const session = new HyperscopeSession({
            // What was sent last has to get out before the process may end.
            closed: () => process.stdout.write('', () => resolve(0)),
        });
        surviveDefects(new Set([session]));
        process.stderr.on('error', () => undefined);
        session.start(process.stdin, process.stdout);
    });
}

function listen({ host, port }: Endpoint): Promise<number> {
    return new Promise((_resolve, reject) => {
        const registry = new GuestRegistry();
        const sessions = new Set<HyperscopeSession>();
        surviveDefects(sessions);
        const server = net.createServer(socket => {
            const session = new HyperscopeSession({
                registry,
                closed: () => {
                    sessions.delete(session);
                    socket.end();
                },
            });
            sessions.add(session);
            // A client that vanishes is no failure of the server; `close` follows and ends the session.
            socket.on('error', () => undefined);
            session.start(socket, socket);
        });
        server.on('error', (error: NodeJS.ErrnoException) =>
            reject(new DapArgumentError(`cannot listen at ${host}:${port}: ${listeningProblem(error)}`)),
        );
        server.listen(port, host, () => {
            const address = server.address() as AddressInfo;
            // Standard error: whoever started this may want to know the port that `:0` became.
            process.stderr.write(`listening at ${address.address}:${address.port}\n`);
        });
    });
}

/** `hyperscope dap`: the adapter on standard input and output, or for clients that connect. */
import net, { type AddressInfo } from 'node:net';
import { parseArgs } from 'node:util';
import { HyperscopeError } from '../common/errors';
import { HyperscopeSession } from './session';

/** Arguments that the command does not take. */
export class DapArgumentError extends HyperscopeError {}

const LOOPBACK = '127.0.0.1';

interface Endpoint {
    readonly host: string;
    readonly port: number;
}

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
    const match = /^(?:(.+):)?(\d{1,5})$/.exec(listenAt);
    const port = Number(match?.[2] ?? NaN);
    if (!(port <= 0xffff)) {
        throw new DapArgumentError(`--listen takes HOST:PORT or PORT, such as 127.0.0.1:4711, not '${listenAt}'`);
    }
    return { host: match?.[1]?.replace(/^\[(.*)\]$/, '$1') ?? LOOPBACK, port };
}

function serveStandardStreams(): Promise<number> {
    return new Promise(resolve => {
        const session = new HyperscopeSession(() => {
            // What was sent last has to get out before the process may end.
            process.stdout.write('', () => resolve(0));
        });
        session.start(process.stdin, process.stdout);
    });
}

function listen({ host, port }: Endpoint): Promise<number> {
    return new Promise((_resolve, reject) => {
        const server = net.createServer(socket => {
            const session = new HyperscopeSession(() => socket.end());
            // A client that vanishes is no failure of the server; `close` follows and ends the session.
            socket.on('error', () => undefined);
            session.start(socket, socket);
        });
        server.on('error', (error: NodeJS.ErrnoException) =>
            reject(new DapArgumentError(`cannot listen at ${host}:${port}: ${error.code ?? error.message}`)),
        );
        server.listen(port, host, () => {
            const address = server.address() as AddressInfo;
            // Standard error: whoever started this may want to know the port that `:0` became.
            process.stderr.write(`listening at ${address.address}:${address.port}\n`);
        });
    });
}

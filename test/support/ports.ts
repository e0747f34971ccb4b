/** Ports of the loopback interface. */
import { readFileSync } from 'node:fs';
import net, { type AddressInfo } from 'node:net';

export async function freePort(): Promise<number> {
    const server = net.createServer();
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    await new Promise(resolve => server.close(resolve));
    return port;
}

/**
 * Waits until somebody listens at a port, and looks without talking to them: a stub takes a connection for a debugger's,
 * and a listener of our own would be in the way of the one that is to come.
 * @param isOver nobody will come any more
 */
export async function listening(port: number, isOver: () => boolean = () => false): Promise<boolean> {
    for (let tries = 0; tries < 200 && !isOver(); tries++) {
        if (isListening(port)) return true;
        await new Promise(resolve => setTimeout(resolve, 50));
    }
    return false;
}

/** `sl local_address rem_address st` (Linux, Documentation/networking/proc_net_tcp.rst); state 0A listens. */
function isListening(port: number): boolean {
    const digits = port.toString(16).toUpperCase().padStart(4, '0');
    return new RegExp(`^\\s*\\d+: [0-9A-F]{8}:${digits} [0-9A-F]{8}:0000 0A `, 'm').test(
        readFileSync('/proc/net/tcp', 'utf8'),
    );
}

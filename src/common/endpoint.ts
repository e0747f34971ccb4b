/** Where a server listens, or is to be found. */
export interface Endpoint {
    readonly host: string;
    readonly port: number;
}

/** Reached from this machine alone: what a port without a host means. */
const LOOPBACK = '127.0.0.1';

/** `HOST:PORT`, `[IPV6]:PORT`, `:PORT` or `PORT`; undefined for anything else. */
export function parseEndpoint(text: string): Endpoint | undefined {
    const match = /^(?:(\[[0-9a-f:.]+\]|[^:\s]*):)?(\d{1,5})$/i.exec(text);
    const port = Number(match?.[2] ?? NaN);
    if (!(port <= 0xffff)) {
        return undefined;
    }
    const host = match?.[1]?.replace(/^\[(.*)\]$/, '$1');
    return { host: host === undefined || host === '' ? LOOPBACK : host, port };
}

/** Why a guest behind a stub has stopped (gdb manual, E.3). */
import { parseHex } from '../text';

export type StopReply = StoppedReply | EndedReply;

export interface StoppedReply {
    readonly kind: 'stopped';
    /** Unix's number. */
    readonly signal: number;
    /** As the stub names threads. */
    readonly thread?: string;
    /** An access to watched memory, and its address. */
    readonly watch?: { readonly access: 'read' | 'write' | 'readWrite'; readonly address: bigint };
}

/** The guest is gone. */
export interface EndedReply {
    readonly kind: 'ended';
    readonly status?: number;
    readonly signal?: number;
}

export const SIGINT = 2;
export const SIGTRAP = 5;

const WATCHES = { watch: 'write', rwatch: 'read', awatch: 'readWrite' } as const;

/** Undefined for what is no stop reply. */
export function parseStopReply(text: string): StopReply | undefined {
    const code = parseInt(text.slice(1, 3), 16);
    if (!/^[STWX][0-9a-f]{2}/i.test(text)) {
        return undefined;
    }
    switch (text[0]) {
        case 'W':
            return { kind: 'ended', status: code };
        case 'X':
            return { kind: 'ended', signal: code };
        case 'S':
            return { kind: 'stopped', signal: code };
        default: {
            let reply: StoppedReply = { kind: 'stopped', signal: code };
            for (const pair of text.slice(3).split(';')) {
                const [name, value = ''] = pair.split(':', 2) as [string, string | undefined];
                if (name === 'thread' && isThread(value)) {
                    reply = { ...reply, thread: value };
                } else if (Object.hasOwn(WATCHES, name)) {
                    const address = parseHex(value);
                    const access = WATCHES[name as keyof typeof WATCHES];
                    if (address !== undefined) reply = { ...reply, watch: { access, address } };
                }
            }
            return reply;
        }
    }
}

export function isThread(text: string): boolean {
    return /^(?:p[0-9a-f]{1,16}\.)?[0-9a-f]{1,16}$/i.test(text);
}

/** The number behind a process, whatever its leading zeros. */
export function threadNumber(text: string): string {
    const digits = text.slice(text.indexOf('.') + 1);
    return digits.replace(/^0+(?=.)/, '').toLowerCase();
}

const SIGNAL_NAMES: Readonly<Record<number, string>> = {
    1: 'SIGHUP',
    2: 'SIGINT',
    3: 'SIGQUIT',
    4: 'SIGILL',
    5: 'SIGTRAP',
    6: 'SIGABRT',
    7: 'SIGEMT',
    8: 'SIGFPE',
    9: 'SIGKILL',
    10: 'SIGBUS',
    11: 'SIGSEGV',
    15: 'SIGTERM',
    17: 'SIGSTOP',
};

/** gdb's numbers of signals. */
export function signalName(signal: number): string {
    return SIGNAL_NAMES[signal] ?? `signal ${signal}`;
}

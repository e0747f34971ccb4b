/** A small client of the Debug Adapter Protocol: starts an adapter and talks to it over its standard streams. */
import { spawn } from 'node:child_process';
import { EventEmitter, once } from 'node:events';

const HEADER_END = '\r\n\r\n';

/** A request that the adapter has refused, with its reason. */
export class RefusedError extends Error {}

/** DAP's error messages name variables in braces. */
function errorText({ message, body }) {
    const { format = message, variables = {} } = body?.error ?? {};
    return format.replace(/\{(\w+)\}/g, (braces, name) => variables[name] ?? braces);
}

/** Emits each DAP event by its name, with its body, and `closed` once the adapter is gone. */
export class DapClient extends EventEmitter {
    #process;
    #received = Buffer.alloc(0);
    #sequence = 0;
    #waiting = new Map();
    #complaints = '';

    /** @param {string[]} command program and arguments */
    constructor([program, ...args]) {
        super();
        this.#process = spawn(program, args, { stdio: ['pipe', 'pipe', 'pipe'] });
        this.#process.stdin.on('error', () => undefined); // told by 'close', with the reason
        this.#process.stdout.on('data', data => this.#receive(data));
        this.#process.stderr.on('data', data => (this.#complaints += data));
        this.#process.on('close', (status, signal) => this.#closed(status ?? signal));
    }

    /**
     * @returns {Promise<object>} the response's body
     * @throws {RefusedError}
     */
    request(command, args = {}) {
        const seq = ++this.#sequence;
        const message = Buffer.from(JSON.stringify({ seq, type: 'request', command, arguments: args }));
        return new Promise((resolve, reject) => {
            this.#waiting.set(seq, { resolve, reject, command });
            this.#process.stdin.write(`Content-Length: ${message.length}${HEADER_END}`);
            this.#process.stdin.write(message);
        });
    }

    /** The body of the next event of one of these names, with its name. */
    next(...names) {
        const event = new Promise((resolve, reject) => {
            const listeners = names.map(name => [name, body => settle(() => resolve({ name, ...body }))]);
            listeners.push(['closed', reason => settle(() => reject(reason))]);
            const settle = action => {
                listeners.forEach(([name, listener]) => this.off(name, listener));
                action();
            };
            listeners.forEach(([name, listener]) => this.on(name, listener));
        });
        // Nobody may be waiting any more, since what was to bring the event has failed itself.
        event.catch(() => undefined);
        return event;
    }

    /** Ends the adapter, once it has had the time to leave by itself. */
    async close() {
        if (this.#process.exitCode !== null || this.#process.signalCode !== null) return;
        const gone = once(this.#process, 'close');
        this.#process.stdin.end();
        const timer = setTimeout(() => this.#process.kill('SIGKILL'), 5000);
        await gone;
        clearTimeout(timer);
    }

    #receive(data) {
        this.#received = Buffer.concat([this.#received, data]);
        for (;;) {
            const end = this.#received.indexOf(HEADER_END);
            if (end < 0) return;
            const length = Number(/Content-Length: *(\d+)/i.exec(this.#received.toString('latin1', 0, end))?.[1]);
            const start = end + HEADER_END.length;
            if (!Number.isInteger(length)) throw new Error('the adapter sends something that is not DAP');
            if (this.#received.length < start + length) return;
            const message = JSON.parse(this.#received.toString('utf8', start, start + length));
            this.#received = this.#received.subarray(start + length);
            this.#dispatch(message);
        }
    }

    #dispatch(message) {
        if (message.type === 'event') {
            this.emit(message.event, message.body ?? {});
            return;
        }
        const waiter = this.#waiting.get(message.request_seq);
        if (message.type !== 'response' || waiter === undefined) return;
        this.#waiting.delete(message.request_seq);
        if (message.success) {
            waiter.resolve(message.body ?? {});
        } else {
            waiter.reject(new RefusedError(errorText(message)));
        }
    }

    #closed(status) {
        const reason = new Error(`the adapter has ended (${status}):\n${this.#complaints}`);
        for (const { reject } of this.#waiting.values()) reject(reason);
        this.#waiting.clear();
        this.emit('closed', reason);
    }
}

/** The guest's serial ports: what it says to the client, and what the client types. */
import type { SerialEvent } from '../messages/serial';
import type { RequestArguments } from './arguments';
import type { RequestHandlers } from './protocol-session';
import { SerialOutput } from './serial-output';
import type { SessionContext } from './session-context';

export class SerialRequests {
    readonly handlers: RequestHandlers = {
        'hyperscope/sendSerial': args => this.send(args),
        'hyperscope/serialEvents': () => {
            this.asEvents = true;
        },
    };

    /** The client has asked for events, and not for output. */
    private asEvents = false;
    /** COM1 and COM2. */
    private readonly ports = [0, 1].map(port => new SerialOutput(text => this.tell(port, text)));

    constructor(private readonly session: Pick<SessionContext, 'client' | 'target' | 'emitEvent' | 'console'>) {}

    /** A character of the guest's. */
    write(port: number, byte: number): void {
        this.ports[port].write(byte);
    }

    /** Sends what has been gathered: something is about to be said that came later. */
    flush(): void {
        this.ports.forEach(port => port.flush());
    }

    private tell(port: number, text: string): void {
        if (this.asEvents || this.session.client.serial) {
            const body: SerialEvent = { port, text };
            this.session.emitEvent('hyperscope/serial', body);
        } else if (port === 0) {
            this.session.console(text, 'stdout');
        }
    }

    private async send(args: RequestArguments): Promise<void> {
        const bytes = new TextEncoder().encode(args.string('text'));
        await this.session.target.sendSerial(args.optionalInteger('port', 0, 0), bytes);
    }
}

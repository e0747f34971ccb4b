/** A gdb stub that does what a test tells it to: sound ones, odd ones and hostile ones. */
import net, { type AddressInfo, type Server, type Socket } from 'node:net';
import type { Endpoint } from '../../../../src/common/endpoint';
import { encodePacket, PacketReader } from '../../../../src/gdb/packet';

/** The answer to a packet; undefined: none. */
export type Script = (packet: string, stub: FakeStub) => string | undefined;

export class FakeStub {
    /** Packets and interrupts (`^C`) in the order in which they came. */
    readonly heard: string[] = [];
    private readonly sockets = new Set<Socket>();

    private constructor(
        private readonly server: Server,
        private readonly script: Script,
        private readonly acknowledges: boolean,
    ) {
        server.on('connection', socket => this.adopt(socket));
    }

    /** Serves a connection. */
    adopt(socket: Socket): void {
        const { acknowledges } = this;
        this.sockets.add(socket);
        socket.setNoDelay(true);
        socket.on('error', () => undefined);
        const reader = new PacketReader({
            packet: payload => {
                if (acknowledges) socket.write('+');
                const text = Buffer.from(payload).toString('latin1');
                this.heard.push(text);
                const answer = this.script(text, this);
                if (answer !== undefined) this.say(answer);
            },
            damaged: () => socket.write('-'),
            rejected: () => undefined,
            interrupt: () => {
                this.heard.push('^C');
                const answer = this.script('^C', this);
                if (answer !== undefined) this.say(answer);
            },
        });
        socket.on('data', bytes => reader.push(bytes));
    }

    static start(script: Script, acknowledges = true): Promise<FakeStub> {
        const server = net.createServer();
        return new Promise(resolve =>
            server.listen(0, '127.0.0.1', () => resolve(new FakeStub(server, script, acknowledges))),
        );
    }

    get endpoint(): Endpoint {
        return { host: '127.0.0.1', port: (this.server.address() as AddressInfo).port };
    }

    say(payload: string): void {
        this.raw(encodePacket(Buffer.from(payload, 'latin1')));
    }

    raw(bytes: string | Uint8Array): void {
        for (const socket of this.sockets) socket.write(bytes);
    }

    /** Vanishes. */
    async close(): Promise<void> {
        for (const socket of this.sockets) socket.destroy();
        await new Promise(resolve => this.server.close(resolve));
    }
}

const hex = (value: bigint, size: number): string =>
    Buffer.from(Array.from({ length: size }, (_, i) => Number((value >> BigInt(8 * i)) & 0xffn))).toString('hex');

/** An x86-64 guest of few words: general registers, a page of memory, no description, no monitor. */
export class TinyGuest {
    readonly registers = new BigUint64Array(17);
    eflags = 0x202n;
    readonly memory = new Uint8Array(0x1000);
    readonly points = new Set<string>();
    /** What `c` does: the stop reply, now or later. */
    onContinue: (stub: FakeStub) => string | undefined = () => 'T05thread:01;';

    constructor(readonly base = 0x1000n) {
        this.registers[16] = base;
    }

    get rip(): bigint {
        return this.registers[16];
    }

    readonly script: Script = (packet, stub) => {
        const memory = /^([mM])([0-9a-f]+),([0-9a-f]+)(?::(.*))?$/.exec(packet);
        if (memory !== null) {
            const at = Number(BigInt(`0x${memory[2]}`) - this.base);
            const length = parseInt(memory[3], 16);
            if (at < 0 || at + length > this.memory.length) return 'E0e';
            if (memory[1] === 'm') return Buffer.from(this.memory.subarray(at, at + length)).toString('hex');
            this.memory.set(Buffer.from(memory[4], 'hex'), at);
            return 'OK';
        }
        const register = /^P([0-9a-f]+)=([0-9a-f]+)$/.exec(packet);
        if (register !== null) {
            const value = Buffer.from(register[2], 'hex');
            if (parseInt(register[1], 16) > 16) return 'E01';
            this.registers[parseInt(register[1], 16)] = value.readBigUInt64LE();
            return 'OK';
        }
        if (/^Z[0-4]/.test(packet)) {
            this.points.add(packet.slice(1));
            return 'OK';
        }
        if (/^z[0-4]/.test(packet)) {
            this.points.delete(packet.slice(1));
            return 'OK';
        }
        switch (packet) {
            case 'g': {
                const general = [...this.registers].map(value => hex(value, 8)).join('');
                return `${general}${hex(this.eflags, 4)}${hex(0x10n, 4)}${hex(0x18n, 4).repeat(5)}`;
            }
            case '?':
                return 'T05thread:01;';
            case 'qfThreadInfo':
                return 'm01';
            case 'qsThreadInfo':
                return 'l';
            case 'Hg01':
            case 'Hc01':
            case 'D':
                return 'OK';
            case 's':
                this.registers[16]++;
                return 'T05thread:01;';
            case 'c':
                return this.onContinue(stub);
            default:
                return packet.startsWith('qSupported') ? 'PacketSize=200' : packet === 'k' ? undefined : '';
        }
    };
}

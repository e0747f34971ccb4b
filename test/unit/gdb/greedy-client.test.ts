/** Clients that ask more than they listen, or leave in the middle: what they cost the server, and those who come next. */
import assert from 'node:assert/strict';
import net from 'node:net';
import { parseEndpoint } from '../../../src/common/endpoint';
import type { DebugTarget } from '../../../src/debug/target';
import { encodePacket } from '../../../src/gdb/packet';
import { GdbServer } from '../../../src/gdb/server';
import { fromLatin1, latin1 } from '../../../src/gdb/text';

const HALF_MEGABYTE = 0x80000;

/** Memory without an end, and nothing else. */
class Target {
    readonly vcpus = 2;
    readonly state = 'stopped';
    reads = 0;
    readonly stepped: number[] = [];
    listener: DebugTarget['listener'];

    readMemory(_vcpu: number, _address: unknown, length: number): Promise<Uint8Array> {
        this.reads++;
        return Promise.resolve(new Uint8Array(length).map((_, index) => index * 7));
    }

    step(vcpu: number): Promise<void> {
        this.stepped.push(vcpu);
        return Promise.resolve();
    }

    pause = (): Promise<void> => Promise.resolve();
    setBreakpoints = (): Promise<[]> => Promise.resolve([]);
    setWatchpoints = (): Promise<[]> => Promise.resolve([]);
}

const packet = (text: string): Uint8Array => encodePacket(fromLatin1(text));
const until = async (holds: () => boolean): Promise<void> => {
    while (!holds()) await new Promise(resolve => setTimeout(resolve, 10));
};

describe('a greedy gdb', function () {
    this.timeout(30_000);
    let target: Target;
    let server: GdbServer;
    const sockets: net.Socket[] = [];

    async function connect(): Promise<net.Socket> {
        const socket = net.connect(parseEndpoint(server.address)!);
        sockets.push(socket.on('error', () => undefined));
        await new Promise(resolve => socket.once('connect', resolve));
        await until(() => server.isAttached);
        return socket;
    }

    /** The next one is served. */
    async function attachNext(): Promise<void> {
        await until(() => !server.isAttached);
        const socket = await connect();
        socket.write(packet('qC'));
        const answer = await new Promise<Buffer>(resolve => socket.once('data', resolve));
        assert.match(latin1(answer), /QC01/);
    }

    beforeEach(async () => {
        target = new Target();
        server = await GdbServer.listen(
            target as unknown as DebugTarget,
            { host: '127.0.0.1', port: 0 },
            { kill: () => undefined, failed: error => assert.fail(String(error)) },
        );
    });

    afterEach(async () => {
        sockets.splice(0).forEach(socket => socket.destroy());
        await server.close();
    });

    it('that takes no answers is given no more than lie on the way', async () => {
        const client = await connect();
        client.pause();
        // 64 KiB each, of which a connection holds some megabytes.
        const request = packet('m0,10000');
        for (let i = 0; i < 5_000; i++) client.write(request);
        await until(() => target.reads > 0);
        let before = -1;
        while (before !== target.reads) {
            before = target.reads;
            await new Promise(resolve => setTimeout(resolve, 200));
        }
        assert.ok(before < 1_000, `${before} answers`);
        client.destroy();
        await attachNext();
    });

    it('that wants its last answer again and again is given no more than lie on the way', async () => {
        const client = await connect();
        client.write(packet('m0,10000'));
        await new Promise(resolve => client.once('data', resolve));
        client.pause();
        client.write('-'.repeat(HALF_MEGABYTE));
        await new Promise(resolve => setTimeout(resolve, 300));
        client.destroy();
        await attachNext();
    });

    it('that leaves while a search has no end is not searched for any more', async () => {
        const client = await connect();
        client.write(packet('qSearch:memory:0;ffffffffff;nowhere'));
        await until(() => target.reads > 2);
        client.destroy();
        await attachNext();
    });

    it('that connects anew at once is served when the old connection has ended, and no second one is', async () => {
        const old = await connect();
        const anew = await connect();
        anew.write(packet('qC'));
        old.destroy();
        const answer = await new Promise<Buffer>(resolve => anew.once('data', resolve));
        assert.match(latin1(answer), /QC01/);
        const second = await connect();
        second.write(packet('qC'));
        second.on('data', () => assert.fail('two at once'));
        await new Promise(resolve => second.once('close', resolve));
        assert.equal(server.isAttached, true);
    });

    it('does not keep the server from closing', async () => {
        const client = await connect();
        client.pause();
        const request = packet('m0,10000');
        for (let i = 0; i < 500; i++) client.write(request);
        await until(() => target.reads > 10);
        await server.close();
        assert.equal(sockets.length, 1);
    });

    it('steps the vCPU that Hc has chosen, whichever it looks at', async () => {
        const client = await connect();
        for (const text of ['Hg1', 'Hc2', 's']) client.write(packet(text));
        await until(() => target.stepped.length === 1);
        assert.deepEqual(target.stepped, [1]);
    });
});

/** Ways to physical memory through stubs that offer less than QEMU's does. */
import assert from 'node:assert/strict';
import net, { type AddressInfo, type Server } from 'node:net';
import { needs, tool } from '../support/requirements';
import { sampleElf } from '../support/sample';
import { InProcessClient } from './in-process';
import { type StubGuest, startStub, type StubKind } from './stub-guests';

/** Stands between client and stub, and answers some packets with the empty answer: the stub knows no such thing. */
async function startRelay(port: number, denied: RegExp): Promise<Server> {
    const server = net.createServer(client => {
        const stub = net.connect(port, '127.0.0.1');
        for (const socket of [client, stub]) {
            socket.setNoDelay(true);
            socket.on('error', () => undefined);
        }
        client.on('data', bytes => {
            const packet = /^\+*\$([^#]*)#/.exec(bytes.toString('latin1'))?.[1] ?? '';
            if (denied.test(packet)) client.write('+$#00');
            else stub.write(bytes);
        });
        stub.on('data', bytes => client.write(bytes));
        stub.on('close', () => client.destroy());
        client.on('close', () => stub.destroy());
    });
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
    return server;
}

const PHYSICAL_MODE = 'qqemu\\.PhyMemMode|Qqemu';
const MONITOR = 'qRcmd';
const NO_ACKNOWLEDGEMENT = 'QStartNoAckMode';

describe('physical memory behind a stub', function () {
    this.timeout(60_000);
    let guest: StubGuest | undefined;
    let relay: Server | undefined;
    let client: InProcessClient | undefined;

    afterEach(async () => {
        await client?.close();
        relay?.close();
        await guest?.kill();
        client = relay = guest = undefined;
    });

    async function attached(kind: StubKind, ...denied: string[]): Promise<InProcessClient> {
        guest = await startStub(kind, sampleElf);
        relay = await startRelay(guest.port, new RegExp(`^(?:${[NO_ACKNOWLEDGEMENT, ...denied].join('|')})`));
        client = new InProcessClient();
        await client.request('initialize', { adapterID: 'hyperscope' });
        const initialized = client.next('initialized');
        const target = `127.0.0.1:${(relay.address() as AddressInfo).port}`;
        await client.request('attach', { target, symbols: [sampleElf], stopOnEntry: true });
        await initialized;
        await client.run('configurationDone');
        return client;
    }

    async function runTo(session: InProcessClient, name: string): Promise<void> {
        await session.request('setFunctionBreakpoints', { breakpoints: [{ name }] });
        await session.run('continue');
    }

    /** The first bytes of a function, by its linear and its physical address. */
    async function bothWays(session: InProcessClient, name: string): Promise<[string, string]> {
        const { mapping } = await session.request<{ mapping: { physical: string } }>('hyperscope/translateAddress', {
            address: name,
        });
        const { result } = await session.request<{ result: string }>('evaluate', { expression: `${name} + 0` });
        const read = async (memoryReference: string): Promise<string> =>
            (await session.request<{ data: string }>('readMemory', { memoryReference, count: 32 })).data;
        return [await read(result.split(' ')[0]), await read(`phys:${mapping.physical}`)];
    }

    it("is read with QEMU's monitor where there is no physical mode", async function () {
        needs(this, tool('qemu-system-x86_64'));
        const session = await attached('QEMU', PHYSICAL_MODE);
        await runTo(session, 'run_workload');
        const [linear, physical] = await bothWays(session, 'run_workload');
        assert.equal(physical, linear);
        const body = { memoryReference: 'phys:0x1000', data: Buffer.from('x').toString('base64') };
        assert.match(await session.refusal('writeMemory', body), /./);
    });

    it("is read through the guest's own direct map where there is nothing else", async () => {
        const session = await attached('our own server', PHYSICAL_MODE, MONITOR);
        await runTo(session, 'run_workload');
        const [linear, physical] = await bothWays(session, 'run_workload');
        assert.equal(physical, linear);
        const tables = await session.request<{ mode: string; ranges: unknown[] }>('hyperscope/pageTables', { vcpu: 0 });
        assert.equal(tables.mode, '4-level');
        assert.ok(tables.ranges.length > 1);
        // Without a monitor nobody tells where the descriptor tables are.
        assert.match(
            await session.refusal('hyperscope/descriptorTables', { vcpu: 0 }),
            /the gdb stub does not tell (GDTR|LDTR|IDTR|TR), which this view is made of/,
        );
    });

    it('is linear memory while the guest has no paging, and said to be out of reach where nothing leads to it', async () => {
        const session = await attached('our own server', PHYSICAL_MODE, MONITOR);
        const there = await session.request<{ data: string }>('readMemory', {
            memoryReference: 'phys:0x100000',
            count: 8,
        });
        assert.equal(Buffer.from(there.data, 'base64').length, 8);
        // On the way to long mode paging is on, and all that is mapped is the boot loader's gigabyte.
        await runTo(session, 'long_main');
        assert.match(
            await session.refusal('readMemory', { memoryReference: 'phys:0x100000', count: 8 }),
            /neither a physical mode .* nor the monitor command 'xp', and no direct map/,
        );
        assert.match(await session.refusal('hyperscope/pageTables', { vcpu: 0 }), /physical memory cannot be read/);
    });

    it('follows the processor through its modes', async () => {
        const session = await attached('our own server');
        const widths: string[] = [];
        for (const name of ['real_main', 'protected_main', 'long_main']) {
            await runTo(session, name);
            const { stackFrames } = await session.request<{ stackFrames: { instructionPointerReference: string }[] }>(
                'stackTrace',
                { threadId: 1 },
            );
            const { instructions } = await session.request<{ instructions: { instruction: string }[] }>('disassemble', {
                memoryReference: stackFrames[0].instructionPointerReference,
                instructionCount: 1,
            });
            assert.notEqual(instructions[0].instruction, '??');
            const { result } = await session.request<{ result: string }>('evaluate', { expression: 'cs.attributes' });
            widths.push((BigInt(result.split(' ')[0]) & 0x6000n).toString(16));
        }
        assert.deepEqual(widths, ['0', '4000', '2000']);
    });
});

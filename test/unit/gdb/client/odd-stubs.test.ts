/** Stubs that offer little, and stubs that mean harm: what there is works, and nothing hangs. */
import assert from 'node:assert/strict';
import net, { type AddressInfo } from 'node:net';
import { performance } from 'node:perf_hooks';
import type { Endpoint } from '../../../../src/common/endpoint';
import { RemoteTarget } from '../../../../src/gdb/client/remote-target';
import type { Stop } from '../../../../src/debug/target';
import { SymbolTable } from '../../../../src/symbols/symbol-table';
import { Random } from '../../../support/random';
import { FakeStub, type Script, TinyGuest } from './fake-stub';

const HOST = {
    now: () => performance.now(),
    yield: () => new Promise<void>(resolve => setImmediate(resolve)),
    sleep: (milliseconds: number) => new Promise<void>(resolve => setTimeout(resolve, milliseconds)),
};
/** Milliseconds; a stub that is to be found too slow is given {@link SHORT} ones. */
const LONG = 15_000;
const SHORT = 150;

describe('odd stubs', function () {
    this.timeout(20_000);
    let stub: FakeStub | undefined;
    let target: RemoteTarget | undefined;
    /** Those of the connection: what they are changed to holds for the next request. */
    const times = { connect: LONG, answer: LONG };
    const stops: Stop[] = [];
    let heardStop: (() => void) | undefined;

    function attach(endpoint: Endpoint): Promise<RemoteTarget> {
        return RemoteTarget.connect(endpoint, new SymbolTable([]), HOST, undefined, times);
    }

    async function connect(script: Script, acknowledges = true): Promise<RemoteTarget> {
        stub = await FakeStub.start(script, acknowledges);
        target = await attach(stub.endpoint);
        stops.length = 0;
        target.listener = {
            stopped: stop => {
                stops.push(stop);
                heardStop?.();
            },
            ended: () => heardStop?.(),
            logged: () => undefined,
            failed: error => {
                throw error;
            },
        };
        return target;
    }

    async function stopAfter(action: () => Promise<void>): Promise<Stop> {
        const heard = new Promise<void>(resolve => (heardStop = resolve));
        await action();
        await heard;
        return stops[stops.length - 1];
    }

    afterEach(async () => {
        await target?.dispose();
        await stub?.close();
        target = stub = undefined;
        times.answer = LONG;
    });

    it('without a description, threads or a monitor are 64-bit guests all the same', async () => {
        const guest = new TinyGuest();
        guest.memory.set(Buffer.from('4889d890c3', 'hex')); // mov rax, rbx; nop; ret
        guest.registers[1] = 7n;
        const remote = await connect(guest.script);
        assert.deepEqual(await remote.registerValues(0, ['rbx', 'pc', 'cs', 'cr3']), [7n, 0x1000n, 0x10n, undefined]);
        const listing = await remote.disassemble(0, 0x1000n, 0, 2);
        assert.deepEqual(
            listing.map(({ text }) => text),
            ['mov rax, rbx', 'nop'],
        );
        assert.equal((await stopAfter(() => remote.step(0, 'into'))).reason, 'step');
        assert.equal(guest.rip, 0x1001n);
        assert.equal((await remote.writeRegister(0, 'ebx', 5n)).value, 5n);
        assert.equal(guest.registers[1], 5n);
        assert.match(await rejection(remote.writeRegister(0, 'cr3', 5n)), /cr3 cannot be written/);
        assert.equal(await remote.writeMemory(0, { space: 'linear', offset: 0x1ff0n }, new Uint8Array(16).fill(9)), 16);
        assert.equal(guest.memory[0xfff], 9);
        assert.match(
            await rejection(remote.readMemory(0, { space: 'physical', offset: 0n }, 4)),
            /cannot be read through/,
        );
        assert.match((await remote.translate(0, 0x1000n)).problem ?? '', /cannot be read through/);
        assert.match(await rejection(remote.reset()), /no monitor command/);
    });

    it('of several vCPUs tell all that their monitor knows of each', async () => {
        const guest = new TinyGuest();
        const cpus = ['401', '402'].map(
            (dr7, index) =>
                `CPU#${index}\nCS =0010 0000000000000000 ffffffff 00af9b00\nGDT=     0000000000001000 0000003f\n` +
                `DR6=00000000ffff0ff0 DR7=${dr7.padStart(16, '0')}\n`,
        );
        const question = `qRcmd,${Buffer.from('info registers -a').toString('hex')}`;
        const remote = await connect((packet, self) => {
            if (packet === 'qfThreadInfo') return 'm01,02';
            if (packet === 'Hg02') return 'OK';
            return packet === question ? Buffer.from(cpus.join('')).toString('hex') : guest.script(packet, self);
        });
        const dr7 = async (vcpu: number): Promise<string | undefined> => {
            const groups = await remote.registers(vcpu);
            return groups.flatMap(({ registers }) => registers).find(({ name }) => name === 'dr7')?.text;
        };
        // The stop looks at the first one, but not at all of it.
        await stopAfter(() => remote.step(0, 'into'));
        assert.match((await dr7(1)) ?? '', /402/);
        assert.match((await dr7(0)) ?? '', /401/);
    });

    it('are not taken for QEMU because they refuse what they do not know', async () => {
        const guest = new TinyGuest();
        const remote = await connect((packet, self) => guest.script(packet, self) || 'E01');
        assert.match(remote.description, /attached to a gdb stub at/);
    });

    for (const ability of ['none', 'all', 'in words']) {
        it(`that evaluate ${ability} of the conditions of breakpoints are asked what they can`, async () => {
            const guest = new TinyGuest();
            const remote = await connect((packet, self) => {
                if (ability === 'in words' && packet.includes(';X')) return 'E01';
                const answer = guest.script(packet, self);
                const more = ability === 'none' ? '' : ';ConditionalBreakpoints+';
                return packet.startsWith('qSupported') ? `${answer}${more}` : answer;
            });
            const insertions = async (...conditions: (string | undefined)[]): Promise<string[]> => {
                stub!.heard.length = 0;
                const requests = conditions.map((condition, id) => ({ id, address: 0x1008n, condition }));
                const statuses = await remote.setBreakpoints(requests);
                assert.ok(statuses.every(({ problem }) => problem === undefined));
                return stub!.heard.filter(packet => /^[Zz]/.test(packet));
            };
            const first = await insertions('rax == 5');
            assert.equal(first[0].startsWith(ability === 'none' ? 'Z0,1008,1' : 'Z0,1008,1;X'), true);
            if (ability === 'all') {
                assert.deepEqual(first, ['Z0,1008,1;X7,26000022051327']);
                assert.deepEqual(await insertions('rax == 5'), []);
                assert.deepEqual(await insertions('rax == 6'), ['z0,1008,1', 'Z0,1008,1;X7,26000022061327']);
                const both = 'Z0,1008,1;X7,26000022061327X7,26000122071327';
                assert.deepEqual(await insertions('rax == 6', 'rbx == 7'), ['z0,1008,1', both]);
                assert.deepEqual(await insertions('rax == 6', undefined), ['z0,1008,1', 'Z0,1008,1']);
            } else {
                assert.equal(first.at(-1), 'Z0,1008,1');
            }
            // What it does not evaluate is decided here.
            guest.onContinue = () => {
                guest.registers[16] = 0x1008n;
                guest.registers[0]++;
                return 'T05thread:01;';
            };
            await insertions('rax == 5');
            const stop = await stopAfter(() => remote.resume());
            assert.deepEqual(stop.breakpoints, [0]);
            assert.equal(guest.registers[0], 5n);
        });
    }

    it('that write registers only all at once are served so', async () => {
        const guest = new TinyGuest();
        let written = '';
        const remote = await connect((packet, self) => {
            if (packet.startsWith('P')) return '';
            if (!packet.startsWith('G')) return guest.script(packet, self);
            written = packet.slice(1);
            guest.registers[0] = Buffer.from(written.slice(0, 16), 'hex').readBigUInt64LE();
            return 'OK';
        });
        await remote.writeRegister(0, 'rax', 0x1122n);
        assert.equal(guest.registers[0], 0x1122n);
        assert.equal(written.length, 328);
    });

    it('that refuse a breakpoint say so, and without software breakpoints have hardware ones', async () => {
        const guest = new TinyGuest();
        let remote = await connect((packet, self) => (/^Z/.test(packet) ? 'E1c' : guest.script(packet, self)));
        const [status] = await remote.setBreakpoints([{ id: 1, address: 0x1000n }]);
        assert.match(status.problem ?? '', /refuses/);
        await remote.dispose();
        await stub?.close();
        remote = await connect((packet, self) => (/^[Zz]0/.test(packet) ? '' : guest.script(packet, self)));
        assert.deepEqual(await remote.setBreakpoints([{ id: 1, address: 0x1004n }]), [{ id: 1, problem: undefined }]);
        assert.deepEqual([...guest.points], ['1,1004,1']);
        const [physical] = await remote.setBreakpoints([{ id: 2, address: 0x1000n, space: 'physical' }]);
        assert.match(physical.problem ?? '', /linear addresses only/);
    });

    it('stop at breakpoints whose conditions hold', async () => {
        const guest = new TinyGuest();
        guest.onContinue = () => {
            guest.registers[0]++;
            guest.registers[16] = 0x1010n;
            return 'T05thread:01;';
        };
        const remote = await connect(guest.script);
        await remote.setBreakpoints([{ id: 3, address: 0x1010n, condition: 'rax == 4 && u8[0x1020] == 0' }]);
        const stop = await stopAfter(() => remote.resume());
        assert.deepEqual([stop.reason, stop.breakpoints, guest.registers[0]], ['breakpoint', [3], 4n]);
    });

    it('show what they watch', async () => {
        const guest = new TinyGuest();
        guest.onContinue = () => {
            guest.memory[0x20] = 0x42;
            return 'T05watch:1020;thread:01;';
        };
        const remote = await connect(guest.script);
        await remote.setWatchpoints([{ id: 4, space: 'linear', address: 0x1020n, length: 4, kind: 'write' }]);
        const stop = await stopAfter(() => remote.resume());
        assert.match(stop.note ?? '', /write of 4 bytes at 0x1020: 0x0 → 0x42/);
    });

    it('tell of signals and of the end', async () => {
        const guest = new TinyGuest();
        guest.onContinue = () => 'T0bthread:01;';
        const remote = await connect(guest.script);
        assert.match((await stopAfter(() => remote.resume())).note ?? '', /SIGSEGV/);
        guest.onContinue = () => 'W03';
        await stopAfter(() => remote.resume());
        assert.equal(remote.state, 'ended');
        assert.match(await rejection(remote.stack(0)), /has ended/);
    });

    it('that turn us away are asked again, in case another debugger is just leaving', async () => {
        const guest = new TinyGuest();
        let visitors = 0;
        const server = net.createServer(socket => {
            socket.on('error', () => undefined);
            if (++visitors < 3) socket.end();
            else stub!.adopt(socket);
        });
        await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve));
        stub = await FakeStub.start(guest.script);
        const { port } = server.address() as AddressInfo;
        const endpoint = { host: '127.0.0.1', port };
        target = await attach(endpoint);
        assert.equal(visitors, 3);
        visitors = -1000;
        assert.match(await rejection(attach(endpoint)), /turns us away: is another debugger attached/);
        server.close();
    });

    it('that tell of a stop nobody has asked about, before they answer', async () => {
        const guest = new TinyGuest();
        const remote = await connect((packet, self) => {
            // What QEMU says to a debugger that connects while the guest runs.
            if (packet.startsWith('qSupported') || packet === 'g') self.say('T02thread:01;');
            return guest.script(packet, self);
        });
        const groups = await remote.registers(0);
        const rip = groups.flatMap(({ registers }) => registers).find(({ name }) => name === 'rip');
        assert.equal(rip?.value, guest.rip);
    });

    it('that answer nothing are left in time', async () => {
        stub = await FakeStub.start(() => undefined, false);
        times.answer = SHORT;
        assert.match(await rejection(attach(stub.endpoint)), /has not answered 'qSupported.* within 0.15 s/);
    });

    it('that fall silent, or vanish, end the connection and not the session', async () => {
        const guest = new TinyGuest();
        let silent = false;
        const remote = await connect((packet, self) => (silent ? undefined : guest.script(packet, self)));
        silent = true;
        times.answer = SHORT;
        await remote.setBreakpoints([]); // nothing to say to the stub
        assert.match(
            await rejection(remote.readMemory(0, { space: 'linear', offset: 0x1000n }, 4)),
            /has not answered/,
        );
        assert.match(await rejection(remote.stack(0)), /restart the session to connect again/);
        assert.equal(stops.at(-1)?.title, 'connection lost');
    });

    it('that are ended while they owe an answer leave nobody waiting for it', async () => {
        const guest = new TinyGuest();
        const remote = await connect((packet, self) =>
            packet.startsWith('m') ? undefined : guest.script(packet, self),
        );
        const reading = rejection(remote.readMemory(0, { space: 'linear', offset: 0x1000n }, 4));
        while (!stub!.heard.some(packet => packet.startsWith('m'))) await HOST.sleep(5);
        await remote.end();
        assert.match(await reading, /was ended/);
    });

    it('that do not stop the guest are left in time', async () => {
        const guest = new TinyGuest();
        const remote = await connect((packet, self) =>
            packet === 'c' || packet === '^C' ? undefined : guest.script(packet, self),
        );
        await remote.resume();
        while (!stub!.heard.includes('c')) await HOST.sleep(5);
        times.answer = SHORT;
        const stop = await stopAfter(() => remote.pause(0));
        assert.match(stop.note ?? '', /has not stopped the guest within 0.15 s/);
    });

    for (const [name, noise] of Object.entries({
        'packets without an end': () => `$${'00'.repeat(0x200000)}`,
        'damaged packets': () => '$00#zz'.repeat(20),
        'console output without an end': () => '$O41#c4'.repeat(400_000),
    })) {
        it(`that send ${name} are survived`, async () => {
            const guest = new TinyGuest();
            let hostile = false;
            const remote = await connect((packet, self) => {
                if (!hostile) return guest.script(packet, self);
                self.raw(noise());
                return undefined;
            });
            hostile = true;
            times.answer = SHORT;
            assert.notEqual(await rejection(remote.readMemory(0, { space: 'linear', offset: 0x1000n }, 4)), '');
        });
    }

    it('of random answers fail or work, and never hang or break us', async () => {
        const random = new Random(20261123);
        const answers = [
            '',
            'OK',
            'E01',
            'm',
            'l',
            'xx',
            '00',
            'm01,02',
            'mzz',
            'T05',
            'W00',
            'O41',
            'PacketSize=0',
            'ff'.repeat(300),
        ];
        answers.push('PacketSize=ffffffff;qXfer:features:read+', 'l<reg name="rax" bitsize="64"/>', '1', 'vCont;c;s');
        times.answer = SHORT; // some answers leave us waiting
        let worked = 0;
        for (let round = 0; round < 150; round++) {
            const guest = new TinyGuest();
            const fake = await FakeStub.start((packet, self) =>
                random.oneIn(4) ? random.pick(answers) : guest.script(packet, self),
            );
            try {
                const remote = await attach(fake.endpoint);
                worked++;
                remote.listener = {
                    stopped: () => undefined,
                    ended: () => undefined,
                    logged: () => undefined,
                    failed: error => assert.fail(error as Error),
                };
                const tries = [
                    () => remote.registers(0),
                    () => remote.stack(0),
                    () => remote.inspect(0, source => source.system.cr3),
                    () => remote.setBreakpoints([{ id: 1, address: 0x1001n }]),
                    () => remote.step(0, 'over'),
                    () => remote.readMemory(0, { space: 'physical', offset: 0x1000n }, 8),
                    () => remote.evaluate(0, 'rax = 1', true),
                ];
                for (const one of tries) await one().catch(expected);
                await remote.dispose().catch(expected);
            } catch (error) {
                expected(error);
            }
            await fake.close();
        }
        assert.ok(worked > 5, `only ${worked} connections came about`);
    });
});

/** Typed errors are answers; anything else is a defect. */
function expected(error: unknown): void {
    const { name } = error as Error;
    if (!/^(StubError|TargetError|EvaluationProblem|ExpressionError)$/.test(name)) throw error;
}

async function rejection(promise: Promise<unknown>): Promise<string> {
    try {
        await promise;
    } catch (error) {
        return (error as Error).message;
    }
    return assert.fail('was not rejected');
}

/** A guest that uses its debug registers while the debugger has breakpoints of its own: neither sees the other's. */
import assert from 'node:assert/strict';
import { assembledForSuite } from '../guests/support/assemble';
import { engines } from '../support/engines';
import { needs } from '../support/requirements';
import { TestClient } from './client';

/** What the guest watches: OWN of `programs/watched.S`, by a register of its own. */
const OWN = 0x203200;
/** DR7 as the guest has it then: writes of four bytes at DR0, exactly. */
const OWN_CONTROL = 0xd0401;

describe('debug registers of the guest, in a session', function () {
    this.timeout(60_000);
    const kernel = assembledForSuite('watched');
    let client: TestClient | undefined;

    afterEach(async () => {
        await client?.stop();
        client = undefined;
    });

    for (const engine of engines()) {
        it(`are shown as the guest has set them, and work, beside breakpoints of the debugger's (${engine.name})`, async function () {
            needs(this, ...engine.requirements);
            const session = new TestClient();
            client = session;
            await session.launch({ kernel: kernel(), memory: '16M', engine: engine.name });
            await session.run('configurationDone', {});
            const number = async (expression: string): Promise<number> =>
                Number((await session.ask<{ result: string }>('evaluate', { expression })).result.split(' ')[0]);
            const debugRegisters = async (): Promise<Record<string, number>> => {
                const { groups } = await session.ask('hyperscope/registers', {});
                const { registers } = groups.find(({ name }) => name === 'Debug')!;
                return Object.fromEntries(registers.map(({ name, text }) => [name, Number(text.replace(/[_']/g, ''))]));
            };
            const stopsAt = async (label: string): Promise<string> => {
                const { breakpoints } = await session.ask<{ breakpoints: { verified: boolean; message?: string }[] }>(
                    'setInstructionBreakpoints',
                    { breakpoints: [{ instructionReference: String(await number(label)), mode: 'hardware' }] },
                );
                assert.equal(breakpoints[0].verified, true, breakpoints[0].message);
                const { reason } = await session.run('continue');
                return reason;
            };
            const watch = (...dataIds: string[]): Promise<unknown> =>
                session.ask('setDataBreakpoints', {
                    breakpoints: dataIds.map(dataId => ({ dataId, accessType: 'write' })),
                });
            const assertOwn = async (): Promise<void> => {
                const { dr0, dr1, dr2, dr3, dr7 } = await debugRegisters();
                assert.deepEqual({ dr0, dr1, dr2, dr3, dr7 }, { dr0: OWN, dr1: 0, dr2: 0, dr3: 0, dr7: OWN_CONTROL });
            };

            // The guest has met its first trap, except on KVM without hardware beneath, which knows no data breakpoints.
            assert.equal(await stopsAt('trapped'), 'instruction breakpoint');
            await assertOwn();
            const traps = await number('u32[notes]');
            assert.ok(traps === 1 || (traps === 0 && engine.name === 'kvm'), String(traps));

            // Memory beside what it watches, and the very same.
            await watch(`0x${(OWN + 8).toString(16)}:4`, `0x${OWN.toString(16)}:4`);
            assert.equal((await session.run('continue')).reason, 'data breakpoint');
            await assertOwn();
            assert.equal(await number(`u32[${OWN + 8}]`), 5000);
            await watch(`0x${OWN.toString(16)}:4`);
            assert.equal((await session.run('continue')).reason, 'data breakpoint');
            await assertOwn();

            // Both have seen that one.
            await watch();
            assert.equal(await stopsAt('finish'), 'instruction breakpoint');
            assert.equal(await number('u32[notes]'), traps + 1);
            assert.equal((await debugRegisters()).dr7 & 0xff, 0);
            await session.runToEnd('continue');
        });
    }
});

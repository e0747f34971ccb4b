import assert from 'node:assert/strict';
import type { EngineBody, SwitchEngineBody } from '../../src/messages/engine';
import { kvm, needs } from '../support/requirements';
import { SAMPLE_END, sampleElf, sampleOutput } from '../support/sample';
import { InProcessClient } from './in-process';

describe('the engines of a session', function () {
    this.timeout(60_000);
    let client: InProcessClient | undefined;
    before(function () {
        needs(this, kvm);
    });
    afterEach(async () => {
        await client?.close();
        client = undefined;
    });

    const launch = async (attributes: object): Promise<InProcessClient> => {
        client = new InProcessClient();
        await client.launch({ kernel: sampleElf, append: 'nosyscall', memory: '32M', ...attributes });
        await client.request('setFunctionBreakpoints', { breakpoints: [{ name: 'collatz' }] });
        await client.run('configurationDone', {});
        return client;
    };
    const output = (of: InProcessClient): string =>
        of.events
            .filter(({ event, body }) => event === 'output' && body.category === 'stdout')
            .map(({ body }) => String(body.output))
            .join('');

    it('are told, and changed where the guest has stopped', async () => {
        const session = await launch({ engine: 'kvm' });
        const before = await session.request<EngineBody>('hyperscope/engine');
        assert.equal(before.engine, 'kvm');
        assert.deepEqual(
            before.engines.map(({ name, active, problem }) => [name, active, problem]),
            [
                ['translator', false, undefined],
                ['kvm', true, undefined],
            ],
        );
        assert.deepEqual(await session.request<SwitchEngineBody>('hyperscope/switchEngine', { engine: 'translator' }), {
            engine: 'translator',
        });
        assert.match(await session.refusal('hyperscope/switchEngine', { engine: 'bochs' }), /translator/);
        await session.request('setFunctionBreakpoints', { breakpoints: [] });
        const ended = session.next('terminated');
        await session.request('hyperscope/switchEngine', { engine: 'kvm', resume: true });
        await ended;
        assert.equal(output(session), sampleOutput('pvh', { memory: 32 }) + SAMPLE_END);
    });

    it('say which events they cannot stop at', async () => {
        const session = await launch({ engine: 'kvm' });
        const filters = async (): Promise<unknown> => {
            const chosen = { filters: ['portOut', 'cr3Write'], filterOptions: [{ filterId: 'cpuid' }] };
            const { breakpoints } = await session.request<{ breakpoints: { verified: boolean; message?: string }[] }>(
                'setExceptionBreakpoints',
                chosen,
            );
            return breakpoints.map(({ verified, message }) => [verified, message?.includes('on KVM') === true]);
        };
        assert.deepEqual(await filters(), [
            [true, false],
            [false, true],
            [false, true],
        ]);
        await session.request('hyperscope/switchEngine', { engine: 'translator' });
        assert.deepEqual(await filters(), [
            [true, false],
            [true, false],
            [true, false],
        ]);
    });

    it('change at the first breakpoint where the configuration says so', async () => {
        const session = await launch({ engine: 'kvm', thenTranslate: true });
        const moved = session.next('hyperscope/engine');
        const stop = await session.run('continue');
        assert.equal(stop.reason, 'function breakpoint');
        assert.deepEqual((await moved).body, {
            engine: 'translator',
            reason: 'the guest has reached its first breakpoint',
        });
        assert.equal((await session.request<EngineBody>('hyperscope/engine')).engine, 'translator');
    });
});

/** Data breakpoints in a session, on the engine that has them. */
import { TestClient } from './client';
import { GoldenLog } from './golden-log';
import { guestFolder } from './guest-folder';

describe('data breakpoints in a session', () => {
    const at = guestFolder();
    let client: TestClient | undefined;

    afterEach(async () => {
        await client?.stop();
        client = undefined;
    });

    it('watches memory: by address, expression and variable, linear and physical', async () => {
        const log = new GoldenLog('data-breakpoints');
        log.scrub(at(), '<folder>');
        const session = new TestClient(log);
        client = session;
        await session.launch({ kernel: at('exit.elf'), memory: '16M' });
        await session.run('configurationDone', {});
        const { scopes } = (await session.request<{ scopes: { name: string; variablesReference: number }[] }>(
            'scopes',
            {
                frameId: 1,
            },
        ))!;
        const stack = scopes.find(({ name }) => name === 'Stack')!.variablesReference;
        for (const args of [
            { name: '0x70002', asAddress: true, bytes: 2 },
            { name: 'phys:0x70008', asAddress: true, bytes: 1 },
            { name: 'u8[0x100102]' },
            { name: '0x70008', asAddress: true, bytes: 4, mode: 'physical' },
            { name: '+0x104', variablesReference: stack },
            { name: 'eax', variablesReference: scopes[0].variablesReference },
            { name: 'eax' },
            { name: 'nowhere', asAddress: true },
            { name: '0x70000', mode: 'magic' },
        ]) {
            await session.request('dataBreakpointInfo', args);
        }
        await session.request('setDataBreakpoints', {
            breakpoints: [
                { dataId: '0x70002:2', accessType: 'write', condition: 'now == 0xaaaa' },
                { dataId: 'phys:0x70008:1', accessType: 'readWrite', hitCondition: '1' },
                { dataId: '0x100102:1', accessType: 'read' },
                { dataId: '0x70000:1', accessType: 'write', condition: 'now =' },
            ],
        });
        await session.request('setInstructionBreakpoints', {
            breakpoints: [
                { instructionReference: 'phys:0x100042', hitCondition: '5' },
                { instructionReference: '0x10003c', mode: 'physical' },
            ],
        });
        for (let stops = 0; stops < 5; stops++) {
            await session.run('continue');
            if (stops === 0) {
                await session.request('dataBreakpointInfo', { name: '+0x0', variablesReference: stack });
            }
            await session.request('evaluate', { expression: 'pc', context: 'watch' });
        }
        await session.request('setDataBreakpoints', { breakpoints: [{ dataId: 'anything' }] });
        await session.request('setDataBreakpoints', { breakpoints: [] });
        await session.request('setInstructionBreakpoints', { breakpoints: [] });
        await session.runToEnd('continue');
        log.check();
    });
});

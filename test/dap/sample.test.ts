/** Sessions on the sample guest, the same on every engine. */
import { engines } from '../support/engines';
import { needs } from '../support/requirements';
import { GoldenLog } from './golden-log';
import { SampleSession } from './sample-session';

for (const engine of engines()) {
    describe(`debugging the sample guest, ${engine.name}`, function () {
        this.timeout(60_000);
        let session: SampleSession | undefined;

        const begin = (log: GoldenLog): SampleSession => (session = new SampleSession(engine, log));

        before(function () {
            needs(this, ...engine.requirements);
        });

        afterEach(() => session?.client.stop());

        it('goes from the reset vector through three modes', async () => {
            const log = new GoldenLog('sample-modes');
            const guest = begin(log);
            await guest.launch('reset');
            await guest.breakAt(
                ...['real_main', 'protected_main', 'enter_long_mode', 'long_main', 'kernel_main'].map(name => ({
                    name,
                })),
            );
            await guest.run('configurationDone');
            await guest.show('cs', 'cs.base', 'eip', 'cr0');
            await guest.run('stepIn', { granularity: 'instruction' });
            for (const registers of [
                ['cs', 'ss', 'sp', 'al'],
                ['cs', 'ds', 'cr0'],
                ['esp', 'cr0', 'cr4'],
                ['cs', 'cr0', 'cr3', 'cr4', 'efer'],
                ['cs', 'rsp', 'rdi'],
            ]) {
                await guest.run('continue');
                await guest.show(...registers);
            }
            log.check();
        });

        it('steps into, over and out of functions of a kernel', async () => {
            const log = new GoldenLog('sample-steps');
            const guest = begin(log);
            await guest.launch('pvh');
            await guest.breakAt({ name: 'hanoi', condition: 'edi == 5' });
            await guest.run('configurationDone');
            await guest.run('continue');
            await guest.stack(6);
            await guest.breakAt();
            for (let count = 0; count < 4; count++) await guest.run('next', { granularity: 'instruction' });
            await guest.breakAt({ name: 'hanoi', condition: 'edi == 1', hitCondition: '3' });
            await guest.run('continue');
            await guest.show('edi', 'esi', 'edx', 'moves');
            await guest.run('stepOut');
            await guest.run('stepOut');
            await guest.stack(8);
            log.check();
        });

        it('tells lines, inlined calls, parameters and structures', async () => {
            const log = new GoldenLog('sample-source');
            const guest = begin(log);
            await guest.launch('pvh');
            await guest.breakAtLine('kernel/workload.c', 'value % 2 ?');
            await guest.run('configurationDone');
            await guest.run('continue');
            await guest.frame(0);
            await guest.frame(1);
            // Nothing has gone through it yet, however the threads' time is shared out.
            await guest.evaluate('queue');
            await guest.breakAtLine('kernel/workload.c', 'if (item.steps > longest->steps)');
            await guest.run('continue');
            await guest.frame(0);
            await guest.evaluate(
                'queue.items[0]',
                'queue.items[0].highest == 16 && queue.read == 1',
                '*longest',
                'task_list->next->next->name',
                'processors[0].current->state',
                'idt[14]',
            );
            log.check();
        });

        it('watches a variable, in terms of the program', async () => {
            const log = new GoldenLog('sample-watch');
            const guest = begin(log);
            await guest.launch('pvh');
            await guest.breakAt({ name: 'run_recursion' });
            await guest.run('configurationDone');
            await guest.run('continue');
            const { dataId } = await guest.ask<{ dataId: string }>('dataBreakpointInfo', { name: 'moves' });
            await guest.ask('setDataBreakpoints', {
                breakpoints: [{ dataId, accessType: 'write', condition: 'moves == 100 && last_move.disk > 2' }],
            });
            await guest.run('continue');
            await guest.evaluate('moves', 'last_move');
            await guest.ask('setDataBreakpoints', { breakpoints: [] });
            await guest.ask('setExceptionBreakpoints', {
                filters: [],
                filterOptions: [{ filterId: 'pf', condition: 'error & 2 && memory_statistics.faults_handled == 2' }],
            });
            await guest.run('continue');
            await guest.evaluate('memory_statistics.faults_handled');
            log.check();
        });

        it('shows a page before and after the guest maps it', async () => {
            const log = new GoldenLog('sample-lazy-page');
            const guest = begin(log);
            const page = '0xffffc90000003000';
            await guest.launch('pvh');
            await guest.breakAt({ name: 'handle_page_fault', condition: `rsi == ${page}` });
            await guest.run('configurationDone');
            await guest.run('continue');
            await guest.walk('rip', 'execute');
            await guest.walk(page, 'write');
            await guest.memory(page, 8);
            await guest.breakAt();
            await guest.run('stepOut');
            await guest.walk(page, 'write');
            await guest.memory(page, 8);
            await guest.ask('writeMemory', {
                memoryReference: page,
                offset: 0x800,
                data: Buffer.from('written by the debugger').toString('base64'),
            });
            await guest.memory(`0xffffc90000003800`, 24);
            await guest.show('u32[0xffffc90000003800]');
            log.check();
        });

        it('follows a system call from user mode and back', async () => {
            const log = new GoldenLog('sample-user');
            const guest = begin(log);
            await guest.launch('pvh');
            await guest.breakAt({ name: 'slow_call' }, { name: 'call_task_id' });
            await guest.run('configurationDone');
            await guest.run('continue');
            await guest.show('cs', 'ss', 'rdi');
            await guest.stack(2);
            await guest.walk('rip', 'execute');
            await guest.run('continue');
            await guest.run('continue');
            await guest.run('continue');
            await guest.show('cs');
            await guest.stack(6);
            await guest.breakAt();
            await guest.finish();
            log.check();
        });
    });
}

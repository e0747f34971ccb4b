/** Steps in a kernel whose timer is always due. */
import assert from 'node:assert/strict';
import type { StepKind, StepOptions } from '../../src/debug/target';
import { assembledForSuite } from './support/assemble';
import { Debuggee } from './support/debuggee';

describe('stepping', function () {
    this.timeout(30_000);
    const kernel = assembledForSuite('stepping');

    /** A guest that has run to a label. */
    const at = async (label: string, options: { cpus?: number } = {}): Promise<Debuggee> => {
        const debuggee = new Debuggee(kernel(), options);
        await debuggee.target.setBreakpoints([{ id: 1, address: debuggee.at(label) }]);
        await debuggee.resume();
        await debuggee.target.setBreakpoints([]);
        return debuggee;
    };
    /** Steps; the place by its label. */
    const step = async (debuggee: Debuggee, kind: StepKind, options?: StepOptions): Promise<string> => {
        const { reason } = await debuggee.step(kind, options);
        assert.equal(reason, 'step');
        const { symbol } = await debuggee.target.evaluate(0, 'pc', false);
        return symbol ?? 'nowhere';
    };
    const ticks = (debuggee: Debuggee): Promise<bigint> => debuggee.value('u32[ticks]');

    it('does not land in the handler of an interrupt that waits', async () => {
        const debuggee = await at('due');
        const places: string[] = [];
        for (let count = 0; count < 4; count++) {
            places.push(await step(debuggee, 'into'));
        }
        assert.deepEqual(places, ['due+0x1', 'first', 'second', 'second+0x1']);
        assert.equal(await ticks(debuggee), 0n);
    });

    it('goes on with the vCPUs alone that it is told of', async () => {
        const debuggee = await at('due', { cpus: 2 });
        const { engine } = debuggee.machine;
        const before = engine.retired();
        const resumeFor = async (vcpus?: readonly number[]): Promise<number> => {
            const stop = debuggee.resume(vcpus);
            await new Promise(resolve => setTimeout(resolve, 20));
            await debuggee.target.pause(0);
            await stop;
            return engine.retired() - before;
        };
        assert.equal(await resumeFor([1]), 0, 'the second one waits to be started');
        assert.ok((await resumeFor([0])) > 0);
    });

    it('lands there if asked to', async () => {
        const debuggee = await at('due');
        const options = { intoInterrupts: true };
        assert.equal(await step(debuggee, 'into', options), 'due+0x1');
        // STI works one instruction late.
        assert.equal(await step(debuggee, 'into', options), 'first');
        assert.equal(await step(debuggee, 'into', options), 'timer');
        assert.equal(await step(debuggee, 'out', options), 'first');
        assert.equal(await ticks(debuggee), 1n);
    });

    it('goes over calls, with all that interrupts them', async () => {
        const debuggee = await at('second');
        await step(debuggee, 'over');
        assert.equal(await step(debuggee, 'over'), 'called');
        assert.ok((await ticks(debuggee)) > 3n);
    });

    it('goes out of functions without frame pointers, over what they call', async () => {
        const debuggee = await at('middle');
        assert.equal(await step(debuggee, 'out'), 'outer+0xb');
        assert.equal(await step(debuggee, 'out'), 'called');
    });

    it('takes a repeated string as the one instruction that it is', async () => {
        for (const kind of ['into', 'over'] as const) {
            const debuggee = await at('repeat');
            assert.equal(await step(debuggee, kind), 'filled');
            assert.equal(await debuggee.value('ecx'), 0n);
        }
    });

    it('goes over HLT by waiting for the interrupt that ends it', async () => {
        const debuggee = await at('sleep');
        const before = await ticks(debuggee);
        assert.equal(await step(debuggee, 'over'), 'awake');
        assert.ok((await ticks(debuggee)) > before);
    });

    it('goes into HLT, and from there on when the vCPU wakes', async () => {
        const debuggee = await at('sleep');
        assert.equal(await step(debuggee, 'into'), 'awake');
        assert.equal(await debuggee.target.isHalted(0), true);
        assert.equal(await step(debuggee, 'into'), 'awake');
        assert.equal(await debuggee.target.isHalted(0), false);
        assert.equal(await step(debuggee, 'into'), 'awake+0x1');
    });

    it('wakes into the handler if asked to', async () => {
        const debuggee = await at('sleep');
        await step(debuggee, 'into', { intoInterrupts: true });
        assert.equal(await step(debuggee, 'into', { intoInterrupts: true }), 'timer');
    });

    it('says that nothing will end a HLT with interrupts disabled', async () => {
        for (const kind of ['into', 'over'] as const) {
            const debuggee = await at('dead');
            assert.equal(await step(debuggee, kind), 'beyond');
            for (const next of ['into', 'over', 'out'] as const) {
                await assert.rejects(
                    debuggee.target.step(0, next),
                    /^TargetError: vCPU 0 is halted with interrupts disabled \(IF = 0\): only an NMI, INIT or a reset wakes it$/,
                );
            }
            assert.equal(debuggee.target.state, 'stopped');
        }
    });

    it('says that a vCPU has not started', async () => {
        const debuggee = await at('due', { cpus: 2 });
        await assert.rejects(
            debuggee.target.step(1, 'into'),
            /vCPU 1 executes nothing yet: it waits for a start-up IPI/,
        );
    });

    it('stops at a breakpoint inside of what it goes over', async () => {
        const debuggee = await at('second');
        await step(debuggee, 'over');
        await debuggee.target.setBreakpoints([{ id: 7, address: debuggee.at('middle'), hitCondition: '3' }]);
        const { reason, breakpoints } = await debuggee.step('over');
        assert.equal(reason, 'breakpoint');
        assert.deepEqual(breakpoints, [7]);
    });
});

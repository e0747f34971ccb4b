import assert from 'node:assert/strict';
import { MachineRunner } from '../../../src/debug/machine-runner';
import { rom, romMachine } from '../../support/rom-machine';

describe('machine runner', () => {
    it('lets a guest that is held back wait, and still be paused', async () => {
        const machine = romMachine(rom('eb fe')); // jmp $
        let held = true;
        const retired: number[] = [];
        /** What happens while the guest sleeps, and while it lets others have their turn. */
        const events = { sleeping: (): void => undefined, between: (): void => undefined };
        const runner = new MachineRunner(machine, {
            now: () => 0,
            yield: () => Promise.resolve(events.between()),
            sleep: () => Promise.resolve(events.sleeping()),
            holdsBack: () => held,
        });
        const look = (): void => {
            retired.push(machine.engine.retired());
            if (retired.length === 3) runner.requestPause();
        };
        events.sleeping = look;
        assert.deepEqual(await runner.run(), { reason: 'paused' });
        assert.deepEqual(retired, [0, 0, 0]);

        events.sleeping = () => (held = false);
        events.between = () => runner.requestPause();
        assert.deepEqual(await runner.run(), { reason: 'paused' });
        assert.ok(machine.engine.retired() > 0);
    });
});

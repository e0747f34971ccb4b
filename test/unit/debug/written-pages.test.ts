import assert from 'node:assert/strict';
import { HyperscopeError } from '../../../src/common/errors';
import { WrittenPages } from '../../../src/debug/written-pages';
import type { SwitchableEngine } from '../../../src/machine/engine';

describe('pages that the guest has written', () => {
    /** What KVM has noted, and whether it can be asked. */
    let noted: number[];
    let isReachable: boolean;
    let written: WrittenPages;

    beforeEach(() => {
        noted = [];
        isReachable = true;
        const engine: Pick<SwitchableEngine, 'dirtyPages'> = {
            dirtyPages: action => {
                if (!isReachable) throw new HyperscopeError('the translator executes this guest');
                return action === 'take' ? noted.splice(0) : [];
            },
        };
        written = new WrittenPages(engine as SwitchableEngine);
    });

    /** The guest runs, writes, and stops. */
    const run = (...pages: number[]): void => {
        noted.push(...pages);
        written.stopped();
    };

    it('are those of the last run at each stop, and all since the last look for who looks', () => {
        written.do('start');
        assert.equal(written.sinceLastStop, undefined);
        run(0x3000, 0x1000);
        run(0x2000, 0x1000);
        assert.deepEqual(written.sinceLastStop, new Set([0x2000, 0x1000]));
        noted.push(0x5000);
        assert.deepEqual(written.do('take'), [0x1000, 0x2000, 0x3000, 0x5000]);
        assert.deepEqual(written.do('take'), []);
        assert.deepEqual(written.sinceLastStop, new Set([0x2000, 0x1000]));
        run();
        assert.deepEqual(written.sinceLastStop, new Set());
    });

    it('are not known before they are noted, afterwards, and of a run on the translator', () => {
        run(0x1000);
        assert.equal(written.sinceLastStop, undefined);
        written.do('start');
        run(0x1000);
        isReachable = false;
        run();
        assert.equal(written.sinceLastStop, undefined);
        isReachable = true;
        run(0x3000);
        assert.deepEqual(written.sinceLastStop, new Set([0x3000]));
        assert.deepEqual(written.do('take'), [0x1000, 0x3000]);
        written.do('end');
        run(0x4000);
        assert.equal(written.sinceLastStop, undefined);
    });
});

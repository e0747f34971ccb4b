import assert from 'node:assert/strict';
import { InputQueue } from '../../../src/machine/input-queue';

function setUp() {
    const position = { instructions: 0, time: 0 };
    const queue = new InputQueue(() => ({ ...position }));
    const seen: string[] = [];
    queue.connect('serial0', data => seen.push(`${position.instructions}/${position.time} ${String(data)}`));
    return { position, queue, seen };
}

describe('input queue', () => {
    it('applies what was pushed only when the machine asks, in order', () => {
        const { position, queue, seen } = setUp();
        queue.push('serial0', 'a');
        queue.push('serial0', 'b');
        assert.ok(queue.waiting);
        assert.deepEqual(seen, []);
        position.instructions = 10;
        queue.apply();
        assert.deepEqual(seen, ['10/0 a', '10/0 b']);
        assert.ok(!queue.waiting);
    });

    it('replays a record at the same positions, with live input shut out', () => {
        const recorded = setUp();
        const record = recorded.queue.startRecording();
        Object.assign(recorded.position, { instructions: 100, time: 100 });
        recorded.queue.push('serial0', 'a');
        recorded.queue.apply();
        assert.equal(
            recorded.queue.pull('entropy', () => 42),
            42,
        );
        Object.assign(recorded.position, { time: 5000 });
        recorded.queue.push('serial0', 'b');
        recorded.queue.apply();

        const replayed = setUp();
        replayed.queue.startReplay(record);
        replayed.queue.push('serial0', 'live');
        replayed.queue.apply();
        assert.deepEqual(replayed.seen, []);
        assert.deepEqual(replayed.queue.next(), record[0]);
        Object.assign(replayed.position, { instructions: 100, time: 100 });
        replayed.queue.apply();
        assert.equal(
            replayed.queue.pull('entropy', () => assert.fail('the host must not be asked')),
            42,
        );
        replayed.queue.apply();
        assert.deepEqual(replayed.seen, ['100/100 a']);
        Object.assign(replayed.position, { time: 5000 });
        replayed.queue.apply();
        assert.deepEqual(replayed.seen, recorded.seen);
        assert.ok(!replayed.queue.replaying);
    });

    it('notices that the replayed machine is not the recorded one', () => {
        const { queue } = setUp();
        queue.startReplay([{ instructions: 5, time: 5, channel: 'entropy', data: 1 }]);
        const problems: string[] = [];
        queue.onDivergence = problem => problems.push(problem);
        assert.equal(
            queue.pull('entropy', () => 2),
            2,
        );
        assert.deepEqual(problems, ["the guest asks for 'entropy' at instruction 0, the record has 'entropy' at 5"]);
        assert.ok(!queue.replaying);
    });

    it('wakes an idle run loop', () => {
        const { queue } = setUp();
        let woken = 0;
        queue.onInput = () => woken++;
        queue.push('serial0', 'x');
        assert.equal(woken, 1);
    });

    it('saves input that was not applied yet', () => {
        const { queue } = setUp();
        queue.push('serial0', 'late');
        const restored = setUp();
        restored.queue.restore(queue.save());
        restored.queue.apply();
        assert.deepEqual(restored.seen, ['0/0 late']);
        assert.throws(() => queue.restore({ kind: 'input-queue', version: 1, fields: { pending: [3] } }), /no channel/);
    });
});

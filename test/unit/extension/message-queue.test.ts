import assert from 'node:assert/strict';
import { MessageQueue, type QueuedMessage } from '../../../src/extension/message-queue';

const RESPONSE: QueuedMessage = { type: 'response', command: 'stepIn' };
const OUTPUT: QueuedMessage = { type: 'event', event: 'output' };
const STOP: QueuedMessage = { type: 'event', event: 'stopped' };

describe('messages on their way to VS Code', () => {
    /** Messages that have arrived, and one that lets those go on that wait. */
    function queue(): {
        queue: MessageQueue<QueuedMessage>;
        seen: QueuedMessage[];
        wait: () => [Promise<void>, () => void];
    } {
        const seen: QueuedMessage[] = [];
        const wait = (): [Promise<void>, () => void] => {
            let go = (): void => undefined;
            const ready = new Promise<void>(resolve => (go = resolve));
            return [ready, go];
        };
        return { queue: new MessageQueue(message => seen.push(message)), seen, wait };
    }

    it('arrive at once, and in their order where one has to wait', async () => {
        const { queue: messages, seen, wait } = queue();
        messages.pass(OUTPUT);
        assert.deepEqual(seen, [OUTPUT]);
        const [ready, go] = wait();
        messages.pass(STOP, ready);
        messages.pass(RESPONSE);
        messages.pass(OUTPUT);
        assert.equal(seen.length, 1);
        go();
        await ready;
        assert.deepEqual(seen, [OUTPUT, STOP, RESPONSE, OUTPUT]);
        messages.pass(STOP);
        assert.equal(seen.at(-1), STOP);
    });

    it('tell of a quick step as a stop, before the response that says that the guest runs', async () => {
        const { queue: messages, seen, wait } = queue();
        const [ready, go] = wait();
        messages.pass(RESPONSE, ready);
        messages.pass(OUTPUT);
        messages.pass(STOP);
        messages.pass(OUTPUT);
        go();
        await ready;
        assert.deepEqual(seen, [OUTPUT, STOP, RESPONSE, OUTPUT]);
    });

    it('leave the response to a step where it is, if the guest runs on', async () => {
        const { queue: messages, seen, wait } = queue();
        const [ready, go] = wait();
        messages.pass(RESPONSE, ready);
        messages.pass(OUTPUT);
        go();
        await ready;
        messages.pass(STOP);
        assert.deepEqual(seen, [RESPONSE, OUTPUT, STOP]);
    });

    it('hide a move as long as its response waits, whether or not the stop has come', async () => {
        const { queue: messages, wait } = queue();
        const [told, tell] = wait();
        messages.pass(STOP, told);
        messages.pass({ type: 'response', command: 'threads' });
        assert.equal(messages.hidesMove, false);
        tell();
        await told;
        const [ready, go] = wait();
        messages.pass(RESPONSE, ready);
        assert.equal(messages.hidesMove, true);
        messages.pass(STOP);
        assert.equal(messages.hidesMove, true);
        go();
        await ready;
        assert.equal(messages.hidesMove, false);
        messages.pass(RESPONSE);
        assert.equal(messages.hidesMove, false);
    });

    it('keep what comes while those are passed on behind them', async () => {
        const seen: QueuedMessage[] = [];
        const messages: MessageQueue<QueuedMessage> = new MessageQueue(message => {
            seen.push(message);
            if (message === STOP) messages.pass(OUTPUT);
        });
        let go = (): void => undefined;
        const ready = new Promise<void>(resolve => (go = resolve));
        messages.pass(STOP, ready);
        messages.pass(RESPONSE);
        go();
        await ready;
        assert.deepEqual(seen, [STOP, RESPONSE, OUTPUT]);
    });
});

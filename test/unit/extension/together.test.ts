import assert from 'node:assert/strict';
import { setImmediate as immediate } from 'node:timers/promises';
import { Together } from '../../../src/extension/together';

describe('views that show a stop', () => {
    it('show it once the last one knows what to show', async () => {
        const together = new Together();
        const shown: string[] = [];
        const views = ['one', 'two', 'three'].map(name => ({ name, found: together.begin() }));
        for (const { name, found } of views.slice(0, 2)) void found().then(() => shown.push(name));
        await immediate();
        assert.equal(shown.length, 0);
        await views[2].found().then(() => shown.push('three'));
        assert.deepEqual(shown, ['one', 'two', 'three']);
        together.dispose();
    });

    it('do not wait for ever for one that is slow, which shows it when it can', async () => {
        const together = new Together();
        const quick = together.begin();
        const slow = together.begin();
        const slower = together.begin();
        await quick();
        await slow();
        await slower();
        together.dispose();
    });

    it('are told to VS Code before the stop is, unless there are none', async () => {
        const together = new Together();
        assert.equal(together.told(), undefined);
        const order: string[] = [];
        const found = together.begin();
        const told = together.told()!.then(() => order.push('stop'));
        await found().then(() => order.push('view'));
        await told;
        assert.deepEqual(order, ['view', 'stop']);
        together.dispose();
    });

    it('do not keep the stop from VS Code when one of an earlier stop still looks', async () => {
        const together = new Together();
        const first = together.begin();
        together.begin(); // and never finds anything
        await first();
        await together.told();
        together.dispose();
    });
});

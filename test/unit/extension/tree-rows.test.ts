/** What VS Code is told to draw anew after a stop: as little as possible, and all of it. */
import assert from 'node:assert/strict';
import { type Entry, type TreeNode, TreeRows } from '../../../src/extension/tree-rows';

const row = (key: string, value?: string, more: Partial<Entry> = {}): Entry => ({ key, label: key, value, ...more });

/** VS Code's part: fetches what is open, and what it is told of. */
class Window {
    readonly rows = new TreeRows();
    readonly nodes = new Map<string, TreeNode>();
    /** What the last stop has made it fetch. */
    drawn: string[] = [];

    stop(entries: readonly Entry[], lists: ReadonlyMap<string, readonly Entry[]> = new Map()): string[] {
        this.rows.nextStop();
        return this.show(entries, lists);
    }

    show(entries: readonly Entry[], lists: ReadonlyMap<string, readonly Entry[]> = new Map()): string[] {
        const different = this.rows.update({ entries, lists });
        this.drawn = different === 'all' ? ['all'] : different.map(({ path }) => path);
        for (const node of different === 'all' ? [undefined] : different) this.fetch(node);
        return this.drawn;
    }

    fetch(node: TreeNode | undefined): void {
        if (node !== undefined && !this.rows.isOpen(node.path, node.entry)) return;
        for (const below of this.rows.give(node)) {
            this.nodes.set(below.path, below);
            this.fetch(below);
        }
    }

    open(path: string, open = true): void {
        const node = this.nodes.get(path)!;
        this.rows.opened(node, open);
        if (open) this.fetch(node);
    }

    old(path: string): string | undefined {
        return this.nodes.get(path)!.old;
    }
}

describe('rows of a tree', () => {
    let window: Window;

    beforeEach(() => {
        window = new Window();
    });

    it('are drawn all at first, and none when nothing has changed', () => {
        assert.deepEqual(window.stop([row('rax', '1'), row('rip', '2')]), ['all']);
        assert.deepEqual(window.stop([row('rax', '1'), row('rip', '2')]), []);
    });

    it('are drawn one by one where values have changed, and once more when the mark goes', () => {
        const group = (rip: string, cs = '8'): Entry[] => [
            row('general', undefined, { expanded: true, children: [row('rax', '1'), row('rip', rip)] }),
            row('segments', undefined, { expanded: true, children: [row('cs', cs)] }),
        ];
        window.stop(group('2'));
        assert.deepEqual(window.stop(group('3', '9')), ['/general/rip', '/segments/cs']);
        assert.equal(window.old('/general/rip'), '2');
        assert.equal(window.nodes.get('/general/rip')!.entry.value, '3');
        assert.deepEqual(window.stop(group('3', '9')), ['/general/rip', '/segments/cs']);
        assert.equal(window.old('/general/rip'), undefined);
        assert.deepEqual(window.stop(group('3', '9')), []);
    });

    it('keep their marks when they are asked for once more at a stop', () => {
        window.stop([row('rax', '1')]);
        window.stop([row('rax', '2')]);
        assert.deepEqual(window.show([row('rax', '2')]), []);
        assert.equal(window.old('/rax'), '1');
        assert.deepEqual(window.show([row('rax', '3')]), ['/rax']);
        assert.equal(window.old('/rax'), '1');
    });

    it('are compared with the stop before, not with any earlier one', () => {
        window.stop([row('rax', '1')]);
        window.stop([]);
        window.stop([row('rax', '2')]);
        assert.equal(window.old('/rax'), undefined);
    });

    it('are not compared with those of another vCPU, nor where a view says so', () => {
        window.rows.look('vCPU 0');
        window.stop([row('rax', '1'), row('heat', '1', { unmarked: true })]);
        window.rows.look('vCPU 1');
        window.stop([row('rax', '2'), row('heat', '2', { unmarked: true })]);
        assert.equal(window.old('/rax'), undefined);
        window.stop([row('rax', '3'), row('heat', '3', { unmarked: true })]);
        assert.equal(window.old('/rax'), '2');
        assert.equal(window.old('/heat'), undefined);
    });

    it('are drawn with their parent where rows have come, gone or changed places', () => {
        const list = (...keys: string[]): Entry[] => [
            row('list', undefined, { expanded: true, children: keys.map(key => row(key)) }),
        ];
        window.stop(list('a', 'b'));
        for (const keys of [['a'], ['a', 'c'], ['c', 'a'], []]) {
            assert.deepEqual(window.stop(list(...keys)), ['/list'], keys.join());
        }
        assert.deepEqual(window.stop([]), ['all']);
    });

    it('are not drawn while they are closed, and are what they are once opened again', () => {
        const group = (value: string): Entry[] => [row('group', undefined, { children: [row('a', value)] })];
        window.stop(group('1'));
        assert.deepEqual(window.stop(group('2')), []);
        window.open('/group');
        assert.equal(window.nodes.get('/group/a')!.entry.value, '2');
        assert.equal(window.old('/group/a'), '1');
        window.open('/group', false);
        // VS Code has what was below it: it has to forget that, once.
        assert.deepEqual(window.stop(group('3')), ['/group']);
        assert.deepEqual(window.stop(group('4')), []);
        window.open('/group');
        assert.equal(window.nodes.get('/group/a')!.entry.value, '4');
    });

    it('follow lists that are asked for when they are open', () => {
        const entries = [row('log', undefined, { children: () => Promise.resolve([]) })];
        window.stop(entries);
        const log = window.nodes.get('/log')!;
        assert.equal(window.rows.entriesBelow(log), undefined);
        window.rows.takeList(log, [row('a', '1')]);
        window.open('/log');
        const list = (value: string): Map<string, Entry[]> => new Map([['/log', [row('a', value)]]]);
        assert.deepEqual(window.stop(entries, list('1')), []);
        assert.deepEqual(window.stop(entries, list('2')), ['/log/a']);
        assert.equal(window.old('/log/a'), '1');
        window.open('/log', false);
        assert.deepEqual(window.stop(entries), ['/log']);
        assert.equal(window.rows.entriesBelow(log), undefined);
    });

    it('are drawn with their parent where many have changed', () => {
        const list = (value: string): Entry[] => [
            row('list', undefined, {
                expanded: true,
                children: Array.from({ length: 200 }, (_, n) => row(`${n}`, value)),
            }),
        ];
        window.stop(list('1'));
        assert.deepEqual(window.stop(list('2')), ['/list']);
    });

    it('tell how many there are beyond those that are shown', () => {
        window.stop(Array.from({ length: 6000 }, (_, n) => row(`${n}`)));
        assert.equal(window.nodes.size, 5001);
        assert.equal(window.nodes.get('/…')!.entry.label, '… 1000 more');
    });

    it('notice everything that VS Code shows', () => {
        const looks: Partial<Entry>[] = [
            { label: 'another' },
            { value: 'another' },
            { tooltip: 'another' },
            { icon: 'another' },
            { context: ['another'] },
            { target: { space: 'linear', address: '0x1' } },
            { target: { space: 'physical', address: '0x1' } },
            { command: { command: 'another', title: '' } },
            { children: [] },
        ];
        for (const look of looks) {
            window = new Window();
            window.stop([row('a')]);
            assert.deepEqual(window.stop([{ ...row('a'), ...look }]), ['/a'], JSON.stringify(look));
            assert.deepEqual(window.stop([{ ...row('a'), ...look }]), []);
        }
    });
});

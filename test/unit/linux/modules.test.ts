import assert from 'node:assert/strict';
import { LinuxError } from '../../../src/linux/errors';
import { moduleSections, readModules } from '../../../src/linux/modules';
import { array, char, pointer, SyntheticKernel, u32, u64 } from './synthetic-kernel';

/** How kernels of different versions keep a module's places. */
type Era = 'core_layout' | 'mem';

class ModuleKernel extends SyntheticKernel {
    private readonly nodes: bigint[] = [];

    constructor(
        private readonly era: Era,
        private readonly counted: boolean,
    ) {
        super();
        const listHead = this.struct('list_head', { next: u64, prev: u64 });
        const attribute = this.struct('attribute', { name: pointer(char), mode: u64 });
        const binAttribute = this.struct('bin_attribute', { attr: attribute, size: u64, private: u64 });
        const group = this.struct('attribute_group', { name: u64, bin_attrs: u64 });
        const sectAttr = this.struct('module_sect_attr', { battr: binAttribute, address: u64 });
        this.struct(
            'module_sect_attrs',
            counted
                ? { grp: group, nsections: u32, attrs: array(sectAttr, undefined) }
                : { grp: group, attrs: array(binAttribute, undefined) },
        );
        const layout = this.struct('module_layout', { base: u64, size: u32 });
        this.struct('module', {
            state: u32,
            list: listHead,
            name: array(char, 56),
            ...(era === 'mem' ? { mem: array(layout, 7) } : { core_layout: layout }),
            sect_attrs: pointer(this.forward('module_sect_attrs')),
        });
        this.allocate(16, 'modules');
        this.relink();
    }

    add(name: string, state: number, base: bigint, sections: Readonly<Record<string, bigint>>): bigint {
        const place = this.era === 'mem' ? 'mem[0]' : 'core_layout';
        const at = this.make('module', {
            name,
            state,
            [`${place}.base`]: base,
            [`${place}.size`]: 0x3000,
            sect_attrs: this.attributes(sections),
        });
        this.nodes.push(at + 8n);
        this.relink();
        return at;
    }

    private relink(): void {
        this.link(this.symbols.get('modules')!, this.nodes);
    }

    private attributes(sections: Readonly<Record<string, bigint>>): bigint {
        const entries = Object.entries(sections);
        const at = this.allocate(24 + (entries.length + 1) * 48);
        const list = this.allocate((entries.length + 1) * 8);
        this.set('module_sect_attrs', at, {
            'grp.bin_attrs': list,
            ...(this.counted ? { nsections: entries.length } : {}),
        });
        entries.forEach(([name, address], index) => {
            const text = this.allocate(name.length + 1);
            this.write(text, new TextEncoder().encode(name));
            const attribute = at + (this.counted ? 24n + BigInt(index) * 40n : 16n + BigInt(index) * 32n);
            this.number(attribute, text, 8);
            this.number(attribute + (this.counted ? 32n : 24n), address, 8);
            this.number(list + BigInt(index * 8), attribute, 8);
        });
        return at;
    }
}

describe('modules of a kernel in memory', () => {
    for (const [era, counted] of [
        ['core_layout', true],
        ['mem', true],
        ['mem', false],
    ] as const) {
        it(`are listed with the addresses of their sections: ${era}, ${counted ? 'counted' : 'a list'}`, () => {
            const kernel = new ModuleKernel(era, counted);
            assert.deepEqual(readModules(kernel.reader).items, []);
            const sections = { '.text': 0xffffffffc0100000n, '.init.text': 0xffffffffc0200000n };
            const address = kernel.add('virtio_net', 1, 0xffffffffc0100000n, sections);
            kernel.add('failover', 0, 0xffffffffc0300000n, {});
            const { items, problem } = readModules(kernel.reader);
            assert.equal(problem, undefined);
            assert.deepEqual(
                items.map(({ name, state, base, size }) => ({ name, state, base, size })),
                [
                    { name: 'virtio_net', state: 'coming', base: 0xffffffffc0100000n, size: 0x3000 },
                    { name: 'failover', state: 'live', base: 0xffffffffc0300000n, size: 0x3000 },
                ],
            );
            assert.equal(items[0].address, address);
            assert.deepEqual(moduleSections(items[0]), new Map(Object.entries(sections)));
            assert.deepEqual(moduleSections(items[1]), new Map());
        });
    }

    it('end where the list is damaged, and say so', () => {
        const kernel = new ModuleKernel('mem', true);
        const address = kernel.add('first', 0, 0xffffffffc0100000n, {});
        kernel.add('second', 0, 0xffffffffc0200000n, {});
        kernel.number(address + 8n, address + 8n, 8);
        const { items, problem } = readModules(kernel.reader);
        assert.deepEqual(
            items.map(({ name }) => name),
            ['first'],
        );
        assert.match(problem ?? '', /circle/);
    });

    it('have no sections where a kernel keeps none, or claims to have more than there can be', () => {
        const kernel = new ModuleKernel('mem', true);
        const address = kernel.add('odd', 0, 0xffffffffc0100000n, {});
        kernel.set('module_sect_attrs', readModules(kernel.reader).items[0].structure.big('sect_attrs'), {
            nsections: 0x7fffffff,
        });
        assert.throws(() => moduleSections(readModules(kernel.reader).items[0]), /claims to have 2147483647 sections/);
        kernel.set('module', address, { sect_attrs: 0n });
        assert.throws(() => moduleSections(readModules(kernel.reader).items[0]), LinuxError);
    });
});

import assert from 'node:assert/strict';
import { Btf } from '../../../src/linux/btf';
import { BtfTables } from '../../../src/linux/btf-format';
import { LinuxError } from '../../../src/linux/errors';
import { readModuleTypes } from '../../../src/linux/module-memory';
import type { TypeSource } from '../../../src/symbols/program';
import {
    bare,
    type CType,
    declaration,
    findMember,
    type RecordType,
    sizeOf,
    typeName,
} from '../../../src/symbols/types';
import { damaged, randomNumbers } from '../../support/symbol-fuzz';
import { buildBtf, type BuiltType } from './btf-tables';
import { array, char, pointer, SyntheticKernel, u32, u64 } from './synthetic-kernel';

const SIGNED = 0x01000000;
const BOOL = 0x04000000;

/** Ids are positions, from 1. */
const TYPES: readonly BuiltType[] = [
    { kind: 1, name: 'int', value: 4, extra: [SIGNED | 32] }, // 1
    { kind: 1, name: 'char', value: 1, extra: [SIGNED | 8] },
    { kind: 1, name: '_Bool', value: 1, extra: [BOOL | 8] },
    { kind: 1, name: 'unsigned long', value: 8, extra: [64] },
    { kind: 2, value: 9 }, // 5: struct node *
    { kind: 3, extra: [2, 4, 16] }, // 6: char [16]
    { kind: 10, value: 2 }, // 7: const char
    { kind: 2, value: 7 }, // 8: const char *
    {
        kind: 4,
        name: 'node',
        flag: true,
        value: 64,
        // Bits 31-24: size of a bit-field; below: its place in bits.
        extra: [
            ...['next', 5, 0, 'name', 6, 64, 'low', 1, (3 << 24) | 192, 'high', 1, (7 << 24) | 195],
            ...['', 10, 256, 'tail', 21, 512],
        ],
    }, // 9
    { kind: 5, value: 8, extra: ['whole', 4, 0, 'text', 8, 0] }, // 10: union
    { kind: 6, name: 'state', value: 4, extra: ['READY', 0, 'RUNNING', 1, 'LAST', 0xffffffff] }, // 11
    { kind: 6, name: 'signed_state', flag: true, value: 4, extra: ['NEVER', 0xffffffff] },
    { kind: 19, name: 'wide', value: 8, extra: ['BIG', 5, 0x80000000] }, // 13
    { kind: 7, name: 'node' }, // 14: struct node;
    { kind: 7, name: 'elsewhere', flag: true }, // 15: union elsewhere;
    { kind: 8, name: 'node_t', value: 9 }, // 16
    { kind: 13, value: 1, extra: ['first', 8, '', 0] }, // 17: int (const char *, ...)
    { kind: 12, name: 'printk', value: 17, count: 1 }, // 18
    { kind: 14, name: 'runqueues', value: 9, extra: [1] }, // 19
    { kind: 15, name: '.data..percpu', value: 64, extra: [19, 0, 64] }, // 20
    { kind: 3, extra: [9, 4, 0] }, // 21: struct node []
    { kind: 16, name: 'double', value: 8 }, // 22
    { kind: 17, name: 'kfunc', value: 18, extra: [0xffffffff] }, // 23
    { kind: 18, name: 'rcu', value: 9 }, // 24
    { kind: 2, value: 24 }, // 25: struct node __rcu *
    { kind: 9, value: 25 }, // 26: volatile
    { kind: 11, value: 8 }, // 27: restrict
    { kind: 1, name: 'flag_t', value: 4, extra: [(5 << 16) | 3] }, // 28: an integer that is a bit-field
    { kind: 4, name: 'old', value: 4, extra: ['bits', 28, 0, 'all', 1, 0] }, // 29
    { kind: 2, value: 14 }, // 30
    { kind: 4, name: 'user', value: 24, extra: ['ahead', 30, 0, 'held', 26, 64, 'format', 27, 128] }, // 31
    { kind: 3, extra: [6, 4, 3] }, // 32: char [3][16]
];

function record(btf: Btf, name: string): RecordType {
    const type = btf.find(name, 'struct');
    assert.ok(type?.kind === 'record', name);
    return type;
}

/** Members as they are declared, with their places. */
function layout(type: RecordType): string[] {
    return type.members.map(
        ({ name, type: of, offset, bits }) =>
            `${offset}${bits === undefined ? '' : ` ${bits.offset}:${bits.size}`} ${declaration(of, name ?? '')}`,
    );
}

describe('BTF', () => {
    const btf = new Btf(new BtfTables(buildBtf(TYPES)));

    it('tells structures with bit-fields, unions inside and flexible arrays', () => {
        assert.deepEqual(layout(record(btf, 'node')), [
            '0 struct node *next',
            '8 char name[16]',
            '24 192:3 int low',
            '24 195:7 int high',
            '32 union {…}',
            '64 struct node tail[]',
        ]);
        assert.equal(sizeOf(record(btf, 'node')), 64);
        assert.equal(findMember(record(btf, 'node'), 'text')?.offset, 32);
        assert.deepEqual(layout(record(btf, 'old')), ['0 5:3 flag_t bits', '0 int all']);
    });

    it('sees through declarations and tags, and keeps qualifiers', () => {
        assert.deepEqual(layout(record(btf, 'user')), [
            '0 struct node *ahead',
            '8 struct node *volatile held',
            '16 const char *restrict format',
        ]);
        const [ahead] = record(btf, 'user').members;
        const target = bare(ahead.type);
        assert.ok(target.kind === 'pointer');
        const node = bare(target.to);
        assert.ok(node.kind === 'record' && node.complete && node.members.length === 6);
        const missing = btf.type(15);
        assert.ok(missing.kind === 'record' && !missing.complete && missing.keyword === 'union');
    });

    it('finds types by name and keyword', () => {
        assert.equal(typeName(btf.find('node_t', undefined)!), 'node_t');
        assert.equal(typeName(btf.find('unsigned long', undefined)!), 'unsigned long');
        assert.equal(btf.find('node', 'union'), undefined);
        assert.equal(btf.find('nothing', undefined), undefined);
        assert.equal(typeName(btf.type(32)), 'char[3][16]');
        assert.deepEqual(btf.type(22), { kind: 'float', size: 8, name: 'double' });
        assert.deepEqual(btf.type(2), { kind: 'integer', width: 8, signed: true, name: 'char', reads: 'character' });
        assert.deepEqual(btf.type(3), { kind: 'integer', width: 8, signed: false, name: '_Bool', reads: 'boolean' });
    });

    it('tells constants of all widths', () => {
        const values = ['READY', 'RUNNING', 'LAST', 'NEVER', 'BIG'].map(name => btf.enumerator(name)?.value);
        assert.deepEqual(values, [0n, 1n, 0xffffffffn, -1n, 0x8000000000000005n]);
        const state = btf.find('state', 'enum');
        assert.ok(state?.kind === 'enum' && state.width === 32 && !state.signed);
    });

    it('tells the types of functions and variables', () => {
        assert.equal(declaration(btf.function('printk')!, 'printk'), 'int printk(const char *, ...)');
        assert.equal(typeName(btf.variable('runqueues')!), 'struct node');
    });

    it('of a module continues that of the kernel', () => {
        const first = TYPES.length + 1;
        const kernel = buildBtf(TYPES);
        const strings = new DataView(kernel.buffer).getUint32(20, true);
        const module = new Btf(
            new BtfTables(
                buildBtf(
                    [
                        { kind: 4, name: 'driver', value: 72, extra: ['base', 9, 0, 'peer', first + 1, 512] },
                        { kind: 2, value: first },
                    ],
                    strings,
                ),
                btf.tables,
            ),
            btf,
        );
        assert.deepEqual(layout(record(module, 'driver')), ['0 struct node base', '64 struct driver *peer']);
        assert.equal(module.find('node', 'struct'), btf.find('node', 'struct'));
        assert.equal(module.enumerator('RUNNING')?.value, 1n);
        assert.equal(btf.find('driver', 'struct'), undefined);
    });

    it('of a module that a kernel has loaded is the copy that the kernel keeps', () => {
        const first = TYPES.length + 1;
        const strings = new DataView(buildBtf(TYPES).buffer).getUint32(20, true);
        const blob = buildBtf(
            [
                { kind: 4, name: 'driver', value: 72, extra: ['base', 9, 0, 'peer', first + 1, 512] },
                { kind: 2, value: first },
                { kind: 13, value: first + 1, extra: [] },
                { kind: 12, name: 'find', value: first + 2 },
            ],
            strings,
        );
        const kernel = new SyntheticKernel();
        const list = kernel.struct('list_head', { next: u64, prev: u64 });
        kernel.struct('module', { name: array(char, 56) });
        kernel.struct('btf', { data: u64, data_size: u32 });
        kernel.struct('btf_module', { list, module: u64, btf: pointer(kernel.forward('btf')) });
        const [other, module] = [kernel.make('module'), kernel.make('module')];
        const data = kernel.allocate(blob.length);
        kernel.write(data, blob);
        const own = kernel.make('btf', { data, data_size: blob.length });
        const entries = [
            kernel.make('btf_module', { module: other, btf: kernel.make('btf') }),
            kernel.make('btf_module', { module, btf: own }),
        ];
        const types = (address: bigint): TypeSource | undefined => {
            const structure = kernel.reader.at('module', address);
            const common = { address, name: 'probe', state: 'live', base: 0n, size: 0 } as const;
            return readModuleTypes({ ...common, structure }, name => (name === 'find' ? 0x1234n : undefined));
        };
        assert.equal(types(module), undefined, 'no list');
        kernel.link(kernel.allocate(16, 'btf_modules'), entries);
        assert.equal(types(module), undefined, 'the types of the kernel come from elsewhere');
        Object.assign(kernel, { btf });
        assert.equal(types(other), undefined, 'no types of its own');
        const found = types(module)!;
        assert.equal(found.findType('driver', 'struct')?.kind, 'record');
        assert.equal(found.findType('node', 'struct'), btf.find('node', 'struct'));
        const named = found.findGlobal('find');
        assert.ok(named?.kind === 'object' && named.type.kind === 'function' && named.address === 0x1234n);
        assert.equal(found.findGlobal('nothing'), undefined);
        kernel.set('btf', own, { data_size: 0x2000000 });
        assert.equal(types(module), undefined, 'larger than any');
        kernel.set('btf', own, { data_size: 8 });
        assert.equal(types(module)!.findType('driver', 'struct'), undefined, 'cut off');
        kernel.set('btf', own, { data: 0x1000 });
        assert.throws(() => types(module), LinuxError);
    });

    it('that is cut off or of another version is refused, and unknown kinds end what is known', () => {
        const bytes = buildBtf(TYPES);
        assert.throws(() => new BtfTables(bytes.subarray(0, bytes.length - 1)), LinuxError);
        assert.throws(() => new BtfTables(new Uint8Array(100)), LinuxError);
        const other = bytes.slice();
        other[2] = 2;
        assert.throws(() => new BtfTables(other), LinuxError);
        const strange = new BtfTables(buildBtf([TYPES[0], { kind: 31 }, TYPES[1]]));
        assert.deepEqual([...strange.ids()], [1]);
        assert.match(strange.problem ?? '', /type 2 is of an unknown kind/);
    });

    it('of structures in structures in structures is searched for a member no longer than any deserves', () => {
        let looked = 0;
        const wide = (): RecordType => ({
            ...{ kind: 'record', keyword: 'struct', name: undefined, size: 8, complete: true },
            get members() {
                looked += 500;
                return Array.from({ length: 500 }, () => ({ name: undefined, type: wide(), offset: 0 }));
            },
        });
        assert.equal(findMember(wide(), 'nothing'), undefined);
        assert.ok(looked < 100_000, `${looked} members`);
    });

    it('that is damaged ends in types, or an error that says so', () => {
        const random = randomNumbers(11);
        const original = buildBtf(TYPES);
        const visit = (type: CType, depth: number): void => {
            typeName(type);
            sizeOf(type);
            const plain = bare(type);
            if (depth > 3) return;
            if (plain.kind === 'pointer') visit(plain.to, depth + 1);
            else if (plain.kind === 'array') visit(plain.element, depth + 1);
            else if (plain.kind === 'record') {
                findMember(plain, 'nothing');
                plain.members.slice(0, 20).forEach(member => visit(member.type, depth + 1));
            } else if (plain.kind === 'function') plain.parameters.slice(0, 20).forEach(one => visit(one, depth + 1));
        };
        for (let round = 0; round < 3000; round++) {
            const bytes = damaged(original, random);
            let types: Btf;
            try {
                types = new Btf(new BtfTables(bytes));
            } catch (error) {
                assert.ok(error instanceof LinuxError);
                continue;
            }
            for (const id of types.tables.ids()) visit(types.type(id), 0);
            types.find('node', 'struct');
            types.enumerator('BIG');
        }
    });
});

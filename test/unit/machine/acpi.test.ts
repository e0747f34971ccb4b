import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import * as aml from '../../../src/machine/acpi/aml';
import { acpiFiles } from '../../../src/machine/acpi/table-loader';
import { type AcpiOptions, buildAcpiTables, rootPointer } from '../../../src/machine/acpi/tables';
import { encodeE820, memoryMap } from '../../../src/machine/e820';
import { layOut } from '../../../src/machine/layout';
import { mpTable } from '../../../src/machine/mp-table';

const MIB = 0x100000;
const OPTIONS: AcpiOptions = {
    cpus: 2,
    serialPorts: [0, 1],
    pciMemory: { first: 0xc0000000, last: 0xfebfffff },
    apicIds: [0, 1],
    ioApicId: 2,
    powerManagement: 0x600,
    hpetCapabilities: 0x8086a201,
};

const sum = (bytes: Uint8Array): number => bytes.reduce((total, byte) => (total + byte) & 0xff, 0);
const u32 = (bytes: Uint8Array, offset: number): number =>
    new DataView(bytes.buffer, bytes.byteOffset).getUint32(offset, true);
const u64 = (bytes: Uint8Array, offset: number): bigint =>
    new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(offset, true);
const ascii = (bytes: Uint8Array, offset: number, length: number): string =>
    String.fromCharCode(...bytes.subarray(offset, offset + length));

/** The tables as an operating system finds them: from the root pointer by way of RSDT or XSDT. */
function findTables(memory: Uint8Array, base: number, rsdp: Uint8Array, root: 'RSDT' | 'XSDT') {
    const size = root === 'RSDT' ? 4 : 8;
    const at = (root === 'RSDT' ? u32(rsdp, 16) : Number(u64(rsdp, 24))) - base;
    assert.equal(ascii(memory, at, 4), root);
    const length = u32(memory, at + 4);
    const tables = new Map<string, Uint8Array>();
    for (let offset = at + 36; offset < at + length; offset += size) {
        const table = (size === 4 ? u32(memory, offset) : Number(u64(memory, offset))) - base;
        tables.set(ascii(memory, table, 4), memory.subarray(table, table + u32(memory, table + 4)));
    }
    return tables;
}

describe('AML encoder', () => {
    const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

    it('encodes names with their prefixes', () => {
        assert.equal(hex(aml.path('\\_SB.PCI0')), '5c2e5f53425f50434930');
        assert.equal(hex(aml.path('^^A')), '5e5e415f5f5f');
        assert.equal(hex(aml.path('A.B.C')), '2f03415f5f5f425f5f5f435f5f5f');
        assert.equal(hex(aml.path('\\')), '5c00');
    });

    it('encodes integers in the shortest form', () => {
        assert.deepEqual(
            [0, 1, 2, 0xff, 0x100, 0x10000, 0x100000000].map(value => hex(aml.integer(value))),
            ['00', '01', '0a02', '0aff', '0b0001', '0c00000100', '0e0000000001000000'],
        );
    });

    it('encodes EISA identifiers', () => {
        assert.equal(hex(aml.eisaId('PNP0A03')), '0c41d00a03');
    });

    it('encodes package lengths of one to three bytes', () => {
        const length = (size: number): string => hex(aml.buffer(new Uint8Array(size))).slice(2, 10);
        assert.equal(length(4).slice(0, 2), '07');
        assert.equal(length(70).slice(0, 4), '4a04');
        assert.equal(length(5000).slice(0, 6), '8e3801');
    });
});

describe('ACPI tables', () => {
    const base = 0x7ff0000;
    const tables = buildAcpiTables(OPTIONS);
    const memory = tables.set.resolve(base);
    const rsdp = rootPointer(tables, base);

    it('have right checksums and are found from both roots', () => {
        assert.equal(ascii(rsdp, 0, 8), 'RSD PTR ');
        assert.equal(sum(rsdp.subarray(0, 20)), 0);
        assert.equal(sum(rsdp), 0);
        for (const root of ['RSDT', 'XSDT'] as const) {
            const found = findTables(memory, base, rsdp, root);
            assert.deepEqual([...found.keys()], ['FACP', 'APIC', 'HPET']);
            for (const [name, table] of found) {
                assert.equal(sum(table), 0, name);
            }
        }
    });

    it('describe the fixed hardware', () => {
        const fadt = findTables(memory, base, rsdp, 'XSDT').get('FACP')!;
        assert.equal(fadt.length, 244);
        const dsdt = u32(fadt, 40) - base;
        assert.equal(ascii(memory, dsdt, 4), 'DSDT');
        assert.equal(sum(memory.subarray(dsdt, dsdt + u32(memory, dsdt + 4))), 0);
        assert.equal(Number(u64(fadt, 140)) - base, dsdt);
        assert.equal(ascii(memory, u32(fadt, 36) - base, 4), 'FACS');
        assert.equal(u32(fadt, 36) % 64, 0);
        assert.equal(u32(fadt, 64), 0x604);
        assert.equal(Number(u64(fadt, 120)), 0xcf9);
        assert.equal(fadt[128], 6);
        assert.notEqual(u32(fadt, 112) & (1 << 10), 0);
    });

    it('list processors, IOAPIC and interrupt overrides', () => {
        const madt = findTables(memory, base, rsdp, 'XSDT').get('APIC')!;
        const entries: string[] = [];
        for (let at = 44; at < madt.length; at += madt[at + 1]) {
            entries.push(Buffer.from(madt.subarray(at, at + madt[at + 1])).toString('hex'));
        }
        assert.deepEqual(entries.slice(0, 5), [
            '0008000001000000',
            '0008010101000000',
            '010c02000000c0fe00000000',
            '020a0000020000000000',
            '020a0005050000000d00',
        ]);
        assert.equal(entries.at(-1), '0406ff000001');
    });

    it('give a firmware a script that leads to the same tables', () => {
        const files = acpiFiles(tables);
        const space = new Map<string, { bytes: Uint8Array; address: number }>();
        const content: Record<string, Uint8Array> = { 'etc/acpi/tables': files.tables, 'etc/acpi/rsdp': files.rsdp };
        const name = (entry: Uint8Array, offset: number): string => ascii(entry, offset, 56).replace(/\0.*$/, '');
        for (let at = 0; at < files.loader.length; at += 128) {
            const entry = files.loader.slice(at, at + 128);
            const file = name(entry, 4);
            const target = space.get(file);
            switch (u32(entry, 0)) {
                case 1:
                    space.set(file, { bytes: content[file].slice(), address: entry[64] === 1 ? base : 0xf6000 });
                    break;
                case 2: {
                    const offset = u32(entry, 116);
                    const view = new DataView(target!.bytes.buffer);
                    const value = view.getUint32(offset, true) + space.get(name(entry, 60))!.address;
                    view.setUint32(offset, value, true);
                    break;
                }
                case 3: {
                    const [offset, start, length] = [60, 64, 68].map(field => u32(entry, field));
                    target!.bytes[offset] = -sum(target!.bytes.subarray(start, start + length));
                    break;
                }
            }
        }
        assert.deepEqual(space.get('etc/acpi/tables')!.bytes, memory);
        assert.deepEqual(space.get('etc/acpi/rsdp')!.bytes, rsdp);
    });

    it('compile again after disassembly, without a complaint of the ACPICA compiler', function () {
        if (spawnSync('iasl', ['-v']).error !== undefined) {
            this.skip();
        }
        const folder = mkdtempSync(path.join(os.tmpdir(), 'acpi-'));
        try {
            const all = findTables(memory, base, rsdp, 'XSDT');
            const dsdt = u32(all.get('FACP')!, 40) - base;
            all.set('DSDT', memory.subarray(dsdt, dsdt + u32(memory, dsdt + 4)));
            for (const [name, table] of all) {
                writeFileSync(path.join(folder, `${name}.aml`), table);
                const run = (...args: string[]) => spawnSync('iasl', args, { cwd: folder, encoding: 'utf8' });
                const disassembled = run('-d', `${name}.aml`);
                assert.equal(disassembled.status, 0, disassembled.stderr);
                const compiled = run('-we', '-p', `${name}-again`, `${name}.dsl`);
                const report = compiled.stdout + compiled.stderr;
                assert.equal(compiled.status, 0, report);
                if (name === 'DSDT') {
                    const source = readFileSync(path.join(folder, 'DSDT.dsl'), 'utf8');
                    for (const expected of [
                        '_S3',
                        '_S5',
                        'PNP0A03',
                        'PNP0501',
                        'PNP0303',
                        'PNP0B00',
                        'PNP0103',
                        'ACPI0007',
                    ]) {
                        assert.ok(source.includes(expected), expected);
                    }
                }
            }
        } finally {
            rmSync(folder, { recursive: true });
        }
    });
});

describe('MP table', () => {
    it('has right checksums and as many entries as it says', () => {
        const bytes = mpTable(
            { apicIds: [0, 1, 2], ioApicId: 3, signature: 0x306c1, features: 0x78bfbff, pciSlots: [3] },
            0xf0040,
        );
        assert.equal(ascii(bytes, 0, 4), '_MP_');
        assert.equal(sum(bytes.subarray(0, 16)), 0);
        assert.equal(u32(bytes, 4), 0xf0050);
        const table = bytes.subarray(16);
        assert.equal(ascii(table, 0, 4), 'PCMP');
        assert.equal(table[4] | (table[5] << 8), table.length);
        assert.equal(sum(table), 0);
        const count = table[34] | (table[35] << 8);
        const types: number[] = [];
        let at = 44;
        for (; at < table.length; at += table[at] === 0 ? 20 : 8) {
            types.push(table[at]);
        }
        assert.equal(at, table.length);
        assert.equal(types.length, count);
        assert.equal(types.filter(type => type === 0).length, 3);
        assert.equal(types.filter(type => type === 3).length, 4 + 13);
    });
});

describe('E820 map', () => {
    it('leaves out what is not RAM and continues above 4 GiB', () => {
        const map = memoryMap(layOut({ ramSize: 3584 * MIB, cpus: 1 }), 0x10000);
        assert.deepEqual(map, [
            { base: 0, size: 0x9fc00, type: 1 },
            { base: 0x9fc00, size: 0x400, type: 2 },
            { base: 0xf0000, size: 0x10000, type: 2 },
            { base: MIB, size: 3071 * MIB - 0x10000, type: 1 },
            { base: 3072 * MIB - 0x10000, size: 0x10000, type: 3 },
            { base: 4096 * MIB, size: 512 * MIB, type: 1 },
        ]);
        const bytes = encodeE820(map);
        assert.equal(u64(bytes, 100), 0x1_0000_0000n);
        assert.equal(u64(bytes, 108), BigInt(512 * MIB));
        assert.equal(u32(bytes, 116), 1);
    });
});

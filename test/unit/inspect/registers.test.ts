import assert from 'node:assert/strict';
import { formatExtended, parseExtended } from '../../../src/debug/registers/extended';
import { findRegister, registerNames, viewRegisters, writeRegister } from '../../../src/debug/registers/register-file';
import { findLaneType, parseRegisterNumber } from '../../../src/inspect/register-input';
import {
    collectValues,
    formatBits,
    RegistersPresenter,
    type RegistersPresentation,
} from '../../../src/inspect/registers-view';
import type { RegisterItem } from '../../../src/messages/registers';
import { StateOffset } from '../../../src/machine/state';
import { TestMachine } from '../machine/cpu/test-machine';

const HEX: RegistersPresentation = { base: 'hex', lanes: findLaneType('u32') };

function presented(machine: TestMachine, presentation = HEX, before?: ReadonlyMap<string, bigint>) {
    const presenter = new RegistersPresenter(presentation, before, () => undefined);
    const items = new Map<string, RegisterItem>();
    const add = (item: RegisterItem): void => {
        items.set(item.name, item);
        item.parts?.forEach(add);
    };
    presenter.groups(viewRegisters(machine.cpu)).forEach(group => group.registers.forEach(add));
    return items;
}

describe('registers', () => {
    it('can all be read and looked up by name, parts included, in any state', () => {
        for (const machine of [
            new TestMachine().realMode(),
            new TestMachine().protect(),
            new TestMachine().enterLongMode(),
        ]) {
            machine.cpu.bytes.fill(0xa5, StateOffset.x87, StateOffset.size);
            const items = presented(machine);
            assert.ok(items.size > 300);
            for (const name of [...items.keys(), ...registerNames()]) {
                assert.equal(findRegister(name)?.name, name);
                assert.ok(findRegister(name)!.read(machine.cpu) >= 0n, name);
            }
        }
    });

    it('decode control and debug registers, descriptors, MSRs and the words of the FPU bit by bit', () => {
        const machine = new TestMachine().enterLongMode(3);
        const { cpu } = machine;
        cpu.set64(StateOffset.dr + 7 * 8, 0xd0002n | 0x400n);
        cpu.set64(StateOffset.star, 0x0023_0010_1234_5678n);
        cpu.set64(StateOffset.pat, 0x0007040600070406n);
        cpu.setLo(StateOffset.fcw, 0x0f7f);
        cpu.setLo(StateOffset.ftop, 3);
        const items = presented(machine);
        const text = (name: string): string => [items.get(name)?.text, items.get(name)?.description].join(' ').trim();
        assert.equal(text('cr0.pg'), '1');
        assert.equal(text('cr0.wp'), '1');
        assert.match(text('efer'), /NXE LMA LME SCE$|LMA LME SCE$/);
        assert.equal(text('cs.dpl'), '3');
        assert.equal(text('cs.l'), '1');
        assert.equal(items.get('cs.l')?.label, 'L');
        assert.equal(items.get('cs.base')?.label, 'base');
        assert.equal(text('dr7.g0'), '1');
        assert.equal(text('dr7.rw0'), '1 write');
        assert.equal(text('dr7.len0'), '3 4 bytes');
        assert.equal(text('ia32_star.sysret_cs'), '0x0023');
        assert.equal(text('ia32_star.syscall_cs'), '0x0010');
        assert.equal(text('ia32_pat.pa1'), '4 WT');
        assert.equal(text('fcw.rc'), '3 towards zero');
        assert.equal(text('fcw.pc'), '3 64 bits');
        assert.equal(text('fsw.top'), '3');
        assert.equal(text('ftw'), '0x5555 in use: R0 R1 R2 R3 R4 R5 R6 R7');
    });

    it('show vector registers in lanes of every type, and in every base', () => {
        const machine = new TestMachine().protect();
        writeRegister(machine.cpu, 'xmm1', 0x7fff_0001_8000_0000_3f80_0000_bf80_0000n);
        const lanes = (type: string, base: RegistersPresentation['base'] = 'hex'): string[] =>
            presented(machine, { base, lanes: findLaneType(type) })
                .get('xmm1')!
                .parts!.map(({ text }) => text);
        assert.deepEqual(lanes('u32'), ['0xbf800000', '0x3f800000', '0x80000000', '0x7fff0001']);
        assert.deepEqual(lanes('f32').slice(0, 3), ['-1', '1', '-0']);
        assert.deepEqual(lanes('i16').slice(-2), ['1', '32767']);
        assert.equal(lanes('u8').length, 16);
        assert.deepEqual(lanes('u16', 'decimal').slice(0, 2), ['0', '49024']);
        assert.equal(formatBits(5n, 8, 'binary'), '0b00000101');
        assert.equal(formatBits(1n, 1, 'binary'), '1');
    });

    it('are written lane by lane and flag by flag, the rest left alone', () => {
        const machine = new TestMachine().protect();
        const { cpu } = machine;
        writeRegister(cpu, 'xmm2', (1n << 128n) - 1n);
        writeRegister(cpu, 'xmm2.u16.3', 0x1234n);
        writeRegister(cpu, 'xmm2.f64.1', parseRegisterNumber('xmm2.f64.1', '-1.5')!);
        assert.equal(findRegister('xmm2')!.read(cpu), 0xbff8_0000_0000_0000_1234_ffff_ffff_ffffn);
        writeRegister(cpu, 'zf', 1n);
        writeRegister(cpu, 'df', 1n);
        assert.equal(cpu.rflags & 0x440, 0x440);
        writeRegister(cpu, 'cr0.ts', 1n);
        assert.equal(cpu.cr0, 0x19);
        writeRegister(cpu, 'cs.db', 0n);
        assert.equal(cpu.mode & 3, 0, 'the new code size holds at once');
        assert.throws(() => writeRegister(cpu, 'cr0.pe', 0n) ?? writeRegister(cpu, 'cr0.pg', 1n), /#GP/);
        for (const name of ['xmm2.f16.0', 'xmm2.u32.4', 'xmm2.u32', 'xmm99.u8.0']) {
            assert.equal(findRegister(name), undefined, name);
        }
    });

    it('carry the value of the stop before where it was another', () => {
        const machine = new TestMachine().protect();
        const before = collectValues(viewRegisters(machine.cpu));
        writeRegister(machine.cpu, 'rax', 5n);
        writeRegister(machine.cpu, 'cf', 1n);
        writeRegister(machine.cpu, 'xmm0.u8.5', 7n);
        const items = presented(machine, HEX, before);
        const changed = [...items.values()].filter(item => item.changed !== undefined).map(({ name }) => name);
        assert.deepEqual(changed, ['rax', 'rflags', 'cf', 'xmm0', 'xmm0.u32.1']);
        assert.deepEqual(items.get('cf')!.changed, { value: '0x0', text: '0' });
    });
});

describe('double-extended numbers', () => {
    const written = (text: string): string => {
        const bits = parseExtended(text);
        return bits === undefined ? 'none' : formatExtended(BigInt.asUintN(64, bits), Number(bits >> 64n));
    };

    it('are read and written as decimal text', () => {
        for (const text of ['0', '-0', '1', '-1.5', '0.1', '1e+300', '5e-324', 'Infinity', '-Infinity', 'NaN']) {
            assert.equal(written(text), text);
        }
        assert.equal(written('-inf'), '-Infinity');
        assert.equal(written('.5'), '0.5');
        for (const text of ['', '0x10', 'rax', '1e', '--1']) assert.equal(written(text), 'none', text);
        assert.equal(parseExtended('1'), (0x3fffn << 64n) | (1n << 63n));
    });

    it('show what a double cannot hold', () => {
        assert.equal(formatExtended(3n << 62n, 0x7000), '1.5 * 2^12289');
        assert.equal(formatExtended(0n, 0x4000), '0');
        assert.equal(formatExtended(1n, 0x7fff), 'unsupported');
    });
});

import assert from 'node:assert/strict';
import { SnapshotError } from '../../../../src/common/errors';
import { PROCESSOR_SIGNATURE } from '../../../../src/machine/cpu/cpuid';
import { systemOperations } from '../../../../src/machine/cpu/system';
import { Attribute, ROWS } from '../../../../src/isa/x86';
import { ActivityState, StateOffset } from '../../../../src/machine/state';
import { TestMachine } from './test-machine';

describe('vCPU', () => {
    it('starts at the reset vector (SDM Vol. 3, table 9-1)', () => {
        const machine = new TestMachine();
        const { cpu } = machine;
        assert.deepEqual(machine.hidden(1), { selector: 0xf000, base: 0xffff0000, limit: 0xffff, attributes: 0x9b });
        assert.deepEqual([machine.rip, cpu.rflags, cpu.cr0], [0xfff0n, 2, 0x60000010]);
        assert.equal(cpu.gpr(2), PROCESSOR_SIGNATURE);
        assert.deepEqual([cpu.lo(StateOffset.dr + 48), cpu.lo(StateOffset.dr + 56)], [0xffff0ff0, 0x400]);
        assert.equal(cpu.lo(StateOffset.mxcsr), 0x1f80);
        assert.equal(cpu.activity, ActivityState.Active);
    });

    it('INIT keeps MSRs and floating point, and an application processor waits for SIPI', () => {
        const { cpu } = new TestMachine({ apicId: 1, processors: 2 });
        assert.equal(cpu.activity, ActivityState.WaitForSipi);
        cpu.sipi(0x9f);
        assert.equal(cpu.activity, ActivityState.Active);
        assert.deepEqual([cpu.selector(1), cpu.segmentBase(1), cpu.ripLo], [0x9f00, 0x9f000, 0]);
        cpu.set64(StateOffset.lstar, 0x1234n);
        cpu.set64(StateOffset.vector, 0x5678n);
        cpu.set64(StateOffset.instructions, 99n);
        cpu.setLo(StateOffset.cr4, 0x20);
        cpu.setLo(StateOffset.cr0, 0x11);
        cpu.init();
        assert.deepEqual([cpu.get64(StateOffset.lstar), cpu.get64(StateOffset.vector)], [0x1234n, 0x5678n]);
        assert.deepEqual([cpu.cr4, cpu.cr0, cpu.get64(StateOffset.instructions)], [0, 0x10, 99n]);
        assert.equal(cpu.activity, ActivityState.WaitForSipi);
        cpu.activity = ActivityState.Active;
        cpu.sipi(1);
        assert.equal(cpu.selector(1), 0xf000, 'a SIPI that nobody waits for is ignored');
    });

    it('is rebuilt from its record', () => {
        const machine = new TestMachine().enterLongMode(3);
        const { cpu } = machine;
        for (let register = 0; register < 16; register++) cpu.setGpr(register, register * 3, ~register >>> 0);
        cpu.writeFlags(0x246);
        cpu.set(StateOffset.fip, 1, 2);
        cpu.setSegmentBase(4, 0x1234, 0x7fff);
        const record = cpu.save();
        const other = new TestMachine();
        other.cpu.restore(record);
        assert.deepEqual(other.cpu.save(), record);
        assert.equal(other.cpu.mode, cpu.mode);
        assert.equal(other.cpu.lo(StateOffset.tlb), cpu.lo(StateOffset.tlb));
    });

    it('refuses records of another version or with fields missing, and stays as it was', () => {
        const { cpu } = new TestMachine();
        const record = cpu.save();
        assert.throws(() => cpu.restore({ ...record, version: 99 }), SnapshotError);
        const { vector: _, ...fields } = record.fields;
        assert.throws(() => cpu.restore({ ...record, fields: { ...fields, rax: 5n } }), SnapshotError);
        assert.deepEqual(cpu.save(), record);
    });

    it('has an operation for every system instruction of the table', () => {
        const missing = ROWS.filter(
            row => row.attributes & Attribute.System && !systemOperations.has(row.mnemonic),
        ).map(row => row.mnemonic);
        assert.deepEqual(missing, []);
    });
});

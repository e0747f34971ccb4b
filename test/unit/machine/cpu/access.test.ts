import assert from 'node:assert/strict';
import { Vector } from '../../../../src/machine/cpu/fault';
import { MmuMode, StateOffset } from '../../../../src/machine/state';
import { MMIO, PML4, TestMachine } from './test-machine';

const SUPERVISOR = MmuMode.Supervisor;
/** The 4 KiB pages at 40000000h onwards, through a page table at 20000h. */
const WINDOW = 0x40000000;

/** 64-bit mode with pages WINDOW, WINDOW + 1000h … mapped as given. */
function mapped(...entries: bigint[]): TestMachine {
    const machine = new TestMachine().enterLongMode(0);
    machine.poke64(PML4 + 0x1000 + 8, 0x21007n);
    machine.poke64(0x21000, 0x20007n);
    entries.forEach((entry, index) => machine.poke64(0x20000 + index * 8, entry));
    return machine;
}

describe('linear memory', () => {
    it('reads and writes every size across a page boundary', () => {
        const machine = mapped(0x60007n, 0x50007n);
        const { memory } = machine.cpu;
        const at = WINDOW + 0xffd;
        memory.write32(at, 0, 0x44332211, SUPERVISOR);
        assert.deepEqual([machine.ram.getUint8(0x60fff), machine.ram.getUint8(0x50000)], [0x33, 0x44]);
        assert.equal(memory.read32(at, 0, SUPERVISOR), 0x44332211);
        assert.equal(memory.read16(at + 2, 0, SUPERVISOR), 0x4433);
        memory.write64(at, 0, 0x89abcdef, 0x01234567, SUPERVISOR);
        assert.equal(memory.read32(at + 4, 0, SUPERVISOR), 0x01234567);
    });

    it('stores nothing when the second page cannot be written', () => {
        const machine = mapped(0x60007n, 0n);
        const at = WINDOW + 0xffc;
        machine.poke32(0x60ffc, 0x55555555);
        const scratch = StateOffset.scratch;
        machine.cpu.set(scratch, 1, 2);
        for (const store of [
            () => machine.cpu.memory.write64(at, 0, 1, 2, SUPERVISOR),
            () => machine.cpu.memory.write32(at + 2, 0, 1, SUPERVISOR),
            () => machine.cpu.memory.writeFrom(machine.cpu.base + scratch, at, 0, 8, SUPERVISOR),
        ]) {
            const fault = machine.catch(store);
            assert.deepEqual([fault.vector, fault.errorCode, fault.address], [Vector.PF, 2, 0x40001000n]);
            assert.equal(machine.peek32(0x60ffc), 0x55555555);
        }
    });

    it('copies up to 16 bytes to and from the shared memory', () => {
        const machine = mapped(0x60007n, 0x50007n);
        const target = machine.cpu.base + StateOffset.scratch;
        machine.poke64(0x60ff8, 0x1122334455667788n);
        machine.poke64(0x50000, 0x99aabbccddeeff00n);
        machine.cpu.memory.readInto(target, WINDOW + 0xff8, 0, 16, SUPERVISOR);
        assert.equal(machine.cpu.get64(StateOffset.scratch), 0x1122334455667788n);
        assert.equal(machine.cpu.get64(StateOffset.scratch + 8), 0x99aabbccddeeff00n);
        machine.cpu.memory.writeFrom(target + 8, WINDOW + 0xffc, 0, 8, SUPERVISOR);
        assert.deepEqual([machine.peek32(0x60ffc), machine.peek32(0x50000)], [0xddeeff00, 0x99aabbcc]);
    });

    it('raises #GP for addresses that are not canonical', () => {
        const { cpu } = mapped();
        const machine = mapped();
        for (const hi of [0x8000, 0xffff7fff]) {
            assert.equal(machine.catch(() => machine.cpu.memory.read8(0, hi, SUPERVISOR)).vector, Vector.GP);
        }
        assert.ok(cpu.memory.isCanonical(0xffffffff, 0x7fff) && cpu.memory.isCanonical(0, 0xffff8000));
        cpu.setLo(StateOffset.cr4, cpu.cr4 | 0x1000);
        assert.ok(cpu.memory.isCanonical(0, 0x8000) && !cpu.memory.isCanonical(0, 0x1000000));
    });

    it('wraps at 4 GiB outside long mode', () => {
        const machine = new TestMachine().protect(0);
        machine.poke16(0, 0xbbaa);
        machine.mmioValue = 0x11;
        assert.equal(machine.cpu.memory.read32(0xfffffffe, 0, SUPERVISOR), 0xbbaa1111);
    });

    it('routes device registers, in aligned pieces when wider than 4 bytes', () => {
        const machine = new TestMachine().protect(0);
        machine.mmioValue = 0x12345678;
        assert.equal(machine.cpu.memory.read32(MMIO, 0, SUPERVISOR), 0x12345678);
        machine.cpu.memory.write16(MMIO + 2, 0, 0xabcdef, SUPERVISOR);
        machine.cpu.memory.readInto(machine.cpu.base + StateOffset.scratch, MMIO + 6, 0, 8, SUPERVISOR);
        assert.deepEqual(machine.mmio, [
            'read e0000000 4',
            'write e0000002 2 cdef',
            'read e0000006 2',
            'read e0000008 4',
            'read e000000c 2',
        ]);
    });

    it('announces stores to code and lets ROM take none', () => {
        const machine = new TestMachine().protect(0);
        machine.codePages.add(0x5000);
        machine.cpu.memory.write32(0x5004, 0, 7, SUPERVISOR);
        assert.deepEqual([machine.codeWrites, machine.peek32(0x5004)], [[0x5004], 7]);
        machine.readOnly.add(0x6000);
        machine.cpu.memory.write32(0x6000, 0, 7, SUPERVISOR);
        assert.deepEqual([machine.peek32(0x6000), machine.mmio], [0, ['write 6000 4 7']]);
    });

    it('probes for writing without writing', () => {
        const machine = mapped(0x60005n, 0x50007n);
        machine.cpu.setLo(StateOffset.cr0, machine.cpu.cr0 | 0x10000);
        assert.equal(machine.catch(() => machine.cpu.memory.probeWrite(WINDOW, 0, 4, SUPERVISOR)).errorCode, 3);
        machine.cpu.memory.probeWrite(WINDOW + 0x1000, 0, 4, SUPERVISOR);
        assert.equal(machine.peek64(0x20008), 0x50067n);
    });
});

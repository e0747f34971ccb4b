import assert from 'node:assert/strict';
import { ALL_FEATURES, cpuidLeaf } from '../../../../src/machine/cpu/cpuid';
import { Vector } from '../../../../src/machine/cpu/fault';
import { knownMsrs } from '../../../../src/machine/cpu/msr';
import { ActivityState, Flag, MonitorState, StateOffset } from '../../../../src/machine/state';
import { CODE0, FLAT64, PML4, Selector, TestMachine } from './test-machine';

/** MOV CRn,EAX (RAX in 64-bit mode) and back. */
function toControl(register: number): number[] {
    return [0x0f, 0x22, 0xc0 | (register << 3)];
}

function fromControl(register: number): number[] {
    return [0x0f, 0x20, 0xc0 | (register << 3)];
}

function withRax(machine: TestMachine, lo: number, hi = 0): TestMachine {
    machine.cpu.setGpr(0, lo, hi);
    return machine;
}

describe('control registers', () => {
    it('CR0 refuses PG without PE, NW without CD, and a high half', () => {
        const machine = new TestMachine().protect(0);
        withRax(machine, 0x80000000).expectFault(Vector.GP, 0, ...toControl(0));
        withRax(machine, 0x20000001).expectFault(Vector.GP, 0, ...toControl(0));
        withRax(new TestMachine().enterLongMode(0), 0x80000011, 1).expectFault(Vector.GP, 0, ...toControl(0));
        withRax(new TestMachine().protect(3), 0x11).expectFault(Vector.GP, 0, ...toControl(0));
    });

    it('CR0 keeps ET and ignores undefined bits', () => {
        const machine = withRax(new TestMachine().protect(0), 0x1ffcffc1);
        machine.execute(...toControl(0));
        assert.equal(machine.cpu.cr0, 0x00040011);
    });

    it('activate long mode with paging if PAE is on and CS is not a 64-bit segment', () => {
        const machine = new TestMachine().protect(0);
        machine.cpu.setLo(StateOffset.efer, 0x100);
        withRax(machine, 0x80000011).expectFault(Vector.GP, 0, ...toControl(0));
        machine.cpu.setLo(StateOffset.cr4, 0x20);
        machine.load(1, Selector.Code64, 0, 0xffffffff, CODE0, FLAT64);
        machine.expectFault(Vector.GP, 0, ...toControl(0));
        machine.setFlat(0);
        machine.cpu.setLo(StateOffset.cr3, PML4);
        machine.execute(...toControl(0));
        assert.equal(machine.cpu.efer, 0x500);
        assert.ok(machine.cpu.longMode);
        withRax(machine, 0x11).execute(...toControl(0));
        assert.equal(machine.cpu.efer, 0x100);
    });

    it('cannot turn paging off in 64-bit mode', () => {
        withRax(new TestMachine().enterLongMode(0), 0x11).expectFault(Vector.GP, 0, ...toControl(0));
    });

    it('load the PDPTE registers of PAE paging and check them', () => {
        const machine = new TestMachine().protect(0);
        machine.cpu.setLo(StateOffset.cr4, 0x20);
        machine.cpu.setLo(StateOffset.cr0, 0x80000011);
        machine.poke64(0x7020, 0x8001n);
        machine.poke64(0x7028, 0x9000n | 0x1e6n);
        withRax(machine, 0x7020).execute(...toControl(3));
        assert.equal(machine.cpu.get64(StateOffset.pdpte), 0x8001n);
        machine.poke64(0x7028, 0x9003n);
        machine.expectFault(Vector.GP, 0, ...toControl(3));
        machine.poke64(0x7028, 0x9001n | (1n << 40n));
        machine.expectFault(Vector.GP, 0, ...toControl(3));
    });

    it('CR3 takes bit 63 only with PCIDs, and no bits beyond the physical address', () => {
        const machine = withRax(new TestMachine().enterLongMode(0), PML4, 0x80000000);
        machine.expectFault(Vector.GP, 0, ...toControl(3));
        machine.cpu.setLo(StateOffset.cr4, 0x20020);
        withRax(machine, PML4 | 5, 0x80000000).execute(...toControl(3));
        assert.equal(machine.cpu.get64(StateOffset.cr3), BigInt(PML4 | 5));
        withRax(machine, PML4, 0x100).expectFault(Vector.GP, 0, ...toControl(3));
    });

    it('CR3 flushes all but global translations', () => {
        const machine = withRax(new TestMachine().enterLongMode(0), PML4);
        machine.cpu.setLo(StateOffset.cr4, 0xa0);
        machine.flushes.length = 0;
        machine.execute(...toControl(3));
        assert.deepEqual(machine.flushes, ['non-global']);
    });

    it('CR4 refuses reserved bits, PAE off in long mode, LA57 changes there, PCIDE too early', () => {
        const long = new TestMachine().enterLongMode(0);
        for (const value of [0x8020, 0x4020, 0, 0x1020, 0x400020]) {
            withRax(long, value).expectFault(Vector.GP, 0, ...toControl(4));
        }
        long.cpu.setLo(StateOffset.cr3, PML4 | 1);
        withRax(long, 0x20020).expectFault(Vector.GP, 0, ...toControl(4));
        withRax(new TestMachine().protect(0), 0x20020).expectFault(Vector.GP, 0, ...toControl(4));
        withRax(new TestMachine().protect(0), 0x1000).execute(...toControl(4));
    });

    it('CR8 is the task priority', () => {
        const machine = withRax(new TestMachine().enterLongMode(0), 5);
        machine.execute(0x44, 0x0f, 0x22, 0xc0);
        assert.equal(machine.taskPriority, 0x50);
        withRax(machine, 0).execute(0x44, 0x0f, 0x20, 0xc0);
        assert.equal(machine.cpu.gpr(0), 5);
        withRax(machine, 0x10).expectFault(Vector.GP, 0, 0x44, 0x0f, 0x22, 0xc0);
    });

    it('CR2 and CR0 read back', () => {
        const machine = withRax(new TestMachine().enterLongMode(0), 0x89abcdef, 0xffff8000);
        machine.execute(...toControl(2));
        withRax(machine, 0).execute(...fromControl(2));
        assert.equal(machine.cpu.gpr64(0), 0xffff800089abcdefn);
    });

    it('LMSW sets PE but cannot clear it; CLTS clears TS', () => {
        const machine = withRax(new TestMachine().realMode(), 0xf);
        machine.execute(0x0f, 0x01, 0xf0);
        assert.equal(machine.cpu.cr0 & 0xf, 0xf);
        withRax(machine, 8).execute(0x0f, 0x01, 0xf0);
        assert.equal(machine.cpu.cr0 & 0xf, 9);
        machine.execute(0x0f, 0x06);
        assert.equal(machine.cpu.cr0 & 0xf, 1);
    });
});

describe('debug registers', () => {
    it('keep their fixed bits', () => {
        const machine = withRax(new TestMachine().protect(0), 0);
        machine.execute(0x0f, 0x23, 0xf0);
        machine.execute(0x0f, 0x23, 0xf8);
        assert.deepEqual(
            [machine.cpu.lo(StateOffset.dr + 48), machine.cpu.lo(StateOffset.dr + 56)],
            [0xffff0ff0, 0x400],
        );
        withRax(machine, 0xffffffff).execute(0x0f, 0x23, 0xf0);
        assert.equal(machine.cpu.lo(StateOffset.dr + 48), 0xffffefff);
    });

    it('4 and 5 are aliases until CR4.DE', () => {
        const machine = new TestMachine().protect(0);
        machine.execute(0x0f, 0x21, 0xe0);
        assert.equal(machine.cpu.gpr(0), 0xffff0ff0);
        machine.cpu.setLo(StateOffset.cr4, 8);
        machine.expectFault(Vector.UD, 0, 0x0f, 0x21, 0xe0);
    });

    it('are guarded by DR7.GD', () => {
        const machine = withRax(new TestMachine().protect(0), 0x2000);
        machine.execute(0x0f, 0x23, 0xf8);
        machine.expectFault(Vector.DB, 0, 0x0f, 0x21, 0xc0);
    });
});

describe('model-specific registers', () => {
    const write = (machine: TestMachine, index: number, value: bigint): TestMachine => {
        machine.cpu.setGpr32(1, index);
        machine.cpu.setGpr32(0, Number(value & 0xffffffffn));
        machine.cpu.setGpr32(2, Number(value >> 32n));
        return machine;
    };
    const wrmsr = (machine: TestMachine, index: number, value: bigint): void =>
        write(machine, index, value).execute(0x0f, 0x30);
    const refused = (machine: TestMachine, index: number, value: bigint): void =>
        write(machine, index, value).expectFault(Vector.GP, 0, 0x0f, 0x30);
    const rdmsr = (machine: TestMachine, index: number): bigint => {
        machine.cpu.setGpr32(1, index);
        machine.execute(0x0f, 0x32);
        return (machine.cpu.gpr64(2) << 32n) | machine.cpu.gpr64(0);
    };

    it('fault if unknown, or outside level 0', () => {
        const machine = new TestMachine().enterLongMode(0);
        machine.cpu.setGpr32(1, 0x12345);
        machine.expectFault(Vector.GP, 0, 0x0f, 0x32);
        refused(machine, 0x12345, 0n);
        const user = new TestMachine().enterLongMode(3);
        user.cpu.setGpr32(1, 0x10);
        user.expectFault(Vector.GP, 0, 0x0f, 0x32);
    });

    it('can all be read or written', () => {
        const machine = new TestMachine().enterLongMode(0);
        const writeOnly = new Set(['IA32_PRED_CMD', 'IA32_BIOS_UPDT_TRIG']);
        for (const [index, name] of knownMsrs()) if (!writeOnly.has(name)) rdmsr(machine, index);
    });

    it('EFER keeps LMA, and LME while paging', () => {
        const machine = new TestMachine().enterLongMode(0);
        wrmsr(machine, 0xc0000080, 0x101n);
        assert.equal(rdmsr(machine, 0xc0000080), 0x501n);
        refused(machine, 0xc0000080, 1n);
        refused(machine, 0xc0000080, 0x503n);
    });

    it('want canonical addresses', () => {
        const machine = new TestMachine().enterLongMode(0);
        for (const index of [0xc0000082, 0xc0000083, 0xc0000100, 0xc0000101, 0xc0000102, 0x175, 0x176]) {
            refused(machine, index, 0x0100_0000_0000_0000n);
            wrmsr(machine, index, 0xffff_8000_0000_1234n);
            assert.equal(rdmsr(machine, index), 0xffff_8000_0000_1234n);
        }
        assert.equal(machine.cpu.segmentBaseHi(5), 0xffff8000);
    });

    it('take addresses of 57 bits before CR4.LA57 is set, if the processor has it', () => {
        const wide = 0xff80_0000_0000_0000n;
        const machine = new TestMachine().enterLongMode(0);
        wrmsr(machine, 0xc0000102, wide);
        assert.equal(rdmsr(machine, 0xc0000102), wide);
        machine.poke16(0x5000, 0xff);
        machine.poke64(0x5002, wide);
        machine.cpu.setGpr(3, 0x5000, 0);
        machine.execute(0x0f, 0x01, 0x13); // LGDT [RBX]
        assert.equal(machine.cpu.get64(StateOffset.gdtrBase), wide);
        machine.poke64(0x5002, 0x0100_0000_0000_0000n);
        machine.expectFault(Vector.GP, 0, 0x0f, 0x01, 0x13);

        const features = { ...ALL_FEATURES, ecx7: ALL_FEATURES.ecx7 & ~(1 << 16) };
        const narrow = new TestMachine({ apicId: 0, processors: 1, hypervisor: false, features }).enterLongMode(0);
        assert.equal(narrow.catch(() => wrmsr(narrow, 0xc0000102, wide)).vector, Vector.GP);
    });

    it('have no bank for machine checks beyond IA32_MCG_CAP', () => {
        const machine = new TestMachine().protect(0);
        const banks = Number(rdmsr(machine, 0x179) & 0xffn);
        for (let index = 0x400 + banks * 4; index < 0x480; index++) {
            assert.equal(machine.catch(() => rdmsr(machine, index)).vector, Vector.GP);
        }
    });

    it('PAT and MTRRs want memory types', () => {
        const machine = new TestMachine().enterLongMode(0);
        assert.equal(rdmsr(machine, 0x277), 0x0007040600070406n);
        for (const bad of [2n, 3n, 8n, 0x0200000000000000n]) refused(machine, 0x277, bad);
        wrmsr(machine, 0x277, 0x0007010600070106n);
        refused(machine, 0x250, 0x07n);
        refused(machine, 0x2ff, 0x1000n);
        refused(machine, 0x200, 2n);
        refused(machine, 0x201, 1n << 40n);
        wrmsr(machine, 0x20e, 0xc0000006n);
        wrmsr(machine, 0x20f, 0xffc0000800n);
        assert.equal(rdmsr(machine, 0x20f), 0xffc0000800n);
    });

    it('the TSC moves IA32_TSC_ADJUST and the other way round', () => {
        const machine = new TestMachine().enterLongMode(0);
        assert.equal(rdmsr(machine, 0x10), 1000n);
        wrmsr(machine, 0x10, 5000n);
        assert.equal(rdmsr(machine, 0x3b), 4000n);
        wrmsr(machine, 0x3b, 0xffff_ffff_ffff_ffffn);
        assert.equal(rdmsr(machine, 0x10), 999n);
        machine.execute(0x0f, 0x31);
        assert.deepEqual([machine.cpu.gpr(0), machine.cpu.gpr(2)], [999, 0]);
    });

    it('APIC base follows the state transitions of the x2APIC', () => {
        const machine = new TestMachine().enterLongMode(0);
        assert.equal(rdmsr(machine, 0x1b), 0xfee00900n);
        refused(machine, 0x1b, 0xfee00500n);
        refused(machine, 0x1b, 0x100fee00900n);
        machine.cpu.setGpr32(1, 0x802);
        machine.expectFault(Vector.GP, 0, 0x0f, 0x32);
        wrmsr(machine, 0x1b, 0xfee00d00n);
        refused(machine, 0x1b, 0xfee00900n);
        wrmsr(machine, 0x830, 0x0000_0001_0000_4620n);
        assert.equal(rdmsr(machine, 0x830), 0x0000_0001_0000_4620n);
        refused(machine, 0x802, 1n);
        wrmsr(machine, 0x1b, 0xfee00100n);
        refused(machine, 0x1b, 0xfee00d00n);
    });

    it('IA32_MISC_ENABLE keeps what software asks for', () => {
        const machine = new TestMachine().protect(0);
        const asked = rdmsr(machine, 0x1a0) | (1n << 3n) | (1n << 16n) | (1n << 23n);
        wrmsr(machine, 0x1a0, asked);
        assert.equal(rdmsr(machine, 0x1a0), asked);
        assert.equal(machine.catch(() => wrmsr(machine, 0x1a0, 1n << 1n)).vector, Vector.GP);
    });

    it('IA32_MISC_ENABLE can hide NX, MONITOR and leaves', () => {
        const machine = new TestMachine().enterLongMode(0);
        wrmsr(machine, 0x1a0, (1n << 34n) | (1n << 22n));
        assert.equal(cpuidLeaf(machine.cpu, 0x80000001, 0)[3] & (1 << 20), 0);
        assert.equal(cpuidLeaf(machine.cpu, 1, 0)[2] & 8, 0);
        assert.equal(cpuidLeaf(machine.cpu, 0, 0)[0], 3);
        machine.expectFault(Vector.UD, 0, 0x0f, 0x01, 0xc8);
    });
});

describe('CPUID', () => {
    it('names the processor', () => {
        const { cpu } = new TestMachine();
        const characters = (words: readonly number[]): string =>
            words.map(word => String.fromCharCode(...[0, 8, 16, 24].map(shift => (word >>> shift) & 0xff))).join('');
        const [, ebx, ecx, edx] = cpuidLeaf(cpu, 0, 0);
        assert.equal(characters([ebx, edx, ecx]), 'GenuineIntel');
        const brand = [2, 3, 4].map(leaf => characters(cpuidLeaf(cpu, 0x80000000 + leaf, 0))).join('');
        assert.equal(brand.replace(/\0+$/, ''), 'Hyperscope Virtual CPU');
    });

    it('shows OSXSAVE, APIC and SYSCALL as the state has them', () => {
        const machine = new TestMachine().enterLongMode(0);
        assert.equal(cpuidLeaf(machine.cpu, 1, 0)[2] & (1 << 27), 0);
        machine.cpu.setLo(StateOffset.cr4, 0x40020);
        assert.notEqual(cpuidLeaf(machine.cpu, 1, 0)[2] & (1 << 27), 0);
        assert.notEqual(cpuidLeaf(machine.cpu, 0x80000001, 0)[3] & (1 << 11), 0);
        assert.equal(cpuidLeaf(new TestMachine().protect(0).cpu, 0x80000001, 0)[3] & (1 << 11), 0);
        machine.cpu.setLo(StateOffset.apicBase, 0xfee00000);
        assert.equal(cpuidLeaf(machine.cpu, 1, 0)[3] & (1 << 9), 0);
    });

    it('gives the size of the XSAVE area in both formats', () => {
        const { cpu } = new TestMachine();
        cpu.setLo(StateOffset.xcr0, 3);
        assert.deepEqual(cpuidLeaf(cpu, 0xd, 0), [3, 576, 576, 0]);
        assert.deepEqual(cpuidLeaf(cpu, 0xd, 1), [7, 576, 0, 0]);
    });

    it('describes the topology', () => {
        const { cpu } = new TestMachine({ apicId: 2, processors: 3 });
        assert.deepEqual(cpuidLeaf(cpu, 0xb, 0), [0, 1, 0x100, 2]);
        assert.deepEqual(cpuidLeaf(cpu, 0xb, 1), [2, 3, 0x201, 2]);
        assert.equal(cpuidLeaf(cpu, 1, 0)[1] >>> 24, 2);
        assert.equal(cpuidLeaf(cpu, 4, 3)[0] >>> 26, 3);
        assert.equal(cpu.activity, ActivityState.WaitForSipi);
    });

    it('gives the last basic leaf beyond the last one', () => {
        const { cpu } = new TestMachine();
        assert.deepEqual(cpuidLeaf(cpu, 0x12345678, 0), cpuidLeaf(cpu, 0x16, 0));
        assert.deepEqual(cpuidLeaf(cpu, 0x40000000, 0), cpuidLeaf(cpu, 0x16, 0));
        const visible = new TestMachine({ apicId: 0, processors: 1, hypervisor: true }).cpu;
        assert.equal(cpuidLeaf(visible, 0x40000000, 0)[0], 0x40000000);
        assert.equal(cpuidLeaf(visible, 1, 0)[2] >>> 31, 1);
    });
});

describe('waiting and privileges', () => {
    it('HLT halts behind itself, at level 0 only', () => {
        const machine = new TestMachine().protect(0);
        machine.execute(0xf4);
        assert.deepEqual([machine.cpu.activity, machine.rip], [ActivityState.Halted, 0x1001n]);
        new TestMachine().protect(3).expectFault(Vector.GP, 0, 0xf4);
    });

    it('MWAIT waits only after MONITOR', () => {
        const machine = new TestMachine().protect(0);
        machine.execute(0x0f, 0x01, 0xc9);
        assert.equal(machine.cpu.activity, ActivityState.Active);
        machine.cpu.setGpr32(0, 0x5000);
        machine.execute(0x0f, 0x01, 0xc8);
        machine.execute(0x0f, 0x01, 0xc9);
        assert.equal(machine.cpu.activity, ActivityState.Halted);
        assert.equal(machine.cpu.lo(StateOffset.monitor), MonitorState.Waiting);
        assert.equal(machine.cpu.lo(StateOffset.monitorAddress), 0x5000);
    });

    it('RDTSC and RDPMC obey CR4', () => {
        const machine = new TestMachine().protect(3);
        machine.execute(0x0f, 0x31);
        machine.cpu.setLo(StateOffset.cr4, 4);
        machine.expectFault(Vector.GP, 0, 0x0f, 0x31);
        machine.expectFault(Vector.GP, 0, 0x0f, 0x33);
    });

    it('RDRAND delivers and clears the other flags', () => {
        const machine = new TestMachine().enterLongMode(3);
        machine.cpu.writeFlags(0x8d7);
        machine.execute(0x48, 0x0f, 0xc7, 0xf0);
        assert.equal(machine.cpu.gpr64(0), 0x1234567812345678n);
        assert.equal(machine.cpu.rflags, Flag.CF | 2);
    });

    it('INVPCID checks its type and descriptor', () => {
        const machine = new TestMachine().enterLongMode(0);
        machine.cpu.setGpr(3, 0x7000, 0);
        const invpcid = [0x66, 0x0f, 0x38, 0x82, 0x03];
        withRax(machine, 4).expectFault(Vector.GP, 0, ...invpcid);
        machine.poke64(0x7000, 1n);
        withRax(machine, 1).expectFault(Vector.GP, 0, ...invpcid);
        machine.poke64(0x7000, 0x1000n);
        withRax(machine, 2).expectFault(Vector.GP, 0, ...invpcid);
        machine.poke64(0x7000, 0n);
        machine.poke64(0x7008, 0x0100_0000_0000_0000n);
        withRax(machine, 0).expectFault(Vector.GP, 0, ...invpcid);
        machine.flushes.length = 0;
        withRax(machine, 2).execute(...invpcid);
        assert.deepEqual(machine.flushes, ['all']);
    });

    it('undefined ones are undefined', () => {
        const machine = new TestMachine().protect(0);
        for (const bytes of [
            [0x0f, 0x0b],
            [0x0f, 0xaa],
            [0x0f, 0x01, 0xc1],
            [0x0f, 0x01, 0xd9],
        ]) {
            machine.expectFault(Vector.UD, 0, ...bytes);
        }
    });
});

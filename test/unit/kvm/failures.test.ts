/** What goes wrong on KVM: the run ends with words for it, all that was there can be looked at, and the guest goes on. */
import assert from 'node:assert/strict';
import { ExitReason, HardwareExit, InternalErrorExit, RunOffset } from '../../../src/kvm/abi';
import { KvmVcpu } from '../../../src/kvm/vcpu';
import type { Machine } from '../../../src/machine/machine';
import type { MachineStop } from '../../../src/machine/stop';
import { StateOffset } from '../../../src/machine/state';
import { ENTRY } from './kernel';
import { type KvmMachine, kvmMachineForTests, nextStop } from './kvm-machine';
import { SPIN, startTwo, untilSpinning, Work } from './two-vcpus';

/** Counts in EAX and in memory, and jumps back. */
const LOOP = '40 a3 00 50 00 00 e6 80 eb f6'; // inc eax; mov [0x5000], eax; out 0x80, al; jmp
const NOT_CANONICAL = 0x8000_0000_0000n;
const EFAULT = 14;

/** A guest for each way to run vCPUs, and the vCPU that something goes wrong with. */
const KINDS = [
    ['a vCPU on the thread of the machine', 0],
    ['a vCPU with a thread', 1],
] as const;

type Failure = Extract<MachineStop, { readonly reason: 'engineFailed' }>;

function failureOf(machine: Machine): Failure {
    const stop = nextStop(machine);
    assert.equal(stop.reason, 'engineFailed', JSON.stringify(stop));
    return stop as Failure;
}

/** Has the next exit of a vCPU be another one than it was, where that one was an interruption or of I/O. */
function replaceNextExit(index: number, write: (view: DataView, run: number) => void): void {
    const { enter, leave } = KvmVcpu.prototype;
    const replaced = (vcpu: KvmVcpu, result: number): number => {
        if (vcpu.processor.index !== index) return result;
        Object.assign(KvmVcpu.prototype, { enter, leave });
        write(vcpu.view, vcpu.run);
        return 0;
    };
    KvmVcpu.prototype.enter = function (immediate) {
        const result = enter.call(this, immediate);
        return immediate ? result : replaced(this, result);
    };
    KvmVcpu.prototype.leave = function () {
        return replaced(this, leave.call(this));
    };
}

interface Entries {
    /** What KVM_RUN has come back with is looked at. */
    endEntry(this: KvmVcpu, errno: number): number;
}

const entries = KvmVcpu.prototype as unknown as Entries;

/** Has KVM_RUN of a vCPU fail when it has come back for an exit so many times. */
function failExit(index: number, times: number, errno: number): void {
    const { endEntry } = entries;
    let exits = 0;
    entries.endEntry = function (result) {
        const isCounted =
            this.processor.index === index && result === 0 && this.exitReason === (ExitReason.Io as number);
        if (!isCounted || ++exits < times) return endEntry.call(this, result);
        entries.endEntry = endEntry;
        return endEntry.call(this, errno);
    };
}

describe('what goes wrong on KVM', function () {
    this.timeout(60_000);
    const build = kvmMachineForTests();
    const { enter, leave } = KvmVcpu.prototype;
    const { endEntry } = entries;
    afterEach(() => {
        Object.assign(KvmVcpu.prototype, { enter, leave, endEntry });
    });

    /** A guest that runs. */
    function running(vcpu: number): KvmMachine {
        if (vcpu === 1) {
            const two = startTwo(build, Work.Spin, 0);
            untilSpinning(two);
            return two;
        }
        const one = build(LOOP);
        assert.equal(one.machine.run({ instructions: 1e5 }).reason, 'budget');
        return one;
    }

    function assertGoesOn({ machine }: KvmMachine): void {
        const before = machine.engine.retired();
        for (let slices = 0; slices < 3; slices++) {
            assert.equal(machine.run({ instructions: 1e5 }).reason, 'budget');
        }
        assert.ok(machine.engine.retired() > before);
        if (machine.processors.length > 1) {
            assert.deepEqual(
                machine.processors.map(({ cpu }) => cpu.ripLo),
                [SPIN, SPIN],
            );
        }
    }

    for (const [name, vcpu] of KINDS) {
        describe(name, () => {
            it('tells the request, the error and how far it got where KVM takes only some MSRs', () => {
                const built = running(vcpu);
                const { machine } = built;
                const { cpu } = machine.processors[vcpu];
                const old = cpu.get64(StateOffset.lstar);
                cpu.set64(StateOffset.lstar, NOT_CANONICAL);
                cpu.stateReplaced();
                machine.engine.stateChanged(vcpu);
                for (let attempt = 0; attempt < 2; attempt++) {
                    const { problem, vcpu: culprit } = failureOf(machine);
                    assert.match(
                        problem,
                        /^KVM_SET_MSRS failed with EINVAL: .* \(5 of \d+ MSRs went through; it stopped at 0xc0000082\)$/,
                    );
                    assert.equal(culprit, vcpu);
                    assert.equal(machine.memory.read(ENTRY, 1), vcpu === 0 ? 0x40 : 0xfa);
                    assert.equal(cpu.get64(StateOffset.lstar), NOT_CANONICAL);
                }
                cpu.set64(StateOffset.lstar, old);
                machine.engine.stateChanged(vcpu);
                assertGoesOn(built);
            });

            it('tells which registers KVM refuses', () => {
                const built = running(vcpu);
                const { machine } = built;
                const { cpu } = machine.processors[vcpu];
                const old = cpu.lo(StateOffset.cr0);
                cpu.setLo(StateOffset.cr0, 0x80000000); // paging without protection
                cpu.stateReplaced();
                machine.engine.stateChanged(vcpu);
                const { problem, vcpu: culprit } = failureOf(machine);
                assert.match(problem, /^KVM_SET_SREGS failed with EINVAL: .* \(segments and control registers\)$/);
                assert.equal(culprit, vcpu);
                assert.equal(cpu.lo(StateOffset.cr0), 0x80000000);
                cpu.setLo(StateOffset.cr0, old);
                cpu.stateReplaced();
                machine.engine.stateChanged(vcpu);
                assertGoesOn(built);
            });

            it('tells an internal error of KVM, with its sub-error and data, and why the guest was not entered', () => {
                const built = running(vcpu);
                const { machine } = built;
                replaceNextExit(vcpu, (view, run) => {
                    view.setUint32(run + RunOffset.exitReason, ExitReason.InternalError, true);
                    view.setUint32(run + InternalErrorExit.suberror, 3, true);
                    view.setUint32(run + InternalErrorExit.dataCount, 2, true);
                    view.setBigUint64(run + InternalErrorExit.data, 0x80000b0en, true);
                    view.setBigUint64(run + InternalErrorExit.data + 8, 0x31n, true);
                });
                const internal = failureOf(machine);
                assert.equal(internal.vcpu, vcpu);
                assert.match(internal.problem, /^KVM_EXIT_INTERNAL_ERROR, suberror 3: .*\(data 0x80000b0e 0x31\)$/);
                assert.equal(machine.memory.read(ENTRY, 1), vcpu === 0 ? 0x40 : 0xfa);
                assertGoesOn(built);

                replaceNextExit(vcpu, (view, run) => {
                    view.setUint32(run + RunOffset.exitReason, ExitReason.FailEntry, true);
                    view.setBigUint64(run + HardwareExit.reason, 0x80000021n, true);
                    view.setUint32(run + HardwareExit.cpu, 5, true);
                });
                const entry = failureOf(machine);
                assert.equal(entry.vcpu, vcpu);
                assert.match(entry.problem, /^KVM_EXIT_FAIL_ENTRY on host CPU 5, hardware reason 0x80000021: /);
                assertGoesOn(built);
            });

            it('tells why KVM_RUN failed, with the state that the guest had then', () => {
                const built = running(vcpu);
                const { machine } = built;
                const { cpu } = machine.processors[vcpu];
                // INC; MOV to memory; OUT, JMP back.
                const code = ENTRY + 0x400;
                machine.memory.writeBytes(code, Uint8Array.of(0x40, 0xa3, 0, 0x50, 0, 0, 0xe6, 0x80, 0xeb, 0xf6));
                cpu.setGpr32(0, 0);
                cpu.setRip(code, 0);
                cpu.stateReplaced();
                machine.engine.stateChanged(vcpu);
                failExit(vcpu, 50, EFAULT);
                const { problem, vcpu: culprit } = failureOf(machine);
                assert.equal(
                    problem,
                    'KVM_RUN failed with EFAULT: the guest touched memory that the host does not back ' +
                        `(vCPU ${vcpu})`,
                );
                assert.equal(culprit, vcpu);
                const count = cpu.gpr(0);
                assert.ok(count >= 40, String(count));
                assert.equal(machine.memory.read(0x5000, 4), count);
                while (cpu.gpr(0) < 2 * count) assert.equal(machine.run({ instructions: 1e6 }).reason, 'budget');
            });
        });
    }
});

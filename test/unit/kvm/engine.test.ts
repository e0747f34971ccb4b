import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import type { RunState } from '../../../src/kvm/run-state';
import type { Stepping } from '../../../src/kvm/stepping';
import type { Machine } from '../../../src/machine/machine';
import { ActivityState } from '../../../src/machine/state';
import type { Watchpoint } from '../../../src/machine/watchpoints';
import { ENTRY } from './kernel';
import { kvmMachine, kvmMachineForTests, nextStop } from './kvm-machine';

/** Bit of SIGURG, which ends slices, in what the kernel tells of a thread. */
const SLICE_SIGNAL = 1n << 22n;

/** Until the signal that ends the slice in progress waits for the next KVM_RUN. */
function untilSignalled(): void {
    const sleeper = new Int32Array(new SharedArrayBuffer(4));
    for (let waits = 0; waits < 20_000; waits++) {
        const pending = /^SigPnd:\s*([0-9a-f]+)$/m.exec(readFileSync('/proc/thread-self/status', 'latin1'));
        if ((BigInt(`0x${pending![1]}`) & SLICE_SIGNAL) !== 0n) return;
        Atomics.wait(sleeper, 0, 0, 1);
    }
    assert.fail('no signal has come');
}

describe('the engine on KVM', function () {
    this.timeout(30_000);
    const build = kvmMachineForTests();
    const at = (offset: number): { id: number; lo: number; hi: number } => ({ id: offset, lo: ENTRY + offset, hi: 0 });
    const next = (of: Machine): string => {
        const stop = nextStop(of);
        return stop.reason === 'breakpoint' ? `${stop.id} at ${of.processors[0].cpu.ripLo - ENTRY}` : stop.reason;
    };

    // Eight times INC EAX, and back.
    const LOOP = '40 40 40 40 40 40 40 40 eb f6';

    it('stops at more breakpoints than there are debug registers, once each a round, and shows none in memory', () => {
        const { machine, engine } = build(LOOP);
        engine.setBreakpoints([0, 1, 2, 3, 4, 5, 6].map(at));
        const stops = Array.from({ length: 14 }, () => next(machine));
        const round = ['0 at 0', '1 at 1', '2 at 2', '3 at 3', '4 at 4', '5 at 5', '6 at 6'];
        assert.deepEqual(stops, [...round, ...round]);
        const bytes = new Uint8Array(10);
        machine.memory.readBytes(ENTRY, bytes);
        assert.equal(Buffer.from(bytes).toString('hex'), '4040404040404040ebf6');
    });

    it('asks conditions, of patched breakpoints too, and passes those that do not hold', () => {
        const { machine, engine } = build(LOOP);
        const { cpu } = machine.processors[0];
        const first = cpu.gpr(0);
        const atRound = (offset: number, round: number) => ({
            ...at(offset),
            condition: () => (cpu.gpr(0) - first) >>> 0 === round * 8 + offset,
        });
        engine.setBreakpoints([0, 1, 2, 3].map(offset => atRound(offset, 1000)).concat([atRound(5, 3), atRound(6, 4)]));
        assert.equal(next(machine), '5 at 5');
        assert.equal((cpu.gpr(0) - first) >>> 0, 3 * 8 + 5);
        assert.equal(next(machine), '6 at 6');
        assert.equal((cpu.gpr(0) - first) >>> 0, 4 * 8 + 6);
    });

    it('ends a slice whose time is over while it looks at a breakpoint that does not hold', () => {
        // nop; nop; jmp self
        const { machine, engine } = build('90 90 eb fe');
        let asked = 0;
        const condition = (): boolean => {
            asked++;
            untilSignalled();
            return false;
        };
        // Were it to go on behind the step over the first one, it would get to the second one.
        engine.setBreakpoints([{ ...at(1), condition }, at(2)]);
        let stop;
        do stop = machine.run({ instructions: 1e7 });
        while (asked === 0 && stop.reason === 'budget');
        assert.equal(stop.reason, 'budget');
        assert.deepEqual([asked, machine.processors[0].cpu.ripLo], [1, ENTRY + 2]);
        assert.equal(next(machine), '2 at 2');
    });

    it('steps over a HLT that the translator executes, and has the vCPU halted', () => {
        const { machine, engine } = build('fa 40 f4 43 eb fd'); // cli; inc eax; hlt; inc ebx; jmp back
        engine.setBreakpoints([at(2)]);
        assert.equal(next(machine), '2 at 2');
        const kvm = engine.kvmEngine!;
        // With these, the translator executes what is stepped over; past what would have it stand in for KVM altogether.
        kvm.setWatchpoints([
            { id: 1, space: 'linear', lo: 0x5000, hi: 0, length: 4, reads: false, writes: true } satisfies Watchpoint,
        ]);
        const { state, stepping } = kvm as unknown as { state: RunState; stepping: Stepping };
        assert.deepEqual(stepping.step(state.vcpus[0]), { reason: 'halted' });
        const { cpu } = machine.processors[0];
        assert.deepEqual([cpu.activity, cpu.ripLo - ENTRY], [ActivityState.Halted, 3]);
    });

    it("leaves the guest its own INT3 while the debugger's are in memory", () => {
        // lidt [esp] of an IDT at 0x5000 whose vector 3 is the handler; int3; spin. The handler adds 16 to EBX.
        const { machine, engine } = build(
            [
                'bc 00 80 00 00', // 0: mov esp, 0x8000
                '31 db', // 5: xor ebx, ebx
                'c7 05 18 50 00 00 3c 00 08 00', // 7: mov dword [0x5018], 0x0008003c (selector 8)
                'c7 05 1c 50 00 00 00 8e 10 00', // 17: mov dword [0x501c], 0x00108e00
                '66 c7 05 00 60 00 00 ff 00', // 27: mov word [0x6000], 0xff
                'c7 05 02 60 00 00 00 50 00 00', // 36: mov dword [0x6002], 0x5000
                '90 90', // 46: nop, where the handler's offset is patched in below
                '0f 01 1d 00 60 00 00', // 48: lidt [0x6000] -> 55
                'cc', // 55: int3
                '43', // 56: inc ebx
                'eb fd', // 57: jmp 56
                '90', // 59
                '83 c3 10', // 60: add ebx, 16 — the handler
                'cf', // 63: iret
            ].join(' '),
        );
        // The gate: offset of the handler, low and high half.
        const handler = ENTRY + 60;
        const { cpu } = machine.processors[0];
        const selector = cpu.selector(1);
        machine.memory.writeBytes(
            ENTRY + 13,
            Uint8Array.of(handler & 0xff, (handler >> 8) & 0xff, selector & 0xff, selector >> 8),
        );
        machine.memory.writeBytes(ENTRY + 25, Uint8Array.of((handler >> 16) & 0xff, handler >>> 24));
        // Four in debug registers, and one INT3 of ours.
        engine.setBreakpoints([at(59), at(2), at(3), at(4), at(56)]);
        assert.equal(next(machine), '56 at 56');
        assert.equal(cpu.gpr(3), 16);
    });

    it('goes on at the instruction that it stopped at when the engine changes', () => {
        const { machine, engine } = build(LOOP);
        const { cpu } = machine.processors[0];
        const first = cpu.gpr(0);
        engine.setBreakpoints([at(3)]);
        for (let round = 0; round < 20; round++) {
            assert.equal(next(machine), '3 at 3');
            assert.equal((cpu.gpr(0) - first) >>> 0, round * 8 + 3);
            engine.switchTo(engine.active === 'kvm' ? 'translator' : 'kvm');
            engine.passBreakpoint(0);
        }
    });

    it('comes back for an instruction that only the other engine knows, and for a triple fault with its exceptions', () => {
        const { machine } = build('f3 0f b8 c3 0f 0b'); // popcnt eax, ebx; ud2
        for (;;) {
            const stop = machine.run({ instructions: 1e6 });
            if (stop.reason === 'budget') continue;
            assert.equal(stop.reason, 'tripleFault');
            assert.equal(stop.reason === 'tripleFault' && stop.report?.chain[0].vector, 6);
            break;
        }
        assert.equal(machine.processors[0].cpu.gpr(0), bitCount(machine.processors[0].cpu.gpr(3)));
    });

    it('says what was wrong, and leaves the memory readable, when KVM refuses the state', () => {
        const { machine } = build(LOOP);
        machine.run({ instructions: 1e5 });
        const { cpu } = machine.processors[0];
        cpu.setLo(0x220, 0x80000000); // CR0: paging without protection
        cpu.stateReplaced();
        const stop = machine.run({ instructions: 1e5 });
        assert.equal(stop.reason, 'engineFailed');
        assert.match(
            stop.reason === 'engineFailed' ? stop.problem : '',
            /^KVM_SET_SREGS failed with EINVAL: .*control registers/,
        );
        assert.equal(machine.memory.read(ENTRY, 1), 0x40);
        cpu.setLo(0x220, 0x11);
        cpu.stateReplaced();
        assert.equal(machine.run({ instructions: 1e5 }).reason, 'budget');
    });

    it('lets the TSC go on where it was, on either engine', () => {
        const { machine, engine } = build(
            [
                '31 ed 31 f6 31 ff', // 0: xor ebp, ebp; xor esi, esi; xor edi, edi
                '0f 31', // 6: rdtsc
                '39 fa 72 0c', // 8: cmp edx, edi; jb 24
                '77 04', // 12: ja 18
                '39 f0 72 06', // 14: cmp eax, esi; jb 24
                '89 c6 89 d7 eb ee', // 18: mov esi, eax; mov edi, edx; jmp 6
                '45 eb f7', // 24: inc ebp; jmp 18
            ].join(' '),
        );
        const { cpu } = machine.processors[0];
        const latest = (): number => cpu.gpr(6) + cpu.gpr(7) * 0x100000000;
        const first = cpu.hooks.tsc();
        for (let move = 0; move < 100; move++) {
            machine.run({ instructions: engine.active === 'kvm' ? 2e5 : 2e3 });
            assert.ok(latest() <= cpu.hooks.tsc() + 1e6, `${latest()} read, ${cpu.hooks.tsc()} now`);
            engine.switchTo(engine.active === 'kvm' ? 'translator' : 'kvm');
        }
        assert.equal(cpu.gpr(5), 0, 'it went back');
        assert.ok(latest() > first);
        const copy = kvmMachine('f4').machine;
        copy.restoreState(Buffer.concat([...machine.saveState()]));
        assert.ok(copy.processors[0].cpu.hooks.tsc() >= latest());
        copy.engine.dispose?.();
    });

    it("tells the kernel's counters", () => {
        const { machine, engine } = build('e6 80 eb fc'); // out 0x80, al; jmp
        // A busy host may leave a slice no time at all.
        for (let tries = 0; tries < 200 && !(engine.statistics().kvmIo > 0); tries++)
            machine.run({ instructions: 1e7 });
        const { vcpus } = engine.kvmEngine!.kernelStatistics();
        assert.ok(vcpus[0].exits > 0, JSON.stringify(vcpus[0]));
        assert.equal(engine.statistics().kernelVcpu0Exits, engine.kvmEngine!.kernelStatistics().vcpus[0].exits);
    });

    it('notes the pages that the guest writes', () => {
        const { machine, engine } = build('c7 05 00 70 20 00 01 00 00 00 eb fe'); // mov dword [0x207000], 1; spin
        machine.run({ instructions: 1e5 });
        engine.kvmEngine!.logDirtyPages(true);
        machine.processors[0].cpu.setRip(ENTRY, 0);
        machine.processors[0].cpu.stateReplaced();
        machine.memory.write(0x207000, 4, 0);
        while (machine.memory.read(0x207000, 4) !== 1) machine.run({ instructions: 1e6 });
        assert.deepEqual(engine.kvmEngine!.takeDirtyPages(), [0x207000]);
        assert.deepEqual(engine.kvmEngine!.takeDirtyPages(), []);
    });

    it('notes pages of memory that has another place afterwards', () => {
        const { machine, engine } = build('c7 05 00 00 0d 00 01 00 00 00 eb fe'); // mov dword [0xd0000], 1; spin
        machine.memory.setShadow(0xd0000, 0x4000, { readRam: true, writeRam: true });
        engine.kvmEngine!.logDirtyPages(true);
        while (machine.memory.read(0xd0000, 4) !== 1) machine.run({ instructions: 1e6 });
        machine.memory.setShadow(0xd0000, 0x4000, { readRam: false, writeRam: true });
        machine.run({ instructions: 1e6 });
        assert.ok(engine.kvmEngine!.takeDirtyPages().includes(0xd0000));
        assert.deepEqual(engine.kvmEngine!.takeDirtyPages(), []);
    });
});

function bitCount(value: number): number {
    let count = 0;
    for (let rest = value; rest !== 0; rest &= rest - 1) count++;
    return count;
}

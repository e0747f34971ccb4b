/** Watchpoints in debug registers, without KVM: what goes in, and what a hit means. */
import assert from 'node:assert/strict';
import { describeHit } from '../../../src/debug/watchpoints';
import { CodeBreakpoints, sortHits } from '../../../src/kvm/breakpoints';
import { RegisterWatchpoints } from '../../../src/kvm/watchpoints';
import { Machine } from '../../../src/machine/machine';
import { StateOffset } from '../../../src/machine/state';
import type { WatchedAccess, Watchpoint } from '../../../src/machine/watchpoints';
import { CODE_ARENA_SIZE, translatorEngine } from '../../../src/translator';
import { tinyKernel } from './kernel';

const WRITES = { space: 'linear', hi: 0, reads: false, writes: true } as const;
const watch = (id: number, lo: number, length: number): Watchpoint => ({ ...WRITES, id, lo, length });

describe('watchpoints in debug registers', () => {
    const build = (watchpoints: readonly Watchpoint[]) => {
        const machine = new Machine({
            memory: 16 << 20,
            engine: translatorEngine({ now: () => performance.now() }),
            engineArena: CODE_ARENA_SIZE,
            kernel: { kernel: { name: 'kernel', data: tinyKernel('90 eb fd') }, modules: [], commandLine: '' },
        });
        const registers = new RegisterWatchpoints(machine.memory);
        registers.replace(watchpoints);
        return { machine, cpu: machine.processors[0].cpu, registers, memory: machine.memory };
    };

    it('cover what is written with aligned pieces, in as few registers as that takes', () => {
        const { registers, cpu } = build([watch(1, 0x1003, 7), watch(2, 0x2000, 2)]);
        assert.deepEqual(
            registers.registers.map(({ address, condition }) => [address, condition]),
            [
                [0x1003n, 0b0001],
                [0x1004n, 0b1101],
                [0x1008n, 0b0101],
                [0x2000n, 0b0101],
            ],
        );
        assert.equal(registers.problem(cpu), undefined);
    });

    it('say what they cannot cover', () => {
        const problems = [
            [watch(1, 0x1000, 8), watch(2, 0x2001, 8)],
            [{ ...watch(1, 0x1000, 4), space: 'physical' as const }],
            [{ ...watch(1, 0x1000, 4), reads: true }],
            [watch(1, 0, 2 ** 47)],
            [watch(1, 0x1000, 32)],
        ].map(watchpoints => {
            const { registers, cpu } = build(watchpoints);
            return registers.problem(cpu)?.replace(/^(there are not enough )?debug registers /, '');
        });
        assert.deepEqual(problems, [
            'for what is watched',
            'know no physical addresses',
            'do not tell reads from writes',
            'cannot cover what is watched',
            undefined,
        ]);
    });

    it('leave the guest its own registers, and come before breakpoints on code', () => {
        const { registers, cpu, memory } = build([watch(1, 0x1000, 8), watch(2, 0x2000, 4)]);
        // The guest's DR2: execution at 0x3000.
        cpu.set64(StateOffset.dr + 2 * 8, 0x3000n);
        cpu.setLo(StateOffset.dr + 7 * 8, 0x400 | (1 << 4));
        const code = new CodeBreakpoints(memory);
        const at = (lo: number) => ({ id: lo, lo, hi: 0 });
        code.replace([at(0x4000), at(0x5000)]);
        const { addresses, dr7 } = code.prepare(cpu, registers.registers);
        assert.deepEqual(addresses, [0x3000n, 0x1000n, 0x2000n, 0x4000n]);
        assert.equal(dr7, 0x400 | 0b10101010 | (0b1001 << 20) | (0b1101 << 24));
        assert.equal(registers.problem(cpu), undefined);
        // The places: the guest's, two that are watched, one on code.
        assert.equal(sortHits(cpu, 0b0001).guests, 0b0100);
        assert.equal(sortHits(cpu, 0b0110).others & registers.mask, 0b11);
        cpu.setLo(StateOffset.dr + 7 * 8, 0x400 | 0b01010100);
        assert.match(registers.problem(cpu) ?? '', /not enough/);
    });

    it('tell what memory held when the guest was entered, to whom decides whether to stop', () => {
        const { registers, cpu, memory } = build([watch(7, 0x1000, 8), watch(8, 0x2000, 2)]);
        memory.writeBytes(0x2000, Uint8Array.of(0x34, 0x12));
        registers.note(cpu);
        memory.writeBytes(0x2000, Uint8Array.of(0x78, 0x56));
        const seen: (readonly [number, WatchedAccess])[] = [];
        let stops = true;
        registers.observer = {
            accessed: (_, { id }, access) => seen.push([id, access]),
            completed: () => stops,
            abandoned: () => false,
        };
        assert.equal(registers.met(0, cpu, 0b10), true);
        assert.deepEqual(seen, [
            [
                8,
                {
                    linear: { lo: 0x2000, hi: 0 },
                    physical: 0x2000,
                    size: 2,
                    write: true,
                    before: Uint8Array.of(0x34, 0x12),
                    isOver: true,
                },
            ],
        ]);
        stops = false;
        assert.equal(registers.met(0, cpu, 0b01), false);
        assert.equal(seen.length, 2);
        const hit = { id: 8, reads: false, writes: true, size: 2, old: 0x1234n, now: 0x5678n } as const;
        const address = { space: 'linear', offset: 0x2000n } as const;
        assert.equal(
            describeHit({ ...hit, address, watched: { ...address, length: 2 } }),
            'write of 2 bytes at 0x2000: 0x1234 → 0x5678, by the instruction before this one',
        );
        // A hit of a breakpoint on code is none.
        assert.equal(registers.met(0, cpu, 0b100), false);
        assert.equal(seen.length, 2);
    });
});

/** What takes virtual time beyond the nanosecond of an instruction. */
import assert from 'node:assert/strict';
import { rom, romMachine } from '../../support/rom-machine';

describe('virtual time', () => {
    /** Nanoseconds that TSC and clock see pass in `count` rounds of an instruction, beyond one an instruction. */
    function extra(instruction: string, count: number, options = {}): number {
        const machine = romMachine(
            rom(
                `bd ${Buffer.of(count).toString('hex')} 00`, // mov bp, count
                `0f31 6689c6`, // rdtsc; mov esi, eax
                `66 31c0 ba e900`, // again: xor eax, eax; mov dx, 0e9h
                instruction,
                `4d`, // dec bp
                `75 ${Buffer.of(256 - 9 - instruction.replaceAll(' ', '').length / 2).toString('hex')}`, // jnz again
                `0f31 6629f0 6689c7 f4`, // rdtsc; sub eax, esi; mov edi, eax; hlt
            ),
            options,
        );
        assert.equal(machine.run({ time: 1_000_000 }).reason, 'idle');
        const rounds = count * 5;
        const ticks = machine.processors[0].cpu.gpr(7);
        const instructions = machine.engine.retired();
        assert.equal(machine.clock.now() - instructions, ticks - rounds - 2, 'clock and TSC agree');
        return ticks - rounds - 2;
    }

    it('passes with accesses to ports', () => {
        assert.equal(extra('ec', 10), 10 * 500);
        assert.equal(extra('ec', 250), 250 * 500);
    });

    it('passes with CPUID, which hypervisors have to emulate, unless told otherwise', () => {
        assert.equal(extra('0fa2', 10), 10 * 500);
        assert.equal(extra('0fa2', 250), 250 * 500);
        assert.equal(extra('0fa2', 250, { slowCpuid: false }), 0);
    });

    it('does not pass with anything else', () => {
        assert.equal(extra('90', 250), 0);
    });
});

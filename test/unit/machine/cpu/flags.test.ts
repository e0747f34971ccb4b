import assert from 'node:assert/strict';
import {
    arithmeticFlags,
    readRflags,
    setArithmeticFlags,
    setZeroFlag,
    storeRflags,
} from '../../../../src/machine/cpu/flags';
import { Flag, StateOffset } from '../../../../src/machine/state';
import { TestMachine } from './test-machine';

const ARITHMETIC = [Flag.CF, Flag.PF, Flag.AF, Flag.ZF, Flag.SF, Flag.OF];

function combinations(bits: readonly number[]): number[] {
    return Array.from({ length: 1 << bits.length }, (_, mask) =>
        bits.reduce((flags, bit, index) => ((mask >> index) & 1 ? flags | bit : flags), 0),
    );
}

describe('RFLAGS', () => {
    const { cpu } = new TestMachine();

    it('keeps every combination of arithmetic flags', () => {
        for (const flags of combinations(ARITHMETIC)) {
            setArithmeticFlags(cpu, flags);
            assert.equal(arithmeticFlags(cpu), flags);
        }
    });

    it('reads bit 1 as one, undefined bits as zero, and everything else as written', () => {
        for (const flags of combinations(ARITHMETIC)) {
            storeRflags(cpu, flags | 0xffc0802a);
            assert.equal(readRflags(cpu), flags | 2);
            storeRflags(cpu, flags | 0x3f7500);
            assert.equal(readRflags(cpu), flags | 0x3f7502);
        }
    });

    it('derives the flags of an 8-bit addition from its result and carries', () => {
        for (let a = 0; a < 256; a++) {
            for (let b = 0; b < 256; b++) {
                const sum = a + b;
                const result = (sum << 24) >> 24;
                // Carry out of bit n: majority of a, b and the complement of the sum.
                const carries = (a & b) | ((a | b) & ~sum);
                const aux = (((carries >> 7) & 1) << 31) | (((carries >> 6) & 1) << 30) | (carries & 8);
                cpu.setLo(StateOffset.flagAux, aux);
                cpu.set(StateOffset.flagResult, result, result >> 31);
                let expected = 0;
                if (sum > 255) expected |= Flag.CF;
                if ((a & 15) + (b & 15) > 15) expected |= Flag.AF;
                if (result === 0) expected |= Flag.ZF;
                if (result < 0) expected |= Flag.SF;
                const signed = ((a << 24) >> 24) + ((b << 24) >> 24);
                if (signed !== result) expected |= Flag.OF;
                if (((result & 255).toString(2).match(/1/g)?.length ?? 0) % 2 === 0) expected |= Flag.PF;
                assert.equal(arithmeticFlags(cpu), expected, `${a} + ${b}`);
            }
        }
    });

    it('changes ZF alone', () => {
        for (const flags of combinations(ARITHMETIC)) {
            setArithmeticFlags(cpu, flags);
            setZeroFlag(cpu, true);
            assert.equal(arithmeticFlags(cpu), flags | Flag.ZF);
            setZeroFlag(cpu, false);
            assert.equal(arithmeticFlags(cpu), flags & ~Flag.ZF);
        }
    });

    it('lets RF expire one instruction after the one that set it', () => {
        const machine = new TestMachine();
        machine.instructions = 10;
        machine.cpu.writeFlags(Flag.RF | 2);
        machine.instructions = 11;
        machine.cpu.expireResumeFlag();
        assert.notEqual(machine.cpu.rflags & Flag.RF, 0);
        machine.instructions = 12;
        machine.cpu.expireResumeFlag();
        assert.equal(machine.cpu.rflags & Flag.RF, 0);
    });
});

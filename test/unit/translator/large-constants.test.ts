/** Constants that do not fit the record of an instruction like others do: of 64 bits, and RIP-relative across 2^31. */
import assert from 'node:assert/strict';
import { Cr0, Cr4, Efer } from '../../../src/machine/cpu/cpu-state';
import type { Machine } from '../../../src/machine/machine';
import { Segment } from '../../../src/isa/x86';
import { ModeKey, SegmentAttribute, StateOffset } from '../../../src/machine/state';
import { rom, romMachine } from '../../support/rom-machine';

const PML4 = 0x1000;
const PDPT = 0x2000;
const CODE = 0x3000;
const CODE_ATTRIBUTES = 0x9b | SegmentAttribute.Long | SegmentAttribute.Granularity;
const [RAX, RBX, RCX, RDX] = [0, 3, 1, 2];

/** In 64-bit code at {@link CODE}, with the first GiB where it is. */
function run(code: string, instructions: number): Machine {
    const machine = romMachine(rom('f4'));
    machine.memory.write64(PML4, BigInt(PDPT | 3));
    machine.memory.write64(PDPT, 0x83n);
    machine.memory.writeBytes(CODE, Buffer.from(code.replace(/\s/g, ''), 'hex'));
    const { cpu } = machine.processors[0];
    cpu.setLo(StateOffset.cr4, Cr4.PAE);
    cpu.setLo(StateOffset.cr3, PML4);
    cpu.setLo(StateOffset.efer, Efer.LME | Efer.LMA);
    cpu.setLo(StateOffset.cr0, Cr0.PE | Cr0.PG | Cr0.ET);
    cpu.setSegment(Segment.Cs, 8, 0, 0, 0xffffffff, CODE_ATTRIBUTES);
    cpu.setRip(CODE, 0);
    cpu.stateReplaced();
    assert.equal(cpu.mode & ModeKey.CodeSizeMask, 2);
    assert.deepEqual(machine.run({ instructions }), { reason: 'budget' });
    return machine;
}

function gpr(machine: Machine, register: number): string {
    return `0x${machine.processors[0].cpu.get64(StateOffset.gpr + 8 * register).toString(16)}`;
}

describe('large constants in 64-bit code', () => {
    it('reach 2 GiB away from RIP, wherever in a block they are', () => {
        const machine = run(
            '488d05 ffffff7f' + // lea rax, [rip + 7fffffffh]
                '488d1d ffffff7f' + // lea rbx, [rip + 7fffffffh]
                '488d0d 00000080' + // lea rcx, [rip - 80000000h]
                '678d15 ffffff7f', // lea edx, [eip + 7fffffffh]
            4,
        );
        const [rax, rbx, rcx, rdx] = [RAX, RBX, RCX, RDX].map(register => gpr(machine, register));
        assert.deepEqual([rax, rbx, rcx, rdx], ['0x80003006', '0x8000300d', '0xffffffff80003015', '0x8000301b']);
    });

    it('are addresses and immediates of 64 bits, and sign-extended ones of 32', () => {
        const machine = run(
            '48a1 00300000 00000000' + // mov rax, [3000h]
                '48bb 8877665544332211' + // mov rbx, 1122334455667788h
                '48c7c1 fedcba98' + // mov rcx, 98badcfeh (sign-extended)
                '48c70425 00400000 fedcba98' + // mov qword [4000h], 98badcfeh (sign-extended)
                '488b1425 00400000', // mov rdx, [4000h]
            5,
        );
        const [rax, rbx, rcx, rdx] = [RAX, RBX, RCX, RDX].map(register => gpr(machine, register));
        assert.deepEqual([rax, rbx], ['0x3000a148', '0x1122334455667788']);
        assert.deepEqual([rcx, rdx], ['0xffffffff98badcfe', '0xffffffff98badcfe']);
    });
});

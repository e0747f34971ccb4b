import assert from 'node:assert/strict';
import type { Instruction } from '../../../src/isa/x86';
import { GuestFault, Vector } from '../../../src/machine/cpu/fault';
import { checkAddress } from '../../../src/translator/engine/address-check';
import { TestMachine } from '../machine/cpu/test-machine';

describe('the check of an address before a slow access', () => {
    const notAsked = (): Instruction => assert.fail('the instruction was decoded again');

    it('needs no instruction for what is legal in real mode', () => {
        const machine = new TestMachine();
        checkAddress(machine.cpu, notAsked, 0xfffff, 0, 1, true);
    });

    it('needs no instruction for what is legal in flat protected mode and in long mode', () => {
        const machine = new TestMachine();
        machine.protect();
        checkAddress(machine.cpu, notAsked, 0xfffffffc, 0, 4, true);

        const long = new TestMachine();
        long.enterLongMode();
        checkAddress(long.cpu, notAsked, 0x1000, 0xffff8000, 8, false);
        checkAddress(long.cpu, notAsked, 0xfffffff8, 0xffffffff, 8, false);
    });

    it('asks for it where the fault depends on it', () => {
        const machine = new TestMachine();
        machine.enterLongMode();
        for (const [code, vector] of [
            [[0x50], Vector.SS], // push rax
            [[0x88, 0x07], Vector.GP], // mov [rdi], al
        ] as const) {
            const instruction = machine.decode(code);
            assert.throws(
                () => checkAddress(machine.cpu, () => instruction, 0, 0x8000, 1, true),
                (error: unknown) => error instanceof GuestFault && Number(error.vector) === Number(vector),
            );
        }
    });
});

import assert from 'node:assert/strict';
import { registerName, x2apicRegister } from '../../../src/debug/events/device-registers';
import { describeFault, describeShutdown } from '../../../src/debug/faults';
import { MemoryAccess } from '../../../src/debug/memory-access';
import { StateOffset } from '../../../src/machine/state';
import { rom, romMachine } from '../../support/rom-machine';

const IDT = 0x2000;
const GDT = 0x3000;

const GP = 13;
const PF = 14;
const UD = 6;

/** What is said of #GP with an error code, with tables as `prepare` makes them. */
function explain(
    errorCode: number,
    tables: Readonly<Record<number, bigint>> = {},
    { idtrBase, idtrLimit } = { idtrBase: IDT, idtrLimit: 0x7f },
): string {
    const machine = romMachine(rom('f4'));
    const { cpu } = machine.processors[0];
    cpu.set(StateOffset.idtrBase, idtrBase, 0);
    cpu.setLo(StateOffset.idtrLimit, idtrLimit);
    cpu.set(StateOffset.gdtrBase, GDT, 0);
    cpu.setLo(StateOffset.gdtrLimit, 0x1f);
    for (const [address, entry] of Object.entries(tables)) {
        machine.memory.write64(Number(address), entry);
    }
    const memory = new MemoryAccess(cpu, machine.memory);
    return describeFault(cpu, memory, { vector: GP, errorCode, address: 0n }).text.replace(
        '#GP general protection',
        '',
    );
}

/** A descriptor of a type, present or not. */
function descriptor(type: number, present = true, dpl = 0): bigint {
    return (BigInt(type) << 40n) | (BigInt(dpl) << 45n) | (present ? 1n << 47n : 0n);
}

describe('descriptions of faults', () => {
    it('name the table entry that decided, and what is wrong with it', () => {
        const idt = (vector: number): number => vector * 8 + 2;
        assert.equal(explain(0), '');
        assert.equal(explain(idt(0x10)), ": IDT[0x10] lies beyond the IDT's limit 0x7f");
        assert.equal(explain(idt(6)), ': IDT[0x6] is empty');
        assert.equal(explain(idt(6), { [IDT + 48]: descriptor(0x1a) }), ': IDT[0x6] is no gate');
        assert.equal(explain(idt(6), { [IDT + 48]: descriptor(14, false) }), ': IDT[0x6] is not present');
        assert.equal(
            explain(idt(6) + 1, { [IDT + 48]: descriptor(14) }),
            ': IDT[0x6], during the delivery of an event',
        );
        const reset = { idtrBase: 0, idtrLimit: 0xffff };
        assert.equal(explain(idt(6), {}, reset), ': IDT[0x6] is empty: no IDT has been loaded');
        const vector = { [6 * 8]: 0xf000ff53f000ff53n };
        assert.equal(explain(idt(6), vector, reset), ': IDT[0x6] is no gate: no IDT has been loaded');
        assert.equal(explain(0x18), ': GDT[0x3] is empty');
        assert.equal(explain(0x20), ": GDT[0x4] lies beyond the GDT's limit 0x1f");
        assert.equal(explain(0x18, { [GDT + 24]: descriptor(0x1b, false) }), ': GDT[0x3] is not present');
        assert.equal(explain(0x1c), ': LDT[0x3]');
    });

    it('suspect a null pointer near address 0, from either side', () => {
        const { cpu } = romMachine(rom('f4')).processors[0];
        const memory = undefined as never;
        const text = (address: bigint): string =>
            describeFault(cpu, memory, { vector: PF, errorCode: 2, address }).text;
        assert.match(text(0x18n), /writing 0x18: .*; likely a null pointer plus 0x18$/);
        assert.match(text(0n), /; likely a null pointer$/);
        assert.match(text(0xfffffffffffffff8n), /; likely a null pointer minus 0x8$/);
        assert.doesNotMatch(text(0x1000n), /null/);
    });

    it('tell a triple fault as the chain that it is', () => {
        const machine = romMachine(rom('f4'));
        const { cpu } = machine.processors[0];
        cpu.setLo(StateOffset.idtrLimit, 0);
        const chain = [
            { vector: PF, errorCode: 0, address: 0x5000n },
            { vector: UD, errorCode: undefined, address: undefined },
            { vector: GP, errorCode: 0x33, address: undefined },
        ];
        const text = describeShutdown(cpu, new MemoryAccess(cpu, machine.memory), { chain, cs: 8, rip: 0n });
        assert.equal(
            text,
            "triple fault: #PF at 0x5000, then #UD, then #GP (IDT[0x6] lies beyond the IDT's limit 0x0)",
        );
        assert.equal(describeShutdown(cpu, undefined as never, undefined), 'triple fault');
    });
});

describe('names of device registers', () => {
    it('are those of the datasheets', () => {
        assert.equal(registerName('local APIC', 0xfee00380), 'timer initial count');
        assert.equal(registerName('local APIC', 0xfee00130), 'ISR3');
        assert.equal(registerName('ioapic', 0xfec00010), 'IOWIN');
        assert.equal(registerName('hpet', 0xfed00128), 'timer 1 comparator');
        assert.equal(registerName('hpet', 0xfed000f4), 'main counter');
        assert.equal(registerName('serial0', 0x3f8), undefined);
        assert.equal(x2apicRegister(0x830), 'ICR');
    });
});

/** Where an interrupt comes from, told by what the controllers are programmed to: for people who look at the machine. */
import type { LocalApic } from '../../devices/local-apic';
import type { Board } from './board';
import { BoardMap } from './board-map';

/** What the 24 pins of the IOAPIC and the inputs of the PIC are wired to, where that is one thing. */
const ISA_SOURCES: Readonly<Record<number, string>> = {
    0: 'PIT timer',
    1: 'keyboard',
    3: 'serial port 1',
    4: 'serial port 0',
    8: 'RTC',
    9: 'ACPI',
    12: 'mouse',
};

const LVT_MASKED = 0x10000n;
const IOAPIC_MASKED = 0x10000n;
const VECTOR = 0xffn;

/** Delivery modes that take the vector from the entry: fixed, lowest priority. */
function hasVector(entry: bigint, masked: bigint, vector: number): boolean {
    return (entry & masked) === 0n && ((entry >> 8n) & 7n) <= 1n && Number(entry & VECTOR) === vector;
}

/** The most likely source of `vector` at a local APIC; undefined if nothing is programmed to send it (an IPI, MSI). */
export function interruptSource(board: Board, apic: LocalApic, vector: number): string | undefined {
    for (const { name, value } of apic.inspect()) {
        if (name.startsWith('LVT') && hasVector(BigInt(value), LVT_MASKED, vector)) {
            return `local APIC ${name.slice(3).trim() || name}`;
        }
    }
    for (const { name, value } of board.ioApic.inspect()) {
        const pin = /^pin (\d+)$/.exec(name);
        if (pin !== null && hasVector(BigInt(value), IOAPIC_MASKED, vector)) {
            return withName('IOAPIC pin', Number(pin[1]), Number(pin[1]) === BoardMap.timerPin ? 0 : Number(pin[1]));
        }
    }
    const irq = board.pic.irqOf(vector);
    return irq === undefined ? undefined : withName('PIC IRQ', irq, irq);
}

function withName(what: string, number: number, irq: number): string {
    const source = ISA_SOURCES[irq];
    return source === undefined ? `${what} ${number}` : `${what} ${number} (${source})`;
}

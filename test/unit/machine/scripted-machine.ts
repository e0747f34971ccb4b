/** Machines whose guests are scripts. */
import { Machine, type MachineOptions } from '../../../src/machine/machine';
import { bzImage } from './images';
import { enableInterrupts, halt, ScriptedEngine } from './scripted-engine';

export const MIB = 0x100000;
const KERNEL = { kernel: { name: 'vmlinuz', data: bzImage() }, modules: [], commandLine: '' };

/** Local APIC registers, at their usual address. */
export const LAPIC = 0xfee00000;
const TIMER_LVT = LAPIC + 0x320;
const TIMER_COUNT = LAPIC + 0x380;
const TIMER_DIVIDE = LAPIC + 0x3e0;
const EOI = LAPIC + 0xb0;

export function build(options: Partial<MachineOptions> = {}) {
    const engine = new ScriptedEngine();
    const machine = new Machine({
        memory: 16 * MIB,
        kernel: KERNEL,
        ...options,
        engine: () => engine,
    });
    const write = (address: number, value: number) => () => machine.memory.write(address, 4, value);
    const out = (port: number, size: number, value: number) => () => machine.bus.write(port, size, value);
    return { machine, engine, write, out };
}

/** A guest that starts the local APIC's timer and halts over and over; returns the times at which it woke. */
export function timerGuest(options: Partial<MachineOptions> = {}) {
    const guest = build(options);
    const { engine, machine, write } = guest;
    engine.at(0, 0, enableInterrupts);
    engine.at(0, 1, write(TIMER_DIVIDE, 0xb));
    engine.at(0, 2, write(TIMER_LVT, 0x20030));
    engine.at(0, 3, write(TIMER_COUNT, 10_000));
    for (let count = 100; count < 5000; count += 100) {
        engine.at(0, count, halt);
    }
    const woken: number[] = [];
    engine.onInterrupt = () => {
        woken.push(machine.clock.now());
        machine.memory.write(EOI, 4, 0);
    };
    return { ...guest, woken };
}

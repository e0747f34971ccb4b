/** Stops at exceptions on KVM, which does not tell of them: in 32-bit protected mode, with and without error code. */
import assert from 'node:assert/strict';
import { EVENT_STOP } from '../../../src/machine/engine';
import type { Machine } from '../../../src/machine/machine';
import { MachineEventKind } from '../../../src/machine/observation/kinds';
import { ENTRY } from './kernel';
import { type KvmMachine, kvmMachineForTests, nextStop, writeIdt } from './kvm-machine';

const INVALID_OPCODE = 6;
const PROTECTION = 13;
const IDT = 0x5000;
const POINTER = 0x6000;
const UD2 = 14;
const LOAD_DS = 25;
const END = 27;
const HANDLER_UD = 29;
const HANDLER_GP = 35;
const CODE = [
    'bc 00 80 00 00', // 0: mov esp, 0x8000
    '0f 01 1d 00 60 00 00', // 5: lidt [0x6000]
    '31 db', // 12: xor ebx, ebx
    '0f 0b', // 14: ud2
    'cd 06', // 16: int 6, which is no exception
    '90 90', // 18: left out by the handler
    'b8 38 12 00 00', // 20: mov eax, 0x1238
    '8e d8', // 25: mov ds, eax, a selector beyond the GDT
    'eb fe', // 27: jmp 27
    '43', // 29: inc ebx
    '83 04 24 02', // add dword [esp], 2: behind the instruction
    'cf', // iret
    '83 c4 04', // 35: add esp, 4: the error code
    '83 04 24 02', // add dword [esp], 2
    'cf', // iret
].join(' ');

describe('exceptions on KVM', function () {
    this.timeout(30_000);
    const onKvm = kvmMachineForTests();
    const build = (): KvmMachine & { seen: string[] } => {
        const built = onKvm(CODE);
        const { machine } = built;
        const { observation } = machine;
        writeIdt(machine, IDT, POINTER, { [INVALID_OPCODE]: HANDLER_UD, [PROTECTION]: HANDLER_GP });
        const seen: string[] = [];
        observation.setStopKinds([MachineEventKind.Exception]);
        observation.onEvent = event => {
            seen.push(`${event.cause} at ${event.ripLo - ENTRY}`);
            return true;
        };
        return { ...built, seen };
    };
    /** The next stop: where it is, and EBX. */
    const next = (of: Machine): string => {
        const stop = nextStop(of);
        if (stop.reason !== 'breakpoint') return stop.reason;
        const { cpu } = of.processors[0];
        return `${stop.id === EVENT_STOP ? 'event' : stop.id} at ${cpu.ripLo - ENTRY}, ebx ${cpu.gpr(3)}`;
    };
    const wish = (cause: number) => ({ kind: MachineEventKind.Exception, cause });

    it('stop the guest before they happen, once, without the translator standing in', () => {
        const { machine, engine, seen } = build();
        // The handlers are found once the guest has loaded its IDT.
        engine.setBreakpoints([{ id: 1, lo: ENTRY + 12, hi: 0 }]);
        assert.match(next(machine), /^1 at 12/);
        engine.setBreakpoints([{ id: 2, lo: ENTRY + END, hi: 0 }]);
        engine.setStopWishes([wish(INVALID_OPCODE), wish(PROTECTION)]);
        assert.deepEqual(
            [next(machine), next(machine), next(machine)],
            [`event at ${UD2}, ebx 0`, `event at ${LOAD_DS}, ebx 2`, `2 at ${END}, ebx 2`],
        );
        // INT 6 has used the same handler: no exception.
        assert.deepEqual(seen, [`${INVALID_OPCODE} at ${UD2}`, `${PROTECTION} at ${LOAD_DS}`]);
        assert.equal(engine.standIn, undefined);
        assert.equal(machine.processors[0].cpu.gpr(4), 0x8000);
    });

    it('leave those alone that nobody asks for, and others where only some are asked for', () => {
        const { machine, engine, seen } = build();
        engine.setBreakpoints([{ id: 1, lo: ENTRY + 12, hi: 0 }]);
        next(machine);
        engine.setBreakpoints([{ id: 2, lo: ENTRY + END, hi: 0 }]);
        engine.setStopWishes([wish(PROTECTION)]);
        assert.equal(next(machine), `event at ${LOAD_DS}, ebx 2`);
        engine.setStopWishes([]);
        assert.equal(next(machine), `2 at ${END}, ebx 2`);
        assert.deepEqual(seen, [`${PROTECTION} at ${LOAD_DS}`]);
    });

    it('are told where the debugger also stops at the handler', () => {
        const { machine, engine } = build();
        engine.setBreakpoints([{ id: 1, lo: ENTRY + 12, hi: 0 }]);
        next(machine);
        engine.setBreakpoints([HANDLER_UD, END].map(at => ({ id: at, lo: ENTRY + at, hi: 0 })));
        engine.setStopWishes([wish(INVALID_OPCODE)]);
        assert.deepEqual(
            [next(machine), next(machine), next(machine), next(machine)],
            [
                `event at ${UD2}, ebx 0`,
                `${HANDLER_UD} at ${HANDLER_UD}, ebx 0`,
                `${HANDLER_UD} at ${HANDLER_UD}, ebx 1`,
                `${END} at ${END}, ebx 2`,
            ],
        );
    });

    it('take the translator where it cannot be said of all of them', () => {
        const { machine, engine } = build();
        engine.setStopWishes([{ kind: MachineEventKind.Exception }]);
        assert.equal(next(machine), `event at ${UD2}, ebx 0`);
        assert.match(engine.standIn ?? '', /by itself/);
    });
});

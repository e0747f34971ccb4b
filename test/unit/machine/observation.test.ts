import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import type { Machine } from '../../../src/machine/machine';
import { EventCounters, OTHER_CAUSES } from '../../../src/machine/observation/counters';
import { MachineEvent } from '../../../src/machine/observation/event';
import { MACHINE_EVENTS, MachineEventKind, operatingModeName } from '../../../src/machine/observation/kinds';
import { Timeline } from '../../../src/machine/observation/timeline';
import type { VmExitKind } from '../../../src/messages/vm-exits';
import { rom, romMachine } from '../../support/rom-machine';
import { sampleRom } from '../../support/sample';

function sampleMachine(options: Parameters<typeof romMachine>[1] = {}): Machine {
    return romMachine(readFileSync(sampleRom), { memory: 64 << 20, serial: [() => undefined], ...options });
}

/** Returns how often it stopped on the way. */
function runToEnd(machine: Machine): number {
    for (let seen = 0; ;) {
        const stop = machine.run();
        if (stop.reason === 'breakpoint') {
            assert.ok(++seen < 200_000, 'stops without end');
        } else {
            assert.equal(stop.reason, 'poweredOff');
            return seen;
        }
    }
}

function counts(machine: Machine): Partial<Record<string, number>> {
    const totals: Partial<Record<string, number>> = {};
    for (const { kind, count } of machine.observation.journal.counters.rows) {
        totals[MACHINE_EVENTS[kind]] = (totals[MACHINE_EVENTS[kind]] ?? 0) + count;
    }
    return totals;
}

describe('observation', () => {
    it('uses the names that the view knows', () => {
        const names: readonly VmExitKind[] = MACHINE_EVENTS;
        assert.equal(names[MachineEventKind.Other], 'other');
        assert.equal(names[MachineEventKind.PowerOff], 'powerOff');
    });

    it('counts everything that a guest does on its way to long mode and back', () => {
        const machine = sampleMachine();
        runToEnd(machine);
        const { observation } = machine;
        const rows = observation.journal.counters.rows;
        assert.equal(
            observation.journal.total,
            rows.reduce((sum, { count }) => sum + count, 0),
        );
        const switches = rows
            .filter(({ kind }) => kind === MachineEventKind.ModeSwitch)
            .map(({ cause }) => `${operatingModeName(cause >> 8)} → ${operatingModeName(cause & 0xff)}`);
        assert.deepEqual(switches.slice(0, 3), [
            'real mode → protected mode',
            'protected mode → compatibility mode',
            'compatibility mode → 64-bit mode',
        ]);
        const pageFaults = rows.find(({ kind, cause }) => kind === MachineEventKind.Exception && cause === 14);
        assert.equal(
            pageFaults?.count,
            23 + 1,
            'as many as the guest itself reports, and the one that it kills a task for',
        );
        const serial = rows.find(({ kind, cause }) => kind === MachineEventKind.PortOut && cause === 0x3f8);
        assert.equal(serial?.device, 'serial0');
        const efer = rows.find(({ kind, cause }) => kind === MachineEventKind.MsrWrite && cause === 0xc0000080);
        assert.ok((efer?.count ?? 0) >= 1);
        const eoi = rows.find(({ kind, cause }) => kind === MachineEventKind.MmioWrite && cause === 0xfee000b0);
        assert.equal(eoi?.device, 'local APIC');
        const totals = counts(machine);
        for (const kind of ['crWrite', 'hlt', 'externalInterrupt', 'softwareInterrupt', 'powerOff']) {
            assert.ok((totals[kind] ?? 0) > 0, kind);
        }
    });

    it('counts IPIs, and knows which vCPU did what', () => {
        const machine = sampleMachine({ cpus: 2 });
        machine.observation.journal.keep(100_000);
        runToEnd(machine);
        const { counters, keptEvents } = machine.observation.journal;
        const modes = counters.rows.filter(({ kind }) => kind === MachineEventKind.Ipi).map(({ cause }) => cause >> 8);
        assert.deepEqual(new Set(modes), new Set([5, 6]), 'INIT and start-up');
        const vcpus = new Set([...machine.observation.journal.slots()].map(slot => keptEvents!.vcpu(slot)));
        assert.deepEqual(vcpus, new Set([0, 1]));
    });

    for (const cpus of [1, 2]) {
        it(`changes nothing that ${cpus} vCPU can notice, however closely one looks`, () => {
            const plain = sampleMachine({ cpus });
            runToEnd(plain);
            const watched = sampleMachine({ cpus, exitClock: () => performance.now() * 1e6 });
            watched.observation.journal.keep(1000);
            watched.observation.journal.listen(() => undefined);
            runToEnd(watched);
            const stopped = sampleMachine({ cpus });
            stopped.observation.setStopKinds(MACHINE_EVENTS.keys());
            let place = '';
            stopped.observation.onEvent = ({ preventable, instructions, kind, cause, ripLo }) => {
                // What can be prevented comes again: stop at every other one.
                const here = `${preventable} ${instructions} ${kind} ${cause} ${ripLo} ${stopped.engine.retired()}`;
                const again = here === place;
                place = again ? '' : here;
                return !preventable || !again;
            };
            assert.ok(runToEnd(stopped) > 1000);
            assert.equal(watched.engine.retired(), plain.engine.retired());
            assert.equal(stopped.engine.retired(), plain.engine.retired());
            assert.equal(watched.stateHash(), plain.stateHash());
            assert.equal(stopped.stateHash(), plain.stateHash());
        });
    }

    it('counts devices with many addresses by page', () => {
        // mov ax, 0xa000; mov ds, ax; mov bx, 0; l: mov [bx], al; add bx, 0x100; jnz l; jmp $
        const machine = romMachine(rom('b800a0 8ed8 bb0000 8807 81c30001 75f8 ebfe'));
        machine.run({ instructions: 2000 });
        const rows = machine.observation.journal.counters.rows.filter(
            ({ kind }) => kind === MachineEventKind.MmioWrite,
        );
        assert.ok(rows.length === 256 || rows.length === 16, `${rows.length} rows`);
        assert.equal(
            rows.reduce((sum, { count }) => sum + count, 0),
            256,
        );
    });

    it('keeps the last exits only, with the time that each took', () => {
        // l: out 0x80, al; inc al; jmp l
        let time = 0;
        const machine = romMachine(rom('e680 fec0 ebfa'), { exitClock: () => (time += 100) });
        machine.observation.journal.keep(8);
        machine.run({ instructions: 300 });
        const { keptEvents, keptCounts } = machine.observation.journal;
        const records = [...machine.observation.journal.slots()].map(slot => keptEvents!.read(slot));
        assert.deepEqual(keptCounts, { kept: 8, dropped: machine.observation.journal.total - 8 });
        assert.deepEqual(
            records.map(({ sequence }) => sequence),
            Array.from({ length: 8 }, (_, index) => machine.observation.journal.total - 8 + index),
        );
        assert.deepEqual(new Set(records.map(({ hostTime }) => hostTime)), new Set([100]));
        const [row] = machine.observation.journal.counters.rows;
        assert.equal(row.hostTime, 100 * row.count);
        assert.equal(row.isTimeExact, true);
        machine.observation.journal.clear();
        assert.equal(machine.observation.journal.total, 0);
        assert.deepEqual([...machine.observation.journal.slots()], []);
        assert.deepEqual(machine.observation.journal.counters.rows, []);
    });

    it('shows a short stretch as finely as asked where the kept exits reach back so far', () => {
        // l: out 0x80, al; inc al; jmp l
        const machine = romMachine(rom('e680 fec0 ebfa'));
        machine.run({ instructions: 60_000 });
        const { journal } = machine.observation;
        const middle = machine.clock.now();
        assert.ok(journal.stretch(middle - 2000, middle, 20, undefined).width > 100, 'nothing was kept');
        journal.keep(100_000);
        machine.run({ instructions: 3000 });
        const from = middle + 10_000;
        const fine = journal.stretch(from, from + 10_000, 20, undefined);
        assert.deepEqual([fine.from, fine.width, fine.length], [from, 500, 20]);
        const [[kind, counts]] = fine.counts;
        assert.equal(kind, MachineEventKind.PortOut);
        const total = counts.reduce((sum, count) => sum + count, 0);
        const records = [...journal.slots()].map(slot => journal.keptEvents!.time(slot));
        assert.equal(total, records.filter(time => time >= from && time < from + 10_000).length);
        assert.ok(journal.stretch(0, 2000, 20, undefined).width > 100, 'not kept then');
    });

    it('estimates the time from a sample while nobody watches', () => {
        let asked = 0;
        const machine = romMachine(rom('e680 fec0 ebfa'), { exitClock: () => (asked++ % 2) * 50 });
        machine.run({ instructions: 30_000 });
        const [row] = machine.observation.journal.counters.rows;
        assert.ok(row.timed > 100 && row.timed < row.count / 50, `${row.timed} of ${row.count}`);
        assert.equal(row.hostTime, 50 * row.count);
        assert.equal(row.isTimeExact, false);
    });
});

describe('event counters', () => {
    it('put what finds no row of its own into one row a kind', () => {
        const counters = new EventCounters();
        const event = new MachineEvent();
        for (let port = 0; port < 20_000; port++) {
            event.kind = port % 2 ? MachineEventKind.PortIn : MachineEventKind.PortOut;
            counters.count(event, port, 1);
        }
        assert.equal(counters.rows.length, 8192 + 2);
        const others = counters.rows.filter(({ cause }) => cause === OTHER_CAUSES);
        assert.deepEqual(
            others.map(({ count }) => count),
            [(20_000 - 8192) / 2, (20_000 - 8192) / 2],
        );
    });
});

describe('event timeline', () => {
    it('keeps every exit while its buckets widen', () => {
        const timeline = new Timeline();
        for (let time = 0; time < 50_000_000; time += 10_000) {
            timeline.add(time, time % 20_000 ? MachineEventKind.Hlt : MachineEventKind.Cpuid);
        }
        const all = timeline.part(0, 50_000_000, 100, undefined);
        assert.equal(all.from, 0);
        for (const [, buckets] of all.counts) {
            assert.ok(buckets.length <= 100);
            assert.equal(
                buckets.reduce((sum, count) => sum + count, 0),
                2500,
            );
        }
        const part = timeline.part(10_000_000, 20_000_000, 10, new Set([MachineEventKind.Hlt]));
        const [[kind, counted]] = part.counts;
        assert.equal(kind, MachineEventKind.Hlt);
        const expected = (counted.length * part.width) / 20_000;
        assert.ok(Math.abs(counted.reduce((sum, count) => sum + count, 0) - expected) < 2);
    });

    it('answers for stretches that it does not know, too', () => {
        const timeline = new Timeline();
        timeline.add(5, MachineEventKind.Hlt);
        assert.deepEqual(timeline.part(1e15, 1e15 + 1, 10, undefined).counts, []);
        assert.equal(timeline.part(5, 5, 1, undefined).counts.length, 1);
    });
});

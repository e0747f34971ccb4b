import { SnapshotError } from '../common/errors';
import type { StateRecord, StateValue } from '../devices/device';
import { StateReader } from '../devices/state-reader';
import type { Machine } from './machine';
import { type Records, readSnapshot, runs, writeSnapshot } from './snapshot/snapshot';
import { encodeState } from './snapshot/state-value';
import { StateHash } from './snapshot/xxhash';

const MACHINE = 'machine';
const KIND = 'machine';
const VERSION = 1;
const PAGE = 0x1000;

/** The whole machine but its RAM. */
function records(machine: Machine): Records {
    const all: Record<string, StateRecord> = { [MACHINE]: machineRecord(machine) };
    const add = (name: string, record: StateRecord): void => {
        if (Object.hasOwn(all, name)) {
            throw new SnapshotError(`two parts of the machine are called '${name}'`);
        }
        all[name] = record;
    };
    add('clock', machine.clock.save());
    add('run-loop', machine.loop.save());
    add('input-queue', machine.queue.save());
    for (const processor of machine.processors) {
        add(`cpu${processor.index}`, processor.cpu.save());
        add(`processor${processor.index}`, processor.save());
    }
    for (const device of machine.devices) {
        add(device.name, device.save());
    }
    return all;
}

function machineRecord(machine: Machine): StateRecord {
    const { memory, processors } = machine;
    return {
        kind: KIND,
        version: VERSION,
        fields: {
            ram: memory.layout.ram.size,
            cpus: processors.length,
            rom: romHash(machine),
            a20: memory.a20Open,
            entropy: machine.entropy.save(),
        },
    };
}

/** Of the firmware: what else is in a ROM comes with the program, not with the machine. */
function romHash({ memory, options }: Machine): string {
    const { base, size } = memory.layout.rom;
    const end = options.firmware === undefined ? base : base + size;
    return new StateHash().update(memory.bytes.subarray(base, end)).digest();
}

function ramOf({ memory }: Machine): Uint8Array {
    const { base, size } = memory.layout.ram;
    return memory.bytes.subarray(base, base + size);
}

export function saveMachine(machine: Machine): Generator<Uint8Array, void, void> {
    return writeSnapshot(records(machine), ramOf(machine));
}

/** @throws SnapshotError */
export function restoreMachine(machine: Machine, file: Uint8Array): void {
    const snapshot = readSnapshot(file);
    const take = (name: string): StateRecord => {
        if (!Object.hasOwn(snapshot.records, name)) {
            throw new SnapshotError(`snapshot holds no '${name}': it is of another machine`);
        }
        return snapshot.records[name];
    };
    const own = new StateReader(take(MACHINE), KIND, VERSION);
    checkSame('bytes of RAM', own.count('ram'), machine.memory.layout.ram.size);
    checkSame('processors', own.count('cpus'), machine.processors.length);
    checkSame('firmware', own.string('rom'), romHash(machine));
    for (const device of machine.devices) {
        take(device.name);
    }

    snapshot.restoreRam(ramOf(machine));
    machine.memory.setA20(own.boolean('a20'));
    if (!machine.entropy.restore(own.bytes('entropy'))) {
        throw own.bad('entropy', 'not the state of the random numbers that this machine uses');
    }
    // vCPUs first: the clock is counted from the instructions that they have retired.
    for (const { cpu, index } of machine.processors) {
        cpu.restore(take(`cpu${index}`));
    }
    machine.clock.restore(take('clock'));
    for (const device of machine.devices) {
        device.restore(take(device.name));
    }
    machine.queue.restore(take('input-queue'));
    machine.loop.restore(take('run-loop'));
    for (const processor of machine.processors) {
        // Last: what the devices drove again has set its signals.
        processor.restore(take(`processor${processor.index}`));
        machine.engine.stateChanged(processor.index);
    }
    forgetTranslations(machine);
}

function checkSame(what: string, saved: number | string, present: number | string): void {
    if (saved !== present) {
        throw new SnapshotError(`snapshot is of a machine with other ${what}: ${saved} instead of ${present}`);
    }
}

/** All of RAM has changed under the engine. */
function forgetTranslations({ memory, engine }: Machine): void {
    const { lowRam, highRam } = memory.layout;
    for (let page = 0; page < lowRam; page += PAGE) {
        engine.invalidatePage(page);
    }
    for (let page = 0; page < highRam; page += PAGE) {
        engine.invalidatePage(2 ** 32 + page);
    }
    engine.mapChanged();
}

export function hashState(machine: Machine): string {
    const hash = new StateHash().update(encodeState(records(machine) as unknown as StateValue));
    const ram = ramOf(machine);
    const number = new Uint8Array(4);
    for (const [page] of runs(ram, 1)) {
        new DataView(number.buffer).setUint32(0, page, true);
        hash.update(number).update(ram.subarray(page * PAGE, (page + 1) * PAGE));
    }
    return hash.digest();
}

import assert from 'node:assert/strict';
import { DeterministicEntropy } from '../../../src/devices/virtio/entropy';
import { Machine } from '../../../src/machine/machine';
import { elf, multibootHeader } from './images';
import { enableInterrupts, ScriptedEngine } from './scripted-engine';

const MIB = 0x100000;
/** Two processors, both serial ports and the test device; an interrupt ends as soon as it is taken. */
function build(): Machine {
    const engine = new ScriptedEngine();
    const image = elf(32, MIB + 16, [{ address: MIB, bytes: multibootHeader(0), memorySize: 0x100 }]);
    const machine = new Machine({
        memory: 4 * MIB,
        cpus: 2,
        kernel: { kernel: { name: 'kernel', data: image }, modules: [], commandLine: '' },
        serial: [() => undefined, () => undefined],
        engine: () => engine,
    });
    engine.at(0, 0, enableInterrupts);
    engine.onInterrupt = ({ apic }) => apic.mmio.write(0xb0, 4, 0);
    return machine;
}

type Operation = (machine: Machine) => number | string;

/** Where the random number generator has its modern registers, as long as nobody moves them. */
const MODERN = 0xc0004000;
const VALUES = [
    ...[
        0, 1, 2, 3, 4, 5, 7, 8, 0xb, 0xf, 0x10, 0x20, 0x30, 0x36, 0x55, 0x74, 0x7f, 0x80, 0x8e, 0xc0, 0xd4, 0xe2, 0xf0,
        0xff,
    ],
    ...[0x100, 0x1000, 0x8000, 0xffff, 0x10000, 0x80000000, 0xfee00000, 0xffffffff],
];

/** What one guest does, whatever it meets: the same for machines that are to stay the same. */
function operations(seed: number, machine: Machine, count: number): Operation[] {
    const random = new DeterministicEntropy(seed);
    const below = (limit: number): number => random.next() % limit;
    const pick = <T>(list: readonly T[]): T => list[below(list.length)];
    const ports = machine.bus.list().filter(({ name }) => name !== 'debug exit');
    const regions = machine.memory.list().filter(({ kind }) => kind === 'device');
    const access = (port: boolean, write: boolean, address: number, size: number, value: number): Operation => {
        const cut = size === 4 ? value : value & (size === 2 ? 0xffff : 0xff);
        return ({ bus, memory }) => {
            const target = port ? bus : memory;
            if (write) {
                target.write(address, size, cut);
                return 0;
            }
            const answer = target.read(address, size);
            const where = `${size} bytes at ${address.toString(16)} read ${answer}`;
            assert.ok(Number.isInteger(answer) && answer >= 0 && answer < 2 ** (8 * size), where);
            return answer;
        };
    };
    const anywhere = (): Operation => {
        const port = below(3) !== 0;
        const region = pick(port ? ports : regions);
        const size = pick([1, 1, 2, 4, 4, 4]);
        let at = region.size > 0x400 && below(4) !== 0 ? below(0x100) : below(region.size + 2) - 1;
        if (below(2) === 0) at -= at % size;
        return access(
            port,
            below(3) !== 0,
            Math.max(0, region.base + at),
            size,
            below(3) === 0 ? random.next() : pick(VALUES),
        );
    };
    const configure = (): Operation => {
        const address = (0x80000000 | (pick([0, 8, 11, 24, 24, 24]) << 8) | below(256)) >>> 0;
        const value = pick([random.next(), pick(VALUES)]);
        const size = pick([1, 2, 4]);
        const data = access(true, below(2) === 0, 0xcfc + (below(4) & -size), size, value);
        return target => {
            target.bus.write(0xcf8, 4, address);
            return data(target);
        };
    };
    /** A driver of the rng that puts its rings anywhere in the first 64 KiB. */
    const drive = (): Operation => {
        const [offset, size, value] = pick([
            [0x14, 1, pick([0, 1, 3, 0xb, 0xb, 0xf, 0xf])],
            [0x08, 4, below(3)],
            [0x0c, 4, pick([1, 0, 0x30000000, 0x10000000])],
            [0x10, 2, below(3)],
            [0x18, 2, pick([1, 2, 4, 8, 64, 3])],
            [0x1a, 2, below(3)],
            [0x1c, 2, 1],
            [0x20, 4, below(0x10000)],
            [0x24, 4, pick([0, 0, 0, 1])],
            [0x28, 4, below(0x10000)],
            [0x30, 4, below(0x10000)],
            [0x3000, 2, 0],
            [0x3000, 2, 0],
        ]);
        return access(false, true, MODERN + offset, size, value);
    };
    /** A driver that sets all up, with rings and chains of its own making. */
    const bringUp = (): Operation => {
        const size = pick([1, 2, 4, 8]);
        const [table, available, used] = [below(0x4000), below(0x4000), below(0x4000)];
        const ring = new Uint8Array(6 + 2 * size);
        ring.set([below(3), 0, below(size + 2), 0]);
        for (let slot = 0; slot < size; slot++) ring[4 + 2 * slot] = below(size + 1);
        const descriptors = new Uint8Array(16 * size);
        const view = new DataView(descriptors.buffer);
        for (let at = 0; at < descriptors.length; at += 16) {
            view.setUint32(at, below(0x8000), true);
            view.setUint32(at + 4, pick([0, 0, 0, 0, 1, random.next()]), true);
            view.setUint32(at + 8, pick([0, 1, 16, 32, 100, 5000, random.next()]), true);
            view.setUint16(at + 12, pick([2, 2, 2, 3, 3, 1, 4, 0]), true);
            view.setUint16(at + 14, below(size + 1), true);
        }
        const features = pick([0, 0x10000000, 0x20000000, 0x30000000]);
        const writes = [
            ...[
                [0x14, 1, 0],
                [0x14, 1, 1],
                [0x14, 1, 3],
                [0x08, 4, 0],
                [0x0c, 4, features],
                [0x08, 4, 1],
                [0x0c, 4, 1],
            ],
            ...[
                [0x14, 1, 0xb],
                [0x16, 2, 0],
                [0x18, 2, size],
                [0x1a, 2, 0],
                [0x20, 4, table],
                [0x28, 4, available],
            ],
            ...[
                [0x30, 4, used],
                [0x1c, 2, 1],
                [0x14, 1, 0xf],
                [0x3000, 2, 0],
            ],
        ];
        return ({ bus, memory }) => {
            memory.writeBytes(used, new Uint8Array(6 + 8 * size));
            memory.writeBytes(available, ring);
            memory.writeBytes(table, descriptors);
            bus.write(0xcf8, 4, 0x80001804);
            bus.write(0xcfc, 2, 7);
            for (const [offset, width, value] of writes) memory.write(MODERN + offset, width, value);
            return memory.read(MODERN + 0x14, 1);
        };
    };
    const store = (): Operation => {
        const address = below(0x10000);
        const bytes = Uint8Array.from({ length: 16 + below(64) }, () => (below(2) === 0 ? 0 : pick(VALUES)));
        return target => {
            target.memory.writeBytes(address, bytes);
            return 0;
        };
    };
    const model = (): Operation => {
        const msr = pick([0x1b, 0x1b, 0x6e0, 0x808, 0x80b, 0x80f, 0x830, 0x832, 0x835, 0x838, 0x83e, 0x83f]);
        const low =
            msr === 0x1b ? 0xfee00000 + pick([0x900, 0x900, 0xd00, 0x100]) : pick([pick(VALUES), random.next()]);
        const high = msr === 0x830 ? below(3) : 0;
        return ({ processors }) => Number(processors[0].apic.writeMsr(msr, low, high));
    };
    const input = (): Operation => {
        const key = pick(['KeyA', 'ShiftLeft', 'Pause', 'Enter']);
        const pressed = below(2) === 0;
        const bytes = Uint8Array.of(below(256), below(256), below(256));
        const port = below(2);
        const move = below(400) - 200;
        return pick<Operation>([
            target => (target.sendKey(key, pressed), 0),
            target => (target.sendSerial(port, bytes), 0),
            target => (target.moveMouse(move, -move, port), 0),
            target => (target.setMouseButtons(bytes[0] & 7), 0),
            target => (target.pressPowerButton(), 0),
        ]);
    };
    const wait = (): Operation => {
        const instructions = below(below(8) === 0 ? 3_000_000 : 3000) + 1;
        return target => {
            const { reason } = target.run({ instructions, idleSkips: 3 });
            if (reason !== 'budget' && reason !== 'idle') {
                target.reset();
            }
            return reason;
        };
    };
    const kinds = [
        anywhere,
        anywhere,
        anywhere,
        anywhere,
        anywhere,
        configure,
        drive,
        drive,
        bringUp,
        store,
        model,
        input,
        wait,
    ];
    return Array.from({ length: count }, () => pick(kinds)());
}

const SEEDS = [1, 2, 3, 4];
const STEPS = 1000;
/** Steps between two snapshots, and how long the restored machine is held against the other one. */
const APART = 150;
const HELD = 100;

describe('a guest that writes anything to any register', function () {
    this.timeout(120_000);
    for (const seed of SEEDS) {
        it(`gets answers of the size it asked for, and the same ones from a restored machine (${seed})`, () => {
            const machine = build();
            let restored: Machine | undefined;
            operations(seed, machine, STEPS).forEach((operation, step) => {
                if (step % APART === APART - HELD && machine.loop.ended === undefined) {
                    restored = build();
                    restored.restoreState(Buffer.concat([...machine.saveState()]));
                    assert.equal(restored.stateHash(), machine.stateHash(), `restored at step ${step}`);
                }
                const answer = operation(machine);
                if (restored !== undefined) {
                    assert.equal(operation(restored), answer, `answer at step ${step}`);
                    if (step % APART === APART - 1) {
                        assert.equal(restored.stateHash(), machine.stateHash(), `state at step ${step}`);
                        restored = undefined;
                    }
                }
            });
        });
    }
});

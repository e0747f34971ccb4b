/** Two vCPUs on KVM, which run at the same time. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { KvmVcpu } from '../../../src/kvm/vcpu';
import type { Machine } from '../../../src/machine/machine';
import { projectRoot } from '../../support/project';
import { ENTRY } from './kernel';
import { type KvmMachine, kvmMachineForTests, nextStop } from './kvm-machine';
import { BALL, CALLS, FUNCTION, SPIN, startTwo, untilSpinning, Work } from './two-vcpus';

const sleeper = new Int32Array(new SharedArrayBuffer(4));

const at = (offset: number): { id: number; lo: number; hi: number } => ({ id: offset, lo: ENTRY + offset, hi: 0 });

function words(machine: Machine, address: number, count: number): number[] {
    return Array.from({ length: count }, (_, index) => machine.memory.read(address + index * 4, 4));
}

describe('two vCPUs on KVM', function () {
    this.timeout(60_000);
    const build = kvmMachineForTests();

    const start = (work: Work, limit: number): KvmMachine => startTwo(build, work, limit);

    /** What the engine has for each vCPU, and how it was built. */
    function insideOf({ engine }: KvmMachine): { options: { threadProgram?: string }; vcpus: readonly KvmVcpu[] } {
        return (engine.kvmEngine as unknown as { state: ReturnType<typeof insideOf> }).state;
    }

    /** The thread of a vCPU. */
    function threadOf(built: KvmMachine, vcpu: number): { terminate(): Promise<number> } {
        const { thread } = insideOf(built).vcpus[vcpu];
        return (thread as unknown as { worker: { terminate(): Promise<number> } }).worker;
    }

    /** Starts a vCPU and interrupts it at once. */
    function startAndInterrupt(vcpu: KvmVcpu, round: number): void {
        vcpu.load();
        vcpu.start();
        vcpu.interrupt();
        // An interrupt that is lost does not come by waiting.
        for (let waits = 0; waits < 20_000 && !vcpu.thread!.isDone; waits++) Atomics.wait(sleeper, 0, 0, 1);
        assert.ok(vcpu.thread!.isDone, `round ${round}`);
        vcpu.leave();
    }

    it('run at the same time: they hand a ball back and forth without anybody in between', () => {
        const { machine, engine } = start(Work.Ball, 400);
        const runTogether = engine.runTogether.bind(engine);
        let slices = 0;
        engine.runTogether = (vcpus, turns) => {
            slices++;
            return runTogether(vcpus, turns);
        };

        assert.deepEqual(machine.run(), { reason: 'debugExit', status: 1 });
        assert.deepEqual(words(machine, BALL, 1), [400]);
        assert.ok(slices > 0 && slices < 100, `${slices} slices for 400 passes`);
    });

    it('ask each breakpoint once whenever one of them passes, in a debug register or in memory', () => {
        for (const others of [[], [72, 73, 153, 154, 155]]) {
            const { machine, engine } = start(Work.Calls, 200);
            const asked = [0, 0];
            const condition = (vcpu: number): boolean => {
                asked[vcpu]++;
                return false;
            };
            engine.setBreakpoints([...others.map(at), { ...at(FUNCTION), condition }]);

            let stop = nextStop(machine);
            // The second one halts at a breakpoint when it is through.
            while (stop.reason === 'breakpoint') stop = nextStop(machine);
            assert.deepEqual(stop, { reason: 'debugExit', status: 1 });
            assert.deepEqual(words(machine, CALLS, 2), [200, 200]);
            assert.deepEqual(asked, [200, 200], `with ${others.length} others`);
        }
    });

    it('stop once each time that one of them gets to a breakpoint, which nobody sees in memory', () => {
        const { machine, engine } = start(Work.Calls, 30);
        const code = machine.memory.bytes.slice();
        engine.setBreakpoints([72, 73, 154, 155, FUNCTION].map(at));
        const stops = [0, 0];
        for (;;) {
            const stop = nextStop(machine);
            if (stop.reason !== 'breakpoint') {
                assert.deepEqual(stop, { reason: 'debugExit', status: 1 });
                break;
            }
            const { cpu } = machine.processors[stop.vcpu];
            assert.equal(stop.id, cpu.ripLo - ENTRY);
            if (stop.id === FUNCTION) stops[stop.vcpu]++;
            const place = machine.memory.ramAddress(ENTRY);
            assert.deepEqual(machine.memory.bytes.slice(place, place + 179), code.slice(place, place + 179));
        }
        assert.deepEqual(stops, [30, 30]);
    });

    it('both stand still between two runs, and go on one by one', () => {
        const built = start(Work.Spin, 0);
        const { machine } = built;
        untilSpinning(built);
        for (let round = 0; round < 20; round++) {
            assert.equal(machine.run({ instructions: 1e5, vcpus: [round % 2] }).reason, 'budget');
            assert.equal(machine.loop.single(1).reason, 'budget');
            assert.deepEqual(
                machine.processors.map(({ cpu }) => cpu.ripLo),
                [SPIN, SPIN],
            );
        }
    });

    it('come out of the guest when they are interrupted as soon as they are started', () => {
        const built = start(Work.Spin, 0);
        untilSpinning(built);
        const vcpu = insideOf(built).vcpus[1];
        for (let round = 0; round < 200; round++) startAndInterrupt(vcpu, round);
    });

    it('go on when their threads have been told to enter the guest 2^31 times', () => {
        const built = start(Work.Spin, 0);
        untilSpinning(built);
        const vcpu = insideOf(built).vcpus[1];
        const thread = vcpu.thread as unknown as { command: number };
        thread.command = 0x7ffffffd;
        for (let round = 0; round < 5; round++) startAndInterrupt(vcpu, round);
        assert.equal(thread.command, 3);
        assert.equal(built.machine.run({ instructions: 1e6 }).reason, 'budget');
    });

    it('are out of the guest when something fails that nobody has thought of, and go on afterwards', () => {
        const built = start(Work.Spin, 0);
        const { machine, engine } = built;
        untilSpinning(built);
        // Both are in the guest when it is asked for the first time.
        const boundary = (): number => {
            throw new Error('unexpected');
        };
        const { runTogether } = engine;
        engine.runTogether = (vcpus, turns) => runTogether.call(engine, vcpus, { ...turns, boundary });
        assert.throws(() => nextStop(machine), /^Error: unexpected$/);
        assert.equal(machine.loop.executing, -1);
        assert.equal(machine.loop.mayExecute(0), false);
        assert.deepEqual(
            insideOf(built).vcpus.map(({ thread }) => thread!.isDone),
            [true, true],
        );
        engine.runTogether = runTogether;
        assert.equal(machine.run({ instructions: 1e6 }).reason, 'budget');
    });

    it('fail at once, with the reason, where a thread cannot begin, and go on where it can', () => {
        const folder = mkdtempSync(path.join(tmpdir(), 'hyperscope-'));
        try {
            const built = start(Work.Spin, 0);
            const { machine } = built;
            const { options, vcpus } = insideOf(built);
            const missing = path.join(folder, 'missing.js');
            // The thread's program, where the native part of koffi cannot be loaded.
            const failing = path.join(folder, 'failing.js');
            const worker = path.join(projectRoot, 'out/src/kvm/vcpu-worker.js');
            writeFileSync(
                failing,
                `const Module = require('node:module');
                 const load = Module._load;
                 Module._load = (name, ...more) => {
                     if (name === 'koffi') throw new Error('no native part');
                     return load(name, ...more);
                 };
                 require(${JSON.stringify(worker)});`,
            );
            for (const [program, reason] of [
                [
                    missing,
                    /^the thread of vCPU 0 cannot begin \(.*missing\.js is missing: install Hyperscope again\); /,
                ],
                [
                    failing,
                    /^the thread of vCPU 0 cannot begin \(.*no native part.*\); the guest can go on on the translator$/,
                ],
            ] as const) {
                options.threadProgram = program;
                for (let attempt = 0; attempt < 2; attempt++) {
                    const stop = nextStop(machine);
                    assert.equal(stop.reason, 'engineFailed');
                    assert.match(stop.problem, reason);
                    assert.ok(vcpus.every(({ thread }) => thread === undefined));
                }
            }
            delete options.threadProgram;
            untilSpinning(built);
        } finally {
            rmSync(folder, { recursive: true });
        }
    });

    it('report a thread that has ended, and go on on the translator', async () => {
        const built = start(Work.Spin, 0);
        const { machine, engine } = built;
        untilSpinning(built);
        await threadOf(built, 1).terminate();

        for (let attempt = 0; attempt < 2; attempt++) {
            const stop = nextStop(machine);
            assert.equal(stop.reason, 'engineFailed');
            assert.match(stop.problem, /^the thread of vCPU 1 has ended; the guest can go on on the translator$/);
            assert.equal(stop.vcpu, 1);
        }
        assert.equal(machine.memory.read(ENTRY, 1), 0xfa);
        engine.switchTo('translator');
        assert.deepEqual(machine.run({ instructions: 1000 }), { reason: 'budget' });
        assert.deepEqual(
            machine.processors.map(({ cpu }) => cpu.ripLo),
            [SPIN, SPIN],
        );
    });
});

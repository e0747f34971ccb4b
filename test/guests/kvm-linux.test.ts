/**
 * Debian's kernel, moved between the engines while it runs programs, timers and its console. Where KVM has no hardware
 * beneath it, programs see the host's own CPUID when they start: what runs here is the shell, which has started before.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { chooseEngine, hostFeatures } from '../../src/engines/choose';
import type { EngineName, SwitchableEngine } from '../../src/machine/engine';
import { Machine } from '../../src/machine/machine';
import { kvm, needs } from '../support/requirements';
import { INITRD, KERNEL, linuxFiles } from './support/linux';

const CPUS = 2;
const PROMPT = '/ # ';
const MOVES = 150;
/** KVM counts ticks of the TSC, the translator instructions. */
const LENGTHS = { kvm: 4e6, translator: 1e6 };

class Guest {
    console = '';
    readonly machine: Machine;

    constructor(engine: EngineName) {
        const chosen = chooseEngine({ choice: engine, cpus: CPUS, translator: {} });
        this.machine = new Machine({
            memory: 256 << 20,
            cpus: CPUS,
            engine: chosen.factory,
            engineArena: chosen.arenaSize,
            features: hostFeatures(),
            kernel: {
                kernel: { name: KERNEL, data: readFileSync(KERNEL) },
                modules: [{ name: INITRD, data: readFileSync(INITRD) }],
                commandLine: 'console=ttyS0 hs.shell',
            },
            serial: [byte => (this.console += String.fromCharCode(byte))],
        });
    }

    /** What programs have printed: the kernel may write in between, of time that has passed at once. */
    get output(): string {
        return this.console.replace(/\[ *\d+\.\d{6}\] [^\r\n]*\r\n/g, '');
    }

    get engine(): SwitchableEngine {
        return this.machine.engine as SwitchableEngine;
    }

    move(): void {
        this.engine.switchTo(this.engine.active === 'kvm' ? 'translator' : 'kvm');
    }

    run(instructions: number): void {
        const { reason } = this.machine.run({ instructions, idleSkips: 1 });
        assert.ok(reason === 'budget' || reason === 'idle', `${reason}:\n${this.console.slice(-2000)}`);
    }

    runUntil(text: RegExp, between: () => void = () => undefined): void {
        for (let turns = 0; !text.test(this.output); turns++) {
            assert.ok(turns < 20_000, `no ${text.source} in:\n${this.console.slice(-2000)}`);
            this.run(LENGTHS[this.engine.active]);
            between();
        }
    }

    type(line: string): void {
        this.machine.sendSerial(0, new TextEncoder().encode(`${line}\n`));
    }
}

describe('Debian kernel on both engines', function () {
    this.timeout(400_000);
    let guests: Guest[] = [];

    before(function () {
        needs(this, kvm, linuxFiles);
    });
    afterEach(() => {
        for (const { machine } of guests) machine.engine.dispose?.();
        guests = [];
    });
    const build = (engine: EngineName): Guest => {
        const guest = new Guest(engine);
        guests.push(guest);
        return guest;
    };

    it('goes on as before, moved many times, and from a snapshot that was taken on the other engine', () => {
        const guest = build('translator');
        guest.runUntil(new RegExp(PROMPT));

        let moves = 0;
        // The same with its output on the console, an interrupt a byte.
        guest.type(
            'i=0; while [ $i -lt 300 ]; do i=$((i+1)); [ $((i%60)) = 0 ] && echo "at $i"; done; echo "sum $((i*7))"',
        );
        guest.runUntil(/sum 2100\r\n/, () => {
            if (moves < MOVES) {
                moves++;
                guest.move();
            } else if (guest.engine.active === 'kvm') {
                guest.move();
            }
        });
        assert.match(guest.output, /at 60\r\nat 120\r\nat 180\r\nat 240\r\nat 300\r\nsum 2100\r\n/);
        assert.ok(moves > 10, `${moves} moves`);
        assert.doesNotMatch(guest.console, /segfault|Oops|general protection|Kernel panic/);

        guest.engine.switchTo('kvm');
        guest.run(LENGTHS.kvm);
        const state = Buffer.concat([...guest.machine.saveState()]);
        for (const first of ['translator', 'kvm'] as const) {
            const copy = build(first);
            copy.machine.restoreState(state);
            copy.run(LENGTHS[first]);
            copy.engine.switchTo('translator');
            copy.type('echo "$i and $((6*7))"; sleep 0.01; uname -s');
            copy.runUntil(/300 and 42\r\nLinux\r\n/);
        }
    });
});

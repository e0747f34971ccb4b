import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { performance } from 'node:perf_hooks';
import type { InspectionSource } from '../../../src/debug/inspection-source';
import { MachineTarget } from '../../../src/debug/machine-target';
import type { DiscoveredKernel, KernelDiscovery } from '../../../src/debug/source/discovered-kernel';
import type { End, Stop } from '../../../src/debug/target';
import type { Machine } from '../../../src/machine/machine';
import { readElfSymbols } from '../../../src/symbols/elf';
import { ListedSymbols } from '../../../src/symbols/listed-symbols';
import { ProgramSet } from '../../../src/symbols/program';
import { SymbolTable } from '../../../src/symbols/symbol-table';
import { romMachine } from '../../support/rom-machine';
import { sampleElf, sampleRom } from '../../support/sample';

const host = {
    now: () => performance.now(),
    yield: () => new Promise<void>(resolve => setImmediate(resolve)),
    sleep: (milliseconds: number) => new Promise<void>(resolve => setTimeout(resolve, milliseconds)),
};
const WHERE = readElfSymbols(sampleElf, readFileSync(sampleElf)).find(({ name }) => name === 'hanoi')!.address;
const KERNELS = 0xffffffff80000000n;

/** Finds a kernel that knows one name, after some searches in vain. */
class Discovery implements KernelDiscovery {
    readonly asked: { readonly pc: bigint; readonly retired: number }[] = [];
    restarts = 0;
    machine: Machine | undefined;

    constructor(private readonly inVain: number) {}

    discover({ system }: InspectionSource): DiscoveredKernel | undefined {
        this.asked.push({ pc: system.pc, retired: this.machine!.engine.retired() });
        if (this.asked.length <= this.inVain) {
            return undefined;
        }
        const list = { names: ['tower'], types: ['t'], addresses: BigUint64Array.of(WHERE) };
        return {
            description: 'a kernel with 1 name',
            identity: 'a kernel',
            symbols: new ListedSymbols(list),
            unwinders: [],
            findType: () => undefined,
            findGlobal: () => undefined,
        };
    }

    restart(): void {
        this.restarts++;
    }
}

/** The sample guest, whose kernel lies where Linux does. */
class Session {
    readonly target: MachineTarget;
    readonly logged: string[] = [];
    private settle: (outcome: Stop | End) => void = () => undefined;

    constructor(discovery: Discovery) {
        const machine = romMachine(readFileSync(sampleRom), { memory: 64 << 20 });
        discovery.machine = machine;
        this.target = new MachineTarget(machine, new SymbolTable(), host, { programs: new ProgramSet(), discovery });
        this.target.listener = {
            stopped: stop => this.settle(stop),
            ended: end => this.settle(end),
            logged: text => this.logged.push(text),
            // Slowly, as a client may.
            relocated: async () => {
                await host.sleep(20);
                await this.breakAt('tower');
            },
            failed: error => {
                throw error;
            },
        };
    }

    async breakAt(name: string): Promise<void> {
        const address = await this.target.evaluate(0, name, false).then(
            ({ value }) => value.bits,
            () => undefined,
        );
        await this.target.setBreakpoints(
            address === undefined ? [] : [{ id: 1, address: BigInt.asUintN(64, address) }],
        );
    }

    async resume(): Promise<Stop | End> {
        const outcome = new Promise<Stop | End>(resolve => (this.settle = resolve));
        await this.target.resume();
        return outcome;
    }
}

describe('the search for a kernel that tells of itself', function () {
    this.timeout(60_000);

    it('begins when code executes where kernels are, and the guest waits for breakpoints by name', async () => {
        const discovery = new Discovery(0);
        const session = new Session(discovery);
        assert.equal((await session.resume()).reason, 'breakpoint');
        assert.equal(discovery.asked.length, 1);
        assert.ok(discovery.asked[0].pc >= KERNELS, `0x${discovery.asked[0].pc.toString(16)}`);
        assert.equal((await session.target.stack(0))[0].symbol, 'tower');
        assert.deepEqual(session.logged, ['a kernel with 1 name']);
        await session.target.dispose();
    });

    it('is seldom where it is in vain', async () => {
        const discovery = new Discovery(2);
        const session = new Session(discovery);
        await session.resume();
        assert.equal(discovery.asked.length, 3);
        discovery.asked.slice(1).forEach(({ retired }, index) => {
            const before = discovery.asked[index].retired;
            assert.ok(retired - before >= Math.max(10_000, before / 2), `${before}, ${retired}`);
        });
        await session.target.dispose();
    });

    it('begins anew with the guest, whose names are gone', async () => {
        const discovery = new Discovery(0);
        const session = new Session(discovery);
        await session.resume();
        await session.target.reset();
        assert.equal(discovery.restarts, 1);
        await assert.rejects(session.target.evaluate(0, 'tower', false), /no register or symbol 'tower'/);
        assert.equal((await session.resume()).reason, 'breakpoint');
        assert.equal(discovery.asked.length, 2);
        await session.target.dispose();
    });
});

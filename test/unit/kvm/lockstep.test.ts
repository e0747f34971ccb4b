import assert from 'node:assert/strict';
import { isDivergence, Lockstep } from '../../../src/engines/lockstep';
import { buildPair, type Pair } from '../../../src/engines/lockstep-pair';
import { RandomNumbers, randomStream, startStream } from '../../../src/engines/random-streams';
import { runCli } from '../../guests/support/cli';
import { sampleElf } from '../../support/sample';
import { kvm, needs } from '../../support/requirements';
import { tinyKernel } from './kernel';

describe('lockstep', function () {
    this.timeout(60_000);
    let pair: Pair | undefined;

    before(function () {
        needs(this, kvm);
    });
    afterEach(() => {
        pair?.engine.dispose();
        pair = undefined;
    });

    const build = (code: string): Lockstep => {
        const kernel = { kernel: { name: 'kernel', data: tinyKernel(code) }, modules: [], commandLine: '' };
        pair = buildPair({ memory: 16 << 20, kernel });
        return new Lockstep(pair.translator, pair.kvm, pair.engine);
    };

    it('finds a register that differs, at the instruction after which it does', () => {
        const lockstep = build('43 40 01 d8 eb fa'); // inc ebx; inc eax; add eax, ebx; jmp
        for (let step = 0; step < 100; step++) assert.equal(lockstep.step(), undefined);
        const { cpu } = pair!.kvm.processors[0];
        cpu.setGpr32(3, cpu.gpr(3) ^ 0x10);
        cpu.stateReplaced();
        const found = lockstep.step();
        assert.ok(found !== undefined && isDivergence(found));
        const rbx = found.differences.find(({ name }) => name === 'rbx');
        assert.equal(rbx!.translator ^ rbx!.kvm, 0x10n);
        assert.equal(found.instruction?.row.mnemonic, 'INC');
    });

    it('finds memory that differs', () => {
        const lockstep = build('90 eb fd');
        pair!.kvm.memory.writeBytes(0x345678, Uint8Array.of(7));
        for (;;) {
            const found = lockstep.step();
            if (found === undefined) continue;
            assert.ok(isDivergence(found));
            assert.equal(found.differences[0].name, 'memory at physical 345678');
            break;
        }
    });

    for (const bits of [64, 32, 16] as const)
        it(`finds none in random ${bits}-bit code, the same for a seed`, () => {
            const lockstep = build('f4');
            const [one, two] = [new RandomNumbers(5), new RandomNumbers(5)];
            for (let round = 0; round < 20; round++) {
                const stream = randomStream(one, 30, bits);
                assert.deepEqual(stream, randomStream(two, 30, bits));
                startStream(pair!.translator, stream);
                startStream(pair!.kvm, stream);
                for (let step = 0; step < 32; step++) {
                    const outcome = lockstep.step();
                    assert.ok(outcome === undefined || !isDivergence(outcome), JSON.stringify(outcome, replacer));
                    if (outcome !== undefined || pair!.translator.processors[0].cpu.activity !== 0) break;
                }
            }
            assert.ok(lockstep.executed > 100);
        });

    it('is a command that finds none in the start of the sample guest', async () => {
        const { status, output, errors } = await runCli([
            ...['lockstep', '--kernel', sampleElf, '--append', 'nosyscall', '--instructions', '20000'],
        ]);
        assert.equal(errors, '');
        assert.match(output, /^2\d{4} instructions on both engines, \d+ of them left .*no difference\n$/);
        assert.equal(status, 0);
    });
});

function replacer(_key: string, value: unknown): unknown {
    return typeof value === 'bigint' ? `0x${value.toString(16)}` : value;
}

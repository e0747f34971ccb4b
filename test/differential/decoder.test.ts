import assert from 'node:assert/strict';
import * as iced from 'iced-x86';
import { type CodeSize, decode, DecodeFailure, type Instruction, ROWS } from '../../src/isa/x86';
import { EXCEPTIONS } from './decoder/exceptions';
import { generateRandom, generateRow, mutate, SLOT } from './decoder/generate';
import { Random } from '../support/random';
import { type Aspect, difference } from './decoder/reference';

/** Byte strings to compare; HYPERSCOPE_CASES=5000000 for the full run. */
const CASES = Number(process.env['HYPERSCOPE_CASES'] ?? 300_000);
/** Another seed, another sample. */
const SEED = Number(process.env['HYPERSCOPE_SEED'] ?? 1);
const BATCH = 3072;
const CODE_SIZES: readonly CodeSize[] = [16, 32, 64];
const IP = 0x7fff_1000n;

/** Differences shown before the test gives up. */
const SHOWN = 20;

describe('decoder against iced-x86', () => {
    it(`agrees on validity, length and operands of ${CASES} byte strings in three modes`, function () {
        this.timeout(600_000);
        const run = new DifferentialRun(new Random(SEED));
        for (let done = 0; done < CASES; done += BATCH) {
            run.compareBatch(CODE_SIZES[(done / BATCH) % 3], Math.min(BATCH, CASES - done));
        }
        console.log(run.summary());
        assert.deepEqual(run.differences, []);
        assert.equal(run.cases, CASES);
    });

    it('needs every documented exception', function () {
        const run = new DifferentialRun(new Random(SEED));
        for (let batch = 0; batch < 150 && run.excused.includes(0); batch++) {
            run.compareBatch(CODE_SIZES[batch % 3], BATCH);
        }
        const unused = EXCEPTIONS.filter((_, i) => run.excused[i] === 0).map(exception => exception.reason);
        assert.deepEqual(unused, []);
    });

    it('calls every shorter prefix of an instruction truncated', () => {
        const random = new Random(SEED);
        const bytes = new Uint8Array(SLOT);
        for (let i = 0; i < 30_000; i++) {
            const codeSize = CODE_SIZES[i % 3];
            generateRow(random, ROWS[i % ROWS.length], codeSize, bytes, 0);
            const whole = decode(bytes, 0, SLOT, codeSize);
            if (typeof whole !== 'number') {
                for (let end = 0; end < whole.length; end++) {
                    assert.equal(decode(bytes, 0, end, codeSize), DecodeFailure.Truncated, `${hex(bytes)} to ${end}`);
                }
                assert.deepEqual(decode(bytes, 0, whole.length, codeSize), whole);
            }
        }
    });
});

class DifferentialRun {
    public readonly differences: string[] = [];
    /** How often each exception applied. */
    public readonly excused: number[] = EXCEPTIONS.map(() => 0);
    public cases = 0;
    private valid = 0;
    private nextRow = 0;
    private readonly bytes = new Uint8Array(BATCH * SLOT + 64);
    private readonly theirs = new iced.Instruction();

    public constructor(private readonly random: Random) {}

    public compareBatch(codeSize: CodeSize, count: number): void {
        this.generate(codeSize, count);
        const decoder = new iced.Decoder(codeSize, this.bytes, iced.DecoderOptions.None);
        for (let start = 0; start < count * SLOT; start += SLOT) {
            decoder.position = start;
            decoder.ip = IP;
            decoder.decodeOut(this.theirs);
            this.compare(start, codeSize);
        }
        decoder.free();
        this.cases += count;
    }

    public summary(): string {
        const exceptions = EXCEPTIONS.map(({ reason }, i) => `      ${this.excused[i]} excused: ${reason}`);
        return [
            `      ${this.cases} cases, ${this.valid} valid, ${this.differences.length} differences`,
            ...exceptions,
        ].join('\n');
    }

    /** A third each of random strings, table rows, and mutated table rows. */
    private generate(codeSize: CodeSize, count: number): void {
        const { random, bytes } = this;
        for (let i = 0; i < count; i++) {
            if (i % 3 === 0) {
                generateRandom(random, bytes, i * SLOT);
                continue;
            }
            generateRow(random, ROWS[this.nextRow], codeSize, bytes, i * SLOT);
            this.nextRow = (this.nextRow + 1) % ROWS.length;
            if (i % 3 === 2) {
                mutate(random, bytes, i * SLOT);
            }
        }
    }

    private compare(start: number, codeSize: CodeSize): void {
        const { theirs } = this;
        const ours = decode(this.bytes, start, this.bytes.length, codeSize);
        this.valid += typeof ours === 'number' ? 0 : 1;
        let problem = verdict(ours, theirs, NOTHING);
        if (problem === '') {
            return;
        }
        const excused = new Set<Aspect | 'validity'>();
        EXCEPTIONS.forEach((exception, i) => {
            if (exception.applies(ours, theirs, codeSize)) {
                this.excused[i]++;
                exception.excuses.forEach(aspect => excused.add(aspect));
            }
        });
        problem = verdict(ours, theirs, excused);
        if (problem !== '' && this.differences.length < SHOWN) {
            this.differences.push(`${codeSize}-bit ${hex(this.bytes.subarray(start, start + 15))}: ${problem}`);
        }
    }
}

const NOTHING: ReadonlySet<Aspect | 'validity'> = new Set();

function verdict(
    ours: Instruction | DecodeFailure,
    theirs: iced.Instruction,
    excused: ReadonlySet<Aspect | 'validity'>,
): string {
    const invalid = theirs.code === iced.Code.INVALID;
    if (typeof ours === 'number') {
        return invalid || excused.has('validity') ? '' : `undefined, reference ${theirs.toString()}`;
    }
    return invalid
        ? `${ours.row.mnemonic} (${ours.row.opcode}), reference invalid`
        : difference(ours, theirs, IP, excused as ReadonlySet<Aspect>);
}

function hex(bytes: Uint8Array): string {
    return Array.from(bytes, byte => byte.toString(16).padStart(2, '0')).join('');
}

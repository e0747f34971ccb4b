/** Assignments to variables of compiled programs, in the bytes that the compiler laid out. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { ExpressionError } from '../../../src/debug/expression/error';
import type { EvaluationContext } from '../../../src/debug/expression/context';
import { Expression } from '../../../src/debug/expression/expression';
import { loadValue } from '../../../src/debug/expression/memory';
import { makeValue, type Place, type Value } from '../../../src/debug/expression/value';
import { ValuePresenter } from '../../../src/debug/source/value-text';
import { Program } from '../../../src/symbols/program';
import { fileSource, run, scratchDirectory } from '../../support/compiled';
import { needs, tool } from '../../support/requirements';

const SOURCE = `
enum mood { CALM, ANGRY = -2 };
typedef unsigned long long u64;
struct packet {
    unsigned first : 3;
    int sign : 5;
    u64 wide : 40;
    _Bool flag : 1;
    enum mood mood : 3;
    unsigned char plain;
    struct { unsigned inner : 4, : 2, last : 26; };
} packet = { 5, -3, 0x123456789aULL, 1, ANGRY, 7, { 9, 0x155aa } };
struct __attribute__((packed)) tight {
    unsigned char before : 7;
    u64 across : 64;
    unsigned char after : 1;
} tight = { 0x55, 0x0123456789abcdefULL, 1 };
_Bool boolean;
float narrow = 1;
double broad = 1;
long double longest = 1;
__int128 huge = 1;
void _start(void) { for (;;); }
`;

const SIZE = 16;

describe('assignments to variables', () => {
    let folder: string;
    before(function () {
        needs(this, tool('gcc'));
        folder = scratchDirectory();
        writeFileSync(path.join(folder, 'fields.c'), SOURCE);
    });

    /** The program's data in memory of its own, with what was written last. */
    function load(...options: readonly string[]) {
        const output = path.join(folder, `fields${options.join('')}`);
        const link = '-ffreestanding -nostdlib -static -no-pie -fno-stack-protector -fcf-protection=none';
        run(folder, 'gcc', ...options, ...link.split(' '), 'fields.c', '-o', output);
        const program = new Program(fileSource(output), { open: () => undefined });
        const sections = program.elf.sections.filter(({ name }) => name === '.data' || name === '.bss');
        const start = BigInt(Math.min(...sections.map(({ address }) => address)));
        const memory = new Uint8Array(0x1000);
        for (const section of sections) {
            memory.set(program.elf.content(section), section.address - Number(start));
        }
        const written: { at: number; length: number }[] = [];
        const context: EvaluationContext = {
            readRegister: () => undefined,
            writeRegister: () => assert.fail(),
            readMemory: (_space, address, size) =>
                memory.slice(Number(address - start), Number(address - start) + size),
            writeMemory: (_space, address, bytes) => {
                written.push({ at: Number(address - start), length: bytes.length });
                memory.set(bytes, Number(address - start));
                return true;
            },
            symbol: () => undefined,
            segmentLinear: (_segment, offset) => offset,
            global: name => {
                const found = program.findGlobal(name, undefined);
                if (found?.kind === 'constant') return makeValue(found.value, found.type);
                if (found?.address === undefined) return undefined;
                const place: Place = { kind: 'memory', space: 'linear', address: found.address };
                const whole: Value = { ...makeValue(found.address, found.type), place };
                return loadValue(context, whole, { type: found.type, offset: 0 });
            },
        };
        const presenter = new ValuePresenter({ context, symbol: () => undefined });
        const evaluate = (text: string): Value => new Expression(text).evaluate(context, { assignments: true });
        const at = (name: string): Uint8Array => {
            const found = program.findGlobal(name, undefined);
            assert.ok(found?.kind === 'object');
            return memory.subarray(Number(found.address! - start), Number(found.address! - start) + SIZE);
        };
        const text = (expression: string): string => presenter.text(evaluate(expression));
        const refusal = (expression: string): string => {
            const before = memory.slice();
            try {
                evaluate(expression);
            } catch (error) {
                assert.ok(error instanceof ExpressionError, String(error));
                assert.deepEqual(memory, before, 'nothing is written');
                return error.problem;
            }
            return assert.fail(`${expression} was not refused`);
        };
        return { text, refusal, at, written };
    }

    for (const options of [
        ['-gdwarf-2', '-gstrict-dwarf'],
        ['-gdwarf-3', '-gstrict-dwarf'],
        ['-gdwarf-4'],
        ['-gdwarf-5'],
    ]) {
        it(`change a bit-field and none of its neighbours: ${options.join(' ')}`, () => {
            const { text, at, written } = load(...options);
            const others = (): string[] =>
                ['first', 'sign', 'wide', 'flag', 'mood', 'plain', 'inner', 'last'].map(name => text(`packet.${name}`));
            const expected = ['5', '-3', `${0x123456789a}`, 'true', 'ANGRY (-2)', "7 '\\x07'", '9', `${0x155aa}`];
            assert.deepEqual(others(), expected);
            const changes: readonly (readonly [index: number, expression: string, shown: string])[] = [
                [0, 'packet.first = 2', '2'],
                [1, 'packet.sign = -16', '-16'],
                [1, 'packet.sign = 15', '15'],
                [2, 'packet.wide = 0xfedcba9876', `${0xfedcba9876}`],
                [3, 'packet.flag = false', 'false'],
                [3, 'packet.flag = 2', 'true'],
                [4, 'packet.mood = CALM', 'CALM (0)'],
                [7, 'packet.last = (1 << 26) - 1', `${2 ** 26 - 1}`],
                [6, 'packet.inner = 0', '0'],
            ];
            for (const [index, expression, shown] of changes) {
                assert.equal(text(expression), shown, expression);
                expected[index] = shown;
                assert.deepEqual(others(), expected, expression);
            }
            written.length = 0;
            text('packet.sign = 1');
            assert.deepEqual(
                written.map(({ length }) => length),
                [1],
            );
            assert.equal(text('tight.across'), `${0x0123456789abcdefn}`);
            text('tight.across = 0xfedcba9876543210');
            assert.equal(text('tight.across'), `${0xfedcba9876543210n}`);
            assert.deepEqual([text('tight.before'), text('tight.after')], ["85 'U'", "1 '\\x01'"]);
            assert.equal(at('tight')[9], 0);
        });
    }

    it('refuse what a bit-field does not hold', () => {
        const { refusal } = load('-gdwarf-5');
        assert.equal(refusal('packet.first = 8'), '8 does not fit a bit-field of 3 bits: it holds 0 to 7');
        assert.equal(refusal('packet.first = -1'), '-1 does not fit a bit-field of 3 bits: it holds 0 to 7');
        assert.match(refusal('packet.first = 0x100000001'), /^4294967297 does not fit/);
        assert.match(refusal('packet.sign = 16'), /holds -16 to 15$/);
        assert.match(refusal('packet.sign = -17'), /holds -16 to 15$/);
        assert.match(refusal('packet.wide = 1 << 40'), /of 40 bits: it holds 0 to 1099511627775$/);
        assert.match(refusal('packet.mood = 4'), /holds -4 to 3$/);
        assert.match(refusal('&packet.first'), /a bit-field has no address/);
    });

    it('take numbers of any kind', () => {
        const { text, at, refusal } = load('-gdwarf-5');
        assert.equal(text('boolean = 256'), 'true');
        assert.equal(at('boolean')[0], 1);
        assert.equal(text('narrow = 2.5'), '2.5');
        assert.equal(text('narrow'), '2.5');
        assert.equal(text('broad = -1e3 + narrow'), '-997.5');
        assert.equal(text('broad'), '-997.5');
        assert.equal(text('packet.plain = 65ul'), "65 'A'");
        assert.match(refusal('longest = 2'), /can only be read/);
        text('huge = -2');
        assert.equal(text('huge'), '-2');
        assert.deepEqual([...at('huge')], [0xfe, ...Array<number>(15).fill(0xff)]);
    });
});

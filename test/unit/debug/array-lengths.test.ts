/** Arrays whose lengths the program computes, and numbers that are none of a register's. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { loadValue } from '../../../src/debug/expression/memory';
import { type FrameHost, FrameReader, variablesOf } from '../../../src/debug/source/frame-variables';
import type { PhysicalFrame, SourceFrame } from '../../../src/debug/source/source-stack';
import { ValuePresenter } from '../../../src/debug/source/value-text';
import { fromAddress } from '../../../src/symbols/cursor';
import { Program } from '../../../src/symbols/program';
import { typeName } from '../../../src/symbols/types';
import { AMD64 } from '../../../src/symbols/unwind';
import { fileSource, run, scratchDirectory } from '../../support/compiled';
import { NOTHING } from '../../support/evaluation';
import { needs, tool } from '../../support/requirements';

const SOURCE = `
typedef int count_t;
void use(void *, ...) { }
__attribute__((noinline)) int lengths(count_t n, int (*given)[n])
{
    char text[n];
    int two[n][3];
    use(text, two, given);
    return 0;
}
float third = 1.0f / 3;
long double x87 = -3.25L;
_Complex double pair = 1.5 + 2.0i;
_Float128 quadruple = 6.5f128;
void _start(void) { lengths(5, 0); for (;;) ; }
`;

/** What the program has computed: it is in all of the stack, whichever places the compiler has chosen. */
const COMPUTED = 4n;
const CFA = 0x8000n;

describe('variables of lengths and kinds of their own', () => {
    let folder: string;

    before(function () {
        needs(this, tool('gcc'));
        folder = scratchDirectory();
        writeFileSync(path.join(folder, 'lengths.c'), SOURCE);
    });

    const compile = (...options: string[]): Program => {
        const fixed = '-g -ffreestanding -nostdlib -static -no-pie -fno-stack-protector -fcf-protection=none';
        const output = `lengths${options.join('')}`;
        run(folder, 'gcc', ...fixed.split(' '), ...options, 'lengths.c', '-o', output);
        return new Program(fileSource(path.join(folder, output)), { open: () => undefined });
    };

    for (const version of ['2', '4', '5']) {
        it(`arrays have the length that the frame tells (DWARF ${version})`, () => {
            const program = compile('-O0', `-gdwarf-${version}`);
            const [{ address, size }] = program.symbols.named('lengths');
            const pc = address + size! - 8n;
            const registers = AMD64.names.map(name => (name === 'rbp' ? CFA - 16n : 0n));
            const physical: PhysicalFrame = { state: { pc, registers, isReturn: false }, numbering: AMD64 };
            let reads = 0;
            const host: FrameHost = {
                memory: {
                    readMemory: (at, length) =>
                        Uint8Array.from({ length }, (_, index) =>
                            (at + BigInt(index)) % 8n === 0n ? Number(COMPUTED) : 0,
                        ),
                    isExecutable: () => true,
                    isUserCode: () => false,
                },
                context: {
                    ...NOTHING,
                    readMemory: (_space, _at, length) => {
                        reads++;
                        return new Uint8Array(length).fill(1);
                    },
                },
                callerOf: () => undefined,
                cfaOf: () => CFA,
                programAt: () => program,
                wideRegister: () => undefined,
                threadPointer: () => 0n,
            };
            const blocks = program.info.blocksAt(fromAddress(pc));
            const reader = new FrameReader(program, physical, blocks, host);
            const frame = { physical, blocks, program, isInlined: false } as SourceFrame;
            const types = variablesOf(frame).map(({ name, die }) => `${name}: ${typeName(reader.value(die).type)}`);
            assert.deepEqual(types.slice(0, 1), ['n: count_t']);
            for (const expected of ['given: int (*)[5]', 'text: char[5]', 'two: int[5][3]']) {
                assert.ok(types.includes(expected), `${expected} in ${types.join(', ')}`);
            }
            const { die } = variablesOf(frame).find(({ name }) => name === 'n')!;
            const before = reads;
            const { place, ...whole } = reader.value(die, false);
            assert.deepEqual([typeName(whole.type), place?.kind], ['count_t', 'memory']);
            assert.equal(reads, before, 'where its value does not count it is not read');
            assert.deepEqual([reader.value(die).place, reads], [place, before + 1]);
        });
    }

    it('numbers of other sizes than a double read as what they are', () => {
        const program = compile('-O1');
        const memory = (_space: unknown, address: bigint, length: number): Uint8Array | undefined => {
            const section = program.elf.sections.find(
                ({ address: start, size }) => start !== 0 && address >= BigInt(start) && address < BigInt(start + size),
            );
            const offset = section && section.offset + Number(address) - section.address;
            return offset === undefined ? undefined : fileSource(program.name).read(offset, length);
        };
        const context = { ...NOTHING, readMemory: memory };
        const presenter = new ValuePresenter({ context, symbol: () => undefined });
        const text = (name: string): string => {
            const found = program.findGlobal(name, undefined);
            assert.ok(found?.kind === 'object' && found.address !== undefined, name);
            const place = { kind: 'memory', space: 'linear', address: found.address } as const;
            const whole = { bits: found.address, type: found.type, space: 'linear', place } as const;
            return presenter.text(loadValue(context, whole, { type: found.type, offset: 0 }));
        };
        assert.equal(text('third'), '0.33333334');
        assert.equal(text('x87'), '-3.25');
        assert.equal(text('pair'), '1.5 + 2.0i');
        assert.equal(text('quadruple'), '6.5');
    });
});

import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { ExpressionError } from '../../../src/debug/expression/error';
import type { EvaluationContext } from '../../../src/debug/expression/context';
import { Expression } from '../../../src/debug/expression/expression';
import { I64, makeValue } from '../../../src/debug/expression/value';
import { type FrameHost, FrameReader, variablesOf } from '../../../src/debug/source/frame-variables';
import type { PhysicalFrame } from '../../../src/debug/source/source-stack';
import { ValuePresenter } from '../../../src/debug/source/value-text';
import { fromAddress } from '../../../src/symbols/cursor';
import { Program } from '../../../src/symbols/program';
import { AMD64 } from '../../../src/symbols/unwind';
import { fileSource, run, scratchDirectory } from '../../support/compiled';
import { NOTHING } from '../../support/evaluation';
import { needs, tool } from '../../support/requirements';

const SOURCE = `
typedef float quad __attribute__((vector_size(16)));
__thread int first = 11;
__thread long second = 22;
__attribute__((noinline)) double scale(double factor, float offset, quad lanes)
{
    return factor * offset + lanes[0];
}
__attribute__((noinline)) int mine(void)
{
    return first + (int)second;
}
void _start(void)
{
    quad lanes = { 1, 2, 3, 4 };
    (void)scale(mine(), 2, lanes);
    for (;;)
        ;
}
`;

function vector(size: 4 | 8, ...lanes: readonly number[]): bigint {
    const view = new DataView(new ArrayBuffer(16));
    lanes.forEach((lane, index) =>
        size === 4 ? view.setFloat32(index * 4, lane, true) : view.setFloat64(index * 8, lane, true),
    );
    return (view.getBigUint64(8, true) << 64n) | view.getBigUint64(0, true);
}

describe('variables outside of general registers', () => {
    let program: Program;

    before(function () {
        needs(this, tool('gcc'));
        const folder = scratchDirectory();
        writeFileSync(path.join(folder, 'wide.c'), SOURCE);
        const options = '-O1 -g -ffreestanding -nostdlib -static -no-pie -fno-stack-protector -fcf-protection=none';
        run(folder, 'gcc', ...options.split(' '), 'wide.c', '-o', 'wide');
        program = new Program(fileSource(path.join(folder, 'wide')), { open: () => undefined });
    });

    const texts = (origin?: 'cfi'): Record<string, string> => {
        const [{ address }] = program.symbols.named('scale');
        const registers = AMD64.names.map(() => 0n);
        const physical: PhysicalFrame = {
            state: { pc: address, registers, isReturn: false },
            numbering: AMD64,
            origin,
        };
        const wide: Readonly<Record<string, bigint>> = {
            xmm0: vector(8, 1.5, 9),
            xmm1: vector(4, 0.25, 9, 9, 9),
            xmm2: vector(4, 1, 2, 3, 4),
        };
        const host: FrameHost = {
            memory: { readMemory: () => undefined, isExecutable: () => true, isUserCode: () => false },
            context: NOTHING,
            callerOf: () => undefined,
            cfaOf: () => undefined,
            programAt: () => program,
            wideRegister: name => wide[name],
            threadPointer: () => 0n,
        };
        const chain = program.info.blocksAt(fromAddress(address));
        const reader = new FrameReader(program, physical, chain, host);
        const presenter = new ValuePresenter({ context: NOTHING, symbol: () => undefined });
        const frame = { physical, blocks: chain, program, isInlined: false } as Parameters<typeof variablesOf>[0];
        return Object.fromEntries(variablesOf(frame).map(({ name, die }) => [name, presenter.text(reader.value(die))]));
    };

    it('in vector registers are numbers and vectors', () => {
        assert.deepEqual(texts(), { factor: '1.5', offset: '0.25', lanes: '[1.0, 2.0, 3.0, 4.0]' });
    });

    it('in vector registers of callers are not known', () => {
        assert.match(texts('cfi').factor, /optimised out/);
    });

    it('of a thread lie before its thread pointer', () => {
        const offsets = ['first', 'second'].map(name => {
            const found = program.findGlobal(name, undefined);
            assert.ok(found?.kind === 'object' && found.threadOffset !== undefined, name);
            return found.threadOffset;
        });
        const pointer = 0x7f0000001000n;
        const addresses = offsets.map(offset => program.threadLocal(offset, pointer)!);
        // As the compiled code has them: mov eax, fs:[-n].
        const disassembly = run('/', 'objdump', '-d', '-M', 'intel', '--disassemble=mine', program.name);
        const used = [...disassembly.matchAll(/fs:0x([0-9a-f]+)/g)].map(match =>
            BigInt.asUintN(64, pointer + BigInt.asIntN(64, BigInt(`0x${match[1]}`))),
        );
        assert.deepEqual([...addresses].sort(), [...new Set(used)].sort());
    });

    it('of a CPU are named by per_cpu', () => {
        const cpus: EvaluationContext = {
            ...NOTHING,
            perCpu: (name, cpu) => (name === 'counter' && cpu < 2 ? makeValue(BigInt(40 + cpu), I64) : undefined),
        };
        assert.equal(new Expression('per_cpu(counter, 1) + 1').evaluate(cpus).bits, 42n);
        assert.throws(
            () => new Expression('per_cpu(counter, 2)').evaluate(cpus),
            (error: unknown) =>
                error instanceof ExpressionError &&
                error.problem === "there is no per-CPU variable 'counter' of a CPU 2",
        );
        assert.throws(() => new Expression('per_cpu(1 + 2, 0)'), /takes the name of a variable/);
        assert.throws(() => new Expression('per_cpu(counter, -1)').evaluate(cpus), /no per-CPU variable/);
        assert.equal(new Expression('per_cpu(counter, 1) = 3').assigns, true);
    });
});

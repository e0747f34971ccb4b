import assert from 'node:assert/strict';
import {
    type FloatEnvironment,
    type FloatFormat,
    type Relation,
    type RoundingMode,
    add,
    compareQuiet,
    compareSignalling,
    convert,
    convertFromInteger,
    convertToInteger,
    divide,
    float16,
    float32,
    float64,
    forEachLane,
    fusedMultiplyAdd,
    maximum,
    minimum,
    multiply,
    roundToIntegral,
    squareRoot,
    sseEnvironment,
    subtract,
} from '../../../src/softfloat';
import { comparedCases, compareWithHost, hexadecimal, randomFor } from './differential';
import { type OperandSource, type Random, operands16, operands32, operands64 } from './operands';
import { Oracle, type OracleCase } from './oracle';

/** The low 32 or 64 bits of a register, and what they hold. */
type Bits = number | bigint;

interface Instruction {
    readonly name: string;
    /** What a, b and c hold. */
    readonly operands: (random: Random) => () => { a: Bits; b?: Bits; c?: Bits };
    /** Bits of the result. */
    readonly width: number;
    readonly execute: (input: OracleCase, environment: FloatEnvironment) => Bits;
}

const sources: Record<'f16' | 'f32' | 'f64', (random: Random) => OperandSource<Bits>> = {
    f16: operands16,
    f32: operands32,
    f64: operands64,
};

type Operation = (format: FloatFormat<Bits>, a: Bits, b: Bits, environment: FloatEnvironment) => Bits;

const FORMATS = [
    { suffix: 's', width: 32, format: float32 as FloatFormat<Bits> },
    { suffix: 'd', width: 64, format: float64 as FloatFormat<Bits> },
];

function tuples(format: FloatFormat<Bits>) {
    return (random: Random) => {
        const source = sources[format.name as 'f32'](random);
        return () => source.tuple();
    };
}

function singles(format: FloatFormat<Bits>) {
    return (random: Random) => {
        const source = sources[format.name as 'f32'](random);
        return () => ({ a: source.one() });
    };
}

function integers(width: number) {
    return (random: Random) => () => ({ a: random.textured(width) });
}

/** Instructions that exist for both widths with the same shape. */
function binary(name: string, operation: Operation): Instruction[] {
    return FORMATS.map(({ suffix, width, format }) => ({
        name: `${name}s${suffix}`,
        operands: tuples(format),
        width,
        execute: ({ a, b }, environment) => operation(format, a as Bits, b as Bits, environment),
    }));
}

/** ZF, PF and CF as (U)COMISS sets them. */
const RELATION_FLAGS: Record<Relation, number> = { unordered: 0x45, greater: 0, less: 0x01, equal: 0x40 };
const COMPARED_FLAGS = 0x45;

const comparing =
    (compare: typeof compareQuiet): Operation =>
    (format, a, b, environment) =>
        RELATION_FLAGS[compare(format, a, b, environment)];

function fused(name: string, negateProduct: boolean, negateAddend: boolean): Instruction[] {
    return FORMATS.flatMap(({ suffix, width, format }) =>
        ['132', '213', '231'].map(form => ({
            name: `${name}${form}s${suffix}`,
            operands: tuples(format),
            width,
            execute: (input: OracleCase, environment: FloatEnvironment) => {
                const [a, b, c] = [input.a as Bits, input.b as Bits, input.c as Bits];
                const signs = { negateProduct, negateAddend };
                return fusedMultiplyAdd(format, a, b, c, environment, signs);
            },
        })),
    );
}

function toInteger(name: string, format: FloatFormat<Bits>, width: number, truncate = false, unsigned = false) {
    return {
        name,
        operands: singles(format),
        width,
        execute: ({ a }: OracleCase, environment: FloatEnvironment) =>
            BigInt.asUintN(width, convertToInteger(format, a as Bits, { width, truncate, unsigned }, environment)),
    };
}

function fromInteger(name: string, format: FloatFormat<Bits>, from: number, unsigned = false): Instruction {
    return {
        name,
        operands: integers(from),
        width: format === float32 ? 32 : 64,
        execute: ({ a }, environment) => {
            const value = unsigned ? BigInt.asUintN(from, a as bigint) : BigInt.asIntN(from, a as bigint);
            return convertFromInteger(format, value, environment);
        },
    };
}

const [single, double] = [float32 as FloatFormat<Bits>, float64 as FloatFormat<Bits>];

const INSTRUCTIONS: readonly Instruction[] = [
    ...binary('add', add),
    ...binary('sub', subtract),
    ...binary('mul', multiply),
    ...binary('div', divide),
    ...binary('min', minimum),
    ...binary('max', maximum),
    ...binary('ucomi', comparing(compareQuiet)),
    ...binary('comi', comparing(compareSignalling)),
    ...binary('sqrt', (format, a, _, environment) => squareRoot(format, a, environment)),
    ...fused('fmadd', false, false),
    ...fused('fmsub', false, true),
    ...fused('fnmadd', true, false),
    ...fused('fnmsub', true, true),
    ...FORMATS.flatMap(({ suffix, width, format }) =>
        [0, 1, 2, 3, 4, 8, 12].map(immediate => ({
            name: `rounds${suffix}_${immediate}`,
            operands: tuples(format),
            width,
            execute: ({ b }: OracleCase, environment: FloatEnvironment) => {
                const mode = immediate & 4 ? undefined : ((immediate & 3) as RoundingMode);
                const suppressPrecision = (immediate & 8) !== 0;
                return roundToIntegral(format, b as Bits, environment, { mode, suppressPrecision });
            },
        })),
    ),
    {
        name: 'cvtss2sd',
        operands: singles(single),
        width: 64,
        execute: ({ a }, environment) => convert(float32, float64, a as number, environment),
    },
    {
        name: 'cvtsd2ss',
        operands: singles(double),
        width: 32,
        execute: ({ a }, environment) => convert(float64, float32, a as bigint, environment),
    },
    ...[32, 64].flatMap(width => [
        toInteger(`cvtss2si_${width}`, single, width),
        toInteger(`cvtsd2si_${width}`, double, width),
        toInteger(`cvttss2si_${width}`, single, width, true),
        toInteger(`cvttsd2si_${width}`, double, width, true),
        fromInteger(`cvtsi2ss_${width}`, single, width),
        fromInteger(`cvtsi2sd_${width}`, double, width),
    ]),
    toInteger('vcvtss2usi_32', single, 32, false, true),
    toInteger('vcvtsd2usi_64', double, 64, false, true),
    toInteger('vcvttsd2usi_32', double, 32, true, true),
    toInteger('vcvttss2usi_64', single, 64, true, true),
    fromInteger('vcvtusi2ss_32', single, 32, true),
    fromInteger('vcvtusi2sd_64', double, 64, true),
];

/** A packed instruction, for what its lanes have in common. */
interface Packed {
    readonly name: string;
    readonly lanes: number;
    readonly width: number;
    readonly format: FloatFormat<Bits>;
    readonly operation: Operation;
}

const PACKED: readonly Packed[] = [
    { name: 'addps', lanes: 4, width: 32, format: single, operation: add },
    { name: 'divpd', lanes: 2, width: 64, format: double, operation: divide },
];

/** An MXCSR with random configuration: mostly all masked, as software has it. */
function randomMxcsr(random: Random): number {
    const masks = random.below(4) === 0 ? random.below(64) : 0x3f;
    const [daz, ftz] = [random.below(3) === 0 ? 0x40 : 0, random.below(3) === 0 ? 0x8000 : 0];
    const flags = random.below(8) === 0 ? random.below(64) : 0;
    return (masks << 7) | daz | ftz | (random.below(4) << 13) | flags;
}

/** MXCSR's configuration and flags, and the result unless there was an exception. */
function render(mxcsr: number, suppressed: boolean, result: Bits): string {
    return `${mxcsr.toString(16)} ${suppressed ? 'trapped' : hexadecimal(result)}`;
}

describe('softfloat SSE arithmetic equals the host CPU', () => {
    let oracle: Oracle;

    before(function () {
        const opened = Oracle.open();
        if (typeof opened === 'string') {
            console.log(`      skipped: ${opened}`);
            this.skip();
        }
        oracle = opened;
    });

    after(() => console.log(`      ${comparedCases} cases compared with the host CPU so far`));

    for (const { name, operands, width, execute } of INSTRUCTIONS) {
        it(name, function () {
            if (!oracle.has(name)) {
                this.skip();
            }
            const random = randomFor(name);
            const next = operands(random);
            const differences = compareWithHost(oracle, {
                operation: name,
                generate: () => ({ control: randomMxcsr(random), ...next() }),
                expect: input => {
                    const environment = sseEnvironment(input.control);
                    const result = BigInt(execute(input, environment));
                    const configuration = input.control & ~0x3f;
                    return render(configuration | environment.flags, environment.suppressed, result);
                },
                observe: output => {
                    const flags = name.includes('comi') ? BigInt(COMPARED_FLAGS) : ~0n;
                    const result = BigInt.asUintN(width, output.first64()) & flags;
                    return render(output.status, output.trapped, result);
                },
            });
            assert.equal(
                differences.length,
                0,
                `${differences.length} differences\n${differences.slice(0, 5).join('\n')}`,
            );
        });
    }

    for (const { name, lanes, width, format, operation } of PACKED) {
        it(`${name}, whose lanes share their exceptions`, () => {
            const random = randomFor(name);
            const source = sources[format.name as 'f32'](random);
            const shift = BigInt(width);
            const split = (value: bigint) =>
                Array.from({ length: lanes }, (_, lane) => {
                    const bits = BigInt.asUintN(width, value >> (shift * BigInt(lane)));
                    return width === 32 ? Number(bits) : bits;
                });
            const join = (values: readonly Bits[]) =>
                values.reduceRight<bigint>((joined, value) => (joined << shift) | BigInt(value), 0n);
            const differences = compareWithHost(oracle, {
                operation: name,
                generate: () => {
                    const tuples = Array.from({ length: lanes }, () => source.tuple());
                    const [a, b] = [join(tuples.map(({ a }) => a)), join(tuples.map(({ b }) => b))];
                    return { control: randomMxcsr(random), a, b };
                },
                expect: input => {
                    const environment = sseEnvironment(input.control);
                    const [a, b] = [split(input.a as bigint), split(input.b as bigint)];
                    const result = forEachLane(environment, lanes, lane =>
                        operation(format, a[lane], b[lane], environment),
                    );
                    return render((input.control & ~0x3f) | environment.flags, environment.suppressed, join(result));
                },
                observe: output => {
                    return render(output.status, output.trapped, (output.lane64(1) << 64n) | output.first64());
                },
            });
            assert.equal(
                differences.length,
                0,
                `${differences.length} differences\n${differences.slice(0, 5).join('\n')}`,
            );
        });
    }

    it('vcvtph2ps, which ignores DAZ and raises no DE', function () {
        if (!oracle.has('vcvtph2ps')) {
            this.skip();
        }
        const random = randomFor('vcvtph2ps');
        const source = operands16(random);
        const differences = compareWithHost(oracle, {
            operation: 'vcvtph2ps',
            generate: () => ({ control: randomMxcsr(random), a: source.one() }),
            expect: input => {
                const environment = sseEnvironment(input.control);
                const result = convert(float16, float32, input.a as number, environment);
                return render((input.control & ~0x3f) | environment.flags, environment.suppressed, result);
            },
            observe: output => render(output.status, output.trapped, output.first32()),
        });
        assert.equal(differences.length, 0, `${differences.length} differences\n${differences.slice(0, 5).join('\n')}`);
    });

    it('vcvtps2ph, which ignores FTZ', function () {
        if (!oracle.has('vcvtps2ph')) {
            this.skip();
        }
        const random = randomFor('vcvtps2ph');
        const source = operands32(random);
        const differences = compareWithHost(oracle, {
            operation: 'vcvtps2ph',
            generate: () => ({ control: randomMxcsr(random), a: source.one() }),
            expect: input => {
                const environment = sseEnvironment(input.control);
                const result = convert(float32, float16, input.a as number, environment);
                return render((input.control & ~0x3f) | environment.flags, environment.suppressed, result);
            },
            observe: output => render(output.status, output.trapped, output.first32() & 0xffff),
        });
        assert.equal(differences.length, 0, `${differences.length} differences\n${differences.slice(0, 5).join('\n')}`);
    });
});

import assert from 'node:assert/strict';
import {
    type Extended,
    type FloatEnvironment,
    approximateReciprocal,
    approximateReciprocalSquareRoot,
    arctangent2,
    cosine,
    exponentialMinusOne,
    sine,
    sineCosine,
    tangent,
    x87Environment,
    yLog2X,
    yLog2XPlusOne,
} from '../../../src/softfloat';
import { hexadecimal, randomFor } from './differential';
import { type OperandSource, operands32, operands80 } from './operands';
import { Oracle, type OracleCase } from './oracle';

const C2 = 0x0400;

interface Outcome {
    readonly st0: Extended;
    readonly st1?: Extended;
    readonly outOfRange?: boolean;
}

interface Instruction {
    readonly name: string;
    readonly execute: (st0: Extended, st1: Extended, environment: FloatEnvironment) => Outcome;
    /** Exponents of ST(0) for which the manual promises a result; the rest of the cases draw on all encodings. */
    readonly exponents: readonly [number, number];
    /** The instruction pops ST(1), so that its result is all there is to compare. */
    readonly pops?: boolean;
    readonly inDomain?: (st0: Extended) => boolean;
}

const ONE: Extended = { signExponent: 0x3fff, significand: 1n << 63n };
/** 1 - √½, the limit of FYL2XP1's domain, rounded down. */
const LOGARITHM_LIMIT: Extended = { signExponent: 0x3ffd, significand: 0x95f619980c4336f7n };

const magnitude = ({ signExponent, significand }: Extended) => (BigInt(signExponent & 0x7fff) << 64n) | significand;
const atMost = (limit: Extended) => (value: Extended) =>
    magnitude(value) <= magnitude(limit) || magnitude(value) > 0x7fff_8000000000000000n;

const INSTRUCTIONS: readonly Instruction[] = [
    {
        name: 'f2xm1',
        exponents: [-80, -1],
        inDomain: atMost(ONE),
        execute: (a, _, environment) => ({ st0: exponentialMinusOne(a, environment) }),
    },
    {
        name: 'fyl2x',
        pops: true,
        exponents: [-100, 100],
        execute: (a, b, environment) => ({ st0: yLog2X(b, a, environment) }),
    },
    {
        name: 'fyl2xp1',
        pops: true,
        exponents: [-100, -2],
        inDomain: atMost(LOGARITHM_LIMIT),
        execute: (a, b, environment) => ({ st0: yLog2XPlusOne(b, a, environment) }),
    },
    {
        name: 'fpatan',
        pops: true,
        exponents: [-100, 100],
        execute: (a, b, environment) => ({ st0: arctangent2(b, a, environment) }),
    },
    {
        name: 'fsin',
        exponents: [-70, 62],
        execute: (a, _, environment) => trigonometric(sine(a, environment)),
    },
    {
        name: 'fcos',
        exponents: [-70, 62],
        execute: (a, _, environment) => trigonometric(cosine(a, environment)),
    },
    {
        name: 'fptan',
        exponents: [-70, 62],
        execute: (a, _, environment) => {
            const { value, outOfRange } = tangent(a, environment);
            const nan = (value.signExponent & 0x7fff) === 0x7fff;
            return outOfRange ? { st0: value, outOfRange } : { st0: nan ? value : ONE, st1: value };
        },
    },
    {
        name: 'fsincos',
        exponents: [-70, 62],
        execute: (a, _, environment) => {
            const { sine: s, cosine: c, outOfRange } = sineCosine(a, environment);
            return outOfRange ? { st0: s, outOfRange } : { st0: c, st1: s };
        },
    },
];

function trigonometric({ value, outOfRange }: { value: Extended; outOfRange: boolean }): Outcome {
    return { st0: value, outOfRange };
}

/** Values with a line of their own in the manual's tables. */
const SPECIAL: readonly Extended[] = [0, 0x8000].flatMap(sign =>
    [
        [0, 0n],
        [0, 1n],
        [0, 1n << 63n],
        [1, 1n << 63n],
        [0x3ffe, 1n << 63n],
        [0x3fff, 1n << 63n],
        [0x3fff, (1n << 63n) | 1n],
        [0x3ffe, (1n << 64n) - 1n],
        [0x4000, 1n << 63n],
        [0x403d, (1n << 64n) - 1n],
        [0x403e, 1n << 63n],
        [0x7ffe, (1n << 64n) - 1n],
        [0x7fff, 1n << 63n],
        [0x7fff, 3n << 62n],
    ].map(([exponent, significand]) => ({
        signExponent: sign | Number(exponent),
        significand: BigInt(significand),
    })),
);

/** Distance in units of the last place between two encodings; infinite if one is special and they differ. */
function ulps(a: Extended, b: Extended): number {
    if (a.signExponent === b.signExponent && a.significand === b.significand) {
        return 0;
    }
    const special = [a, b].some(({ signExponent }) => (signExponent & 0x7fff) === 0x7fff);
    if (special || (a.signExponent ^ b.signExponent) & 0x8000) {
        return Infinity;
    }
    const ordinal = ({ signExponent, significand }: Extended) =>
        BigInt(signExponent & 0x7fff) * (1n << 63n) + (significand & ((1n << 63n) - 1n));
    return Math.abs(Number(ordinal(a) - ordinal(b)));
}

/** The most by which a result may differ from the host CPU's, whose error is itself below one unit. */
const ULP_BOUND = 1;
const CASES = 3000 * Number(process.env['HYPERSCOPE_SOFTFLOAT_SCALE'] ?? 1);

describe('softfloat transcendental instructions agree with the host CPU', () => {
    let oracle: Oracle;

    before(function () {
        const opened = Oracle.open();
        if (typeof opened === 'string') {
            console.log(`      skipped: ${opened}`);
            this.skip();
        }
        oracle = opened;
    });

    for (const { name, execute, exponents, pops, inDomain = () => true } of INSTRUCTIONS) {
        it(name, () => {
            const random = randomFor(name);
            const source: OperandSource<Extended> = operands80(random);
            const inputs: OracleCase[] = [];
            while (inputs.length < CASES) {
                const masks = random.below(4) === 0 ? random.below(64) : 0x3f;
                const control = masks | 0x0300 | (random.below(4) << 10);
                const { a, b } = source.tuple();
                const operand = random.pick([a, random.pick(SPECIAL), source.within(...exponents)]);
                if (inDomain(operand)) {
                    const second = random.pick([b, random.pick(SPECIAL), source.within(-40, 40)]);
                    inputs.push({ control, a: operand, b: second });
                }
            }
            const outputs = oracle.run(name, inputs);
            const differences: string[] = [];
            let worst = 0;
            let exact = 0;
            inputs.forEach((input, index) => {
                const environment = x87Environment(input.control);
                const [a, b] = [input.a as Extended, input.b as Extended];
                const computed = execute(a, b, environment);
                const { st0, st1, outOfRange }: Outcome = environment.suppressed ? { st0: a } : computed;
                const output = outputs[index];
                const [first, second] = [output.firstExtended(), output.secondExtended()];
                const distance = Math.max(
                    ulps(st0, first),
                    pops && !environment.suppressed ? 0 : ulps(st1 ?? b, second),
                );
                const sameFlags = environment.flags === (output.status & 0x3f);
                const sameRange = (outOfRange ?? false) === ((output.status & C2) !== 0);
                if (distance > ULP_BOUND || !sameFlags || !sameRange) {
                    differences.push(
                        `${name} control=${hexadecimal(input.control)} a=${hexadecimal(a)} b=${hexadecimal(b)}\n` +
                            `    ours ${environment.flags.toString(2)} ${hexadecimal(st0)} ${hexadecimal(st1 ?? b)}\n` +
                            `    host ${(output.status & 0x3f).toString(2)} ${hexadecimal(first)} ${hexadecimal(second)}`,
                    );
                } else {
                    worst = Math.max(worst, distance);
                    exact += distance === 0 ? 1 : 0;
                }
            });
            console.log(`        ${name}: ${exact} of ${CASES} equal, the rest within ${worst} ulp`);
            assert.equal(
                differences.length,
                0,
                `${differences.length} differences\n${differences.slice(0, 12).join('\n')}`,
            );
        });
    }
});

describe('softfloat reciprocal approximations', () => {
    /** The manual's bound on the relative error, of the host's results as well as ours. */
    const bound = 1.5 * 2 ** -12;
    const toNumber = (bits: number) => new Float32Array(Uint32Array.of(bits).buffer)[0];
    const normal = (bits: number) => (bits & 0x7f800000) !== 0 && (bits & 0x7f800000) !== 0x7f800000;

    const instructions = [
        { name: 'rcpss', approximate: approximateReciprocal, exact: (x: number) => 1 / x },
        { name: 'rsqrtss', approximate: approximateReciprocalSquareRoot, exact: (x: number) => 1 / Math.sqrt(x) },
    ];

    for (const { name, approximate, exact } of instructions) {
        it(`${name} keeps to the manual's bound, and to the host CPU's special cases`, function () {
            const oracle = Oracle.open();
            const random = randomFor(name);
            const source = operands32(random);
            const inputs = Array.from({ length: 4 * CASES }, () => ({ control: 0x1f80, a: source.one() }));
            const host = typeof oracle === 'string' ? undefined : oracle.run(name, inputs);
            inputs.forEach(({ a }, index) => {
                const ours = approximate(a);
                const expected = exact(toNumber(a));
                if (normal(a) && Number.isFinite(expected) && Math.abs(expected) > 2 ** -125) {
                    const error = Math.abs(toNumber(ours) / expected - 1);
                    assert.ok(error <= bound, `${name} ${hexadecimal(a)}: relative error ${error}`);
                } else if (host && !normal(a)) {
                    assert.equal(hexadecimal(ours), hexadecimal(host[index].first32()), `${name} ${hexadecimal(a)}`);
                }
            });
        });
    }

    it('flush tiny results to zero', () => {
        assert.equal(approximateReciprocal(0x7f7fffff), 0);
        assert.equal(approximateReciprocal(0xff7fffff), 0x80000000);
    });
});

import assert from 'node:assert/strict';
import {
    DE,
    type Extended,
    IE,
    OE,
    PE,
    UE,
    ZE,
    add,
    compareQuiet,
    convert,
    convertToInteger,
    divide,
    exponentialMinusOne,
    float32,
    float64,
    float80,
    forEachLane,
    fusedMultiplyAdd,
    loadConstant,
    minimum,
    multiply,
    remainder,
    scale,
    sine,
    sseEnvironment,
    storeDecimal,
    storeMxcsr,
    tangent,
    x87Environment,
} from '../../../src/softfloat';

const f32 = (value: number) => new Uint32Array(Float32Array.of(value).buffer)[0];
const f64 = (value: number) => new BigUint64Array(Float64Array.of(value).buffer)[0];
/** An f80 from a number. */
const f80 = (value: number) => convert(float64, float80, f64(value), x87Environment());
const toNumber = (value: Extended) =>
    new Float64Array(BigUint64Array.of(convert(float80, float64, value, x87Environment())).buffer)[0];

const NAN32 = 0xffc00000;
const SMALLEST32 = 0x00000001;

describe('softfloat raises what the manual lists', () => {
    const masked = 0x1f80;

    it('is exact where the result fits', () => {
        const environment = sseEnvironment();
        assert.equal(add(float32, f32(1.5), f32(2.25), environment), f32(3.75));
        assert.equal(multiply(float64, f64(3), f64(-7), environment), f64(-21));
        assert.equal(environment.flags, 0);
    });

    it('raises PE and rounds as RC says', () => {
        const results = [0, 1, 2, 3].map(rounding => {
            const environment = sseEnvironment(masked | (rounding << 13));
            const result = divide(float32, f32(1), f32(3), environment);
            assert.equal(environment.flags, PE);
            return result;
        });
        assert.deepEqual(results, [0x3eaaaaab, 0x3eaaaaaa, 0x3eaaaaab, 0x3eaaaaaa]);
    });

    it('raises IE for ∞ - ∞ and gives the default NaN', () => {
        const environment = sseEnvironment();
        assert.equal(add(float32, f32(Infinity), f32(-Infinity), environment), NAN32);
        assert.equal(environment.flags, IE);
    });

    it('raises ZE for a finite number by zero, without DE', () => {
        const environment = sseEnvironment();
        assert.equal(divide(float32, SMALLEST32, 0, environment), f32(Infinity));
        assert.equal(environment.flags, ZE);
    });

    it('raises DE for a denormal unless DAZ makes it zero or a NaN comes first', () => {
        const plain = sseEnvironment();
        add(float32, SMALLEST32, f32(1), plain);
        assert.equal(plain.flags, DE | PE);
        const zeros = sseEnvironment(masked | 0x40);
        assert.equal(add(float32, SMALLEST32, f32(1), zeros), f32(1));
        assert.equal(zeros.flags, 0);
        const nan = sseEnvironment();
        add(float32, SMALLEST32, 0x7fc00000, nan);
        assert.equal(nan.flags, 0);
    });

    it('raises OE with PE when masked', () => {
        const environment = sseEnvironment();
        assert.equal(multiply(float32, 0x7f7fffff, f32(2), environment), f32(Infinity));
        assert.equal(environment.flags, OE | PE);
    });

    it('raises UE when masked only if the denormal is inexact', () => {
        const exact = sseEnvironment();
        multiply(float32, 0x00800000, f32(0.5), exact);
        assert.equal(exact.flags, 0);
        const inexact = sseEnvironment();
        multiply(float32, 0x00800001, f32(0.5), inexact);
        assert.equal(inexact.flags, UE | PE);
    });

    it('raises UE when unmasked though the denormal is exact, and forbids the result', () => {
        const environment = sseEnvironment(masked & ~(UE << 7));
        multiply(float32, 0x00800000, f32(0.5), environment);
        assert.equal(environment.flags, UE);
        assert.ok(environment.suppressed);
    });

    it('judges tininess after rounding', () => {
        // (1 - 2^-24) × 2^-126 rounds up to the smallest normal number in 24 bits.
        const environment = sseEnvironment();
        const result = multiply(float32, 0x3f7fffff, 0x00800000, environment);
        assert.equal(result, 0x00800000);
        assert.equal(environment.flags, UE | PE);
        const half = sseEnvironment();
        const rounded = fusedMultiplyAdd(float32, 0x80800000, 0x32800000, 0x00800000, half);
        assert.equal(rounded, 0x00800000);
        assert.equal(half.flags, PE);
    });

    it('flushes tiny results under FTZ', () => {
        const environment = sseEnvironment(masked | 0x8000);
        assert.equal(multiply(float32, 0x80800000, f32(0.5), environment), 0x80000000);
        assert.equal(environment.flags, UE | PE);
    });

    it('stops at an unmasked exception that precedes the computation', () => {
        const environment = sseEnvironment(masked & ~(DE << 7));
        add(float32, SMALLEST32, f32(1), environment);
        assert.equal(environment.flags, DE);
        assert.ok(environment.suppressed);
    });

    it('keeps other lanes from OE, UE and PE when one stops', () => {
        const environment = sseEnvironment(masked & ~(IE << 7));
        const lanes = [
            [f32(1), f32(3)],
            [0, 0],
        ];
        forEachLane(environment, 2, lane => divide(float32, lanes[lane][0], lanes[lane][1], environment));
        assert.equal(environment.flags, IE);
        assert.ok(environment.suppressed);
    });

    it('describes itself as the MXCSR it was made from', () => {
        assert.equal(storeMxcsr(sseEnvironment(0xffff)), 0xffff);
        assert.equal(storeMxcsr(sseEnvironment(0x1f80)), 0x1f80);
    });
});

describe('softfloat selects NaNs', () => {
    it('SSE takes the first source, made quiet', () => {
        const environment = sseEnvironment();
        assert.equal(add(float32, 0x7f800001, 0xffc00002, environment), 0x7fc00001);
        assert.equal(add(float32, f32(1), 0xff800002, environment), 0xffc00002);
        assert.equal(environment.flags, IE);
    });

    it('x87 takes the larger significand, and the positive one of equals', () => {
        const environment = x87Environment();
        const nan = (signExponent: number, payload: bigint) => ({ signExponent, significand: (3n << 62n) | payload });
        assert.deepEqual(add(float80, nan(0x7fff, 1n), nan(0xffff, 2n), environment), nan(0xffff, 2n));
        assert.deepEqual(add(float80, nan(0xffff, 5n), nan(0x7fff, 5n), environment), nan(0x7fff, 5n));
        assert.equal(environment.flags, 0);
    });

    it('x87 rejects unnormals', () => {
        const environment = x87Environment();
        const unnormal = { signExponent: 0x4000, significand: 1n };
        assert.deepEqual(add(float80, unnormal, f80(1), environment), { signExponent: 0xffff, significand: 3n << 62n });
        assert.equal(environment.flags, IE);
    });

    it('MINSS returns the second operand for NaNs and zeros', () => {
        const environment = sseEnvironment();
        assert.equal(minimum(float32, 0x80000000, 0, environment), 0);
        assert.equal(minimum(float32, 0x7fc00000, f32(1), environment), f32(1));
        assert.equal(environment.flags, IE);
    });

    it('compares them as unordered', () => {
        const environment = sseEnvironment();
        assert.equal(compareQuiet(float64, f64(NaN), f64(1), environment), 'unordered');
        assert.equal(environment.flags, 0);
    });
});

describe('softfloat x87 specifics', () => {
    it('rounds to the precision control within the full exponent range', () => {
        const environment = x87Environment(0x003f);
        const third = divide(float80, f80(1), f80(3), environment);
        assert.deepEqual(third, { signExponent: 0x3ffd, significand: 0xaaaaab0000000000n });
        assert.ok(environment.roundedUp);
    });

    it('delivers a biased result when overflow is unmasked', () => {
        const environment = x87Environment(0x037f & ~OE);
        const largest = { signExponent: 0x7ffe, significand: (1n << 64n) - 1n };
        const result = add(float80, largest, largest, environment);
        assert.deepEqual(result, { signExponent: 0x7fff - 24576, significand: (1n << 64n) - 1n });
        assert.equal(environment.flags, OE);
        assert.ok(!environment.suppressed);
    });

    it('stores the integer indefinite for what does not fit', () => {
        const environment = x87Environment();
        assert.equal(convertToInteger(float80, f80(32768), { width: 16 }, environment), -32768n);
        assert.equal(environment.flags, IE);
    });

    it('stores packed decimals', () => {
        assert.equal(storeDecimal(f80(-1234.5), x87Environment()), (1n << 79n) | 0x1234n);
        assert.equal(storeDecimal(f80(1e18), x87Environment()), 0xffffc000000000000000n);
    });

    it('finishes FPREM in steps and reports the quotient', () => {
        const environment = x87Environment();
        const done = remainder(f80(17), f80(5), environment);
        assert.equal(toNumber(done.value), 2);
        assert.deepEqual([done.incomplete, done.quotient], [false, 3]);
        const step = remainder(f80(2 ** 100), f80(3), environment);
        assert.equal(step.incomplete, true);
        assert.equal(toNumber(remainder(step.value, f80(3), environment).value), 1);
    });

    it('scales by the truncated exponent', () => {
        assert.equal(toNumber(scale(f80(3), f80(-2.9), x87Environment())), 0.75);
    });

    it('loads π as RC says', () => {
        assert.equal(loadConstant('pi', x87Environment(0x037f)).significand, 0xc90fdaa22168c235n);
        assert.equal(loadConstant('pi', x87Environment(0x0f7f)).significand, 0xc90fdaa22168c234n);
    });

    it('refuses angles from 2^63 on', () => {
        const huge = f80(2 ** 63);
        assert.deepEqual(sine(huge, x87Environment()), { outOfRange: true, value: huge });
    });

    it('reduces angles with a π of 66 bits', () => {
        // sin of FLDPI's value is the difference between the two.
        const pi = loadConstant('pi', x87Environment());
        assert.equal(toNumber(sine(pi, x87Environment()).value), -(2 ** -64));
    });

    it('computes tangents and powers of two', () => {
        assert.equal(toNumber(tangent(f80(1), x87Environment()).value), Math.tan(1));
        assert.equal(toNumber(exponentialMinusOne(f80(0.5), x87Environment())), 0.41421356237309503);
    });
});

import assert from 'node:assert/strict';
import { StateOffset } from '../../../src/machine/state';
import {
    sseEnvironment,
    add,
    divide,
    float32,
    float64,
    type FloatFormat,
    multiply,
    squareRoot,
    subtract,
} from '../../../src/softfloat';
import { vectorHelpers } from '../../../src/translator/lift/vector';
import { AesOperation } from '../../../src/translator/lift/vector/aesHelper';
import { FloatOperation, FloatScratch } from '../../../src/translator/lift/vector/floatOperation';
import { PlainArithmetic } from '../../../src/translator/lift/vector/plainArithmetic';
import { Random } from '../../support/random';

type Bits = number | bigint;

const CPU = 0x1000;
const SCRATCH = CPU + StateOffset.scratch;

const REFERENCE: readonly [FloatOperation, (format: FloatFormat<Bits>, a: Bits, b: Bits) => [Bits, number]][] = [
    [FloatOperation.Add, reference(add)],
    [FloatOperation.Subtract, reference(subtract)],
    [FloatOperation.Multiply, reference(multiply)],
    [FloatOperation.Divide, reference(divide)],
    [FloatOperation.SquareRoot, reference((format, a, _b, environment) => squareRoot(format, a, environment))],
];

/** Result and flags of an operation with everything masked. */
function reference(operation: typeof add<Bits>): (format: FloatFormat<Bits>, a: Bits, b: Bits) => [Bits, number] {
    return (format, a, b) => {
        const environment = sseEnvironment();
        return [operation(format, a, b, environment), environment.flags];
    };
}

/** Numbers whose sums, products and quotients are exact, nearly so, tiny, huge or special. */
function textured(random: Random, fractionBits: number, exponentBits: number): bigint {
    const bias = (1 << (exponentBits - 1)) - 1;
    const top = 2 * bias + 1;
    const exponents = [0, 1, 2, fractionBits, bias - 1, bias, bias + 1, bias + fractionBits, top - 2, top - 1, top];
    const exponent = random.oneIn(2) ? bias + random.below(40) - 20 : exponents[random.below(exponents.length)];
    const length = random.below(fractionBits + 1);
    const fraction = BigInt(random.next()) * BigInt(random.next());
    const kept = (fraction & ((1n << BigInt(length)) - 1n)) << BigInt(fractionBits - length);
    return (
        (BigInt(random.below(2)) << BigInt(fractionBits + exponentBits)) |
        (BigInt(exponent) << BigInt(fractionBits)) |
        kept
    );
}

describe('arithmetic on plain numbers', () => {
    const memory = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true });
    const view = new DataView(memory.buffer);
    const plain = new PlainArithmetic(memory);

    for (const isDouble of [false, true]) {
        it(`agrees with the exact library on result and inexactness (${isDouble ? 'double' : 'single'})`, () => {
            const random = new Random(3);
            const format = (isDouble ? float64 : float32) as FloatFormat<Bits>;
            const next = (): bigint => (isDouble ? textured(random, 52, 11) : textured(random, 23, 8));
            const done = { exact: 0, inexact: 0, refused: 0 };
            for (let i = 0; i < 40000; i++) {
                const [operation, compute] = REFERENCE[i % REFERENCE.length];
                const [a, b] = [next(), next()];
                view.setBigUint64(SCRATCH + FloatScratch.a, a, true);
                view.setBigUint64(SCRATCH + FloatScratch.b, b, true);
                const flags = plain.run(SCRATCH, operation, isDouble, 1);
                if (flags < 0) {
                    done.refused++;
                    continue;
                }
                done[flags === 0 ? 'exact' : 'inexact']++;
                const at = SCRATCH + FloatScratch.result;
                const result = isDouble ? view.getBigUint64(at, true) : view.getUint32(at, true);
                const expected = isDouble ? compute(format, a, b) : compute(format, Number(a), Number(b));
                assert.deepEqual(
                    [result, flags],
                    expected,
                    `operation ${operation} on ${a.toString(16)}, ${b.toString(16)}`,
                );
            }
            assert.ok(done.exact > 2000 && done.inexact > 2000 && done.refused > 2000, JSON.stringify(done));
        });
    }
});

describe('a tiny product that rounds up to the smallest normal number', () => {
    it('is left to the exact library, for it underflows all the same', () => {
        const memory = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true });
        const view = new DataView(memory.buffer);
        const plain = new PlainArithmetic(memory);
        view.setUint32(SCRATCH + FloatScratch.a, 0x00ffffff, true); // (2 − 2^-23) × 2^-126
        view.setUint32(SCRATCH + FloatScratch.b, 0x3f000000, true); // 1/2
        assert.ok(plain.run(SCRATCH, FloatOperation.Multiply, false, 1) < 0);
        view.setBigUint64(SCRATCH + FloatScratch.a, 0x001fffff_ffffffffn, true); // (2 − 2^-52) × 2^-1022
        view.setBigUint64(SCRATCH + FloatScratch.b, 0x3fe00000_00000000n, true);
        assert.ok(plain.run(SCRATCH, FloatOperation.Multiply, true, 1) < 0);
    });
});

describe('AES helper', () => {
    const memory = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true });
    const bytes = new Uint8Array(memory.buffer);
    const { aes } = vectorHelpers(memory);
    const run = (operation: AesOperation, state: string, key: string): string => {
        bytes.set(Buffer.from(state, 'hex'), SCRATCH);
        bytes.set(Buffer.from(key, 'hex'), SCRATCH + 16);
        aes(CPU, operation, 0);
        return Buffer.from(bytes.slice(SCRATCH, SCRATCH + 16)).toString('hex');
    };

    // FIPS 197, appendix B: round 1 and round 10 of the example.
    it('does the first round of the standard’s example', () => {
        const next = run(AesOperation.Encrypt, '193de3bea0f4e22b9ac68d2ae9f84808', 'a0fafe1788542cb123a339392a6c7605');
        assert.equal(next, 'a49c7ff2689f352b6b5bea43026a5049');
    });

    it('does the last round of the standard’s example', () => {
        const next = run(
            AesOperation.EncryptLast,
            'eb40f21e592e38848ba113e71bc342d2',
            'd014f9a8c9ee2589e13f0cc8b6630ca6',
        );
        assert.equal(next, '3925841d02dc09fbdc118597196a0b32');
    });

    it('undoes a last round', () => {
        const key = 'd014f9a8c9ee2589e13f0cc8b6630ca6';
        const zero = '0'.repeat(32);
        // InvShiftRows and InvSubBytes of the ciphertext without its key.
        const state = run(AesOperation.EncryptLast, 'eb40f21e592e38848ba113e71bc342d2', zero);
        assert.equal(run(AesOperation.DecryptLast, state, key), xorHex('eb40f21e592e38848ba113e71bc342d2', key));
    });
});

function xorHex(a: string, b: string): string {
    const [x, y] = [Buffer.from(a, 'hex'), Buffer.from(b, 'hex')];
    return Buffer.from(x.map((byte, i) => byte ^ y[i])).toString('hex');
}

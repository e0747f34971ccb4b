import assert from 'node:assert/strict';
import {
    type Extended,
    type FloatEnvironment,
    type FloatFormat,
    add,
    addOperands,
    compareOperands,
    compareQuiet,
    compareSignalling,
    convert,
    convertFromInteger,
    convertToInteger,
    divide,
    divideOperands,
    examine,
    extract,
    float32,
    float64,
    float80,
    integerOperand,
    loadConstant,
    loadDecimal,
    multiply,
    multiplyOperands,
    remainder,
    remainderNearest,
    roundToIntegral,
    scale,
    squareRoot,
    storeDecimal,
    subtract,
    subtractOperands,
    x87Environment,
} from '../../../src/softfloat';
import { comparedCases, compareWithHost, hexadecimal, randomFor } from './differential';
import { operands32, operands64, operands80 } from './operands';
import { Oracle, type OracleCase } from './oracle';

const C0 = 0x0100;
const C1 = 0x0200;
const C2 = 0x0400;
const C3 = 0x4000;

interface Input extends OracleCase {
    readonly a: Extended;
    readonly b: Extended;
}

/** What an instruction leaves: the top of the stack and the condition bits, or bytes in memory. */
interface Outcome {
    readonly st0?: Extended;
    readonly st1?: Extended;
    readonly stored?: bigint;
    readonly conditions?: number;
}

interface Instruction {
    readonly name: string;
    readonly memory?: 'm32' | 'm64' | 'i16' | 'i32' | 'i64' | 'decimal';
    /** Condition bits that the manual defines after the instruction. */
    readonly defined?: number;
    /** Bits of a memory destination. */
    readonly stores?: number;
    readonly execute: (input: Input, environment: FloatEnvironment) => Outcome;
}

/** An instruction that replaces ST(0), with C1 telling the rounding. */
function replace(
    name: string,
    compute: (input: Input, environment: FloatEnvironment) => Extended,
    memory?: Instruction['memory'],
): Instruction {
    return {
        name,
        memory,
        defined: C1,
        execute: (input, environment) => ({
            st0: compute(input, environment),
            conditions: environment.roundedUp ? C1 : 0,
        }),
    };
}

/** An instruction that pushes, with C1 clear. */
function push(
    name: string,
    compute: (input: Input, environment: FloatEnvironment) => Extended,
    memory?: Instruction['memory'],
): Instruction {
    return {
        name,
        memory,
        defined: C1,
        execute: (input, environment) => ({ st0: compute(input, environment), st1: input.a, conditions: 0 }),
    };
}

function storeFloat(name: string, format: FloatFormat<number> | FloatFormat<bigint>, stores: number): Instruction {
    return {
        name,
        stores,
        defined: C1,
        execute: ({ a }, environment) => ({
            stored: BigInt(convert(float80, format as FloatFormat<number | bigint>, a, environment)),
            conditions: environment.roundedUp ? C1 : 0,
        }),
    };
}

function storeInteger(name: string, width: number, truncate: boolean): Instruction {
    return {
        name,
        stores: width,
        defined: C1,
        execute: ({ a }, environment) => ({
            stored: BigInt.asUintN(width, convertToInteger(float80, a, { width, truncate }, environment)),
            conditions: environment.roundedUp ? C1 : 0,
        }),
    };
}

const RELATION_BITS = { greater: 0, less: C0, equal: C3, unordered: C0 | C2 | C3 };

function partialRemainder(name: string, compute: typeof remainder): Instruction {
    return {
        name,
        defined: C0 | C1 | C2 | C3,
        execute: ({ a, b }, environment) => {
            const { value, incomplete, quotient } = compute(a, b, environment);
            const conditions =
                (incomplete ? C2 : 0) | (quotient & 4 ? C0 : 0) | (quotient & 2 ? C3 : 0) | (quotient & 1 ? C1 : 0);
            return { st0: value, conditions };
        },
    };
}

const m32 = (input: Input) => float32.unpack(input.c as number);
const m64 = (input: Input) => float64.unpack(input.c as bigint);
const integer = (input: Input) => {
    const value = input.c as bigint;
    return integerOperand(value < 0n ? 1 : 0, value < 0n ? -value : value);
};
const st0 = (input: Input) => float80.unpack(input.a);

const INSTRUCTIONS: readonly Instruction[] = [
    replace('fadd', ({ a, b }, environment) => add(float80, a, b, environment)),
    replace('fsub', ({ a, b }, environment) => subtract(float80, a, b, environment)),
    replace('fsubr', ({ a, b }, environment) => subtract(float80, b, a, environment)),
    replace('fmul', ({ a, b }, environment) => multiply(float80, a, b, environment)),
    replace('fdiv', ({ a, b }, environment) => divide(float80, a, b, environment)),
    replace('fdivr', ({ a, b }, environment) => divide(float80, b, a, environment)),
    replace('fadd_m32', (input, environment) => addOperands(float80, st0(input), m32(input), environment), 'm32'),
    replace('fmul_m64', (input, environment) => multiplyOperands(float80, st0(input), m64(input), environment), 'm64'),
    replace('fdiv_m32', (input, environment) => divideOperands(float80, st0(input), m32(input), environment), 'm32'),
    replace(
        'fisub_m16',
        (input, environment) => subtractOperands(float80, st0(input), integer(input), environment),
        'i16',
    ),
    replace(
        'fidiv_m32',
        (input, environment) => divideOperands(float80, st0(input), integer(input), environment),
        'i32',
    ),
    replace('fsqrt', ({ a }, environment) => squareRoot(float80, a, environment)),
    replace('frndint', ({ a }, environment) => roundToIntegral(float80, a, environment)),
    replace('fscale', ({ a, b }, environment) => scale(a, b, environment)),
    push('fld_m32', ({ c }, environment) => convert(float32, float80, c as number, environment), 'm32'),
    push('fld_m64', ({ c }, environment) => convert(float64, float80, c as bigint, environment), 'm64'),
    push('fild_m16', ({ c }, environment) => convertFromInteger(float80, c as bigint, environment), 'i16'),
    push('fild_m32', ({ c }, environment) => convertFromInteger(float80, c as bigint, environment), 'i32'),
    push('fild_m64', ({ c }, environment) => convertFromInteger(float80, c as bigint, environment), 'i64'),
    push('fbld', ({ c }, environment) => loadDecimal(c as bigint, environment), 'decimal'),
    push('fld1', (_, environment) => loadConstant('one', environment)),
    push('fldz', (_, environment) => loadConstant('zero', environment)),
    push('fldpi', (_, environment) => loadConstant('pi', environment)),
    push('fldl2e', (_, environment) => loadConstant('log2e', environment)),
    push('fldlg2', (_, environment) => loadConstant('log10of2', environment)),
    push('fldln2', (_, environment) => loadConstant('ln2', environment)),
    push('fldl2t', (_, environment) => loadConstant('log2of10', environment)),
    {
        name: 'fxtract',
        defined: C1,
        execute: ({ a }, environment) => {
            const { exponent, significand } = extract(a, environment);
            return { st0: significand, st1: exponent, conditions: 0 };
        },
    },
    {
        name: 'fcom',
        defined: C0 | C1 | C2 | C3,
        execute: ({ a, b }, environment) => ({
            conditions: RELATION_BITS[compareSignalling(float80, a, b, environment)],
        }),
    },
    {
        name: 'fucom',
        defined: C0 | C1 | C2 | C3,
        execute: ({ a, b }, environment) => ({ conditions: RELATION_BITS[compareQuiet(float80, a, b, environment)] }),
    },
    {
        name: 'fcom_m64',
        memory: 'm64',
        defined: C0 | C1 | C2 | C3,
        execute: (input, environment) => ({
            conditions: RELATION_BITS[compareOperands(st0(input), m64(input), environment, true)],
        }),
    },
    {
        name: 'fxam',
        defined: C0 | C1 | C2 | C3,
        execute: ({ a }) => {
            const examined = examine(a);
            return {
                conditions:
                    (examined & 4 ? C3 : 0) |
                    (examined & 2 ? C2 : 0) |
                    (examined & 1 ? C0 : 0) |
                    (a.signExponent & 0x8000 ? C1 : 0),
            };
        },
    },
    partialRemainder('fprem', remainder),
    partialRemainder('fprem1', remainderNearest),
    storeFloat('fst_m32', float32, 32),
    storeFloat('fst_m64', float64, 64),
    storeInteger('fist_m16', 16, false),
    storeInteger('fist_m32', 32, false),
    storeInteger('fistp_m64', 64, false),
    storeInteger('fisttp_m16', 16, true),
    storeInteger('fisttp_m32', 32, true),
    storeInteger('fisttp_m64', 64, true),
    {
        name: 'fbstp',
        stores: 80,
        defined: C1,
        execute: ({ a }, environment) => ({
            stored: storeDecimal(a, environment),
            conditions: environment.roundedUp ? C1 : 0,
        }),
    },
];

/** The bytes that the oracle puts where nothing is stored. */
const UNTOUCHED = 0xccccccccccccccccccccn;

/** Rounding, precision and masks: mostly all masked, as software has it. */
const PRECISION_CONTROLS = [0, 2, 3, 3];

describe('softfloat x87 arithmetic equals the host CPU', () => {
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

    for (const instruction of INSTRUCTIONS) {
        it(instruction.name, () => {
            const random = randomFor(instruction.name);
            const source = operands80(random);
            const source32 = operands32(random);
            const source64 = operands64(random);
            const memory = {
                m32: () => source32.one(),
                m64: () => source64.one(),
                i16: () => BigInt.asIntN(16, random.textured(16)),
                i32: () => BigInt.asIntN(32, random.textured(32)),
                i64: () => BigInt.asIntN(64, random.textured(64)),
                decimal: () => {
                    if (random.below(4) === 0) {
                        return random.bits64() | (random.bits64() << 64n);
                    }
                    const digits = BigInt(`0x${(random.bits64() % 10n ** 18n).toString()}`);
                    return (digits >> BigInt(4 * random.below(18))) | (BigInt(random.below(2)) << 79n);
                },
            };
            const { defined = 0, stores = 0, execute } = instruction;
            const differences = compareWithHost(oracle, {
                operation: instruction.name,
                generate: () => {
                    const masks = random.below(4) === 0 ? random.below(64) : 0x3f;
                    const control = masks | (random.pick(PRECISION_CONTROLS) << 8) | (random.below(4) << 10);
                    const { a, b } = source.tuple();
                    const c = instruction.memory ? memory[instruction.memory]() : 0;
                    return { control, a, b, c };
                },
                expect: input => {
                    const environment = x87Environment(input.control);
                    const { a, b } = input as Input;
                    const outcome = execute(input as Input, environment);
                    const conditions = `${environment.flags.toString(2)} ${(outcome.conditions ?? 0) & defined}`;
                    if (stores) {
                        const mask = (1n << BigInt(stores)) - 1n;
                        const stored = environment.suppressed ? UNTOUCHED & mask : outcome.stored!;
                        return `${conditions} ${hexadecimal(stored)}`;
                    }
                    const [first, second] = environment.suppressed ? [a, b] : [outcome.st0 ?? a, outcome.st1 ?? b];
                    return `${conditions} ${hexadecimal(first)} ${hexadecimal(second)}`;
                },
                observe: output => {
                    const conditions = `${(output.status & 0x3f).toString(2)} ${output.status & defined}`;
                    if (stores) {
                        const mask = (1n << BigInt(stores)) - 1n;
                        return `${conditions} ${hexadecimal(output.first80() & mask)}`;
                    }
                    return `${conditions} ${hexadecimal(output.firstExtended())} ${hexadecimal(output.secondExtended())}`;
                },
            });
            assert.equal(
                differences.length,
                0,
                `${differences.length} differences\n${differences.slice(0, 5).join('\n')}`,
            );
        });
    }
});

/**
 * The slow path of SSE floating point: exact results, flags and unmasked exceptions. Plain numbers that only need their
 * inexactness found out are done on JavaScript's doubles (`plainArithmetic.ts`), all else by the softfloat library.
 */
import { StateOffset } from '../../../machine/state';
import {
    type FloatEnvironment,
    type FloatFormat,
    type Relation,
    type RoundingMode,
    add,
    approximateReciprocal,
    approximateReciprocalSquareRoot,
    compareQuiet,
    compareSignalling,
    convert,
    convertFromInteger,
    convertToInteger,
    divide,
    float32,
    float64,
    forEachLane,
    maximum,
    minimum,
    multiply,
    roundToIntegral,
    squareRoot,
    sseEnvironment,
    storeMxcsr,
    subtract,
} from '../../../softfloat';
import { Vector } from '../context';
import { FloatCode, FloatOperation, FloatScratch, Mxcsr } from './floatOperation';
import { PlainArithmetic } from './plainArithmetic';

/** CR4.OSXMMEXCPT: #XM exists; without it the exception is #UD (SDM Vol. 3, 2.5). */
const CR4_OSXMMEXCPT = 1 << 10;

type Bits = number | bigint;

/** The views of the shared memory that a helper needs. */
class Operands {
    private readonly u32: Uint32Array;
    private readonly u64: BigUint64Array;

    constructor(memory: WebAssembly.Memory) {
        this.u32 = new Uint32Array(memory.buffer);
        this.u64 = new BigUint64Array(memory.buffer);
    }

    readBits(address: number, isDouble: boolean, lane: number): Bits {
        return isDouble ? this.u64[(address >>> 3) + lane] : this.u32[(address >>> 2) + lane];
    }

    writeBits(address: number, isDouble: boolean, lane: number, bits: Bits): void {
        if (isDouble) {
            this.u64[(address >>> 3) + lane] = bits as bigint;
        } else {
            this.u32[(address >>> 2) + lane] = bits as number;
        }
    }

    word(address: number): number {
        return this.u32[address >>> 2];
    }

    setWord(address: number, value: number): void {
        this.u32[address >>> 2] = value;
    }

    clearResult(result: number): void {
        this.u64.fill(0n, result >>> 3, (result >>> 3) + 2);
    }
}

/** One instruction to execute. */
interface Request {
    readonly operation: FloatOperation;
    readonly isDouble: boolean;
    readonly lanes: number;
    readonly detail: number;
    /** Address of the scratch area. */
    readonly scratch: number;
}

/** Implements {@link FLOAT_HELPER}. */
export class FloatHelper {
    private readonly memory: Operands;
    private readonly plain: PlainArithmetic;

    constructor(memory: WebAssembly.Memory) {
        this.memory = new Operands(memory);
        this.plain = new PlainArithmetic(memory);
    }

    /** Returns 0 or the vector of the exception that was unmasked. */
    run(cpu: number, code: number, detail: number): number {
        const scratch = cpu + StateOffset.scratch;
        const mxcsr = this.memory.word(cpu + StateOffset.mxcsr);
        const operation: FloatOperation = code & FloatCode.OperationMask;
        const isDouble = (code & FloatCode.Double) !== 0;
        const lanes = code >>> FloatCode.LanesShift;
        if (operation <= FloatOperation.SquareRoot) {
            const flags = this.plain.run(scratch, operation, isDouble, lanes);
            const isNearest = (mxcsr & Mxcsr.RoundingMask) === 0;
            if (flags === 0 && isNearest) {
                return 0;
            }
            if (flags > 0 && isNearest && (mxcsr & Mxcsr.PM) !== 0) {
                this.memory.setWord(cpu + StateOffset.mxcsr, mxcsr | flags);
                return 0;
            }
        }
        const environment = sseEnvironment(mxcsr);
        this.execute({ operation, isDouble, lanes, detail, scratch }, environment);
        // Reserved bits and those that softfloat does not know stay.
        const known = Mxcsr.ExceptionMasks | Mxcsr.DAZ | Mxcsr.FTZ | Mxcsr.RoundingMask | 0x3f;
        this.memory.setWord(cpu + StateOffset.mxcsr, (mxcsr & ~known) | storeMxcsr(environment));
        if (!environment.suppressed) {
            return 0;
        }
        return this.memory.word(cpu + StateOffset.cr4) & CR4_OSXMMEXCPT ? Vector.XM : Vector.UD;
    }

    private execute(request: Request, environment: FloatEnvironment): void {
        const { operation, isDouble, lanes, detail, scratch } = request;
        const memory = this.memory;
        const format = (isDouble ? float64 : float32) as FloatFormat<Bits>;
        const a = (lane: number): Bits => memory.readBits(scratch + FloatScratch.a, isDouble, lane);
        const b = (lane: number): Bits => memory.readBits(scratch + FloatScratch.b, isDouble, lane);
        const result = scratch + FloatScratch.result;
        const eachLane = (of: (lane: number) => Bits, isWide = isDouble): void => {
            const results = forEachLane(environment, lanes, of);
            memory.clearResult(result);
            results.forEach((bits, lane) => memory.writeBits(result, isWide, lane, bits));
        };
        switch (operation) {
            case FloatOperation.Add:
                return eachLane(lane => add(format, a(lane), b(lane), environment));
            case FloatOperation.Subtract:
                return eachLane(lane => subtract(format, a(lane), b(lane), environment));
            case FloatOperation.Multiply:
                return eachLane(lane => multiply(format, a(lane), b(lane), environment));
            case FloatOperation.Divide:
                return eachLane(lane => divide(format, a(lane), b(lane), environment));
            case FloatOperation.SquareRoot:
                return eachLane(lane => squareRoot(format, a(lane), environment));
            case FloatOperation.Minimum:
                return eachLane(lane => minimum(format, a(lane), b(lane), environment));
            case FloatOperation.Maximum:
                return eachLane(lane => maximum(format, a(lane), b(lane), environment));
            case FloatOperation.AddSubtract:
                return eachLane(lane => (lane & 1 ? add : subtract)(format, a(lane), b(lane), environment));
            case FloatOperation.Compare:
                return eachLane(lane => {
                    const holds = predicateHolds(detail, format, a(lane), b(lane), environment);
                    return isDouble ? (holds ? 0xffff_ffff_ffff_ffffn : 0n) : holds ? 0xffff_ffff : 0;
                });
            case FloatOperation.CompareFlags: {
                const compare = detail ? compareSignalling : compareQuiet;
                const [flagResult, flagAux] = RELATION_FLAGS[compare(format, a(0), b(0), environment)];
                memory.setWord(result, flagResult);
                memory.setWord(result + 4, flagAux);
                return;
            }
            case FloatOperation.Round: {
                const options = {
                    mode: detail & 4 ? environment.rounding : ((detail & 3) as RoundingMode),
                    suppressPrecision: (detail & 8) !== 0,
                };
                return eachLane(lane => roundToIntegral(format, a(lane), environment, options));
            }
            case FloatOperation.ToInt32:
            case FloatOperation.ToInt64: {
                const width = operation === FloatOperation.ToInt32 ? 32 : 64;
                const options = { width, truncate: detail !== 0 };
                return eachLane(lane => {
                    const integer = BigInt.asUintN(width, convertToInteger(format, a(lane), options, environment));
                    return width === 32 ? Number(integer) : integer;
                }, width === 64);
            }
            case FloatOperation.FromInt32:
                return eachLane(lane => {
                    const integer = memory.readBits(scratch + FloatScratch.a, false, lane) as number;
                    return convertFromInteger(format, BigInt(integer | 0), environment);
                });
            case FloatOperation.FromInt64:
                return eachLane(lane => {
                    const integer = memory.readBits(scratch + FloatScratch.a, true, lane) as bigint;
                    return convertFromInteger(format, BigInt.asIntN(64, integer), environment);
                });
            case FloatOperation.Convert: {
                const to = (isDouble ? float32 : float64) as FloatFormat<Bits>;
                return eachLane(lane => convert(format, to, a(lane), environment), !isDouble);
            }
            case FloatOperation.DotProduct:
                return this.dotProduct(request, format, environment);
            case FloatOperation.Reciprocal:
                return eachLane(lane => approximateReciprocal(a(lane) as number));
            case FloatOperation.ReciprocalSquareRoot:
                return eachLane(lane => approximateReciprocalSquareRoot(a(lane) as number));
        }
    }

    /**
     * DPPS, DPPD: products of the lanes chosen by the immediate's upper half, added in pairs, into the lanes chosen by its
     * lower half. Each step is one packed operation, and the first with an unmasked exception is the last.
     */
    private dotProduct(request: Request, format: FloatFormat<Bits>, environment: FloatEnvironment): void {
        const { isDouble, lanes, detail, scratch } = request;
        const memory = this.memory;
        const zero = format.zero(0);
        const isChosen = (lane: number): boolean => ((detail >> (4 + lane)) & 1) !== 0;
        let terms = forEachLane(environment, lanes, lane =>
            isChosen(lane)
                ? multiply(
                      format,
                      memory.readBits(scratch + FloatScratch.a, isDouble, lane),
                      memory.readBits(scratch + FloatScratch.b, isDouble, lane),
                      environment,
                  )
                : zero,
        );
        while (terms.length > 1 && !environment.suppressed) {
            const from = terms;
            terms = forEachLane(environment, from.length / 2, pair =>
                add(format, from[2 * pair], from[2 * pair + 1], environment),
            );
        }
        for (let lane = 0; lane < lanes; lane++) {
            const bits = (detail >> lane) & 1 ? terms[0] : zero;
            memory.writeBits(scratch + FloatScratch.result, isDouble, lane, bits);
        }
    }
}

/** flagResult and flagAux as `floatCompare.ts` describes them. */
const RELATION_FLAGS: Readonly<Record<Relation, readonly [number, number]>> = {
    greater: [1, 0],
    less: [1, 0xc0000000],
    equal: [0, 0x100],
    unordered: [0, 0xc0000000],
};

/** CMPxx predicates 0–7; LT, LE and their negations raise IE for quiet NaNs, too (SDM Vol. 2, Table 3-1). */
function predicateHolds(
    predicate: number,
    format: FloatFormat<Bits>,
    a: Bits,
    b: Bits,
    environment: FloatEnvironment,
): boolean {
    const kind = predicate & 3;
    const relation = (kind === 1 || kind === 2 ? compareSignalling : compareQuiet)(format, a, b, environment);
    const positive =
        kind === 0
            ? relation === 'equal'
            : kind === 1
              ? relation === 'less'
              : kind === 2
                ? relation === 'less' || relation === 'equal'
                : relation === 'unordered';
    return positive !== ((predicate & 4) !== 0);
}

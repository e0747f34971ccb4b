/**
 * Arithmetic rounded to nearest on numbers for which only the question remains whether the result is exact: the doubles
 * of the host compute it and the error term (the error-free transformations of Dekker and Knuth; Muller et al.,
 * "Handbook of Floating-Point Arithmetic", chapter 4). Singles are computed in double, whose 53 bits make the second
 * rounding harmless.
 *
 * A program that works with integers in doubles never raises PE and so never enters the inline fast path; it lives here.
 */
import { FloatOperation, FloatScratch, Mxcsr } from './floatOperation';

/** Operands or results that need the general library: NaNs, denormals, overflow, tiny results. */
const NOT_PLAIN = -1;

const DOUBLE_NORMAL = 2 ** -1022;
const SINGLE_NORMAL = 2 ** -126;
/** Within these bounds the error term of a product neither overflows nor underflows. */
const PRODUCT_MINIMUM = 2 ** -900;
const PRODUCT_MAXIMUM = 2 ** 990;
/** 2^27 + 1 splits a double's significand into halves. */
const SPLITTER = 134217729;

export class PlainArithmetic {
    private readonly f32: Float32Array;
    private readonly f64: Float64Array;

    constructor(memory: WebAssembly.Memory) {
        this.f32 = new Float32Array(memory.buffer);
        this.f64 = new Float64Array(memory.buffer);
    }

    /**
     * Computes all lanes from the operands in the scratch area into its result.
     * @returns the flags raised (PE or none), or a negative number if the lanes are not all plain.
     */
    run(scratch: number, operation: FloatOperation, isDouble: boolean, lanes: number): number {
        const view = isDouble ? this.f64 : this.f32;
        const shift = isDouble ? 3 : 2;
        const a = (scratch + FloatScratch.a) >>> shift;
        const b = (scratch + FloatScratch.b) >>> shift;
        const result = (scratch + FloatScratch.result) >>> shift;
        let flags = 0;
        for (let lane = 0; lane < lanes; lane++) {
            const laneFlags = isDouble
                ? this.double(view[a + lane], view[b + lane], result + lane, operation)
                : this.single(view[a + lane], view[b + lane], result + lane, operation);
            if (laneFlags < 0) {
                return NOT_PLAIN;
            }
            flags |= laneFlags;
        }
        return flags;
    }

    private double(a: number, b: number, at: number, operation: FloatOperation): number {
        if (operation === FloatOperation.SquareRoot) {
            b = a;
        }
        if (isDenormal(a, DOUBLE_NORMAL) || isDenormal(b, DOUBLE_NORMAL)) {
            return NOT_PLAIN;
        }
        let result: number;
        let error: number;
        switch (operation) {
            case FloatOperation.Add:
                result = a + b;
                error = sumError(a, b, result);
                break;
            case FloatOperation.Subtract:
                result = a - b;
                error = sumError(a, -b, result);
                break;
            case FloatOperation.Multiply:
                result = a * b;
                error = a === 0 || b === 0 ? 0 : productError(a, b, result);
                break;
            case FloatOperation.Divide:
                result = a / b;
                error = a === 0 ? 0 : residue(a, result, b);
                break;
            default:
                result = Math.sqrt(a);
                error = a === 0 ? 0 : residue(a, result, result);
        }
        if (!Number.isFinite(error)) {
            return this.infinite(a, b, result, at, this.f64);
        }
        // Sums cannot be tiny and inexact; exact zeros otherwise have an error term of zero.
        if (Math.abs(result) <= DOUBLE_NORMAL && (result !== 0 || error !== 0)) {
            return NOT_PLAIN;
        }
        if (!Number.isFinite(result)) {
            return NOT_PLAIN;
        }
        this.f64[at] = result;
        return error === 0 ? 0 : Mxcsr.PE;
    }

    private single(a: number, b: number, at: number, operation: FloatOperation): number {
        if (operation === FloatOperation.SquareRoot) {
            b = a;
        }
        if (isDenormal(a, SINGLE_NORMAL) || isDenormal(b, SINGLE_NORMAL)) {
            return NOT_PLAIN;
        }
        let wide: number;
        let isExact: boolean;
        switch (operation) {
            case FloatOperation.Add:
                wide = a + b;
                isExact = sumError(a, b, wide) === 0;
                break;
            case FloatOperation.Subtract:
                wide = a - b;
                isExact = sumError(a, -b, wide) === 0;
                break;
            case FloatOperation.Multiply:
                wide = a * b;
                isExact = true;
                break;
            case FloatOperation.Divide:
                wide = a / b;
                // A quotient of 24 bits times the divisor is exact in double.
                isExact = Math.fround(wide) * b === a;
                break;
            default:
                wide = Math.sqrt(a);
                isExact = Math.fround(wide) * Math.fround(wide) === a;
        }
        const result = Math.fround(wide);
        if (!Number.isFinite(result)) {
            return this.infinite(a, b, result, at, this.f32);
        }
        if (Math.abs(result) <= SINGLE_NORMAL && (wide !== 0 || !isExact)) {
            return NOT_PLAIN;
        }
        this.f32[at] = result;
        return isExact && result === wide ? 0 : Mxcsr.PE;
    }

    /** An infinite operand gives an exact infinity or zero; everything else that is not finite is not plain. */
    private infinite(a: number, b: number, result: number, at: number, view: Float64Array | Float32Array): number {
        const hasInfinity = Math.abs(a) === Infinity || Math.abs(b) === Infinity;
        if (!hasInfinity || Number.isNaN(result)) {
            return NOT_PLAIN;
        }
        view[at] = result;
        return 0;
    }
}

function isDenormal(value: number, smallestNormal: number): boolean {
    return Math.abs(value) < smallestNormal && value !== 0;
}

/** a + b − sum, exactly (Knuth's TwoSum). Not finite where an operand or an intermediate result is not. */
function sumError(a: number, b: number, sum: number): number {
    const other = sum - a;
    return a - (sum - other) + (b - other);
}

/** a × b − product, exactly (Veltkamp's splitting and Dekker's product), or NaN outside of the safe range. */
function productError(a: number, b: number, product: number): number {
    const [sizeA, sizeB, size] = [Math.abs(a), Math.abs(b), Math.abs(product)];
    if (!(size > PRODUCT_MINIMUM && size < PRODUCT_MAXIMUM && sizeA < PRODUCT_MAXIMUM && sizeB < PRODUCT_MAXIMUM)) {
        return NaN;
    }
    let scaled = a * SPLITTER;
    const highA = scaled - (scaled - a);
    const lowA = a - highA;
    scaled = b * SPLITTER;
    const highB = scaled - (scaled - b);
    const lowB = b - highB;
    return highA * highB - product + highA * lowB + lowA * highB + lowA * lowB;
}

/** a − x × y for x × y ≈ a: zero exactly if the quotient or root is exact; NaN outside of the safe range. */
function residue(a: number, x: number, y: number): number {
    const product = x * y;
    return a - product - productError(x, y, product);
}

/**
 * The state a floating-point instruction reads and writes besides its operands: rounding, precision, masks, and
 * the sticky exception flags (Intel SDM Vol. 1, 8.1.5 "x87 FPU Control Word", 10.2.3 "MXCSR").
 */

/** Exception flags and masks, as bits 5:0 of the x87 status word, the x87 control word and MXCSR spell them. */
export const IE = 0x01;
export const DE = 0x02;
export const ZE = 0x04;
export const OE = 0x08;
export const UE = 0x10;
export const PE = 0x20;

/** The exceptions found before an operation computes anything; unmasked, they leave the destination alone. */
const PRE_COMPUTATION = IE | DE | ZE;

/** All six exceptions. */
export const ALL_EXCEPTIONS = 0x3f;

/** The RC field's encoding. */
export const RoundingMode = { nearestEven: 0, down: 1, up: 2, towardZero: 3 } as const;
export type RoundingMode = 0 | 1 | 2 | 3;

/** Bits of significand that x87 arithmetic rounds to. */
export type Precision = 24 | 53 | 64;

/** Who executes: x87 and SSE differ in NaN selection and in what an unmasked exception leaves in the destination. */
export type FloatUnit = 'x87' | 'sse';

/**
 * Passed to every operation. Configuration comes from the control word or MXCSR; `flags` accumulates and is
 * never cleared by an operation. `roundedUp` and `suppressed` describe the operations since `begin()`.
 */
export class FloatEnvironment {
    rounding: RoundingMode = RoundingMode.nearestEven;
    /** Precision control; only f80 add, subtract, multiply, divide and square root obey it (SDM Vol. 1, 8.1.5.2). */
    precision: Precision = 64;
    /** Sticky exception flags, x86 bit positions. */
    flags = 0;
    /** A set bit masks the exception. */
    masks = ALL_EXCEPTIONS;
    /** SSE: denormal operands are zeros of the same sign (SDM Vol. 1, 10.2.3.4). */
    daz = false;
    /** SSE: with UE masked, tiny results become zeros (SDM Vol. 1, 10.2.3.3). */
    ftz = false;
    /** What x87 reports in C1: the last inexact result was rounded away from zero. */
    roundedUp = false;
    /** An unmasked exception forbids writing the destination (register, memory and, for x87, the stack pointer). */
    suppressed = false;

    constructor(readonly unit: FloatUnit) {}

    /** Forgets what the previous instruction reported, except for the sticky flags. */
    begin(): void {
        this.roundedUp = false;
        this.suppressed = false;
    }

    /**
     * Raises IE, DE or ZE.
     * @returns true if one of them is unmasked, so that the operation must stop without a result.
     */
    raiseBefore(flags: number): boolean {
        this.flags |= flags;
        if (flags & ~this.masks) {
            this.suppressed = true;
        }
        return this.suppressed;
    }

    /** Raises OE, UE or PE. x87 delivers a result even when they are unmasked, SSE does not. */
    raiseAfter(flags: number): void {
        this.flags |= flags;
        if (this.unit === 'sse' && flags & ~this.masks) {
            this.suppressed = true;
        }
    }
}

/** An x87 environment. @param controlWord 16 bits, as FLDCW takes it. */
export function x87Environment(controlWord = 0x037f): FloatEnvironment {
    const environment = new FloatEnvironment('x87');
    loadControlWord(environment, controlWord);
    return environment;
}

/** An SSE environment. @param mxcsr 32 bits, as LDMXCSR takes it; its flags are taken over. */
export function sseEnvironment(mxcsr = 0x1f80): FloatEnvironment {
    const environment = new FloatEnvironment('sse');
    loadMxcsr(environment, mxcsr);
    return environment;
}

/** Takes RC, PC and the masks from a 16-bit x87 control word; the reserved PC encoding 01 acts as 64 bits. */
export function loadControlWord(environment: FloatEnvironment, controlWord: number): void {
    const precisionControl = (controlWord >> 8) & 3;
    environment.rounding = ((controlWord >> 10) & 3) as RoundingMode;
    environment.precision = precisionControl === 0 ? 24 : precisionControl === 2 ? 53 : 64;
    environment.masks = controlWord & ALL_EXCEPTIONS;
}

/** Takes everything, flags included, from a 32-bit MXCSR. */
export function loadMxcsr(environment: FloatEnvironment, mxcsr: number): void {
    environment.flags = mxcsr & ALL_EXCEPTIONS;
    environment.daz = (mxcsr & 0x40) !== 0;
    environment.masks = (mxcsr >> 7) & ALL_EXCEPTIONS;
    environment.rounding = ((mxcsr >> 13) & 3) as RoundingMode;
    environment.ftz = (mxcsr & 0x8000) !== 0;
}

/** The 32-bit MXCSR that describes an SSE environment. */
export function storeMxcsr(environment: FloatEnvironment): number {
    return (
        environment.flags |
        (environment.daz ? 0x40 : 0) |
        (environment.masks << 7) |
        (environment.rounding << 13) |
        (environment.ftz ? 0x8000 : 0)
    );
}

/**
 * Runs one packed SSE instruction lane by lane. The lanes share one fate: if any of them finds an unmasked IE, DE
 * or ZE, no lane gets as far as OE, UE or PE (SDM Vol. 1, 11.5.3 "SIMD Floating-Point Exception Conditions").
 * @returns the lanes' results; not to be written when `environment.suppressed`.
 */
export function forEachLane<Bits>(
    environment: FloatEnvironment,
    lanes: number,
    operation: (lane: number) => Bits,
): Bits[] {
    const before = environment.flags;
    const results: Bits[] = [];
    let raised = 0;
    let suppressed = false;
    for (let lane = 0; lane < lanes; lane++) {
        environment.flags = 0;
        environment.begin();
        results.push(operation(lane));
        raised |= environment.flags;
        suppressed ||= environment.suppressed;
    }
    if (raised & PRE_COMPUTATION & ~environment.masks) {
        raised &= PRE_COMPUTATION;
    }
    environment.flags = before | raised;
    environment.suppressed = suppressed;
    return results;
}

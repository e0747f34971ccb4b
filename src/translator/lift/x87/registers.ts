/**
 * The x87 register stack, status and control words of one vCPU, as the helpers of this folder see them in the shared
 * memory (Intel SDM Vol. 1, 8.1): eight physical registers, rotated by TOP, with an "empty" byte each.
 */

import { StateOffset } from '../../../machine/state';
import { type Extended, type FloatEnvironment, loadControlWord, x87Environment } from '../../../softfloat';
import { type Limbs, type Rounding, setLimbs } from './limbs';

/** Bits of the status word (SDM Vol. 1, 8.1.3). The state keeps TOP elsewhere. */
export const enum Status {
    Exceptions = 0x3f,
    InvalidOperation = 0x01,
    Precision = 0x20,
    StackFault = 0x40,
    /** Error summary: an unmasked exception is pending. */
    ErrorSummary = 0x80,
    C0 = 0x100,
    C1 = 0x200,
    C2 = 0x400,
    TopShift = 11,
    C3 = 0x4000,
    /** Follows the error summary since the 387. */
    Busy = 0x8000,
    /** All condition codes. */
    Conditions = C0 | C1 | C2 | C3,
}

/** Bits of the control word that exist; bit 6 always reads 1 (SDM Vol. 1, 8.1.5). */
export const CONTROL_WORD_BITS = 0x1f3f;
export const CONTROL_WORD_FIXED = 0x40;
/** What FNINIT loads. */
export const INITIAL_CONTROL_WORD = 0x37f;

/** Where helpers leave wide results: behind what a missed access of up to 16 bytes uses of the scratch area. */
export const RESULT: number = StateOffset.scratch + 16;

/** "QNaN floating-point indefinite" (SDM Vol. 1, 4.8.3.7). */
export const INDEFINITE: Extended = { signExponent: 0xffff, significand: 0xc000000000000000n };

/** Bytes from one physical register to the next. */
const REGISTER_SIZE = 16;

/** The x87 unit of the vCPU that {@link select} chose last. */
export class X87Registers {
    /** Configuration and findings of the instruction that {@link begin} started. */
    readonly environment: FloatEnvironment = x87Environment();
    private readonly bytes: Uint8Array;
    private readonly halves: Uint16Array;
    private readonly words: Uint32Array;
    private readonly quads: BigUint64Array;
    private state = 0;

    constructor(buffer: ArrayBufferLike) {
        this.bytes = new Uint8Array(buffer);
        this.halves = new Uint16Array(buffer);
        this.words = new Uint32Array(buffer);
        this.quads = new BigUint64Array(buffer);
    }

    /** @param state address of a vCPU's state. */
    select(state: number): void {
        this.state = state;
    }

    // --- fields of the state -----------------------------------------------------------------------------------------

    /** A 32-bit field of the state, unsigned. */
    field(offset: number): number {
        return this.words[(this.state + offset) >> 2];
    }

    setField(offset: number, value: number): void {
        this.words[(this.state + offset) >> 2] = value;
    }

    /** A 16-bit field of the state. */
    half(offset: number): number {
        return this.halves[(this.state + offset) >> 1];
    }

    setHalf(offset: number, value: number): void {
        this.halves[(this.state + offset) >> 1] = value;
    }

    /** Writes a 64-bit field with a 32-bit value. */
    setWide(offset: number, value: number): void {
        this.setField(offset, value);
        this.setField(offset + 4, 0);
    }

    setQuad(offset: number, value: bigint): void {
        this.quads[(this.state + offset) >> 3] = value;
    }

    get status(): number {
        return this.field(StateOffset.fsw);
    }

    set status(value: number) {
        this.setField(StateOffset.fsw, value);
    }

    get control(): number {
        return this.field(StateOffset.fcw);
    }

    get top(): number {
        return this.field(StateOffset.ftop);
    }

    set top(value: number) {
        this.setField(StateOffset.ftop, value & 7);
    }

    // --- stack -------------------------------------------------------------------------------------------------------

    /** Address of ST(i). ST(-1) is the register that a push takes. */
    private address(i: number): number {
        return this.state + StateOffset.x87 + ((this.top + i) & 7) * REGISTER_SIZE;
    }

    isEmpty(i: number): boolean {
        return this.bytes[this.state + StateOffset.fempty + ((this.top + i) & 7)] !== 0;
    }

    setEmpty(i: number, empty: boolean): void {
        this.bytes[this.state + StateOffset.fempty + ((this.top + i) & 7)] = empty ? 1 : 0;
    }

    /** Moves TOP down; the caller then writes ST(0). */
    push(): void {
        this.top = this.top - 1;
    }

    pop(): void {
        this.setEmpty(0, true);
        this.top = this.top + 1;
    }

    // --- register contents -------------------------------------------------------------------------------------------

    read(i: number): Extended {
        const address = this.address(i);
        return { signExponent: this.halves[(address + 8) >> 1], significand: this.quads[address >> 3] };
    }

    /** Sign and exponent of ST(i), 16 bits. */
    signExponent(i: number): number {
        return this.halves[(this.address(i) + 8) >> 1];
    }

    setSignExponent(i: number, value: number): void {
        this.halves[(this.address(i) + 8) >> 1] = value;
    }

    /** Halves of the significand of ST(i), unsigned. */
    low(i: number): number {
        return this.words[this.address(i) >> 2];
    }

    high(i: number): number {
        return this.words[(this.address(i) >> 2) + 1];
    }

    /** Fills `limbs` with ST(i). @returns false if that is empty or no normal number. */
    readLimbs(i: number, limbs: Limbs): boolean {
        return !this.isEmpty(i) && setLimbs(limbs, this.signExponent(i), this.high(i), this.low(i));
    }

    /** Writes ST(i), which is then not empty. */
    write(i: number, value: Extended): void {
        const address = this.address(i);
        this.halves[(address + 8) >> 1] = value.signExponent;
        this.quads[address >> 3] = value.significand;
        this.setEmpty(i, false);
    }

    /** Writes ST(i) from its parts, without a bigint. */
    writeParts(i: number, signExponent: number, high: number, low: number): void {
        const address = this.address(i);
        this.words[address >> 2] = low;
        this.words[(address >> 2) + 1] = high;
        this.halves[(address + 8) >> 1] = signExponent;
        this.setEmpty(i, false);
    }

    writeIndefinite(i: number): void {
        this.writeParts(i, 0xffff, 0xc0000000, 0);
    }

    /** ST(to) = ST(from), bit by bit. */
    copy(to: number, from: number): void {
        this.writeParts(to, this.signExponent(from), this.high(from), this.low(from));
    }

    /** Exchanges ST(0) and ST(i), both of which are then not empty. */
    exchange(i: number): void {
        const signExponent = this.signExponent(0);
        const high = this.high(0);
        const low = this.low(0);
        this.copy(0, i);
        this.writeParts(i, signExponent, high, low);
    }

    // --- exceptions --------------------------------------------------------------------------------------------------

    /** Starts an instruction that may raise exceptions: the environment is that of the control word. */
    begin(): FloatEnvironment {
        const { environment } = this;
        loadControlWord(environment, this.control);
        environment.flags = 0;
        environment.begin();
        return environment;
    }

    /**
     * Ends an instruction: what the environment found becomes sticky.
     * @param conditions new values of the condition codes in `affected`; C1 by default, as rounding leaves it.
     */
    finish(conditions: number = this.environment.roundedUp ? Status.C1 : 0, affected: number = Status.C1): void {
        this.status = this.finishedStatus(conditions, affected);
    }

    /** The status word that {@link finish} would leave. */
    finishedStatus(conditions: number, affected: number): number {
        const kept = this.status & ~affected;
        return this.summarized(kept | (conditions & affected) | this.environment.flags);
    }

    /** The status word after an instruction that could at most be inexact. */
    roundedStatus({ inexact, up }: Rounding): number {
        const rounded = (inexact ? Status.Precision : 0) | (up ? Status.C1 : 0);
        return this.summarized((this.status & ~Status.C1) | rounded);
    }

    /** The status word `status` with ES and B as the masks make them (SDM Vol. 1, 8.1.3.3). */
    summarized(status: number): number {
        const pending = status & ~this.control & Status.Exceptions;
        const summary = Status.ErrorSummary | Status.Busy;
        return pending !== 0 ? status | summary : status & ~summary;
    }

    /** What moves without any exception do: C1 tells that the stack did not overflow. */
    clearC1(): void {
        this.status &= ~Status.C1;
    }

    /**
     * Raises stack underflow (SDM Vol. 1, 8.5.1.1). @returns whether the masked response is to follow: the indefinite
     * value as result. Otherwise the instruction ends.
     */
    underflow(): boolean {
        return this.stackFault(0);
    }

    /** Raises stack overflow; see {@link underflow}. */
    overflow(): boolean {
        return this.stackFault(Status.C1);
    }

    private stackFault(c1: number): boolean {
        this.status = this.faultStatus(c1);
        return this.masksInvalid;
    }

    /** The status word after a stack fault. @param c1 C1 for overflow, 0 for underflow. */
    faultStatus(c1: number): number {
        return this.summarized((this.status & ~Status.C1) | c1 | Status.StackFault | Status.InvalidOperation);
    }

    get masksInvalid(): boolean {
        return (this.control & Status.InvalidOperation) !== 0;
    }
}

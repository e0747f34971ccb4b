/**
 * Conditions as the bytecode that stubs evaluate (gdb manual, appendix F). What it cannot say in the same way is left to
 * whoever evaluates a condition at each stop.
 */
import { findRegister } from '../../debug/registers/register-file';
import { GPR_NAMES } from '../../isa/x86';
import type { ByteSize, Condition, ConditionOperator } from '../../machine/condition';
import { Op } from '../agent-expression';
import type { RegisterLayout } from './target-description';

/** A stub evaluates on a stack of fixed size. */
const DEEPEST_STACK = 50;
/** Jumps have 16 bits, and packets of some stubs are short. */
const LONGEST_CODE = 1_000;
const LARGEST_SHIFT = 63n;

/** Registers whose values a stub tells as a condition reads them. */
const PLAIN = [...GPR_NAMES[8], ...['cs', 'ss', 'ds', 'es', 'fs', 'gs'], ...['cr0', 'cr2', 'cr3', 'cr4'], 'ia32_efer'];

interface StateRegister {
    readonly number: number;
    /** Byte in the vCPU's state. */
    readonly offset: number;
    readonly size: number;
}

/** The registers of a stub as conditions name them. */
export class StubRegisters {
    private readonly state: readonly StateRegister[];
    private readonly numbers: ReadonlyMap<string, number>;

    /** @param isLinear the stub's instruction pointer is a linear address rather than an offset in CS */
    constructor(
        { registers }: RegisterLayout,
        private readonly isLinear: boolean,
    ) {
        this.numbers = new Map(registers.map(({ name, number }) => [name, number]));
        const sizes = new Map(registers.map(({ name, size }) => [name, size]));
        this.state = PLAIN.flatMap(name => {
            const wire = name === 'ia32_efer' ? 'efer' : name;
            const { condition } = findRegister(name) ?? {};
            const number = this.numbers.get(wire);
            if (number === undefined || condition?.kind !== 'state') return [];
            return [{ number, offset: condition.offset, size: Math.min(sizes.get(wire)!, condition.bytes) }];
        });
    }

    /** The register that bytes of a vCPU's state are in. */
    holding(offset: number, bytes: number): StateRegister | undefined {
        return this.state.find(other => other.offset <= offset && offset + bytes <= other.offset + other.size);
    }

    numberOf(kind: 'rip' | 'rflags' | 'pc'): number | undefined {
        if (kind === 'rflags') return this.numbers.get('eflags');
        return (kind === 'pc') === this.isLinear ? this.numbers.get('rip') : undefined;
    }
}

/** The bytecode has no such thing, or means something else by it. */
class NotEncodable extends Error {}

/** The bytecode of a condition; undefined if it has to be evaluated in another way. */
export function encodeCondition(condition: Condition, registers: StubRegisters): Uint8Array | undefined {
    try {
        const encoder = new Encoder(registers);
        encoder.put(condition, 0);
        return encoder.end();
    } catch (error) {
        if (error instanceof NotEncodable) return undefined;
        throw error;
    }
}

/** Operations of two operands; comparisons that it does not have are made of others. */
const OPERATIONS: Readonly<Record<ConditionOperator, readonly Op[]>> = {
    add: [Op.Add],
    sub: [Op.Sub],
    mul: [Op.Mul],
    divS: [Op.DivSigned],
    divU: [Op.DivUnsigned],
    remS: [Op.RemSigned],
    remU: [Op.RemUnsigned],
    bitAnd: [Op.BitAnd],
    bitOr: [Op.BitOr],
    bitXor: [Op.BitXor],
    shl: [Op.Lsh],
    shrS: [Op.RshSigned],
    shrU: [Op.RshUnsigned],
    eq: [Op.Equal],
    ne: [Op.Equal, Op.LogNot],
    ltS: [Op.LessSigned],
    ltU: [Op.LessUnsigned],
    leS: [Op.Swap, Op.LessSigned, Op.LogNot],
    leU: [Op.Swap, Op.LessUnsigned, Op.LogNot],
};
const SHIFTS: ReadonlySet<ConditionOperator> = new Set(['shl', 'shrS', 'shrU']);
const LOADS: Readonly<Record<ByteSize, Op>> = { 1: Op.Ref8, 2: Op.Ref16, 4: Op.Ref32, 8: Op.Ref64 };

class Encoder {
    private readonly code: number[] = [];

    constructor(private readonly registers: StubRegisters) {}

    end(): Uint8Array {
        this.emit(Op.End);
        return Uint8Array.from(this.code);
    }

    /** @param depth values that lie on the stack */
    put(condition: Condition, depth: number): void {
        if (depth >= DEEPEST_STACK) throw new NotEncodable();
        switch (condition.kind) {
            case 'constant':
                this.constant(condition.value);
                return;
            case 'state':
                this.state(condition.offset, condition.bytes);
                return;
            case 'rip':
            case 'rflags':
            case 'pc':
                this.register(this.registers.numberOf(condition.kind));
                return;
            case 'load':
                this.put(condition.address, depth);
                this.emit(LOADS[condition.bytes]);
                return;
            case 'extend':
                this.put(condition.operand, depth);
                if (condition.bytes < 8) this.emit(condition.signed ? Op.Ext : Op.ZeroExt, 8 * condition.bytes);
                return;
            case 'not':
                this.put(condition.operand, depth);
                this.emit(Op.LogNot);
                return;
            case 'and':
            case 'or':
                this.choice(condition, depth);
                return;
            case 'binary': {
                const { operator, left, right } = condition;
                // Further shifts mean what the host's processor makes of them.
                const isFar = right.kind !== 'constant' || BigInt.asUintN(64, right.value) > LARGEST_SHIFT;
                if (SHIFTS.has(operator) && isFar) throw new NotEncodable();
                this.put(left, depth);
                this.put(right, depth + 1);
                this.emit(...OPERATIONS[operator]);
            }
        }
    }

    /** As gdb writes `&&` and `||`: one side that decides is enough. */
    private choice({ kind, left, right }: Extract<Condition, { kind: 'and' | 'or' }>, depth: number): void {
        const isAnd = kind === 'and';
        const decided = [left, right].map(side => {
            this.put(side, depth);
            if (isAnd) this.emit(Op.LogNot);
            return this.jump(Op.IfGoto);
        });
        this.constant(isAnd ? 1n : 0n);
        const end = this.jump(Op.Goto);
        decided.forEach(at => this.land(at));
        this.constant(isAnd ? 0n : 1n);
        this.land(end);
    }

    private state(offset: number, bytes: ByteSize): void {
        const register = this.registers.holding(offset, bytes);
        this.register(register?.number);
        const skipped = offset - register!.offset;
        if (skipped > 0) {
            this.constant(BigInt(8 * skipped));
            this.emit(Op.RshUnsigned);
        }
        if (bytes < 8) this.emit(Op.ZeroExt, 8 * bytes);
    }

    private register(number: number | undefined): void {
        if (number === undefined) throw new NotEncodable();
        this.emit(Op.Reg, number >> 8, number & 0xff);
    }

    private constant(value: bigint): void {
        const bits = BigInt.asUintN(64, value);
        const size = bits < 1n << 8n ? 1 : bits < 1n << 16n ? 2 : bits < 1n << 32n ? 4 : 8;
        const op = { 1: Op.Const8, 2: Op.Const16, 4: Op.Const32, 8: Op.Const64 }[size];
        this.emit(
            op,
            ...Array.from({ length: size }, (_, at) => Number((bits >> BigInt(8 * (size - 1 - at))) & 0xffn)),
        );
    }

    /** Returns where its target is written. */
    private jump(op: Op.Goto | Op.IfGoto): number {
        this.emit(op, 0, 0);
        return this.code.length - 2;
    }

    private land(at: number): void {
        this.code[at] = this.code.length >> 8;
        this.code[at + 1] = this.code.length & 0xff;
    }

    private emit(...bytes: number[]): void {
        this.code.push(...bytes);
        if (this.code.length > LONGEST_CODE) throw new NotEncodable();
    }
}

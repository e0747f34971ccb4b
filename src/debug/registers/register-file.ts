/** All registers of a vCPU, by name and in groups. */
import type { Cpu } from '../../machine/cpu/cpu';
import type { Condition } from '../../machine/condition';
import { GuestFault, Vector } from '../../machine/cpu/fault';
import { EvaluationProblem } from '../expression/error';
import { CONTROL_GROUP, DEBUG_GROUP, MSR_GROUP } from './control';
import { FLAGS_GROUP, GENERAL_GROUP, UNLISTED_GENERAL } from './general';
import { formatNumber, type Register, type RegisterGroup } from './register';
import { SEGMENTS_GROUP } from './segments';
import { findLane, MMX, SSE_GROUP, X87_GROUP } from './vector';

export const REGISTER_GROUPS: readonly RegisterGroup[] = [
    GENERAL_GROUP,
    FLAGS_GROUP,
    SEGMENTS_GROUP,
    CONTROL_GROUP,
    DEBUG_GROUP,
    MSR_GROUP,
    X87_GROUP,
    SSE_GROUP,
];

const BY_NAME: ReadonlyMap<string, Register> = new Map(
    [...REGISTER_GROUPS.flatMap(group => group.registers), ...UNLISTED_GENERAL, ...MMX].flatMap(register =>
        [register, ...(register.parts ?? [])].map(one => [one.name, one] as const),
    ),
);

export function findRegister(name: string): Register | undefined {
    return BY_NAME.get(name) ?? findLane(name);
}

export function registerNames(): IterableIterator<string> {
    return BY_NAME.keys();
}

/** A register as a view shows it. */
export interface RegisterView {
    /** What an expression calls it. */
    readonly name: string;
    /** The number, with what it says behind it. */
    readonly text: string;
    /** The bits, unsigned. */
    readonly value: bigint;
    /** What the number says. */
    readonly description?: string;
    readonly width: number;
    readonly writable: boolean;
    /** The value, if it may be an address of this kind. */
    readonly address?: { readonly space: 'linear' | 'physical'; readonly offset: bigint };
    readonly parts?: readonly RegisterView[];
    /** Why the value is not known: then it, and what it says, means nothing. */
    readonly problem?: string;
}

export interface RegisterGroupView {
    readonly name: string;
    readonly registers: readonly RegisterView[];
}

export function viewRegisters(cpu: Cpu): RegisterGroupView[] {
    return REGISTER_GROUPS.map(({ name, registers }) => ({
        name,
        registers: registers.map(register => viewRegister(cpu, register)),
    }));
}

export function viewRegister(cpu: Cpu, register: Register): RegisterView {
    const { name, width, format, address, parts } = register;
    const value = register.read(cpu);
    const number = formatNumber(value, width, format);
    const description = register.describe?.(cpu, value);
    return {
        name,
        text: description === undefined || description === '' ? number : `${number} ${description}`,
        value,
        description: description === '' ? undefined : description,
        width,
        writable: register.write !== undefined,
        address: address && { space: address, offset: register.locate?.(cpu, value) ?? value },
        parts: parts?.map(part => viewRegister(cpu, part)),
    };
}

/**
 * Writes a register, with the effects that this has.
 * @throws EvaluationProblem if it is read-only, or cannot have that value
 */
export function writeRegister(cpu: Cpu, name: string, value: bigint): void {
    const register = findRegister(name);
    if (register === undefined) {
        throw new EvaluationProblem(`there is no register '${name}'`);
    }
    if (register.write === undefined) {
        throw new EvaluationProblem(`${name} cannot be written`);
    }
    try {
        register.write(cpu, BigInt.asUintN(register.width, value));
    } catch (error) {
        if (error instanceof GuestFault) {
            const exception = error.vector === Vector.PF ? '#PF' : error.vector === Vector.GP ? '#GP' : 'an exception';
            throw new EvaluationProblem(
                `${name} cannot become ${formatNumber(value, register.width, 'hex')} now: ` +
                    `the processor would raise ${exception}`,
            );
        }
        throw error;
    }
}

/** Width in bits of a register as expressions see it, and how engines can read it; undefined: there is none. */
export function registerCondition(
    name: string,
): { readonly condition: Condition | undefined; readonly width: number } | undefined {
    const register = findRegister(name);
    return register && { condition: register.condition, width: expressionWidth(register.width) };
}

/** Bits that expressions see of a register: of longer ones the low 64. */
export function expressionWidth(width: number): number {
    return width <= 8 ? 8 : width <= 16 ? 16 : width <= 32 ? 32 : 64;
}

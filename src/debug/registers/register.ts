import type { Condition } from '../../machine/condition';
import type { Cpu } from '../../machine/cpu/cpu';

/** How a register's number is shown. */
export type RegisterFormat = 'hex' | 'bit' | 'decimal';

/** A register, or a named part of one, of a vCPU. */
export interface Register {
    /** As expressions name it: lower case, parts behind a dot (`cs.base`). */
    readonly name: string;
    /** Bits. */
    readonly width: number;
    readonly format: RegisterFormat;
    /** Unsigned. */
    read(cpu: Cpu): bigint;
    /**
     * Absent: cannot be written. The value has been cut to {@link width}.
     * @throws GuestFault if the processor would refuse it
     */
    readonly write?: (cpu: Cpu, value: bigint) => void;
    /** What the number says, such as the set bits of CR0. */
    readonly describe?: (cpu: Cpu, value: bigint) => string;
    /** The value is (or may well be) an address of this kind. */
    readonly address?: 'linear' | 'physical';
    /** The linear address that the value stands for, where that is another number: an offset in a segment. */
    readonly locate?: (cpu: Cpu, value: bigint) => bigint;
    /** How engines can read it in a compiled condition; absent: they cannot. */
    readonly condition?: Condition;
    /** Parts to be shown below it. */
    readonly parts?: readonly Register[];
}

export interface RegisterGroup {
    /** Such as `General`. */
    readonly name: string;
    readonly registers: readonly Register[];
}

/** `0x` and as many digits as the width takes. */
export function formatNumber(value: bigint, width: number, format: RegisterFormat): string {
    return format === 'hex' ? `0x${value.toString(16).padStart(Math.ceil(width / 4), '0')}` : value.toString();
}

/** A register that is a field of the vCPU's state. */
export function field(
    name: string,
    width: 16 | 32 | 64,
    offset: number,
    more: Partial<Omit<Register, 'name' | 'width' | 'read'>> = {},
): Register {
    return {
        name,
        width,
        format: 'hex',
        read: cpu => (width === 64 ? cpu.get64(offset) : BigInt.asUintN(width, BigInt(cpu.lo(offset)))),
        write: (cpu, value) => {
            if (width === 64) cpu.set64(offset, value);
            else cpu.setLo(offset, Number(value));
        },
        condition: { kind: 'state', offset, bytes: (width / 8) as 2 | 4 | 8 },
        ...more,
    };
}

/** Some bits of another register. */
export function bits(name: string, whole: Register, first: number, width: number): Register {
    const mask = (1n << BigInt(width)) - 1n;
    const shift = BigInt(first);
    const { write, condition } = whole;
    return {
        name,
        width,
        condition: condition && bitsOf(condition, shift, mask),
        format: width === 1 ? 'bit' : width < 8 ? 'decimal' : 'hex',
        read: cpu => (whole.read(cpu) >> shift) & mask,
        write: write && ((cpu, value) => write(cpu, (whole.read(cpu) & ~(mask << shift)) | (value << shift))),
    };
}

/** A part of a register: name, first bit, and more where it is not a plain bit. */
export type FieldOfBits = readonly [name: string, first: number, width?: number, describe?: (value: bigint) => string];

/** The register with parts below it, named `cr0.wp`. */
export function withParts(whole: Register, fields: readonly FieldOfBits[]): Register {
    const parts = fields.map(([name, first, width = 1, describe]): Register => ({
        ...bits(`${whole.name}.${name.toLowerCase()}`, whole, first, width),
        describe: describe && ((_cpu, value) => describe(value)),
    }));
    return { ...whole, parts: [...(whole.parts ?? []), ...parts] };
}

function bitsOf(whole: Condition, shift: bigint, mask: bigint): Condition {
    const constant = (value: bigint): Condition => ({ kind: 'constant', value });
    const shifted: Condition =
        shift === 0n ? whole : { kind: 'binary', operator: 'shrU', left: whole, right: constant(shift) };
    return { kind: 'binary', operator: 'bitAnd', left: shifted, right: constant(mask) };
}

/** The names of the bits that are set: `PE PG WP`. */
export function namesOfBits(names: ReadonlyArray<readonly [name: string, bit: number]>): Register['describe'] {
    return (_cpu, value) =>
        names
            .filter(([, bit]) => (value >> BigInt(bit)) & 1n)
            .map(([name]) => name)
            .join(' ');
}

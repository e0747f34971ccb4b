/**
 * The registers as gdb numbers them, and the target description that tells gdb so (gdb manual, G.5.4). The layout is the
 * same in every mode of the processor: a `g` packet never changes its length.
 */
import { CR0_BITS, CR4_BITS, EFER_BITS } from '../debug/registers/control';
import { FLAG_BITS, GPR_NAMES } from '../isa/x86';
import { littleEndianHex, parseLittleEndian } from './text';

export interface WireRegister {
    /** gdb's name. */
    readonly name: string;
    /** Ours (`debug/registers`). */
    readonly register: string;
    /** Bytes on the wire, little-endian. */
    readonly size: number;
    readonly type: string;
    readonly group?: string;
}

interface Feature {
    readonly name: string;
    /** Definitions of types, in XML. */
    readonly types?: string;
    readonly registers: readonly WireRegister[];
}

const wire = (size: number, type: string, names: readonly string[], group?: string): WireRegister[] =>
    names.map(name => ({ name, register: name, size, type, group }));
const numbered = (name: string, count: number): string[] => Array.from({ length: count }, (_, i) => `${name}${i}`);
const named = (name: string, register: string, size: number, type: string, group?: string): WireRegister => ({
    name,
    register,
    size,
    type,
    group,
});

const GENERAL = [
    ...wire(8, 'int64', ['rax', 'rbx', 'rcx', 'rdx', 'rsi', 'rdi']),
    ...wire(8, 'data_ptr', ['rbp', 'rsp']),
    ...wire(8, 'int64', ['r8', 'r9', 'r10', 'r11', 'r12', 'r13', 'r14', 'r15']),
    // Linear, so that gdb finds the instruction in real mode too.
    named('rip', 'pc', 8, 'code_ptr'),
    named('eflags', 'eflags', 4, 'i386_eflags'),
    ...wire(4, 'int32', ['cs', 'ss', 'ds', 'es', 'fs', 'gs']),
];

const X87 = [
    ...wire(10, 'i387_ext', numbered('st', 8)),
    named('fctrl', 'fcw', 4, 'int', 'float'),
    named('fstat', 'fsw', 4, 'int', 'float'),
    named('ftag', 'ftw', 4, 'int', 'float'),
    named('fiseg', 'fcs', 4, 'int', 'float'),
    named('fioff', 'fip', 4, 'int', 'float'),
    named('foseg', 'fds', 4, 'int', 'float'),
    named('fooff', 'fdp', 4, 'int', 'float'),
    named('fop', 'fop', 4, 'int', 'float'),
];

/** Bit, or first and last bit, of a field. */
type Field = readonly [name: string, first: number, last?: number];

/** A type of flags; gdb shows those that are set, in this order. */
const flags = (id: string, size: number, fields: readonly Field[]): string =>
    `<flags id="${id}" size="${size}">` +
    fields.map(([name, first, last = first]) => `<field name="${name}" start="${first}" end="${last}"/>`).join('') +
    '</flags>';

const EFLAGS: readonly Field[] = [
    ...FLAG_BITS.map(([name, bit]): Field => [name.toUpperCase(), bit]),
    ['IOPL', 12, 13],
];
const FLAG_TYPE = flags(
    'i386_eflags',
    4,
    [...EFLAGS].sort(([, a], [, b]) => b - a),
);

/** SDM Vol. 1, 10.2.3. */
const MXCSR_TYPE = flags('i386_mxcsr', 4, [
    ...['IE', 'DE', 'ZE', 'OE', 'UE', 'PE', 'DAZ'].map((name, bit): Field => [name, bit]),
    ...['IM', 'DM', 'ZM', 'OM', 'UM', 'PM'].map((name, bit): Field => [name, 7 + bit]),
    ['FZ', 15],
]);

const SYSTEM_TYPES = [
    flags('x86_cr0', 8, CR0_BITS),
    flags('x86_cr3', 8, [
        ['PDBR', 12, 63],
        ['PCID', 0, 11],
    ]),
    flags('x86_cr4', 8, CR4_BITS),
    flags('x86_efer', 8, EFER_BITS),
].join('');

const VECTOR_TYPE =
    [
        ['v4f', 'ieee_single', 4],
        ['v2d', 'ieee_double', 2],
        ['v16i8', 'int8', 16],
        ['v8i16', 'int16', 8],
        ['v4i32', 'int32', 4],
        ['v2i64', 'int64', 2],
    ]
        .map(([id, type, count]) => `<vector id="${id}" type="${type}" count="${count}"/>`)
        .join('') +
    '<union id="vec128"><field name="v4_float" type="v4f"/><field name="v2_double" type="v2d"/>' +
    '<field name="v16_int8" type="v16i8"/><field name="v8_int16" type="v8i16"/>' +
    '<field name="v4_int32" type="v4i32"/><field name="v2_int64" type="v2i64"/>' +
    '<field name="uint128" type="uint128"/></union>';

/** The first three have names that gdb knows, with the registers that it asks of them; the last is ours. */
const FEATURES: readonly Feature[] = [
    { name: 'org.gnu.gdb.i386.core', types: FLAG_TYPE, registers: [...GENERAL, ...X87] },
    {
        name: 'org.gnu.gdb.i386.sse',
        types: VECTOR_TYPE + MXCSR_TYPE,
        registers: [
            ...wire(16, 'vec128', numbered('xmm', 16), 'vector'),
            named('mxcsr', 'mxcsr', 4, 'i386_mxcsr', 'vector'),
        ],
    },
    {
        name: 'org.gnu.gdb.i386.segments',
        registers: [named('fs_base', 'fs.base', 8, 'int'), named('gs_base', 'gs.base', 8, 'int')],
    },
    {
        name: 'org.hyperscope.system',
        types: SYSTEM_TYPES,
        registers: [
            named('k_gs_base', 'ia32_kernel_gs_base', 8, 'int', 'system'),
            named('cr0', 'cr0', 8, 'x86_cr0', 'system'),
            named('cr2', 'cr2', 8, 'int64', 'system'),
            named('cr3', 'cr3', 8, 'x86_cr3', 'system'),
            named('cr4', 'cr4', 8, 'x86_cr4', 'system'),
            named('cr8', 'cr8', 8, 'int64', 'system'),
            named('efer', 'ia32_efer', 8, 'x86_efer', 'system'),
        ],
    },
];

/** Registers of every guest. */
const COMMON = FEATURES.flatMap(({ registers }) => registers);

/** By the names that gdb looks for in an i386, behind the others. */
const LOW_HALVES: readonly WireRegister[] = [
    ...wire(4, 'int32', GPR_NAMES[4].slice(0, 8)),
    named('eip', 'pc', 4, 'int32'),
];

/** In the order of their numbers. */
export const WIRE_REGISTERS: readonly WireRegister[] = [...COMMON, ...LOW_HALVES];

/** What gdb takes the processor for. */
export type Architecture =
    | 'x86-64'
    /** What it finds in the guest's 32-bit program, an i386, or an x86-64 where its user says so. */
    | 'either';

/** Those that a gdb is told of: so many of {@link WIRE_REGISTERS}, from the first. */
export function registerCount(architecture: Architecture): number {
    return architecture === 'x86-64' ? COMMON.length : WIRE_REGISTERS.length;
}

/** What gdb is told in each stop reply, since it asks for them at each: RBP, RSP, RIP. */
export const EXPEDITED: readonly number[] = ['rbp', 'rsp', 'rip'].map(wanted =>
    WIRE_REGISTERS.findIndex(({ name }) => name === wanted),
);

/** Pointers have another size in an i386 than the registers that hold them. */
const PLAIN_TYPES: Readonly<Record<string, string>> = { data_ptr: 'int64', code_ptr: 'int64' };
/** An i386 has none of its registers: as a feature of no meaning they are there for both. */
const PLAIN_FEATURES: Readonly<Record<string, string>> = {
    'org.gnu.gdb.i386.segments': 'org.hyperscope.segments',
};

export function targetDescription(architecture: Architecture): string {
    const isEither = architecture === 'either';
    const features = FEATURES.map(({ name, types = '', registers }, index) => {
        const all = isEither && index === 0 ? [...registers, ...LOW_HALVES] : registers;
        const lines = all.map(register => {
            const { name: own, size, type, group } = register;
            return (
                `<reg name="${own}" bitsize="${size * 8}" type="${(isEither && PLAIN_TYPES[type]) || type}" ` +
                `regnum="${WIRE_REGISTERS.indexOf(register)}"${group === undefined ? '' : ` group="${group}"`}/>`
            );
        });
        return `<feature name="${(isEither && PLAIN_FEATURES[name]) || name}">${types}${lines.join('')}</feature>`;
    });
    return (
        '<?xml version="1.0"?><!DOCTYPE target SYSTEM "gdb-target.dtd"><target>' +
        `${isEither ? '' : '<architecture>i386:x86-64</architecture>'}${features.join('')}</target>`
    );
}

/** A register's bytes in hexadecimal; of one that has no value now, as many `x`. */
export function encodeRegister({ size }: WireRegister, value: bigint | undefined): string {
    return value === undefined ? 'xx'.repeat(size) : littleEndianHex(value, size);
}

/** The number in `digits`, or undefined if they are not a register of that size. */
export function decodeRegister({ size }: WireRegister, digits: string): bigint | undefined {
    return digits.length === size * 2 ? parseLittleEndian(digits) : undefined;
}

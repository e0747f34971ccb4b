/**
 * The operand notation of a row, turned into tables of ready-made operands that the decoder only has to index.
 *
 * A table entry may be missing: that register does not exist (CR1, segment register 6, DR8), and the instruction is
 * undefined. The triples are indexed by effective operand size, 0 = 16 bits, 1 = 32, 2 = 64.
 */

import { type Operand, OperandKind, Segment } from '../instruction';
import { TableError } from './parse';

/** Where the decoder finds an operand. */
export const enum OperandSource {
    /** Always the same operand. */
    Fixed,
    /** ModRM.reg, extended by REX.R. */
    Reg,
    /** ModRM.rm: register extended by REX.B, or memory. */
    Rm,
    /** Low three opcode bits, extended by REX.B. */
    Opcode,
    /** VEX.vvvv. */
    Vvvv,
    /** Memory at an offset that follows the opcode. */
    Offset,
    /** Immediate byte, zero-extended. */
    ImmediateByte,
    /** Immediate byte, sign-extended. */
    ImmediateSignedByte,
    /** Immediate word, zero-extended. */
    ImmediateWord,
    /** Immediate of 2 or 4 bytes by operand size, sign-extended. */
    ImmediateZ,
    /** Immediate of 2, 4 or 8 bytes by operand size. */
    ImmediateV,
    /** A byte after another immediate. */
    SecondImmediate,
    /** Branch displacement of one byte. */
    RelativeByte,
    /** Branch displacement of 2 or 4 bytes by operand size (4 with operand size 64). */
    RelativeZ,
    /** ptr16:16 or ptr16:32. */
    FarPointer,
}

type RegisterTable = readonly (Operand | undefined)[];

/** One operand of a row, ready for the decoder. */
export interface OperandForm {
    readonly source: OperandSource;
    /** By operand size: the operand where it does not depend on a register number (fixed, memory, immediates). */
    readonly operands: readonly Operand[];
    /** By operand size, then register number: register operands. */
    readonly registers: readonly RegisterTable[];
    /** Byte registers without REX, where 4–7 are AH–BH; otherwise the same as `registers`. */
    readonly legacyRegisters: readonly RegisterTable[];
    /** Needs ModRM.mod ≠ 3. */
    readonly memoryOnly: boolean;
    /** Needs ModRM.mod = 3. */
    readonly registerOnly: boolean;
    /** Takes ModRM.rm as a register whatever ModRM.mod says (MOV to and from control and debug registers). */
    readonly ignoresMod: boolean;
}

const operandCache = new Map<number, Operand>();

/** The operand with these properties; equal operands are the same object. */
export function makeOperand(kind: OperandKind, register: number, size: number, highByte = false): Operand {
    const key = (kind << 16) | (register << 8) | (size << 1) | (highByte ? 1 : 0);
    let operand = operandCache.get(key);
    if (!operand) {
        operand = { kind, register, size, highByte };
        operandCache.set(key, operand);
    }
    return operand;
}

/** Size letters of the notation as bytes for operand size 16, 32 and 64. */
const SIZES: Readonly<Record<string, readonly [number, number, number]>> = {
    '': [0, 0, 0],
    a: [4, 8, 8],
    b: [1, 1, 1],
    w: [2, 2, 2],
    d: [4, 4, 4],
    q: [8, 8, 8],
    dq: [16, 16, 16],
    x: [16, 16, 16],
    ps: [16, 16, 16],
    pd: [16, 16, 16],
    qs: [16, 16, 16],
    ss: [4, 4, 4],
    sd: [8, 8, 8],
    p: [4, 6, 10],
    s: [6, 6, 10],
    t: [10, 10, 10],
    v: [2, 4, 8],
    y: [4, 4, 8],
    z: [2, 4, 4],
};

/** Immediates and displacements are as wide as what they are extended to. */
const OPERAND_SIZE = [2, 4, 8] as const;
const NATIVE_SIZE = [4, 4, 8] as const;

const FIXED: Readonly<Record<string, readonly [OperandKind, number, number]>> = {
    AL: [OperandKind.Gpr, 0, 1],
    AX: [OperandKind.Gpr, 0, 2],
    CL: [OperandKind.Gpr, 1, 1],
    DX: [OperandKind.Gpr, 2, 2],
    ES: [OperandKind.Segment, Segment.Es, 2],
    CS: [OperandKind.Segment, Segment.Cs, 2],
    SS: [OperandKind.Segment, Segment.Ss, 2],
    DS: [OperandKind.Segment, Segment.Ds, 2],
    FS: [OperandKind.Segment, Segment.Fs, 2],
    GS: [OperandKind.Segment, Segment.Gs, 2],
    ST0: [OperandKind.St, 0, 10],
    XMM0: [OperandKind.Xmm, 0, 16],
    '1': [OperandKind.Constant, 1, 1],
};

const CONTROL_REGISTERS = [0, 2, 3, 4, 8];

const formCache = new Map<string, OperandForm>();

/**
 * Parses one operand. `position` 0 is the destination, which CS cannot be. `second` tells that an immediate precedes.
 * Throws {@link TableError}.
 */
export function parseOperand(notation: string, position: number, second: boolean): OperandForm {
    const cacheKey = `${notation}${position === 0 ? '!' : ''}${second ? '2' : ''}`;
    let form = formCache.get(cacheKey);
    if (!form) {
        form = buildOperand(notation, position === 0, second);
        formCache.set(cacheKey, form);
    }
    return form;
}

function buildOperand(notation: string, destination: boolean, second: boolean): OperandForm {
    const fixed = FIXED[notation];
    if (fixed) {
        return fixedForm([makeOperand(...fixed), makeOperand(...fixed), makeOperand(...fixed)]);
    }
    if (notation === 'rAX' || notation === 'eAX') {
        return fixedForm(SIZES[notation === 'rAX' ? 'v' : 'z'].map(size => makeOperand(OperandKind.Gpr, 0, size)));
    }
    if (notation === 'STi') {
        return registerForm(OperandSource.Rm, OperandKind.St, SIZES.t, 8, undefined, true);
    }
    const alternatives = notation.split('/');
    if (alternatives.length === 2) {
        const register = buildOperand(alternatives[0], destination, second);
        const memory = buildOperand(alternatives[1], destination, second);
        return { ...register, operands: memory.operands, registerOnly: false };
    }
    const letter = notation.startsWith('sIb') ? 's' : notation[0];
    const sizeLetters = notation.slice(1);
    const sizes = SIZES[sizeLetters];
    if (letter !== 's' && sizes === undefined) {
        throw new TableError(notation, 'unknown size letter');
    }
    switch (letter) {
        case 'G':
            return registerForm(OperandSource.Reg, OperandKind.Gpr, sizes, 16);
        case 'E':
            return withMemory(registerForm(OperandSource.Rm, OperandKind.Gpr, sizes, 16), sizes);
        case 'R':
            return sizeLetters === 'd'
                ? { ...registerForm(OperandSource.Rm, OperandKind.Gpr, NATIVE_SIZE, 16), ignoresMod: true }
                : { ...registerForm(OperandSource.Rm, OperandKind.Gpr, sizes, 16), registerOnly: true };
        case 'M':
            return {
                ...withMemory(registerForm(OperandSource.Rm, OperandKind.Gpr, sizes, 0), sizes),
                memoryOnly: true,
            };
        case 'Z':
            return registerForm(OperandSource.Opcode, OperandKind.Gpr, sizes, 16);
        case 'B':
            return registerForm(OperandSource.Vvvv, OperandKind.Gpr, sizes, 16);
        case 'S':
            return registerForm(
                OperandSource.Reg,
                OperandKind.Segment,
                sizes,
                6,
                n => !(destination && n === Segment.Cs),
                true,
            );
        case 'C':
            return registerForm(OperandSource.Reg, OperandKind.Control, NATIVE_SIZE, 16, n =>
                CONTROL_REGISTERS.includes(n),
            );
        case 'D':
            return registerForm(OperandSource.Reg, OperandKind.Debug, NATIVE_SIZE, 8);
        case 'P':
            return registerForm(OperandSource.Reg, OperandKind.Mmx, sizes, 8, undefined, true);
        case 'N':
            return {
                ...registerForm(OperandSource.Rm, OperandKind.Mmx, sizes, 8, undefined, true),
                registerOnly: true,
            };
        case 'Q':
            return withMemory(registerForm(OperandSource.Rm, OperandKind.Mmx, sizes, 8, undefined, true), sizes);
        case 'V':
            return registerForm(OperandSource.Reg, OperandKind.Xmm, sizes, 16);
        case 'H':
            return registerForm(OperandSource.Vvvv, OperandKind.Xmm, sizes, 16);
        case 'U':
            return { ...registerForm(OperandSource.Rm, OperandKind.Xmm, sizes, 16), registerOnly: true };
        case 'W':
            return withMemory(registerForm(OperandSource.Rm, OperandKind.Xmm, sizes, 16), sizes);
        case 'X':
            return fixedForm(sizes.map(size => makeOperand(OperandKind.StringSource, 0, size)));
        case 'Y':
            return fixedForm(sizes.map(size => makeOperand(OperandKind.StringDestination, 0, size)));
        case 'O':
            return unencodedForm(OperandSource.Offset, OperandKind.Memory, sizes);
        case 'A':
            return unencodedForm(OperandSource.FarPointer, OperandKind.FarPointer, SIZES.p);
        case 's':
            return unencodedForm(OperandSource.ImmediateSignedByte, OperandKind.Immediate, OPERAND_SIZE);
        case 'I':
            return immediateForm(notation, second);
        case 'J':
            return unencodedForm(
                sizeLetters === 'b' ? OperandSource.RelativeByte : OperandSource.RelativeZ,
                OperandKind.Relative,
                OPERAND_SIZE,
            );
        default:
            throw new TableError(notation, 'unknown addressing letter');
    }
}

function immediateForm(notation: string, second: boolean): OperandForm {
    switch (notation) {
        case 'Ib':
            return second
                ? unencodedForm(OperandSource.SecondImmediate, OperandKind.Immediate2, SIZES.b)
                : unencodedForm(OperandSource.ImmediateByte, OperandKind.Immediate, SIZES.b);
        case 'Iw':
            return unencodedForm(OperandSource.ImmediateWord, OperandKind.Immediate, SIZES.w);
        case 'Iz':
            return unencodedForm(OperandSource.ImmediateZ, OperandKind.Immediate, OPERAND_SIZE);
        case 'Iv':
            return unencodedForm(OperandSource.ImmediateV, OperandKind.Immediate, OPERAND_SIZE);
        default:
            throw new TableError(notation, 'unknown immediate');
    }
}

function fixedForm(operands: readonly Operand[]): OperandForm {
    return {
        source: OperandSource.Fixed,
        operands,
        registers: [],
        legacyRegisters: [],
        memoryOnly: false,
        registerOnly: false,
        ignoresMod: false,
    };
}

function unencodedForm(source: OperandSource, kind: OperandKind, sizes: readonly number[]): OperandForm {
    return { ...fixedForm(sizes.map(size => makeOperand(kind, 0, size))), source };
}

/** `count` registers exist; with `wraps` the REX extension bit is ignored, as for MMX and segment registers. */
function registerForm(
    source: OperandSource,
    kind: OperandKind,
    sizes: readonly number[],
    count: number,
    exists?: (register: number) => boolean,
    wraps = false,
): OperandForm {
    const byteRegisters = kind === OperandKind.Gpr && count > 0;
    const registers = sizes.map(size => registerTable(kind, size, count, exists, wraps));
    return {
        ...fixedForm([]),
        source,
        registers,
        legacyRegisters: byteRegisters && sizes[0] === 1 ? sizes.map(() => LEGACY_BYTE_REGISTERS) : registers,
    };
}

const registerTableCache = new Map<number, RegisterTable>();

function registerTable(
    kind: OperandKind,
    size: number,
    count: number,
    exists: ((register: number) => boolean) | undefined,
    wraps: boolean,
): RegisterTable {
    const key = (kind << 16) | (count << 8) | (size << 1) | (wraps ? 1 : 0);
    let table = exists ? undefined : registerTableCache.get(key);
    if (!table) {
        const registers: (Operand | undefined)[] = [];
        for (let index = 0; index < 16; index++) {
            const register = wraps ? index & 7 : index;
            const missing = register >= count || (exists !== undefined && !exists(register));
            registers.push(missing ? undefined : makeOperand(kind, register, size));
        }
        table = registers;
        if (!exists) {
            registerTableCache.set(key, table);
        }
    }
    return table;
}

/** Without REX, 4–7 are AH, CH, DH, BH; 8 and up cannot be encoded. */
const LEGACY_BYTE_REGISTERS: RegisterTable = Array.from({ length: 8 }, (_, register) =>
    makeOperand(OperandKind.Gpr, register & 3, 1, register >= 4),
);

function withMemory(form: OperandForm, sizes: readonly number[]): OperandForm {
    return { ...form, operands: sizes.map(size => makeOperand(OperandKind.Memory, 0, size)) };
}

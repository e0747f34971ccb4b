/** What the comparison with the host CPU leaves out, and why. All of it is listed here. */

import { Attribute, type Instruction, type Row, Segment } from '../../../src/isa/x86';
import { CodeKind, FxsaveOffset, type InstructionCase, ResultOffset } from './layout';

const named = (...mnemonics: string[]): ((row: Row) => boolean) => {
    const set = new Set(mnemonics);
    return row => set.has(row.mnemonic);
};

/** Rows that are not tested. */
export const EXCLUDED_ROWS: ReadonlyArray<{ readonly reason: string; readonly applies: (row: Row) => boolean }> = [
    {
        reason: 'tells what the processor or its clock is, or draws random numbers: the host has others',
        applies: named('CPUID', 'RDTSC', 'RDTSCP', 'RDPMC', 'RDPID', 'RDRAND', 'RDSEED', 'XGETBV'),
    },
    {
        reason: "enters the host's kernel or its hypervisor, which answers in its own way",
        applies: named('SYSCALL', 'SYSENTER', 'SYSRET', 'SYSEXIT', 'VMCALL', 'VMMCALL', 'INT3', 'INT1', 'INTO'),
    },
    {
        reason: "emulated by the host's kernel, UMIP being on",
        applies: named('SGDT', 'SIDT', 'SLDT', 'STR', 'SMSW'),
    },
    {
        reason: "loads or inspects segments through the host's descriptor tables",
        applies: row =>
            named(
                'LES',
                'LDS',
                'LSS',
                'LFS',
                'LGS',
                'RETF',
                'IRET',
                'IRETD',
                'IRETQ',
                'LAR',
                'LSL',
                'VERR',
                'VERW',
            )(row) ||
            /^(CALL|JMP) (Ap|Mp)$/.test(`${row.mnemonic} ${row.operands[0]}`) ||
            /^(MOV Sw|POP (ES|SS|DS|FS|GS))/.test(`${row.mnemonic} ${row.operands[0]}`),
    },
    {
        reason: "would take FS and GS away from the host's program",
        applies: named('RDFSBASE', 'RDGSBASE', 'WRFSBASE', 'WRGSBASE'),
    },
    {
        reason: 'depends on which state components the processor has (AVX), and AMD and Intel leave different ones out',
        applies: row => /^X(SAVE|RSTOR)/.test(row.mnemonic),
    },
    {
        reason: 'FXSAVE and FXRSTOR: AMD processors leave the last-instruction pointers out unless an exception is pending',
        applies: row => /^FX(SAVE|RSTOR)/.test(row.mnemonic),
    },
    {
        reason: 'UD0 and UD1: AMD processors do not decode their operands',
        applies: named('UD0', 'UD1'),
    },
];

/** Rows that may be tested. */
export function isTested(row: Row): boolean {
    return !EXCLUDED_ROWS.some(exclusion => exclusion.applies(row));
}

const OPERAND_SIZE_PREFIX = 0x66;
const REPEAT_PREFIXES = [0xf2, 0xf3];

/** Encodings that processors of different makers execute differently. Ours is made after Intel's. */
export const EXCLUDED_ENCODINGS: ReadonlyArray<{
    readonly reason: string;
    /** @param prefixes the legacy prefixes of the instruction */
    readonly applies: (instruction: Instruction, prefixes: readonly number[]) => boolean;
}> = [
    {
        reason: 'near branches in 64-bit code with an operand-size prefix: Intel ignores it, AMD cuts RIP to 16 bits',
        applies: ({ row, codeSize }, prefixes) =>
            codeSize === 64 && (row.attributes & Attribute.Force64) !== 0 && prefixes.includes(OPERAND_SIZE_PREFIX),
    },
    {
        reason: 'LOOPE and LOOPNE with a repeat prefix: it overrides the condition on AMD processors only',
        applies: ({ row }, prefixes) =>
            /^LOOPN?E$/.test(row.mnemonic) && prefixes.some(prefix => REPEAT_PREFIXES.includes(prefix)),
    },
    {
        reason: "interrupts whose gates the host's kernel opens to user code",
        applies: ({ row, immediate }) => row.mnemonic === 'INT' && [3, 4, 0x80].includes(immediate & 0xff),
    },
    {
        reason: 'ARPL of a code segment: whether it must be writable when nothing has to be written',
        applies: ({ row, segment }) => row.mnemonic === 'ARPL' && segment === Segment.Cs,
    },
    {
        reason: 'PREFETCHW of a register: a NOP on Intel processors, #UD on AMD ones',
        applies: ({ row, modrm }) => row.opcode.startsWith('0F 0D') && modrm >= 0xc0,
    },
];

const BREAKPOINT = 3 + 1;
/** MXCSR.MM. */
const MISALIGNED_MASK = 1 << 17;
const GENERAL_PROTECTION = 13 + 1;
const PAGE_FAULT = 14 + 1;

/** A result is not compared at all. */
export const EXCLUDED_RESULTS: ReadonlyArray<{
    readonly reason: string;
    readonly applies: (instructions: readonly Instruction[], host: DataView, ours: DataView) => boolean;
}> = [
    {
        reason: 'SHA with a misaligned operand: #GP on Intel processors (SDM Vol. 2, type 4), allowed on AMD ones',
        applies: (instructions, _host, ours) =>
            instructions.some(({ row }) => row.mnemonic.startsWith('SHA')) &&
            ours.getUint32(ResultOffset.fault, true) === GENERAL_PROTECTION,
    },
    {
        reason: 'INS and OUTS repeated zero times: whether they fault',
        applies: (instructions, host, ours) =>
            instructions.some(({ row }) => /^(INS|OUTS)$/.test(row.mnemonic)) &&
            host.getUint32(ResultOffset.fault, true) === GENERAL_PROTECTION &&
            host.getUint32(ResultOffset.rip, true) !== ours.getUint32(ResultOffset.rip, true),
    },
    {
        reason: 'LDMXCSR with bit 17, which masks alignment faults on AMD processors and is reserved on Intel ones',
        applies: (_instructions, host) =>
            (host.getUint32(ResultOffset.fxsave + FxsaveOffset.mxcsr, true) & MISALIGNED_MASK) !== 0,
    },
    {
        reason: 'MASKMOVQ, MASKMOVDQU with no byte selected: whether they fault (SDM Vol. 2, MASKMOVDQU)',
        applies: (instructions, host, ours) =>
            instructions.some(({ row }) => row.mnemonic.startsWith('MASKMOV')) &&
            host.getUint32(ResultOffset.fault, true) !== BREAKPOINT &&
            host.getUint32(ResultOffset.rip, true) !== ours.getUint32(ResultOffset.rip, true),
    },
];

const isApproximate = ({ mnemonic }: Row): boolean => /^(RCP|RSQRT)[PS]S$/.test(mnemonic);
const isTranscendental = named('F2XM1', 'FYL2X', 'FYL2XP1', 'FSIN', 'FCOS', 'FSINCOS', 'FPTAN', 'FPATAN');

/** Rows with more than one right result: nothing may go on from it. */
export function isInexact(row: Row): boolean {
    return isApproximate(row) || isTranscendental(row);
}

/**
 * Adjusts a result of the host to ours in what the manuals leave to the processor, provided that ours is as allowed as
 * the host's.
 */
export const TOLERANCES: ReadonlyArray<{
    readonly reason: string;
    readonly applies: (instruction: Instruction) => boolean;
    readonly adjust: (host: DataView, ours: DataView, instruction: Instruction) => void;
}> = [
    {
        reason: 'RCPPS, RSQRTPS: approximations with a relative error up to 1.5 × 2^-12 (SDM Vol. 2, RCPPS)',
        applies: ({ row }) => isApproximate(row),
        adjust: (host, ours, { operands }) => {
            const at = ResultOffset.fxsave + FxsaveOffset.xmm + 16 * operands[0].register;
            for (let i = at; i < at + 16; i += 4) {
                const [theirs, mine] = [host.getFloat32(i, true), ours.getFloat32(i, true)];
                // Twice the error that is allowed each of the two.
                if (Math.abs(theirs - mine) <= Math.abs(mine) * 3 * 2 ** -12) {
                    host.setUint32(i, ours.getUint32(i, true), true);
                }
            }
        },
    },
    {
        reason:
            'x87 transcendental functions: results may differ in the last place (SDM Vol. 1, 8.3.10), and C1, which tells' +
            ' the direction of rounding, with them',
        applies: ({ row }) => isTranscendental(row),
        adjust: (host, ours) => {
            const at = ResultOffset.fxsave;
            const status = at + FxsaveOffset.fsw;
            host.setUint16(status, (host.getUint16(status, true) & ~C1) | (ours.getUint16(status, true) & C1), true);
            for (let i = at + FxsaveOffset.st; i < at + FxsaveOffset.st + 32; i += 16) {
                const distance = extended(host, i) - extended(ours, i);
                if (distance >= -1n && distance <= 1n) {
                    copy(host, ours, i, i + 16);
                }
            }
        },
    },
    {
        reason: 'MASKMOVQ, MASKMOVDQU: whether a fault is for the first byte or for one that is selected, and the tags after it',
        applies: ({ row }) => row.mnemonic.startsWith('MASKMOV'),
        adjust: (host, ours) => {
            if ([host, ours].some(view => view.getUint32(ResultOffset.fault, true) === BREAKPOINT)) {
                return;
            }
            copy(host, ours, ResultOffset.fault, ResultOffset.rip);
            copy(host, ours, ResultOffset.cr2, ResultOffset.fxsave);
            const at = ResultOffset.fxsave;
            copy(host, ours, at + FxsaveOffset.fsw, at + FxsaveOffset.fop);
            copy(host, ours, at + FxsaveOffset.st, at + FxsaveOffset.xmm);
        },
    },
    {
        reason: 'FNSAVE, FNSTENV, FRSTOR, FLDENV: the byte at which a page fault is reported, inside the page that faults',
        applies: ({ row }) => /^(FNSAVE|FNSTENV|FRSTOR|FLDENV)$/.test(row.mnemonic),
        adjust: (host, ours) => {
            const [theirs, mine] = [host, ours].map(view => view.getBigUint64(ResultOffset.cr2, true));
            if (theirs >> 12n === mine >> 12n && theirs - mine < 108n) {
                host.setBigUint64(ResultOffset.cr2, mine, true);
            }
        },
    },
    {
        reason: 'POPA with a fault in the middle: AMD processors have loaded some of the registers',
        applies: ({ row }) => /^POPAD?$/.test(row.mnemonic),
        adjust: (host, ours) => {
            if (host.getUint32(ResultOffset.fault, true) !== BREAKPOINT) {
                copy(host, ours, ResultOffset.gpr, ResultOffset.gpr + 8 * 8);
            }
        },
    },
    {
        reason:
            'CMPS and SCAS with a fault: flags are those of the elements compared so far or those before (SDM Vol. 2, REP);' +
            ' when neither operand can be read, either may be reported',
        applies: ({ row }) => /^(CMPS|SCAS)$/.test(row.mnemonic),
        adjust: (host, ours) => {
            if ([host, ours].some(view => view.getUint32(ResultOffset.fault, true) === BREAKPOINT)) {
                return;
            }
            copy(host, ours, ResultOffset.fault, ResultOffset.rip);
            copy(host, ours, ResultOffset.rflags, ResultOffset.fxsave);
        },
    },
];

const C1 = 1 << 9;

/** An 80-bit number as an integer: neighbouring numbers are neighbouring integers. */
function extended(view: DataView, at: number): bigint {
    return (BigInt(view.getUint16(at + 8, true)) << 63n) | (view.getBigUint64(at, true) & ~(1n << 63n));
}

function copy(to: DataView, from: DataView, start: number, end: number): void {
    for (let i = start; i < end; i++) {
        to.setUint8(i, from.getUint8(i));
    }
}

/** Whether the instruction may be part of a case; `bytes` are its own. */
export function isComparable(instruction: Instruction, bytes: Uint8Array): boolean {
    const prefixes: number[] = [];
    for (const byte of bytes.subarray(0, instruction.length)) {
        if (!LEGACY_PREFIXES.has(byte)) {
            break;
        }
        prefixes.push(byte);
    }
    return !EXCLUDED_ENCODINGS.some(exclusion => exclusion.applies(instruction, prefixes));
}

const LEGACY_PREFIXES = new Set([0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66, 0x67, 0xf0, 0xf2, 0xf3]);

/** True if the host reached memory that the emulated machine does not have: its own code, stack and libraries. */
export function isOutOfReach(test: InstructionCase, ours: DataView): boolean {
    if (ours.getUint32(ResultOffset.fault, true) !== PAGE_FAULT) {
        return false;
    }
    const address = ours.getBigUint64(ResultOffset.cr2, true);
    const within = (from: bigint, to: bigint): boolean => address >= from && address < to;
    return (
        within(0x400000n, 0x10000000n) || // program and heap
        within(0x30000000n, 0x40000000n) || // context of the oracle, heap
        (test.kind !== CodeKind.Code64 && within(0xf7000000n, 0x100000000n)) ||
        within(0x7e0000000000n, 0x800000000000n)
    );
}

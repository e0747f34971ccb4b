/** Says how a result differs from the host's, leaving out what no manual defines. */

import { GPR_NAMES, type Instruction } from '../../../src/isa/x86';
import { EXCLUDED_RESULTS, TOLERANCES } from './exclusions';
import { CodeKind, DATA, FxsaveOffset, type InstructionCase, ResultOffset, TIMEOUT, WINDOWS } from './layout';

/** The arithmetic flags, DF, NT, AC and ID. */
const COMPARED_FLAGS = 0x244cd5;
const FLAG_NAMES: ReadonlyArray<readonly [string, number]> = [
    ['CF', 0],
    ['PF', 2],
    ['AF', 4],
    ['ZF', 6],
    ['SF', 7],
    ['DF', 10],
    ['OF', 11],
    ['NT', 14],
    ['AC', 18],
    ['ID', 21],
];
const BREAKPOINT = 3 + 1;
const PAGE_FAULT = 14 + 1;

/**
 * Flags that are undefined after the instructions, or if something ended them early, after any of them.
 */
function undefinedFlags(instructions: readonly Instruction[], complete: boolean): number {
    let after = 0;
    let any = 0;
    for (const { row } of instructions) {
        const { flags } = row;
        after = (after & ~(flags.written & ~flags.read)) | flags.undefined;
        any |= after;
    }
    return complete ? after : any;
}

/** Whether a result is not to be compared: by {@link EXCLUDED_RESULTS}, or because both ran until they were stopped. */
export function isExcluded(instructions: readonly Instruction[], host: DataView, ours: DataView): boolean {
    const endless = [host, ours].every(view => view.getUint32(ResultOffset.fault, true) === TIMEOUT);
    return endless || EXCLUDED_RESULTS.some(exclusion => exclusion.applies(instructions, host, ours));
}

/** The differences, each as `name: host's, ours`; empty if there is none. */
export function differences(
    test: InstructionCase,
    instructions: readonly Instruction[],
    hostAsIs: DataView,
    ours: DataView,
): string[] {
    const host = adjusted(hostAsIs, ours, instructions);
    const found: string[] = [];
    const report = (name: string, theirs: number | bigint, mine: number | bigint): void => {
        if (theirs !== mine) {
            found.push(`${name}: host ${theirs.toString(16)}, ours ${mine.toString(16)}`);
        }
    };
    const u16 = (name: string, offset: number): void =>
        report(name, host.getUint16(offset, true), ours.getUint16(offset, true));
    const u32 = (name: string, offset: number): void =>
        report(name, host.getUint32(offset, true), ours.getUint32(offset, true));
    const u64 = (name: string, offset: number): void =>
        report(name, host.getBigUint64(offset, true), ours.getBigUint64(offset, true));

    const fault = host.getUint32(ResultOffset.fault, true);
    if (fault !== ours.getUint32(ResultOffset.fault, true)) {
        report('vector', fault - 1, ours.getUint32(ResultOffset.fault, true) - 1);
    } else {
        compareFault(host, ours, fault, report);
    }
    u64('rip', ResultOffset.rip);
    const wide = test.kind === CodeKind.Code64;
    for (let i = 0; i < (wide ? 16 : 8); i++) {
        (wide ? u64 : u32)(wide ? GPR_NAMES[8][i] : GPR_NAMES[4][i], ResultOffset.gpr + 8 * i);
    }
    const mask = COMPARED_FLAGS & ~undefinedFlags(instructions, isComplete(test, host));
    for (const [name, bit] of FLAG_NAMES) {
        if ((mask >> bit) & 1) {
            const flag = (view: DataView): number => (view.getUint32(ResultOffset.rflags, true) >> bit) & 1;
            report(name, flag(host), flag(ours));
        }
    }
    const at = ResultOffset.fxsave;
    u16('fcw', at + FxsaveOffset.fcw);
    u16('fsw', at + FxsaveOffset.fsw);
    report('ftw', host.getUint8(at + FxsaveOffset.ftw), ours.getUint8(at + FxsaveOffset.ftw));
    u32('mxcsr', at + FxsaveOffset.mxcsr);
    for (let i = 0; i < 8; i++) {
        u64(`st${i}`, at + FxsaveOffset.st + 16 * i);
        u16(`st${i}.exponent`, at + FxsaveOffset.st + 16 * i + 8);
    }
    for (let i = 0; i < 16; i++) {
        u64(`xmm${i}`, at + FxsaveOffset.xmm + 16 * i);
        u64(`xmm${i}.high`, at + FxsaveOffset.xmm + 16 * i + 8);
    }
    let done = ResultOffset.data as number;
    for (const { offset, size } of WINDOWS) {
        for (let i = 0; i < size; i += 8) {
            u64(`[${(DATA + offset + i).toString(16)}]`, done + i);
        }
        done += size;
    }
    u32('other memory', ResultOffset.rest);
    return found;
}

/** The host's result with what is tolerated taken from ours. */
function adjusted(host: DataView, ours: DataView, instructions: readonly Instruction[]): DataView {
    let result = host;
    for (const { applies, adjust } of TOLERANCES) {
        for (const instruction of instructions.filter(applies)) {
            if (result === host) {
                const bytes = new Uint8Array(host.buffer, host.byteOffset, host.byteLength).slice();
                result = new DataView(bytes.buffer);
            }
            adjust(result, ours, instruction);
        }
    }
    return result;
}

/** Whether the case ran to the INT3 after its last instruction. */
function isComplete(test: InstructionCase, host: DataView): boolean {
    return (
        host.getUint32(ResultOffset.fault, true) === BREAKPOINT &&
        host.getUint32(ResultOffset.rip, true) === test.entry + test.codeLength + 1
    );
}

function compareFault(
    host: DataView,
    ours: DataView,
    fault: number,
    report: (name: string, theirs: number | bigint, mine: number | bigint) => void,
): void {
    let errorMask = 0xffff;
    if (fault === PAGE_FAULT) {
        const address = host.getBigUint64(ResultOffset.cr2, true);
        report('cr2', address, ours.getBigUint64(ResultOffset.cr2, true));
        if (address >> 63n) {
            // The kernel hides whether its own addresses are mapped.
            errorMask &= ~1;
        }
    }
    const error = (view: DataView): number => view.getUint32(ResultOffset.errorCode, true) & errorMask;
    report('error code', error(host), error(ours));
}

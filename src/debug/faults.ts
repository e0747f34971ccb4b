/** Exceptions in words (SDM Vol. 3, 6.15): what happened, where, and which table entry decided it. */
import type { Cpu } from '../machine/cpu/cpu';
import { hasErrorCode, Vector } from '../machine/cpu/fault';
import type { ShutdownReport } from '../machine/cpu/interrupts';
import { PageFaultCode } from '../machine/cpu/paging';
import { type MemoryView, translateAddress } from './memory-access';
import { describeTableEntry } from './table-entries';

/** Addresses up to so many bytes from 0 count as behind a null pointer. */
const NULL_REACH = 0x1000n;

/** An exception as the vCPU raises it. */
export interface RaisedFault {
    readonly vector: number;
    readonly errorCode: number;
    /** #PF: the linear address. */
    readonly address: bigint;
}

export interface FaultDescription {
    readonly vector: number;
    /** `#PF`. */
    readonly name: string;
    /** One line. */
    readonly text: string;
}

interface VectorName {
    readonly name: string;
    readonly title: string;
}

const VECTORS: Readonly<Record<number, VectorName>> = {
    [Vector.DE]: { name: '#DE', title: 'divide error' },
    [Vector.DB]: { name: '#DB', title: 'debug exception' },
    [Vector.BP]: { name: '#BP', title: 'breakpoint' },
    [Vector.OF]: { name: '#OF', title: 'overflow' },
    [Vector.BR]: { name: '#BR', title: 'bound range exceeded' },
    [Vector.UD]: { name: '#UD', title: 'invalid opcode' },
    [Vector.NM]: { name: '#NM', title: 'device not available' },
    [Vector.DF]: { name: '#DF', title: 'double fault' },
    [Vector.TS]: { name: '#TS', title: 'invalid TSS' },
    [Vector.NP]: { name: '#NP', title: 'segment not present' },
    [Vector.SS]: { name: '#SS', title: 'stack fault' },
    [Vector.GP]: { name: '#GP', title: 'general protection' },
    [Vector.PF]: { name: '#PF', title: 'page fault' },
    [Vector.MF]: { name: '#MF', title: 'x87 floating-point error' },
    [Vector.AC]: { name: '#AC', title: 'alignment check' },
    [Vector.MC]: { name: '#MC', title: 'machine check' },
    [Vector.XM]: { name: '#XM', title: 'SIMD floating-point exception' },
};

/**
 * Exceptions that instructions raise as faults, so that they can be stopped at: those of INT n, INT3 and INTO are
 * interrupts, and #DF arises while another is delivered.
 */
export const FAULT_VECTORS: readonly number[] = [
    ...[Vector.DE, Vector.DB, Vector.BR, Vector.UD, Vector.NM, Vector.TS, Vector.NP, Vector.SS, Vector.GP],
    ...[Vector.PF, Vector.MF, Vector.AC, Vector.XM],
];

export function vectorName(vector: number): string {
    return VECTORS[vector]?.name ?? `exception ${vector}`;
}

/** `#PF page fault`, `NMI`; undefined for vectors that the processor itself does not use. */
export function exceptionName(vector: number): string | undefined {
    if (vector === Vector.NMI) {
        return 'NMI';
    }
    return VECTORS[vector] === undefined ? undefined : `${vectorName(vector)} ${vectorTitle(vector)}`;
}

export function vectorTitle(vector: number): string {
    return VECTORS[vector]?.title ?? 'reserved';
}

/** The exception in one line, with its cause as far as the vCPU's state tells it. */
export function describeFault(cpu: Cpu, memory: MemoryView, fault: RaisedFault): FaultDescription {
    const { vector } = fault;
    const name = vectorName(vector);
    const cause = vector === Vector.PF ? describePageFault(cpu, fault) : describeErrorCode(cpu, memory, fault);
    return { vector, name, text: `${name} ${vectorTitle(vector)}${cause === '' ? '' : `: ${cause}`}` };
}

function describePageFault(cpu: Cpu, { errorCode, address }: RaisedFault): string {
    const access =
        errorCode & PageFaultCode.InstructionFetch
            ? 'fetching code from'
            : errorCode & PageFaultCode.Write
              ? 'writing'
              : 'reading';
    const who = errorCode & PageFaultCode.User ? 'user code' : 'supervisor code';
    const cause = pageFaultCause(cpu, errorCode, address);
    return `${who} ${access} 0x${address.toString(16)}: ${cause}${nullPointer(address)}`;
}

/** Accesses near 0, from either side, are members and elements of what a null pointer should have led to. */
function nullPointer(address: bigint): string {
    const offset = BigInt.asIntN(64, address);
    const distance = offset < 0n ? -offset : offset;
    if (distance >= NULL_REACH) {
        return '';
    }
    const sign = offset < 0n ? 'minus' : 'plus';
    return `; likely a null pointer${offset === 0n ? '' : ` ${sign} 0x${distance.toString(16)}`}`;
}

function pageFaultCause(cpu: Cpu, errorCode: number, address: bigint): string {
    const { walk, problem } = translateAddress(cpu, address);
    const mapping = walk?.mapping;
    if (mapping === undefined) {
        return problem ?? 'not mapped';
    }
    if (errorCode & PageFaultCode.InstructionFetch && !mapping.executable) return 'the page is not executable';
    if (errorCode & PageFaultCode.User && !mapping.user) return 'the page belongs to the supervisor';
    if (errorCode & PageFaultCode.Write && !mapping.writable) return 'the page is read-only';
    if (mapping.user && !(errorCode & PageFaultCode.User)) return 'the page belongs to user code (SMEP or SMAP)';
    return 'the page tables allow it by now';
}

/** Selector error codes (SDM Vol. 3, 6.13). */
function describeErrorCode(cpu: Cpu, memory: MemoryView, { vector, errorCode }: RaisedFault): string {
    if (!hasErrorCode(vector) || errorCode === 0) {
        return '';
    }
    const external = errorCode & 1 ? ', during the delivery of an event' : '';
    return `${describeTableEntry(cpu, memory, errorCode)}${external}`;
}

/** The exceptions that led to a triple fault, first to last, each with the entry that it needed. */
export function describeShutdown(cpu: Cpu, memory: MemoryView, report: ShutdownReport | undefined): string {
    const chain = (report?.chain ?? []).map(({ vector, errorCode = 0, address }) => {
        const where = address === undefined ? '' : ` at 0x${address.toString(16)}`;
        const selects = vector !== Vector.PF && errorCode !== 0;
        const entry = selects ? ` (${describeTableEntry(cpu, memory, errorCode)})` : '';
        return `${vectorName(vector)}${entry}${where}`;
    });
    return chain.length === 0 ? 'triple fault' : `triple fault: ${chain.join(', then ')}`;
}

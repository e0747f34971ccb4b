/** Machine events in words: what happened to what, in one line. */
import { knownMsrs } from '../../machine/cpu/msr';
import type { EventRecord } from '../../machine/observation/event';
import { MachineEventKind, operatingModeName } from '../../machine/observation/kinds';
import { registerName, x2apicRegister } from './device-registers';
import { OTHER_CAUSES } from '../../machine/observation/counters';
import { describeControlBits } from '../registers/control';
import { vectorName, vectorTitle } from '../faults';

const LABELS: Readonly<Record<MachineEventKind, string>> = {
    [MachineEventKind.PortIn]: 'I/O in',
    [MachineEventKind.PortOut]: 'I/O out',
    [MachineEventKind.MmioRead]: 'MMIO read',
    [MachineEventKind.MmioWrite]: 'MMIO write',
    [MachineEventKind.MsrRead]: 'MSR read',
    [MachineEventKind.MsrWrite]: 'MSR write',
    [MachineEventKind.CrWrite]: 'CR write',
    [MachineEventKind.Cpuid]: 'CPUID',
    [MachineEventKind.Hlt]: 'HLT',
    [MachineEventKind.Mwait]: 'MWAIT',
    [MachineEventKind.Exception]: 'exception',
    [MachineEventKind.SoftwareInterrupt]: 'software interrupt',
    [MachineEventKind.ExternalInterrupt]: 'interrupt',
    [MachineEventKind.Nmi]: 'NMI',
    [MachineEventKind.Ipi]: 'IPI',
    [MachineEventKind.ModeSwitch]: 'mode switch',
    [MachineEventKind.Reset]: 'reset',
    [MachineEventKind.TripleFault]: 'triple fault',
    [MachineEventKind.PowerOff]: 'power-off',
    [MachineEventKind.Debug]: 'debug exit',
    [MachineEventKind.InternalError]: 'internal error',
    [MachineEventKind.FailEntry]: 'failed entry',
    [MachineEventKind.Interrupted]: 'interrupted',
    [MachineEventKind.Other]: 'other exit',
};

/** Delivery modes of IPIs (SDM Vol. 3, 10.6.1). */
const IPI_MODES = ['fixed', 'lowest priority', 'SMI', 'reserved', 'NMI', 'INIT', 'start-up', 'ExtINT'];
/** Shorthands in an ICR. */
const IPI_SHORTHANDS = ['', 'self', 'all', 'all others'];

export function eventLabel(kind: MachineEventKind): string {
    return LABELS[kind];
}

/** Key of a cause, or of `span` causes in a row: stable, and what conditions and filters take. */
export function causeKey(kind: MachineEventKind, cause: number, span = 1): string {
    if (cause === OTHER_CAUSES) {
        return 'other';
    }
    switch (kind) {
        case MachineEventKind.Hlt:
        case MachineEventKind.Mwait:
        case MachineEventKind.Nmi:
        case MachineEventKind.Reset:
        case MachineEventKind.TripleFault:
        case MachineEventKind.PowerOff:
            return '';
        case MachineEventKind.CrWrite:
            return `cr${cause}`;
        default:
            return span === 1 ? hex(cause) : `${hex(cause)}-${hex(cause + span - 1)}`;
    }
}

/** The cause in words. */
export function causeText(kind: MachineEventKind, cause: number, device: string | undefined): string {
    if (cause === OTHER_CAUSES) {
        return 'all other causes';
    }
    switch (kind) {
        case MachineEventKind.PortIn:
        case MachineEventKind.PortOut:
            return `${hex(cause)} ${device ?? 'nothing'}`;
        case MachineEventKind.MmioRead:
        case MachineEventKind.MmioWrite:
            return [hex(cause), device ?? 'nothing', registerName(device, cause) ?? ''].join(' ').trimEnd();
        case MachineEventKind.MsrRead:
        case MachineEventKind.MsrWrite:
            return msrName(cause);
        case MachineEventKind.CrWrite:
            return `CR${cause}`;
        case MachineEventKind.Cpuid:
            return `leaf ${hex(cause)}`;
        case MachineEventKind.Exception:
            return `${vectorName(cause)} ${vectorTitle(cause)}`;
        case MachineEventKind.SoftwareInterrupt:
            return `INT ${hex(cause)}`;
        case MachineEventKind.ExternalInterrupt:
            return device === undefined ? `vector ${hex(cause)}` : `vector ${hex(cause)}, ${device}`;
        case MachineEventKind.Ipi:
            return `${IPI_MODES[(cause >> 8) & 7]}, vector ${hex(cause & 0xff)}`;
        case MachineEventKind.ModeSwitch:
            return modeSwitch(cause);
        case MachineEventKind.InternalError:
        case MachineEventKind.FailEntry:
        case MachineEventKind.Debug:
        case MachineEventKind.Interrupted:
        case MachineEventKind.Other:
            return hex(cause);
        default:
            return '';
    }
}

/**
 * One event in a line, without its kind: `0x3f8 ← 0x4c 'L'`.
 * @param device what answered
 */
export function eventText(event: EventRecord, device?: string): string {
    const { kind, cause, address } = event;
    const value = event.value ?? 0n;
    switch (kind) {
        case MachineEventKind.PortIn:
            return `${place(event)} → ${hex(value)}${character(event)}`;
        case MachineEventKind.PortOut:
            return `${place(event)} ← ${hex(value)}${character(event)}`;
        case MachineEventKind.MmioRead:
            return `${place(event)} → ${hex(value)}${register(event, device)}`;
        case MachineEventKind.MmioWrite:
            return `${place(event)} ← ${hex(value)}${register(event, device)}`;
        case MachineEventKind.MsrRead:
            return `${msrName(cause)} → ${hex(value)}`;
        case MachineEventKind.MsrWrite:
            return event.old === undefined
                ? `${msrName(cause)} ← ${hex(value)}`
                : `${msrName(cause)} ${hex(event.old)} → ${hex(value)}`;
        case MachineEventKind.CrWrite:
            return `CR${cause} ${hex(event.old ?? 0n)} → ${hex(value)}${changedBits(cause, event.old ?? 0n, value)}`;
        case MachineEventKind.Cpuid:
            return `leaf ${hex(cause)}, subleaf ${hex(address)}`;
        case MachineEventKind.Exception: {
            const code = event.value === undefined ? '' : ` error code ${hex(value)}`;
            const where = cause === 14 ? ` at ${hex(address)}` : '';
            return `${vectorName(cause)} ${vectorTitle(cause)}${code}${where}`;
        }
        case MachineEventKind.SoftwareInterrupt:
            return `INT ${hex(cause)}, EAX ${hex(BigInt.asUintN(32, value))}`;
        case MachineEventKind.Ipi: {
            const shorthand = IPI_SHORTHANDS[(Number(value) >>> 18) & 3];
            const target = shorthand === '' ? `APIC ${hex(address)}` : shorthand;
            return `${causeText(kind, cause, undefined)} to ${target}`;
        }
        default:
            return causeText(kind, cause, undefined);
    }
}

/** The kind as a stop names it: `CR3 write`. */
export function eventTitle({ kind, cause }: Pick<EventRecord, 'kind' | 'cause'>): string {
    switch (kind) {
        case MachineEventKind.CrWrite:
            return `CR${cause} write`;
        case MachineEventKind.Exception:
            return vectorName(cause);
        default:
            return LABELS[kind];
    }
}

/** What follows the title of a stop: the text, without what the title has said already. */
export function eventDetail(event: EventRecord, device: string | undefined): string {
    const text = eventText(event, device);
    return event.kind === MachineEventKind.CrWrite ? text.replace(/^CR\d+ /, '') : text;
}

function modeSwitch(cause: number): string {
    return `${operatingModeName(cause >> 8)} → ${operatingModeName(cause & 0xff)}`;
}

let msrNames: ReadonlyMap<number, string> | undefined;

const X2APIC_FIRST = 0x800;
const X2APIC_LAST = 0x8ff;

export function msrName(index: number): string {
    msrNames ??= knownMsrs();
    const name = msrNames.get(index);
    if (name === undefined && index >= X2APIC_FIRST && index <= X2APIC_LAST) {
        return `x2APIC ${x2apicRegister(index) ?? 'register'} (${hex(index)})`;
    }
    return name === undefined ? `MSR ${hex(index)}` : `${name} (${hex(index)})`;
}

function place({ kind, cause, size, address }: EventRecord): string {
    const at = kind >= MachineEventKind.MmioRead ? hex(address) : hex(cause);
    return size > 1 ? `${at}/${size * 8}` : at;
}

function register({ cause }: EventRecord, device: string | undefined): string {
    const name = registerName(device, cause);
    return name === undefined ? (device === undefined ? '' : ` (${device})`) : ` (${device} ${name})`;
}

/** A byte that goes to or comes from a console reads better as a character. */
function character({ kind, size, value }: EventRecord): string {
    const isText =
        kind <= MachineEventKind.PortOut && size === 1 && value !== undefined && value >= 0x20n && value < 0x7fn;
    return isText ? ` '${String.fromCharCode(Number(value))}'` : '';
}

/** ` (+PG -TS)`. */
function changedBits(register: number, old: bigint, value: bigint): string {
    const names = describeControlBits(register, old ^ value);
    if (names.length === 0) {
        return '';
    }
    const signed = names.map(([name, bit]) => `${(value >> BigInt(bit)) & 1n ? '+' : '-'}${name}`);
    return ` (${signed.join(' ')})`;
}

function hex(value: number | bigint): string {
    return `0x${value.toString(16)}`;
}

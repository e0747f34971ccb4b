/** What conditions on machine events can speak of: the fields of each kind, beside registers, memory and symbols. */
import { Vector } from '../../machine/cpu/fault';
import type { MachineEvent } from '../../machine/observation/event';
import { MachineEventKind, OperatingMode } from '../../machine/observation/kinds';
import type { EvaluationContext } from '../expression/context';
import { NamedValuesContext } from '../expression/named-values';

interface Field {
    readonly width: number;
    readonly read: (event: MachineEvent) => bigint;
}

type Fields = ReadonlyMap<string, Field>;

const cause: Field = { width: 64, read: event => BigInt(event.cause) };
const size: Field = { width: 8, read: event => BigInt(event.size) };
const value: Field = { width: 64, read: event => wide(event.valueLo, event.valueHi) };
const old: Field = { width: 64, read: event => wide(event.oldLo, event.oldHi) };
const address: Field = { width: 64, read: event => wide(event.addressLo, event.addressHi) };
const vcpu: Field = { width: 8, read: event => BigInt(event.vcpu) };

function constant(number: number): Field {
    return { width: 8, read: () => BigInt(number) };
}

function fields(named: Readonly<Record<string, Field>>): Fields {
    return new Map(Object.entries({ ...named, vcpu }));
}

function wide(lo: number, hi: number): bigint {
    return (BigInt(hi) << 32n) | BigInt(lo);
}

const port = fields({ port: cause, size, value });
const mmio = fields({ address: cause, size, value });
const none = fields({});

const FIELDS: Readonly<Partial<Record<MachineEventKind, Fields>>> = {
    [MachineEventKind.PortIn]: port,
    [MachineEventKind.PortOut]: port,
    [MachineEventKind.MmioRead]: mmio,
    [MachineEventKind.MmioWrite]: mmio,
    [MachineEventKind.MsrRead]: fields({ msr: cause, value }),
    [MachineEventKind.MsrWrite]: fields({ msr: cause, value, old }),
    [MachineEventKind.CrWrite]: fields({ cr: cause, value, old }),
    [MachineEventKind.Cpuid]: fields({ leaf: cause, subleaf: address }),
    [MachineEventKind.Exception]: fields({ vector: cause, error: value, address }),
    [MachineEventKind.SoftwareInterrupt]: fields({ vector: cause, value }),
    [MachineEventKind.ExternalInterrupt]: fields({ vector: cause }),
    [MachineEventKind.Ipi]: fields({
        vector: { width: 8, read: event => BigInt(event.cause & 0xff) },
        mode: { width: 8, read: event => BigInt(event.cause >> 8) },
        destination: address,
        value,
    }),
    [MachineEventKind.ModeSwitch]: fields({
        from: { width: 8, read: event => BigInt((event.cause >> 8) & 7) },
        to: { width: 8, read: event => BigInt(event.cause & 7) },
        paging: { width: 8, read: event => (event.cause & OperatingMode.Paging ? 1n : 0n) },
        waspaging: { width: 8, read: event => ((event.cause >> 8) & OperatingMode.Paging ? 1n : 0n) },
        real: constant(OperatingMode.Real),
        v8086: constant(OperatingMode.Virtual8086),
        protected: constant(OperatingMode.Protected),
        compatibility: constant(OperatingMode.Compatibility),
        long: constant(OperatingMode.Long),
    }),
};

function fieldsOf(kind: MachineEventKind): Fields {
    return FIELDS[kind] ?? none;
}

/** Names that a condition on this kind of event may use. */
export function fieldNames(kind: MachineEventKind): string[] {
    return [...fieldsOf(kind).keys()];
}

/** Whether the kind has such a field. */
export function hasField(kind: MachineEventKind, name: string): boolean {
    return fieldsOf(kind).has(name);
}

/** The field that a list of numbers and ranges is about; undefined where there is none. */
export function listedField(kind: MachineEventKind, oneCause: number | undefined): string | undefined {
    switch (kind) {
        case MachineEventKind.PortIn:
        case MachineEventKind.PortOut:
            return 'port';
        case MachineEventKind.MmioRead:
        case MachineEventKind.MmioWrite:
            return 'address';
        case MachineEventKind.MsrRead:
        case MachineEventKind.MsrWrite:
            return 'msr';
        case MachineEventKind.CrWrite:
            return 'value';
        case MachineEventKind.Cpuid:
            return 'leaf';
        case MachineEventKind.Exception:
            return oneCause === undefined ? 'vector' : oneCause === (Vector.PF as number) ? 'address' : 'error';
        case MachineEventKind.SoftwareInterrupt:
        case MachineEventKind.ExternalInterrupt:
        case MachineEventKind.Ipi:
            return 'vector';
        default:
            return undefined;
    }
}

/** Value of a field; the kind has it. */
export function readField(event: MachineEvent, name: string): bigint {
    return fieldsOf(event.kind).get(name)!.read(event);
}

/** What a condition sees: the event's fields first, then what the vCPU has. */
export function eventContext(event: MachineEvent, below: EvaluationContext): EvaluationContext {
    const fields = fieldsOf(event.kind);
    return new NamedValuesContext(name => {
        const field = fields.get(name);
        return field && { value: field.read(event), width: field.width };
    }, below);
}

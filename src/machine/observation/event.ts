import { MachineEventKind } from './kinds';

/**
 * One event as observers see it. There is one instance per machine, filled anew each time: whoever wants to keep it
 * copies what it needs. 64-bit quantities are two unsigned halves.
 */
export class MachineEvent {
    kind: MachineEventKind = MachineEventKind.Other;
    vcpu = 0;
    /** What the kind counts by: port, physical address, MSR, vector… See {@link MachineEventKind}. */
    cause = 0;
    /** Bytes that were accessed, 0 where nothing was. */
    size = 0;
    /** What was read or written; an exception's error code; EAX at INT n; an IPI's command. */
    valueLo = 0;
    valueHi = 0;
    /** Whether there is a value: exceptions may have no error code. */
    hasValue = false;
    /** What a control register or MSR held before. */
    oldLo = 0;
    oldHi = 0;
    hasOld = false;
    /** #PF: linear address. IPI: destination. CPUID: subleaf. Exits of hardware: whatever belongs to them. */
    addressLo = 0;
    addressHi = 0;
    /** The event can be prevented: a handler that asks for a stop gets it before anything has happened. */
    preventable = false;
    /** Linear address of the instruction that the event belongs to. */
    ripLo = 0;
    ripHi = 0;
    /** Number of the event since the machine was switched on. */
    sequence = 0;
    /** Virtual time (ns). */
    time = 0;
    /** Instructions retired by all vCPUs. */
    instructions = 0;
    /** What answered or asked: a device, an interrupt's source. */
    device: string | undefined;
}

/** Bits of {@link RecordField.flags}. */
const enum RecordFlag {
    HasValue = 1,
    HasOld = 2,
}

/** Fields of a kept event, one number each. */
const enum RecordField {
    sequence,
    time,
    instructions,
    kind,
    vcpu,
    cause,
    size,
    flags,
    valueLo,
    valueHi,
    oldLo,
    oldHi,
    addressLo,
    addressHi,
    ripLo,
    ripHi,
    /** Host nanoseconds, -1 if they were not measured. */
    hostTime,
    /** Index of the row that counts the event. */
    row,
}

const FIELDS = 18;

/** An event that was kept. */
export interface EventRecord {
    readonly sequence: number;
    /** Virtual time (ns). */
    readonly time: number;
    /** Instructions retired by all vCPUs. */
    readonly instructions: number;
    readonly kind: MachineEventKind;
    readonly vcpu: number;
    readonly cause: number;
    readonly size: number;
    readonly value: bigint | undefined;
    readonly old: bigint | undefined;
    readonly address: bigint;
    /** Linear address of the instruction. */
    readonly rip: bigint;
    /** Host nanoseconds. */
    readonly hostTime: number | undefined;
    /** Index of the row that counts it. */
    readonly row: number;
}

/** Events in a fixed number of slots, as plain numbers: keeping one allocates nothing. */
export class EventSlots {
    private readonly fields: Float64Array;

    constructor(readonly capacity: number) {
        this.fields = new Float64Array(capacity * FIELDS);
    }

    write(slot: number, event: MachineEvent, row: number): void {
        const { fields } = this;
        const at = slot * FIELDS;
        fields[at + RecordField.sequence] = event.sequence;
        fields[at + RecordField.time] = event.time;
        fields[at + RecordField.instructions] = event.instructions;
        fields[at + RecordField.kind] = event.kind;
        fields[at + RecordField.vcpu] = event.vcpu;
        fields[at + RecordField.cause] = event.cause;
        fields[at + RecordField.size] = event.size;
        fields[at + RecordField.flags] =
            (event.hasValue ? RecordFlag.HasValue : 0) | (event.hasOld ? RecordFlag.HasOld : 0);
        fields[at + RecordField.valueLo] = event.valueLo;
        fields[at + RecordField.valueHi] = event.valueHi;
        fields[at + RecordField.oldLo] = event.oldLo;
        fields[at + RecordField.oldHi] = event.oldHi;
        fields[at + RecordField.addressLo] = event.addressLo;
        fields[at + RecordField.addressHi] = event.addressHi;
        fields[at + RecordField.ripLo] = event.ripLo;
        fields[at + RecordField.ripHi] = event.ripHi;
        fields[at + RecordField.hostTime] = -1;
        fields[at + RecordField.row] = row;
    }

    setHostTime(slot: number, nanoseconds: number): void {
        this.fields[slot * FIELDS + RecordField.hostTime] = nanoseconds;
    }

    kind(slot: number): MachineEventKind {
        return this.fields[slot * FIELDS + RecordField.kind];
    }

    vcpu(slot: number): number {
        return this.fields[slot * FIELDS + RecordField.vcpu];
    }

    time(slot: number): number {
        return this.fields[slot * FIELDS + RecordField.time];
    }

    row(slot: number): number {
        return this.fields[slot * FIELDS + RecordField.row];
    }

    read(slot: number): EventRecord {
        const { fields } = this;
        const at = slot * FIELDS;
        const flags = fields[at + RecordField.flags];
        const hostTime = fields[at + RecordField.hostTime];
        const wide = (field: RecordField): bigint => wideNumber(fields[at + field], fields[at + field + 1]);
        return {
            sequence: fields[at + RecordField.sequence],
            time: fields[at + RecordField.time],
            instructions: fields[at + RecordField.instructions],
            kind: fields[at + RecordField.kind],
            vcpu: fields[at + RecordField.vcpu],
            cause: fields[at + RecordField.cause],
            size: fields[at + RecordField.size],
            value: flags & RecordFlag.HasValue ? wide(RecordField.valueLo) : undefined,
            old: flags & RecordFlag.HasOld ? wide(RecordField.oldLo) : undefined,
            address: wide(RecordField.addressLo),
            rip: wide(RecordField.ripLo),
            hostTime: hostTime < 0 ? undefined : hostTime,
            row: fields[at + RecordField.row],
        };
    }
}

/** The event as it is now, for those who keep a few of them. */
export function recordOf(event: MachineEvent, row = -1): EventRecord {
    const slots = new EventSlots(1);
    slots.write(0, event, row);
    return slots.read(0);
}

function wideNumber(lo: number, hi: number): bigint {
    return (BigInt(hi >>> 0) << 32n) | BigInt(lo >>> 0);
}

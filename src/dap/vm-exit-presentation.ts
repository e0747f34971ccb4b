/** Exits as the messages of the "VM exits" view have them. */
import type { ExitRecord, ExitRow } from '../debug/events/event-log';
import type { VmExitRecord, VmExitRow } from '../messages/vm-exits';
import { hex } from './presentation';

export function presentRecord(record: ExitRecord): VmExitRecord {
    const { value, old, address, size } = record;
    return {
        ...record,
        rip: hex(record.rip),
        size: size === 0 ? undefined : size,
        value: value === undefined ? undefined : hex(value),
        old: old === undefined ? undefined : hex(old),
        address: address === undefined ? undefined : hex(address),
    };
}

export function presentRow(row: ExitRow, breaks: boolean): VmExitRow {
    return { ...row, breaks, last: presentRecord(row.last) };
}

import { SnapshotError } from '../common/errors';
import { type StateRecord, type StateValue } from './device';

/**
 * Reads a saved record field by field and refuses what saving never produces: snapshots are files that people move
 * about. All methods throw a `SnapshotError` that names the record and the field.
 */
export class StateReader {
    /** @throws SnapshotError when the record is of another kind or version. */
    constructor(
        private readonly record: StateRecord,
        kind: string,
        version: number,
    ) {
        if (record.kind !== kind) {
            throw new SnapshotError(`snapshot holds a record of '${record.kind}' where '${kind}' is expected`);
        }
        if (record.version !== version) {
            throw new SnapshotError(
                `snapshot record '${kind}' has version ${record.version}; this build restores version ${version}`,
            );
        }
    }

    /** An integer in [minimum, maximum]. */
    integer(field: string, minimum: number, maximum: number): number {
        const value = this.typed<number>(field, 'number');
        if (!Number.isInteger(value) || value < minimum || value > maximum) {
            throw this.bad(field, `${value} is not within ${minimum}..${maximum}`);
        }
        return value;
    }

    /** An unsigned integer no greater than `maximum`. */
    unsigned(field: string, maximum: number): number {
        return this.integer(field, 0, maximum);
    }

    /** An unsigned 8-bit register. */
    u8(field: string): number {
        return this.integer(field, 0, 0xff);
    }

    /** An unsigned 16-bit register. */
    u16(field: string): number {
        return this.integer(field, 0, 0xffff);
    }

    /** An unsigned 32-bit register. */
    u32(field: string): number {
        return this.integer(field, 0, 0xffff_ffff);
    }

    /** A virtual time (ns) or a count that no run outlives. */
    count(field: string): number {
        return this.integer(field, 0, Number.MAX_SAFE_INTEGER);
    }

    boolean(field: string): boolean {
        return this.typed(field, 'boolean');
    }

    string(field: string): string {
        return this.typed(field, 'string');
    }

    bigint(field: string): bigint {
        return this.typed(field, 'bigint');
    }

    /** A byte array of exactly `length` bytes (any length where it is left out). */
    bytes(field: string, length?: number): Uint8Array {
        const value = this.value(field);
        if (!(value instanceof Uint8Array) || (length !== undefined && value.length !== length)) {
            throw this.bad(field, length === undefined ? 'expected bytes' : `expected ${length} bytes`);
        }
        return value;
    }

    /** A list of exactly `length` unsigned 32-bit numbers. */
    words(field: string, length: number): readonly number[] {
        const value = this.list(field, length);
        if (!value.every(word => typeof word === 'number' && word >>> 0 === word)) {
            throw this.bad(field, 'expected unsigned 32-bit numbers');
        }
        return value as readonly number[];
    }

    /** A list of values, of exactly `length` where given. */
    list(field: string, length?: number): readonly StateValue[] {
        const value = this.value(field);
        if (!Array.isArray(value) || (length !== undefined && value.length !== length)) {
            throw this.bad(field, length === undefined ? 'expected a list' : `expected a list of ${length}`);
        }
        return value as readonly StateValue[];
    }

    /** Repeated parts, such as the channels of a timer: a list of plain objects, each opened with a reader. */
    parts(field: string, length?: number): StateReader[] {
        return this.list(field, length).map(item => {
            if (typeof item !== 'object' || item === null || Array.isArray(item) || item instanceof Uint8Array) {
                throw this.bad(field, 'expected a list of objects');
            }
            const { kind, version } = this.record;
            return new StateReader({ kind, version, fields: item as StateRecord['fields'] }, kind, version);
        });
    }

    /** The error for a field that cannot be used, for checks that this class has no method for. */
    bad(field: string, why: string): SnapshotError {
        return new SnapshotError(`snapshot record '${this.record.kind}': field '${field}': ${why}`);
    }

    private value(field: string): StateValue {
        if (!Object.hasOwn(this.record.fields, field)) {
            throw this.bad(field, 'missing');
        }
        return this.record.fields[field];
    }

    private typed<T extends StateValue>(field: string, type: string): T {
        const value = this.value(field);
        if (typeof value !== type) {
            throw this.bad(field, `expected a ${type}, found ${value === null ? 'null' : typeof value}`);
        }
        return value as T;
    }
}

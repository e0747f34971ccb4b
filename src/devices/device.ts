/**
 * What every device model is made of. A device knows neither its address nor the machine: the board gives it
 * interrupt lines, a clock, DMA and backends, and maps its register regions where they belong.
 */

/** A range of registers behind port I/O or MMIO. Offsets are relative to the region's start. */
export interface IoRegion {
    /**
     * Reads `size` bytes (1, 2 or 4; the bus splits 8-byte MMIO accesses) at `offset`.
     * Returns an unsigned value below 2^(8·size). Undecoded registers read as the hardware does (mostly all ones).
     */
    read(offset: number, size: number): number;
    /** Writes the low `size` bytes (1, 2 or 4) of `value` (unsigned) at `offset`. */
    write(offset: number, size: number, value: number): void;
    /** The registers are in the processor: unlike others, an access takes no time to speak of. */
    readonly inProcessor?: boolean;
}

/** An interrupt wire. Level semantics: the receiver sees edges by itself. */
export interface InterruptLine {
    set(asserted: boolean): void;
}

/** A one-shot alarm on the virtual clock. Arming an armed alarm moves it. */
export interface Alarm {
    /** Fires at virtual time `deadline` (ns); in the past means as soon as the guest's current instruction ends. */
    arm(deadline: number): void;
    disarm(): void;
}

/** Virtual time. In the deterministic mode it is driven by instructions retired. */
export interface Clock {
    /** Virtual nanoseconds since power-on: an integer below 2^53. */
    now(): number;
    /** Creates a named alarm; the name makes the event log and snapshots readable. */
    alarm(name: string, fire: () => void): Alarm;
}

/** Access to guest physical memory for bus-mastering devices. Accesses outside RAM read ones and are dropped on write. */
export interface Dma {
    /** Copies guest physical memory at `address` into `target`. */
    read(address: number, target: Uint8Array): void;
    /** Copies `source` to guest physical memory at `address`; translated code there is invalidated. */
    write(address: number, source: Uint8Array): void;
    /** Whether memory answers at all of these addresses. */
    reaches(address: number, size: number): boolean;
}

/**
 * A named, versioned record of a device's state: plain JSON-able data, byte arrays as Uint8Array.
 * Field names are the datasheet's; restoring must accept exactly what saving gave and refuse other versions by throwing
 * a `SnapshotError`.
 */
export type StateValue =
    | number
    | boolean
    | string
    | bigint
    | null
    | Uint8Array
    | readonly StateValue[]
    | { readonly [field: string]: StateValue };
export interface StateRecord {
    readonly kind: string;
    readonly version: number;
    readonly fields: { readonly [field: string]: StateValue };
}

/** A device with state: reset as by the RESET# pin, saved to and rebuilt from a record. */
export interface Device {
    /** Stable name within the board, e.g. `serial0`, `ioapic`. */
    readonly name: string;
    reset(): void;
    save(): StateRecord;
    restore(record: StateRecord): void;
    /** Registers for the Devices view: names, values and decoded meaning. Must have no side effects. */
    inspect(): DeviceRegister[];
}

/** One line of a device's inspection. */
export interface DeviceRegister {
    readonly name: string;
    readonly value: number | bigint | string;
    /** Width in bits, for formatting. */
    readonly width?: number;
    /** What the value means, e.g. `edge, fixed, vector 0x30 → APIC 0, masked`. */
    readonly description?: string;
}

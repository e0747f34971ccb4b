/**
 * MSI-X capability: a table of messages and an array of pending bits in memory.
 *
 * PCI Local Bus Specification, revision 3.0, section 6.8.2.
 */
import type { IoRegion } from '../device';
import type { StateReader } from '../state-reader';
import { getLittleEndian, PciCapability, setLittleEndian, type ConfigurationSpace } from './configuration-space';

export interface MsixOptions {
    /** 1 to 2048. */
    readonly vectors: number;
    /** The BAR that shows `region` at offset 0. */
    readonly bar: number;
    /** Takes a message; checks bus mastering by itself. */
    readonly send: (address: number, data: number) => void;
}

const Control = { functionMask: 0x4000, enable: 0x8000 } as const;
const length = 12;
const entrySize = 16;
/** Offset of the vector control double word within an entry; its bit 0 masks. */
const vectorControl = 12;

export class MsixCapability {
    readonly offset: number;
    readonly vectors: number;
    /** Table, then pending bits. */
    readonly region: IoRegion;
    /** Bytes that `region` needs: a power of two, for the BAR. */
    readonly regionSize: number;
    private readonly configuration: ConfigurationSpace;
    private readonly send: (address: number, data: number) => void;
    private readonly table: Uint8Array;
    private readonly pending: Uint8Array;
    private readonly pendingOffset: number;
    /** So that writes which change nothing about delivery cost nothing. */
    private anyPending = false;

    constructor(configuration: ConfigurationSpace, options: MsixOptions) {
        this.configuration = configuration;
        this.send = options.send;
        this.vectors = options.vectors;
        this.table = new Uint8Array(options.vectors * entrySize);
        this.pending = new Uint8Array(Math.ceil(options.vectors / 64) * 8);
        // Half of the region each, so that guests may map them with different rights from 64 KiB on.
        this.pendingOffset = Math.max(2048, 2 ** Math.ceil(Math.log2(this.table.length)));
        this.regionSize = 2 * this.pendingOffset;
        this.offset = configuration.addCapability(PciCapability.msix, length);
        configuration.set(this.offset + 2, 2, options.vectors - 1);
        configuration.set(this.offset + 4, 4, options.bar);
        configuration.set(this.offset + 8, 4, this.pendingOffset | options.bar);
        configuration.allow(this.offset + 2, 2, Control.enable | Control.functionMask);
        configuration.freeze();
        this.region = {
            read: (offset, size) => this.read(offset, size),
            write: (offset, size, value) => this.write(offset, size, value),
        };
        this.reset();
    }

    get enabled(): boolean {
        return (this.configuration.get(this.offset + 2, 2) & Control.enable) !== 0;
    }

    /** Sends a vector's message, or remembers it while masked. Vectors that do not exist are ignored. */
    signal(vector: number): void {
        if (!this.enabled || vector >= this.vectors) {
            return;
        }
        if (this.masked(vector)) {
            this.pending[vector >>> 3] |= 1 << (vector & 7);
            this.anyPending = true;
            return;
        }
        const entry = vector * entrySize;
        const low = getLittleEndian(this.table, entry, 4);
        const high = getLittleEndian(this.table, entry + 4, 4);
        this.send(high * 2 ** 32 + low - (low & 3), getLittleEndian(this.table, entry + 8, 4));
    }

    /** To be called after configuration writes: sends what has been unmasked. */
    configurationWritten(): void {
        this.sendUnmasked();
    }

    /** Every vector is masked after reset. */
    reset(): void {
        this.table.fill(0);
        this.pending.fill(0);
        this.anyPending = false;
        for (let entry = 0; entry < this.table.length; entry += entrySize) {
            this.table[entry + vectorControl] = 1;
        }
    }

    private masked(vector: number): boolean {
        const functionMask = (this.configuration.get(this.offset + 2, 2) & Control.functionMask) !== 0;
        return functionMask || (this.table[vector * entrySize + vectorControl] & 1) !== 0;
    }

    private sendUnmasked(): void {
        if (!this.anyPending || !this.enabled) {
            return;
        }
        this.anyPending = false;
        for (let vector = 0; vector < this.vectors; vector++) {
            const bit = 1 << (vector & 7);
            if (this.pending[vector >>> 3] & bit) {
                if (this.masked(vector)) {
                    this.anyPending = true;
                } else {
                    this.pending[vector >>> 3] &= ~bit;
                    this.signal(vector);
                }
            }
        }
    }

    private read(offset: number, size: number): number {
        if (offset < this.pendingOffset) {
            return offset < this.table.length ? getLittleEndian(this.table, offset, size) : 0;
        }
        const at = offset - this.pendingOffset;
        return at < this.pending.length ? getLittleEndian(this.pending, at, size) : 0;
    }

    private write(offset: number, size: number, value: number): void {
        if (offset >= this.table.length) {
            return;
        }
        setLittleEndian(this.table, offset, size, value);
        const control = (offset & ~(entrySize - 1)) + vectorControl;
        // All of vector control but the mask bit is reserved.
        this.table[control] &= 1;
        this.table.fill(0, control + 1, control + 4);
        this.sendUnmasked();
    }

    /** The fields that this part adds to the function's record. */
    save(): { msixTable: Uint8Array; msixPending: Uint8Array } {
        return { msixTable: this.table.slice(), msixPending: this.pending.slice() };
    }

    restore(state: StateReader): void {
        const pending = state.bytes('msixPending', this.pending.length);
        this.table.set(state.bytes('msixTable', this.table.length));
        this.pending.set(pending);
        this.anyPending = pending.some(byte => byte !== 0);
    }
}

import type { DeviceRegister, Device, InterruptLine, IoRegion, StateRecord } from '../device';
import type { StateReader } from '../state-reader';
import {
    configurationSize,
    ConfigRegister,
    ConfigurationSpace,
    PciCommand,
    PciStatus,
    type PciIdentity,
} from './configuration-space';

export type PciAddressSpace = 'io' | 'memory';

/** The board's side of base address registers. */
export interface PciMapper {
    /**
     * Makes a region answer at `address`; returns what takes it away again. Must not throw, wherever a guest puts the
     * region: what wins where regions overlap is the board's decision.
     */
    map(space: PciAddressSpace, name: string, address: number, size: number, region: IoRegion): () => void;
}

/** Delivers message signalled interrupts: a 32-bit write to `address`. */
export interface MessageSink {
    send(address: number, data: number): void;
}

/** What the bus gives to a function that is plugged in. */
export interface PciSlot {
    readonly mapper: PciMapper;
    readonly messages: MessageSink;
    /** The wire that the function's interrupt pin leads to. */
    readonly intx: InterruptLine;
}

export interface BarOptions {
    /** 0 to 5; a 64-bit BAR takes the next one too. */
    readonly index: number;
    readonly space: PciAddressSpace;
    /** In bytes: a power of two, at least 4 for I/O and 16 for memory. */
    readonly size: number;
    readonly wide?: boolean;
    readonly prefetchable?: boolean;
    readonly region: IoRegion;
}

/** A base address register as it is now. */
export interface PciRange {
    readonly index: number;
    readonly space: PciAddressSpace;
    readonly wide: boolean;
    readonly prefetchable: boolean;
    readonly size: number;
    /** The register, and for a 64-bit one the next. */
    readonly value: number;
    readonly high: number;
    /** Where the function answers; undefined while decoding is off or the address unusable. */
    readonly mappedAt: number | undefined;
}

interface Bar extends BarOptions {
    readonly offset: number;
    /** Bits 0–3 as they always read. */
    readonly flags: number;
    readonly enabledBy: number;
    mappedAt: number;
    unmap: (() => void) | undefined;
}

const unmapped = -1;
const romIndex = 6;
/** Above it no processor has physical addresses, so that a BAR being sized is not mapped. */
const memoryLimit = 2 ** 52;

/**
 * A PCI function: configuration space, base address registers and the interrupt pin (PCI Local Bus Specification 3.0,
 * sections 6.2.5 and 2.2.6). Base class of every PCI device model.
 */
export abstract class PciFunction implements Device {
    readonly name: string;
    readonly configuration: ConfigurationSpace;
    private readonly bars: Bar[] = [];
    private slot: PciSlot | undefined;
    private intxAsserted = false;

    constructor(name: string, identity: PciIdentity) {
        this.name = name;
        this.configuration = new ConfigurationSpace(identity);
    }

    /** Called by the bus. */
    plug(slot: PciSlot): void {
        this.slot = slot;
        this.updateMappings();
    }

    /** 1 to 4 for INTA# to INTD#, 0 for none. */
    get interruptPin(): number {
        return this.configuration.get(ConfigRegister.interruptPin, 1);
    }

    /** Whether the guest lets the function access memory, message signalled interrupts included. */
    get busMaster(): boolean {
        return (this.configuration.bytes[ConfigRegister.command] & PciCommand.busMaster) !== 0;
    }

    /** Header type bit 7; the bus sets it in function 0 of a device that has more. */
    markMultifunction(): void {
        this.configuration.set(ConfigRegister.headerType, 1, 0x80);
        this.configuration.freeze();
    }

    /** A configuration read cycle: 1, 2 or 4 bytes within a double word. */
    readConfiguration(offset: number, size: number): number {
        return this.configuration.read(offset, size);
    }

    /** A configuration write cycle: 1, 2 or 4 bytes within a double word. */
    writeConfiguration(offset: number, size: number, value: number): void {
        this.configuration.write(offset, size, value);
        if (offset < ConfigRegister.deviceSpecific) {
            const command = offset < ConfigRegister.status && offset + size > ConfigRegister.command;
            if (command) {
                this.driveInterrupt();
            }
            if (command || offset + size > ConfigRegister.bar0) {
                this.updateMappings();
            }
        }
        this.configurationWritten(offset, size);
    }

    /** The base address registers (number 6 is the ROM's) and where they are decoded; for inspection. */
    get ranges(): readonly PciRange[] {
        return this.bars.map(bar => ({
            index: bar.index,
            space: bar.space,
            wide: bar.wide === true,
            prefetchable: bar.prefetchable === true,
            size: bar.size,
            value: this.configuration.get(bar.offset, 4),
            high: bar.wide === true ? this.configuration.get(bar.offset + 4, 4) : 0,
            mappedAt: bar.mappedAt === unmapped ? undefined : bar.mappedAt,
        }));
    }

    reset(): void {
        this.configuration.reset();
        this.updateMappings();
        this.setInterrupt(false);
    }

    abstract save(): StateRecord;
    abstract restore(record: StateRecord): void;
    abstract inspect(): DeviceRegister[];

    /** A hook for registers with effects: the guest has written `size` bytes at `offset`. */
    protected configurationWritten(_offset: number, _size: number): void {
        // Plain registers have none.
    }

    protected addBar(options: BarOptions): void {
        const io = options.space === 'io';
        const flags = io ? 1 : (options.wide ? 4 : 0) | (options.prefetchable ? 8 : 0);
        const offset = ConfigRegister.bar0 + 4 * options.index;
        this.configuration.set(offset, 4, flags);
        this.configuration.allow(offset, 4, (-options.size & (io ? 0xfffffffc : 0xfffffff0)) >>> 0);
        if (options.wide) {
            this.configuration.allow(offset + 4, 4, 0xffffffff);
        }
        this.configuration.freeze();
        const enabledBy = io ? PciCommand.io : PciCommand.memory;
        this.bars.push({ ...options, offset, flags, enabledBy, mappedAt: unmapped, unmap: undefined });
    }

    /** An expansion ROM of `size` bytes: a power of two, at least 2048. */
    protected addRom(size: number, region: IoRegion): void {
        this.configuration.allow(ConfigRegister.romBase, 4, ((-size & 0xfffff800) | 1) >>> 0);
        this.bars.push({
            index: romIndex,
            space: 'memory',
            size,
            region,
            offset: ConfigRegister.romBase,
            flags: 0,
            enabledBy: PciCommand.memory,
            mappedAt: unmapped,
            unmap: undefined,
        });
    }

    /** What is behind a BAR, mapped or not. */
    protected barOptions(index: number): BarOptions | undefined {
        return this.bars.find(candidate => candidate.index === index);
    }

    /** Drives the interrupt pin. */
    protected setInterrupt(asserted: boolean): void {
        this.intxAsserted = asserted;
        const status = this.configuration.get(ConfigRegister.status, 2) & ~PciStatus.interrupt;
        this.configuration.set(ConfigRegister.status, 2, status | (asserted ? PciStatus.interrupt : 0));
        this.driveInterrupt();
    }

    /** Sends a message signalled interrupt, if the guest lets the function master the bus. */
    protected sendMessage(address: number, data: number): void {
        if (this.busMaster) {
            this.slot?.messages.send(address, data);
        }
    }

    private driveInterrupt(): void {
        const disabled = (this.configuration.get(ConfigRegister.command, 2) & PciCommand.intxDisable) !== 0;
        this.slot?.intx.set(this.intxAsserted && !disabled);
    }

    private updateMappings(): void {
        if (this.slot === undefined) {
            return;
        }
        for (const bar of this.bars) {
            const address = this.decodedAddress(bar);
            if (address !== bar.mappedAt) {
                bar.unmap?.();
                bar.unmap = undefined;
                bar.mappedAt = address;
                if (address !== unmapped) {
                    const name = bar.index === romIndex ? `${this.name} ROM` : `${this.name} BAR ${bar.index}`;
                    bar.unmap = this.slot.mapper.map(bar.space, name, address, bar.size, bar.region);
                }
            }
        }
    }

    /** Address 0 and the top of the space are where a BAR is before and while software sizes it. */
    private decodedAddress(bar: Bar): number {
        const enabled = (this.configuration.bytes[ConfigRegister.command] & bar.enabledBy) !== 0;
        const low = this.configuration.get(bar.offset, 4);
        if (!enabled || (bar.index === romIndex && (low & 1) === 0)) {
            return unmapped;
        }
        const base = low - (low & (bar.space === 'io' ? 3 : bar.index === romIndex ? 0x7ff : 0xf));
        const address = bar.wide ? this.configuration.get(bar.offset + 4, 4) * 2 ** 32 + base : base;
        const limit = bar.space === 'io' ? 0x10000 : bar.wide ? memoryLimit : 2 ** 32;
        return address === 0 || address + bar.size >= limit ? unmapped : address;
    }

    /** The fields that this part adds to the function's record. */
    protected saveFunction(): { configuration: Uint8Array; intxAsserted: boolean } {
        return { configuration: this.configuration.bytes.slice(), intxAsserted: this.intxAsserted };
    }

    protected restoreFunction(state: StateReader): void {
        const bytes = state.bytes('configuration', configurationSize);
        const intxAsserted = state.boolean('intxAsserted');
        for (let offset = ConfigRegister.vendorId; offset < ConfigRegister.command; offset++) {
            if (bytes[offset] !== this.configuration.bytes[offset]) {
                throw state.bad('configuration', 'vendor and device are others than this function has');
            }
        }
        this.configuration.bytes.set(bytes);
        this.updateMappings();
        this.setInterrupt(intxAsserted);
    }

    /** Header registers for the Devices view. */
    protected inspectFunction(): DeviceRegister[] {
        const read = (offset: number, size: number) => this.configuration.get(offset, size);
        const command = read(ConfigRegister.command, 2);
        const enabled = Object.entries(PciCommand).filter(([, bit]) => command & bit);
        const registers: DeviceRegister[] = [
            { name: 'vendor', value: read(ConfigRegister.vendorId, 2), width: 16 },
            { name: 'device', value: read(ConfigRegister.deviceId, 2), width: 16 },
            { name: 'command', value: command, width: 16, description: enabled.map(([bit]) => bit).join(', ') },
            { name: 'status', value: read(ConfigRegister.status, 2), width: 16 },
            { name: 'interrupt line', value: read(ConfigRegister.interruptLine, 1), width: 8 },
        ];
        for (const bar of this.bars) {
            const state = bar.mappedAt === unmapped ? 'not decoded' : `at 0x${bar.mappedAt.toString(16)}`;
            registers.push({
                name: bar.index === romIndex ? 'ROM' : `BAR ${bar.index}`,
                value: read(bar.offset, 4),
                width: 32,
                description: `${bar.space}, ${bar.size} bytes, ${state}`,
            });
        }
        return registers;
    }
}

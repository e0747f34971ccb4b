/**
 * The Devices view.
 *
 * `hyperscope/devices` {@link DevicesArguments} → {@link DevicesBody}
 */
import type { Hex } from './common';

export type DevicesArguments = Readonly<Record<string, never>>;

export interface DevicesBody {
    readonly pci: readonly PciFunctionItem[];
    /** Physical addresses, ascending, with what answers there. */
    readonly memoryMap: readonly AddressMapItem[];
    /** I/O ports. */
    readonly portMap: readonly AddressMapItem[];
    readonly chips: readonly ChipItem[];
    /** Why there is nothing to be seen. */
    readonly problem?: string;
}

export interface AddressMapItem {
    readonly name: string;
    readonly first: Hex;
    /** Inclusive. */
    readonly last: Hex;
    readonly kind: 'ram' | 'rom' | 'device' | 'port';
}

/** A chip with its registers. */
export interface ChipItem {
    /** Unique: `serial0`, `lapic1`. */
    readonly name: string;
    /** `16550A UART`. */
    readonly title: string;
    readonly registers: readonly ChipRegister[];
}

export interface ChipRegister {
    readonly name: string;
    /** As it is to be shown. */
    readonly text: string;
    /** The bits; absent where the value is text. */
    readonly value?: Hex;
    readonly width?: number;
    readonly description?: string;
}

export interface PciFunctionItem {
    /** `00:01.3`. */
    readonly address: string;
    readonly bus: number;
    readonly device: number;
    readonly function: number;
    /** The name of its chip. */
    readonly chip: string;
    readonly vendorId: number;
    readonly deviceId: number;
    /** `Red Hat Virtio entropy source`, as far as known. */
    readonly title: string;
    readonly classCode: number;
    /** `host bridge`. */
    readonly className: string;
    readonly header: readonly ChipRegister[];
    readonly bars: readonly PciBarItem[];
    readonly capabilities: readonly PciCapabilityItem[];
    /** All 256 bytes, hexadecimal. */
    readonly configuration: string;
}

export interface PciBarItem {
    /** `BAR 0`, `ROM`. */
    readonly name: string;
    readonly space: 'io' | 'memory';
    readonly wide: boolean;
    readonly prefetchable: boolean;
    readonly address: Hex;
    readonly size: number;
    /** The function answers there now. */
    readonly mapped: boolean;
}

export interface PciCapabilityItem {
    readonly offset: number;
    readonly id: number;
    /** `MSI-X`. */
    readonly name: string;
    readonly fields: readonly ChipRegister[];
}

/** PCI functions with their configuration spaces decoded (PCI Local Bus Specification, 3.0, chapter 6; Virtio 1.2, 4.1.4). */
import type { PciFunction, PciRange } from '../../devices/pci/pci-function';
import { getLittleEndian } from '../../devices/pci/configuration-space';
import type { ChipRegister, PciBarItem, PciCapabilityItem, PciFunctionItem } from '../../messages/devices';
import { bitNames, hex, hexBytes } from '../hex';
import { capabilityName, className, deviceName } from './pci-names';

const COMMAND_BITS: ReadonlyArray<readonly [string, number]> = [
    ['I/O', 0],
    ['memory', 1],
    ['bus master', 2],
    ['special cycles', 3],
    ['write and invalidate', 4],
    ['VGA snoop', 5],
    ['parity', 6],
    ['SERR#', 8],
    ['fast back-to-back', 9],
    ['INTx off', 10],
];
const STATUS_BITS: ReadonlyArray<readonly [string, number]> = [
    ['interrupt', 3],
    ['capabilities', 4],
    ['66 MHz', 5],
    ['fast back-to-back', 7],
    ['master parity error', 8],
    ['signaled target abort', 11],
    ['received target abort', 12],
    ['received master abort', 13],
    ['signaled SERR#', 14],
    ['parity error', 15],
];

const ROM_INDEX = 6;
/** Capabilities that 192 bytes have room for: a list that is longer goes round in circles. */
const MOST_CAPABILITIES = 48;
const FIRST_CAPABILITY = 0x40;

function list(value: number, names: ReadonlyArray<readonly [string, number]>): string {
    return names
        .filter(([, bit]) => value & (1 << bit))
        .map(([name]) => name)
        .join(', ');
}

export function register(name: string, value: number | bigint, width: number, description?: string): ChipRegister {
    const digits = Math.ceil(width / 4);
    const text = width < 4 ? value.toString() : `0x${value.toString(16).padStart(digits, '0')}`;
    return { name, text, value: hex(value), width, description: description === '' ? undefined : description };
}

export function viewPciFunction(place: number, plugged: PciFunction): PciFunctionItem {
    const { bytes } = plugged.configuration;
    const read = (offset: number, size: number): number => getLittleEndian(bytes, offset, size);
    const [device, number] = [place >> 3, place & 7];
    const classCode = read(0x09, 3);
    const vendorId = read(0x00, 2);
    const deviceId = read(0x02, 2);
    const pin = read(0x3d, 1);
    return {
        address: `00:${device.toString(16).padStart(2, '0')}.${number}`,
        bus: 0,
        device,
        function: number,
        chip: plugged.name,
        vendorId,
        deviceId,
        title: deviceName(vendorId, deviceId),
        classCode,
        className: className(classCode),
        header: [
            register('vendor', vendorId, 16),
            register('device', deviceId, 16),
            register('command', read(0x04, 2), 16, list(read(0x04, 2), COMMAND_BITS)),
            register('status', read(0x06, 2), 16, list(read(0x06, 2), STATUS_BITS)),
            register('revision', read(0x08, 1), 8),
            register('class code', classCode, 24, className(classCode)),
            register('cache line size', read(0x0c, 1), 8),
            register('latency timer', read(0x0d, 1), 8),
            register('header type', read(0x0e, 1), 8, (read(0x0e, 1) & 0x80) !== 0 ? 'multi-function' : ''),
            register('subsystem vendor', read(0x2c, 2), 16),
            register('subsystem', read(0x2e, 2), 16),
            register('interrupt line', read(0x3c, 1), 8, pin === 0 ? '' : `IRQ ${read(0x3c, 1)}`),
            register('interrupt pin', pin, 8, pin >= 1 && pin <= 4 ? `INT${'ABCD'[pin - 1]}#` : 'none'),
        ],
        bars: plugged.ranges.map(viewBar),
        capabilities: viewCapabilities(bytes),
        configuration: hexBytes(bytes, ''),
    };
}

function viewBar(range: PciRange): PciBarItem {
    const { index, space, wide, prefetchable, size, value, high, mappedAt } = range;
    const flags = space === 'io' ? 3 : index === ROM_INDEX ? 0x7ff : 0xf;
    const address = (BigInt(high) << 32n) | BigInt((value & ~flags) >>> 0);
    return {
        name: index === ROM_INDEX ? 'ROM' : `BAR ${index}`,
        space,
        wide,
        prefetchable,
        address: hex(mappedAt === undefined ? address : BigInt(mappedAt)),
        size,
        mapped: mappedAt !== undefined,
    };
}

/** The capabilities list, however a device or a driver may have mangled it. */
export function viewCapabilities(bytes: Uint8Array): PciCapabilityItem[] {
    const read = (offset: number, size: number): number => getLittleEndian(bytes, offset, size);
    const found: PciCapabilityItem[] = [];
    if ((read(0x06, 2) & 0x10) === 0) {
        return found;
    }
    const seen = new Set<number>();
    for (let offset = read(0x34, 1) & 0xfc; offset >= FIRST_CAPABILITY && !seen.has(offset);) {
        if (found.length >= MOST_CAPABILITIES) break;
        seen.add(offset);
        const id = read(offset, 1);
        found.push({ offset, id, name: capabilityName(id), fields: capabilityFields(id, offset, read) });
        offset = read(offset + 1, 1) & 0xfc;
    }
    return found;
}

type Read = (offset: number, size: number) => number;

const VIRTIO_STRUCTURES = [
    '',
    'common configuration',
    'notifications',
    'ISR status',
    'device configuration',
    'PCI configuration access',
];

function capabilityFields(id: number, offset: number, read: Read): ChipRegister[] {
    switch (id) {
        case 0x01: {
            const control = read(offset + 4, 2);
            return [
                register('PMC', read(offset + 2, 2), 16, `version ${read(offset + 2, 2) & 7}`),
                register('PMCSR', control, 16, `D${control & 3}`),
            ];
        }
        case 0x05:
            return msiFields(offset, read);
        case 0x11: {
            const control = read(offset + 2, 2);
            const state = [
                (control & 0x8000) !== 0 ? 'enabled' : 'disabled',
                (control & 0x4000) !== 0 ? 'all masked' : '',
            ];
            const place = (value: number): string => `BAR ${value & 7} + 0x${((value & ~7) >>> 0).toString(16)}`;
            const [table, pending] = [read(offset + 4, 4), read(offset + 8, 4)];
            return [
                register(
                    'message control',
                    control,
                    16,
                    [`${(control & 0x7ff) + 1} vectors`, ...state].filter(Boolean).join(', '),
                ),
                register('table', table, 32, place(table)),
                register('pending bits', pending, 32, place(pending)),
            ];
        }
        case 0x09: {
            const length = read(offset + 2, 1);
            const type = read(offset + 3, 1);
            const fields = [register('length', length, 8)];
            if (length >= 16) {
                fields.push(
                    register('type', type, 8, VIRTIO_STRUCTURES[type] ?? ''),
                    register('bar', read(offset + 4, 1), 8),
                    register('offset', read(offset + 8, 4), 32),
                    register('size', read(offset + 12, 4), 32),
                );
            }
            return fields;
        }
        default:
            return [register('first word', read(offset + 2, 2), 16)];
    }
}

function msiFields(offset: number, read: Read): ChipRegister[] {
    const control = read(offset + 2, 2);
    const wide = (control & 0x80) !== 0;
    const state = (control & 1) !== 0 ? 'enabled' : 'disabled';
    const vectors = `${1 << ((control >> 4) & 7)} of ${1 << ((control >> 1) & 7)} vectors`;
    const address = BigInt(read(offset + 4, 4)) | (wide ? BigInt(read(offset + 8, 4)) << 32n : 0n);
    const data = read(offset + (wide ? 12 : 8), 2);
    return [
        register(
            'message control',
            control,
            16,
            [state, vectors, bitNames(control, [['64-bit', 7]])].filter(Boolean).join(', '),
        ),
        register('address', address, wide ? 64 : 32),
        register('data', data, 16, `vector 0x${(data & 0xff).toString(16)}`),
    ];
}

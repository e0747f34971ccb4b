/** The Devices view: PCI functions, what answers at which address and port, and every chip's registers. */
import type { AddressMapItem, ChipItem, ChipRegister, PciFunctionItem } from '../../messages/devices';
import { padAddress } from '../address-target';
import { ask } from '../client';
import { formatSize } from '../format';
import type { GuestSession, GuestSessions } from '../guest-sessions';
import { type Entry, GuestTree } from '../guest-tree';

export class DevicesView extends GuestTree {
    constructor(sessions: GuestSessions) {
        super('devices', sessions);
    }

    protected async entries(guest: GuestSession): Promise<readonly Entry[]> {
        const { pci, memoryMap, portMap, chips, problem } = await ask(guest, 'hyperscope/devices', {});
        return [
            ...(problem === undefined ? [] : [{ key: 'problem', label: problem, icon: 'info', unmarked: true }]),
            {
                key: 'chips',
                label: 'Chips',
                value: String(chips.length),
                icon: 'chip',
                expanded: true,
                unmarked: true,
                children: chips.map(chipEntry),
            },
            {
                key: 'pci',
                label: 'PCI',
                value: `${pci.length} functions`,
                icon: 'circuit-board',
                unmarked: true,
                children: pci.map(pciEntry),
            },
            mapEntry('memory', 'Memory map', memoryMap, 9),
            mapEntry('ports', 'I/O map', portMap, 4),
        ];
    }
}

function registerEntry({ name, text, value, width, description }: ChipRegister, index: number): Entry {
    return {
        key: `${name}.${index}`,
        label: name,
        value: description === undefined ? text : `${text}  ${description}`,
        tooltip: value === undefined ? undefined : `${name}: ${value}${width === undefined ? '' : `, ${width} bits`}`,
    };
}

function chipEntry({ name, title, registers }: ChipItem): Entry {
    return {
        key: name,
        label: name,
        value: title,
        icon: 'chip',
        unmarked: true,
        children: registers.map(registerEntry),
    };
}

function pciEntry(item: PciFunctionItem): Entry {
    const { address, vendorId, deviceId, title, className, header, bars, capabilities, configuration } = item;
    const id = [vendorId, deviceId].map(number => number.toString(16).padStart(4, '0')).join(':');
    return {
        key: address,
        label: address,
        value: `${title}  ${className}`,
        tooltip: `${address} ${id} ${title}\n${className}`,
        icon: 'plug',
        unmarked: true,
        children: [
            ...bars.map((bar): Entry => ({
                key: bar.name,
                label: bar.name,
                value:
                    `${bar.space === 'io' ? 'ports' : 'memory'} ${bar.address}, ${formatSize(BigInt(bar.size))}` +
                    `${bar.wide ? ', 64-bit' : ''}${bar.prefetchable ? ', prefetchable' : ''}${bar.mapped ? '' : ', not mapped'}`,
                target: bar.space === 'memory' && bar.mapped ? { space: 'physical', address: bar.address } : undefined,
            })),
            ...capabilities.map(({ offset, name, fields }): Entry => ({
                key: `capability${offset}`,
                label: name,
                value: `at 0x${offset.toString(16)}`,
                children: fields.map(registerEntry),
            })),
            { key: 'header', label: 'Header', unmarked: true, children: header.map(registerEntry) },
            {
                key: 'bytes',
                label: 'Configuration space',
                unmarked: true,
                children: (configuration.replace(/\s/g, '').match(/.{1,32}/g) ?? []).map((line, row) => ({
                    key: String(row),
                    label: `${(row * 16).toString(16).padStart(2, '0')}`,
                    value: (line.match(/../g) ?? []).join(' '),
                })),
            },
        ],
    };
}

function mapEntry(key: string, label: string, items: readonly AddressMapItem[], digits: number): Entry {
    return {
        key,
        label,
        icon: 'map',
        value: `${items.length} ranges`,
        unmarked: true,
        children: items.map(({ name, first, last, kind }) => ({
            key: `${first}.${name}`,
            label: `${padAddress(first, digits)}–${padAddress(last, digits)}`,
            value: `${name}${kind === 'device' || kind === 'port' ? '' : `  ${kind}`}`,
            target: kind === 'port' ? undefined : { space: 'physical', address: first },
        })),
    };
}

/** Network devices, as `ip address` tells them. */
import { hexBytes } from '../inspect/hex';
import { optional } from './errors';
import type { Structure } from './structure';
import { rowsOf, type TableReader, type TableRow } from './table';

const IFF_UP = 1;
/** RFC 2863, by number (`IF_OPER_…`). */
const OPERATION = ['unknown', 'not present', 'down', 'lower layer down', 'testing', 'dormant', 'up'];
const MOST_ADDRESSES = 64;

export const networkTable: TableReader = reader => {
    const namespace = reader.global('init_net', 'net');
    const { items, problem } = namespace.list('dev_base_head', 'net_device', 'dev_list');
    return { columns: ['Name', 'State', 'MTU', 'Address', 'IPv4', 'Operations'], ...rowsOf(items, deviceRow, problem) };
};

function deviceRow(device: Structure): TableRow {
    const up = (device.number('flags') & IFF_UP) !== 0 ? 'up' : 'down';
    const operation = OPERATION[optional(() => device.number('operstate')) ?? 0] ?? '?';
    const operations = optional(() => device.big('netdev_ops')) ?? 0n;
    return {
        cells: [
            device.string('name', 16),
            operation === up || operation === 'unknown' ? up : `${up}, ${operation}`,
            String(device.number('mtu')),
            optional(() => hardwareAddress(device)) ?? '',
            (optional(() => internetAddresses(device)) ?? []).join(' '),
            device.reader.kernel.symbol(operations) ?? '',
        ],
        address: device.address,
    };
}

function hardwareAddress(device: Structure): string {
    const { kind } = device.field('dev_addr').type;
    const at = kind === 'array' ? device.addressOf('dev_addr') : device.big('dev_addr');
    return hexBytes(device.reader.bytes(at, Math.min(device.number('addr_len'), 32)), ':');
}

function internetAddresses(device: Structure): string[] {
    const first = device.pointer('ip_ptr', 'in_device')?.big('ifa_list') ?? 0n;
    return device.reader.linked(first, 'in_ifaddr', 'ifa_next', MOST_ADDRESSES).items.map(address => {
        const bytes = device.reader.bytes(address.addressOf('ifa_local'), 4);
        return `${bytes.join('.')}/${address.number('ifa_prefixlen')}`;
    });
}

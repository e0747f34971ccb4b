/** The Descriptor tables view: GDT, LDT, IDT with the targets of its gates, and the task state segment. */
import type { DescriptorItem, DescriptorTable, TaskState } from '../../messages/descriptor-tables';
import { ask } from '../client';
import type { GuestSession, GuestSessions } from '../guest-sessions';
import { type Entry, GuestTree } from '../guest-tree';

export class DescriptorTablesView extends GuestTree {
    private mode = '';

    constructor(sessions: GuestSessions) {
        super('descriptorTables', sessions);
    }

    protected override describe(guest: GuestSession): string {
        return `vCPU ${guest.vcpu} · ${this.mode}`;
    }

    protected async entries(guest: GuestSession): Promise<readonly Entry[]> {
        const { vcpu } = guest;
        const brief = await ask(guest, 'hyperscope/descriptorTables', { vcpu, brief: true });
        const { gdt, ldt, idt, tss, mode } = brief;
        this.mode = mode;
        return [
            tableEntry(gdt),
            ...(ldt === undefined ? [] : [tableEntry(ldt)]),
            { ...tableEntry(idt), children: gates },
            tss === undefined
                ? { key: 'tss', label: 'TSS', value: 'TR holds none', icon: 'symbol-struct' }
                : taskEntry(tss),
        ];
    }
}

async function gates(guest: GuestSession): Promise<readonly Entry[]> {
    const { idt } = await ask(guest, 'hyperscope/descriptorTables', { vcpu: guest.vcpu });
    return idt.entries.map(descriptorEntry);
}

function tableEntry({ name, base, limit, entries, problem }: DescriptorTable): Entry {
    return {
        key: name,
        label: name,
        value: `${base}, limit 0x${limit.toString(16)}${problem === undefined ? '' : `  ${problem}`}`,
        icon: problem === undefined ? 'table' : 'warning',
        target: { space: 'linear', address: base },
        children: entries.map(descriptorEntry),
    };
}

function descriptorEntry(item: DescriptorItem): Entry {
    const { index, count, selector, text, name, segment, gate, usedBy, problem, address, bytes, present } = item;
    const span = count > 1 ? `…${index + count - 1}` : '';
    const label =
        selector === undefined ? `${index}${span}${name === undefined ? '' : ` ${name}`}` : `${selector}${span}`;
    const value = [
        gate === undefined ? text : `→ ${gate.symbol ?? `${gate.selector}:${gate.offset}`}  ${text}`,
        segment === undefined ? '' : `base ${segment.base} limit ${segment.limit} ${segment.bits}`,
        present || item.kind === 'null' ? '' : 'not present',
        usedBy === undefined || usedBy.length === 0 ? '' : `(${usedBy.join(', ')})`,
        problem ?? '',
    ]
        .filter(Boolean)
        .join('  ');
    return {
        key: String(index),
        label,
        value,
        icon: problem !== undefined ? 'warning' : usedBy?.length ? 'circle-filled' : 'blank',
        tooltip: `${label}: ${value}\nat ${address}: ${bytes}`,
        target:
            gate?.linear === undefined
                ? { space: 'linear', address }
                : { space: 'linear', address: gate.linear, symbol: gate.symbol },
    };
}

function taskEntry({ format, selector, base, limit, busy, fields, ioMap, problem }: TaskState): Entry {
    return {
        key: 'tss',
        label: 'TSS',
        value: `${selector} at ${base}, ${format}${busy ? ', busy' : ''}${problem === undefined ? '' : `  ${problem}`}`,
        icon: problem === undefined ? 'symbol-struct' : 'warning',
        tooltip: `limit 0x${limit.toString(16)}`,
        target: { space: 'linear', address: base },
        children: [
            ...fields.map(({ name, value, width, symbol, offset }): Entry => ({
                key: name,
                label: name,
                value: symbol === undefined ? value : `${value} <${symbol}>`,
                tooltip: `${name}: ${value}\n${width} bits at offset 0x${offset.toString(16)}`,
                target: width >= 32 ? { space: 'linear', address: value, symbol } : undefined,
            })),
            {
                key: 'ioMap',
                label: 'I/O permission map',
                value: ioMap.text,
                children: ioMap.allowed.map(({ first, last }): Entry => {
                    const range = `0x${first.toString(16)}–0x${last.toString(16)}`;
                    return { key: range, label: range };
                }),
            },
        ],
    };
}

/** The Page tables view: what is mapped, folded into ranges; every level of the tables; one address step by step. */
import * as vscode from 'vscode';
import type { PagePermissions } from '../../messages/common';
import type {
    PageFlags,
    PageRange,
    PageTableEntry,
    PageTableReference,
    PageWalkBody,
} from '../../messages/page-tables';
import { padAddress } from '../address-target';
import { ask } from '../client';
import type { GuestSession, GuestSessions } from '../guest-sessions';
import { type Entry, GuestTree } from '../guest-tree';
import { formatSize } from '../format';

/** Ranges asked for at a time. */
const RANGES = 4096;

export class PageTablesView extends GuestTree {
    /** Chosen by hand; undefined: those in use. */
    private cr3: string | undefined;
    private about = '';
    /** The address whose walk is shown at the top; undefined: where the vCPU is. */
    private walked: string | undefined;

    constructor(sessions: GuestSessions) {
        super('pageTables', sessions);
    }

    protected override describe(): string {
        return this.about;
    }

    protected async entries(guest: GuestSession): Promise<readonly Entry[]> {
        const { vcpu } = guest;
        const choice = { vcpu, cr3: this.cr3 };
        const [tables, walk] = await Promise.all([
            ask(guest, 'hyperscope/pageTables', { ...choice, limit: RANGES }),
            ask(guest, 'hyperscope/pageWalk', { ...choice, address: this.walked ?? 'rip' }).catch(() => undefined),
        ]);
        const { cr3, mode, ranges, note, problems, next } = tables;
        this.about =
            mode === 'none' ? 'paging is off' : `CR3 ${cr3} · ${mode}${note === undefined ? '' : ` · ${note}`}`;
        if (mode === 'none') {
            return [
                {
                    key: 'none',
                    label: 'Paging is off',
                    value: 'linear addresses are physical addresses',
                    icon: 'info',
                    unmarked: true,
                },
            ];
        }
        return [
            ...(walk === undefined ? [] : [walkEntry(walk, this.walked)]),
            {
                key: 'levels',
                label: 'Levels',
                value: `${mode}, top at ${cr3}`,
                icon: 'list-tree',
                unmarked: true,
                children: guest_ => this.levels(guest_, undefined),
            },
            {
                key: 'ranges',
                label: 'Mapped ranges',
                value: `${ranges.length}${next === undefined ? '' : ' and more'}`,
                icon: 'layers',
                unmarked: true,
                expanded: true,
                children: ranges.map(rangeEntry),
            },
            ...problems.slice(0, 100).map(({ linear, text }, index): Entry => ({
                key: `problem${index}`,
                label: padAddress(linear),
                value: text,
                icon: 'warning',
                unmarked: true,
            })),
        ];
    }

    private async levels(guest: GuestSession, table: PageTableReference | undefined): Promise<readonly Entry[]> {
        const { entries, problem } = await ask(guest, 'hyperscope/pageTableEntries', {
            vcpu: guest.vcpu,
            cr3: this.cr3,
            table,
        });
        const rows = entries.map(entry => this.levelEntry(entry));
        return problem === undefined
            ? rows
            : [{ key: 'problem', label: problem, icon: 'warning', unmarked: true }, ...rows];
    }

    private levelEntry(item: PageTableEntry): Entry {
        const { structure, index, count, entry, kind, first, last, bits, target, pageSize, table, problem } = item;
        const name = `${structure.toUpperCase()}[${index}${count > 1 ? `…${index + count - 1}` : ''}]`;
        const label = item.label === undefined ? '' : `  ${item.label}`;
        const value =
            kind === 'absent'
                ? 'not present'
                : [
                      target === undefined ? entry : `→ ${target}`,
                      pageSize === undefined ? '' : formatSize(BigInt(pageSize)),
                      kind === 'invalid' ? 'invalid' : bits,
                  ].join('  ') + label;
        return {
            key: String(index),
            label: name,
            value,
            icon: { table: 'list-tree', page: 'file', absent: 'circle-slash', invalid: 'warning' }[kind],
            tooltip:
                `${name} = ${entry} ${bits}\nlinear ${first} – ${last}` +
                (item.permissions === undefined ? '' : `\nallows ${permissionText(item.permissions)}`) +
                (problem === undefined ? '' : `\n${problem}`),
            target: kind === 'page' ? { space: 'linear', address: first } : undefined,
            context: [kind],
            children: table === undefined ? undefined : guest => this.levels(guest, table),
        };
    }

    /** Walks an address, step by step, at the top of the view. */
    walk(address: string): void {
        this.walked = address;
        this.refresh();
        void vscode.commands.executeCommand('hyperscope.pageTables.focus');
    }

    async chooseAddress(): Promise<void> {
        const address = await vscode.window.showInputBox({
            title: 'Walk the page tables',
            prompt: 'A linear address, or an expression: rsp, start_kernel, 0xffffffff81000000',
            value: this.walked ?? 'rip',
        });
        if (address !== undefined && address.trim() !== '') this.walk(address);
    }

    async chooseTables(): Promise<void> {
        const guest = this.sessions.live;
        if (guest === undefined) return;
        const { spaces } = await ask(guest, 'hyperscope/addressSpaces', { vcpu: guest.vcpu });
        const other: vscode.QuickPickItem = { label: 'Another CR3…', description: 'type its value' };
        const follow: vscode.QuickPickItem = { label: 'Those in use', description: 'follow CR3' };
        const chosen = await vscode.window.showQuickPick(
            [
                follow,
                ...spaces.map(({ cr3, label, mode, current }) => ({
                    label: cr3,
                    description: `${label} · ${mode}${current ? ' · in use' : ''}`,
                })),
                other,
            ],
            { title: 'Show the page tables of' },
        );
        if (chosen === undefined) return;
        this.cr3 =
            chosen === follow
                ? undefined
                : chosen === other
                  ? await vscode.window.showInputBox({ title: 'Value of CR3', prompt: 'such as 0x1a2b000' })
                  : chosen.label;
        this.refresh();
    }

    /** Shows these page tables, in the view itself. */
    async show(cr3: string | undefined): Promise<void> {
        if (cr3 === undefined) return;
        this.cr3 = cr3;
        await vscode.commands.executeCommand('hyperscope.pageTables.focus');
        this.refresh();
    }
}

/** `rwx user`, as the sketches of page tables have it. */
export function permissionText({ writable, user, executable }: PagePermissions): string {
    return `r${writable ? 'w' : '-'}${executable ? 'x' : '-'} ${user ? 'user' : 'kernel'}`;
}

function flagText({ accessed, dirty, global, pcd, pwt }: PageFlags): string {
    return `${accessed ? 'a' : '-'}${dirty ? 'd' : '-'}${global ? 'g' : '-'}${pcd ? ' uncached' : ''}${pwt ? ' write-through' : ''}`;
}

function rangeEntry(range: PageRange): Entry {
    const { first, last, bytes, physical, permissions, flags, label, pages } = range;
    const sizes = pages.map(({ size, count }) => `${count} × ${formatSize(BigInt(size))}`).join(', ');
    const words = [
        formatSize(BigInt(bytes)),
        permissionText(permissions),
        flagText(flags),
        range.recursive === true ? 'recursive' : '',
        label ?? '',
    ];
    return {
        key: first,
        label: padAddress(first),
        value: words.filter(Boolean).join('  '),
        icon: permissions.executable ? 'symbol-method' : permissions.user ? 'account' : 'symbol-field',
        tooltip: `${first} – ${last}\n${words.join('  ')}\n${sizes}\nphysical ${physical}`,
        target: { space: 'linear', address: first, symbol: label },
    };
}

function walkEntry(walk: PageWalkBody, asked: string | undefined): Entry {
    const { linear, summary, steps, mapping, fault, symbol, access, user } = walk;
    const children: Entry[] = steps.map(({ structure, index, entry, bits, target, address, problem }, number) => ({
        key: String(number),
        label: `${structure.toUpperCase()}[${index}]`,
        value: `${entry}  ${bits}${target === undefined ? '' : `  → ${target}`}${problem === undefined ? '' : `  ${problem}`}`,
        icon: problem === undefined ? 'arrow-small-right' : 'error',
        tooltip:
            address === undefined
                ? problem
                : `entry at physical ${address}${problem === undefined ? '' : `\n${problem}`}`,
        target: address === undefined ? undefined : { space: 'physical', address },
    }));
    if (mapping !== undefined) {
        const { physical, pageSize, permissions, flags, region } = mapping;
        children.push({
            key: 'mapping',
            label: `physical ${physical}`,
            value: `${formatSize(BigInt(pageSize))}  ${permissionText(permissions)}  ${flagText(flags)}${region === undefined ? '' : `  ${region}`}`,
            icon: 'check',
            target: { space: 'physical', address: physical },
        });
    }
    if (fault !== undefined) {
        children.push({
            key: 'fault',
            label: `${fault.name} ${fault.errorCodeBits}`,
            value: fault.reason,
            icon: 'error',
            tooltip: `${access} by ${user ? 'user' : 'supervisor'} code: ${fault.name}, error code 0x${fault.errorCode.toString(16)}\n${fault.reason}`,
        });
    }
    return {
        key: 'walk',
        label: `Walk ${asked ?? 'rip'}`,
        value: `${linear}${symbol === undefined ? '' : ` <${symbol}>`}: ${fault?.reason ?? summary}`,
        icon: 'type-hierarchy-sub',
        tooltip: summary,
        unmarked: true,
        context: ['walk'],
        target: { space: 'linear', address: linear, symbol },
        children,
    };
}

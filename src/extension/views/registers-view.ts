/** The Registers view: groups of registers with their parts, to be edited in place, in three bases. */
import * as vscode from 'vscode';
import type { NumberBase, LaneView, RegisterGroupItem, RegisterItem } from '../../messages/registers';
import { readReference } from '../address-target';
import { ask } from '../client';
import type { GuestSession, GuestSessions } from '../guest-sessions';
import { type Entry, GuestTree, type TreeNode } from '../guest-tree';

const BASES: readonly NumberBase[] = ['hex', 'decimal', 'binary'];
const LANES: readonly LaneView[] = ['u8', 'u16', 'u32', 'u64', 'i8', 'i16', 'i32', 'i64', 'f32', 'f64'];

const BASE_KEY = 'hyperscope.registers.base';
const LANES_KEY = 'hyperscope.registers.lanes';

const GROUP_ICONS: Readonly<Record<string, string>> = {
    General: 'symbol-number',
    Flags: 'symbol-boolean',
    Segments: 'symbol-ruler',
    Control: 'settings',
    Debug: 'debug',
    MSRs: 'symbol-property',
    x87: 'symbol-operator',
    SSE: 'symbol-array',
};

export class RegistersView extends GuestTree {
    constructor(
        sessions: GuestSessions,
        private readonly memory: vscode.Memento,
    ) {
        super('registers', sessions);
    }

    get base(): NumberBase {
        return this.memory.get<NumberBase>(BASE_KEY, 'hex');
    }

    private get lanes(): LaneView {
        return this.memory.get<LaneView>(LANES_KEY, 'u32');
    }

    async setBase(base: NumberBase): Promise<void> {
        await this.memory.update(BASE_KEY, base);
        this.refresh();
    }

    /** Hexadecimal, decimal, binary, and around. */
    nextBase(): Promise<void> {
        return this.setBase(BASES[(BASES.indexOf(this.base) + 1) % BASES.length]);
    }

    async chooseLanes(): Promise<void> {
        const chosen = await vscode.window.showQuickPick([...LANES], { title: 'Show vector registers as' });
        if (chosen === undefined) return;
        await this.memory.update(LANES_KEY, chosen);
        this.refresh();
    }

    protected override describe(guest: GuestSession): string {
        return `vCPU ${guest.vcpu}`;
    }

    protected async entries(guest: GuestSession): Promise<readonly Entry[]> {
        const { vcpu } = guest;
        const { groups } = await ask(guest, 'hyperscope/registers', { vcpu, base: this.base, lanes: this.lanes });
        return groups.map(group => groupEntry(group));
    }

    /** Asks for a new value of a register, and sets it. */
    async edit(node: TreeNode | undefined = this.treeView.selection[0]): Promise<void> {
        const guest = this.sessions.live;
        const register = node?.entry.data as RegisterItem | undefined;
        if (guest === undefined || register?.writable !== true) return;
        const { name } = register;
        const value = await vscode.window.showInputBox({
            title: `Set ${name}`,
            prompt: `${register.width} bits: a number or an expression, such as rsp + 8`,
            value: register.text.replace(/[_']/g, ''),
        });
        if (value === undefined) return;
        try {
            await ask(guest, 'hyperscope/setRegister', { vcpu: guest.vcpu, name, value, base: this.base });
            this.refresh();
        } catch (error) {
            void vscode.window.showErrorMessage(`${name}: ${(error as Error).message}`);
        }
    }
}

function groupEntry({ name, registers, problem }: RegisterGroupItem): Entry {
    const anyChanged = registers.some(({ changed }) => changed !== undefined);
    return {
        key: name,
        label: name,
        value: problem ?? summary(name, registers),
        icon: GROUP_ICONS[name] ?? 'symbol-number',
        expanded: name === 'General',
        unmarked: true,
        tooltip: anyChanged ? `${name}: some have changed since the stop before` : name,
        children: registers.map(registerEntry),
    };
}

/** What a group says while it is closed. */
function summary(name: string, registers: readonly RegisterItem[]): string | undefined {
    const find = (wanted: string): RegisterItem | undefined => registers.find(register => register.name === wanted);
    switch (name) {
        case 'Flags':
            return registers[0]?.description;
        case 'Segments':
            return find('cs')?.description;
        case 'Control':
            return find('cr0')?.description;
        default:
            return undefined;
    }
}

function registerEntry(register: RegisterItem): Entry {
    const { name, label, text, width, description, symbol, memoryReference, writable, changed, parts } = register;
    const said = [text, symbol && `<${symbol}>`, description].filter(Boolean).join('  ');
    const context = ['register', ...(writable ? ['writable'] : [])];
    return {
        key: label,
        label,
        value: said,
        old: changed?.text ?? said,
        tooltip: `${name}: ${said}\n${width} bit${width === 1 ? '' : 's'}${writable ? '' : ', read-only'}`,
        context,
        target: readReference(memoryReference, symbol),
        data: register,
        children: parts === undefined || parts.length === 0 ? undefined : parts.map(registerEntry),
    };
}

/** The Memory view's side of the extension: files, questions, and what its page may ask the adapter. */
import * as vscode from 'vscode';
import type { SaveMemoryArguments, SaveMemoryBody } from '../messages/memory';
import { ask } from './client';
import type { GuestSession, GuestSessions } from './guest-sessions';
import { WebviewPanel } from './webview-panel';

export interface MemoryPanel {
    readonly panel: WebviewPanel;
    askForAddress(): Promise<void>;
    save(): Promise<void>;
    load(): Promise<void>;
}

export function createMemoryPanel(extension: vscode.Uri, sessions: GuestSessions): MemoryPanel {
    const panel = new WebviewPanel(extension, sessions, {
        view: 'memory',
        title: 'Memory',
        page: 'memory',
        adapterRequests: [
            'hyperscope/memory',
            'hyperscope/searchMemory',
            'hyperscope/pageMappings',
            'writeMemory',
            'evaluate',
        ],
        methods: {
            debugSample: async () => vscode.commands.executeCommand('hyperscope.debugSample'),
            save: async args => save(args as Partial<SaveMemoryArguments>),
            load: async () => load(),
            copy: async text => vscode.env.clipboard.writeText(String(text)),
        },
    });

    async function askForAddress(): Promise<void> {
        const address = await vscode.window.showInputBox({
            title: 'Go to',
            prompt: 'An address or an expression: rsp, start_kernel, phys:0x1000, *(u64*)gs.base',
        });
        if (address === undefined || address.trim() === '') return;
        const physical = /^\s*phys:/.test(address);
        await panel.show({ event: 'goto', address: address.trim(), space: physical ? 'physical' : 'linear' });
    }

    async function save(range: Partial<SaveMemoryArguments> = {}): Promise<void> {
        const guest = sessions.live;
        if (guest === undefined) return;
        const address = range.address ?? (await question('Save memory from', 'rsp'));
        if (address === undefined) return;
        const size = await question(
            'How many bytes?',
            range.count === undefined ? '0x1000' : `0x${range.count.toString(16)}`,
        );
        if (size === undefined) return;
        const count = Number(size);
        if (!Number.isSafeInteger(count) || count <= 0) {
            void vscode.window.showErrorMessage(`${size} is no number of bytes`);
            return;
        }
        const file = await vscode.window.showSaveDialog({ title: 'Save guest memory', saveLabel: 'Save' });
        if (file === undefined) return;
        const { bytes, unreadable } = await withProgress('Saving guest memory', () =>
            ask(guest, 'hyperscope/saveMemory', {
                vcpu: guest.vcpu,
                address,
                count,
                space: range.space,
                file: file.fsPath,
            }),
        );
        void vscode.window.showInformationMessage(savedText(bytes, unreadable, file));
    }

    async function load(): Promise<void> {
        const guest: GuestSession | undefined = sessions.live;
        if (guest === undefined) return;
        const [file] = (await vscode.window.showOpenDialog({ title: 'Load into guest memory' })) ?? [];
        if (file === undefined) return;
        const address = await question('Load to', '0x100000');
        if (address === undefined) return;
        const { bytes } = await withProgress('Loading into guest memory', () =>
            ask(guest, 'hyperscope/loadMemory', { vcpu: guest.vcpu, address, file: file.fsPath }),
        );
        void vscode.window.showInformationMessage(`${bytes} bytes were loaded to ${address}.`);
        await panel.show({ event: 'goto', address, space: 'linear' });
    }

    return { panel, askForAddress, save: () => save(), load };
}

function savedText(bytes: SaveMemoryBody['bytes'], unreadable: number, file: vscode.Uri): string {
    const missing = unreadable === 0 ? '' : ` ${unreadable} of them could not be read and are zero.`;
    return `${bytes} bytes were saved to ${file.fsPath}.${missing}`;
}

function question(title: string, value: string): Thenable<string | undefined> {
    return vscode.window.showInputBox({ title, value });
}

function withProgress<Result>(title: string, work: () => Promise<Result>): Thenable<Result> {
    return vscode.window.withProgress({ location: vscode.ProgressLocation.Notification, title }, work);
}

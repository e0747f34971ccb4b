/** The VM exits view's side of the extension: recording to a file, and what its page may ask the adapter. */
import * as vscode from 'vscode';
import type { VmExitsRecording, VmExitsResponse } from '../messages/vm-exits';
import type { GuestSessions } from './guest-sessions';
import { openListing } from './listings';
import { WebviewPanel } from './webview-panel';

export interface VmExitsPanel {
    readonly panel: WebviewPanel;
    /** Starts recording to a file, or ends it. */
    record(): Promise<void>;
    clear(): Promise<void>;
}

export function createVmExitsPanel(extension: vscode.Uri, sessions: GuestSessions): VmExitsPanel {
    const panel = new WebviewPanel(extension, sessions, {
        view: 'vmExits',
        title: 'VM Exits',
        page: 'vm-exits',
        adapterRequests: ['hyperscope/vmExits', 'hyperscope/vmExitsWatch', 'hyperscope/breakOnExit'],
        methods: {
            debugSample: async () => vscode.commands.executeCommand('hyperscope.debugSample'),
            record: () => record(),
            copy: async text => vscode.env.clipboard.writeText(String(text)),
            disassemble: async address => {
                if (typeof address === 'string') await openListing(panel.guest(), { address });
            },
        },
    });

    async function record(): Promise<void> {
        const guest = panel.guest();
        const { recording } = await guest.request<VmExitsResponse>('hyperscope/vmExits');
        if (recording?.active === true) {
            const done = await guest.request<VmExitsRecording>('hyperscope/vmExitsRecord', { action: 'stop' });
            const open = 'Open';
            const choice = await vscode.window.showInformationMessage(
                `${done.records} VM exits were recorded to ${done.path}.`,
                open,
            );
            if (choice === open) await vscode.window.showTextDocument(vscode.Uri.file(done.path));
            return;
        }
        const file = await vscode.window.showSaveDialog({
            title: 'Record VM exits',
            saveLabel: 'Record',
            filters: { 'VM exits': ['vmexits', 'txt', 'log'], 'JSON, one exit a line': ['jsonl'] },
        });
        if (file === undefined) return;
        const format = file.path.endsWith('.jsonl') ? 'json' : 'text';
        await guest.request('hyperscope/vmExitsRecord', { action: 'start', path: file.fsPath, format });
    }

    async function clear(): Promise<void> {
        await panel.guest().request('hyperscope/vmExitsWatch', { watch: true, clear: true });
    }

    return { panel, record, clear };
}

/** The kernel that comes with the extension. */
import { existsSync } from 'node:fs';
import path from 'node:path';
import * as vscode from 'vscode';
import { DEBUG_TYPE } from './guest-sessions';

const FOLDER = ['media', 'sample-guest'];

/** Starts in real mode at the reset vector; its symbols and lines are in the ELF file. */
export function sampleConfiguration(extension: vscode.Uri): vscode.DebugConfiguration | undefined {
    const file = (name: string): string => path.join(extension.fsPath, ...FOLDER, name);
    const [rom, elf] = [file('sample.rom'), file('sample.elf')];
    if (!existsSync(elf)) return undefined;
    return {
        type: DEBUG_TYPE,
        request: 'launch',
        name: 'Sample guest',
        ...(existsSync(rom) ? { firmware: rom, symbols: [elf] } : { kernel: elf }),
        memory: '64M',
        stopOnEntry: true,
    };
}

export async function debugSample(extension: vscode.Uri): Promise<void> {
    const configuration = sampleConfiguration(extension);
    if (configuration === undefined) {
        void vscode.window.showErrorMessage('The sample guest is missing from this installation of Hyperscope.');
        return;
    }
    await vscode.debug.startDebugging(vscode.workspace.workspaceFolders?.[0], configuration);
}

export async function openSampleSource(extension: vscode.Uri): Promise<void> {
    const source = vscode.Uri.joinPath(extension, ...FOLDER, 'kernel', 'main.c');
    await vscode.window.showTextDocument(source, { preview: false });
}

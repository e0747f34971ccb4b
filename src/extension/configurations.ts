/** Debug configurations: what to offer for the files of a folder, and what F5 does without any. */
import * as vscode from 'vscode';
import { DEBUG_TYPE } from './guest-sessions';
import { sampleConfiguration } from './sample-guest';

/** Files that look like guests, with what is in the way of finding them. */
const GUEST_FILES = '**/{vmlinuz*,bzImage*,vmlinux*,*.elf,*.iso,*.img,*.rom,kernel.bin}';
const NOT_THERE = '**/{node_modules,.git,out,target/debug/deps}/**';
const MOST_FILES = 20;

export class Configurations implements vscode.DebugConfigurationProvider {
    constructor(private readonly extension: vscode.Uri) {}

    /** For a new launch.json. */
    async provideDebugConfigurations(folder: vscode.WorkspaceFolder | undefined): Promise<vscode.DebugConfiguration[]> {
        const found = await guestsIn(folder);
        if (found.length > 0) return found;
        return [
            {
                type: DEBUG_TYPE,
                request: 'launch',
                name: 'Debug kernel',
                kernel: '${workspaceFolder}/kernel.elf',
                memory: '256M',
                stopOnEntry: true,
            },
        ];
    }

    async resolveDebugConfiguration(
        folder: vscode.WorkspaceFolder | undefined,
        configuration: vscode.DebugConfiguration,
    ): Promise<vscode.DebugConfiguration | undefined> {
        // F5 in a folder without launch.json.
        if (!configuration.type && !configuration.request && !configuration.name) {
            const found = await guestsIn(folder);
            if (found.length > 1) return chooseGuest(found);
            return found[0] ?? sampleConfiguration(this.extension);
        }
        if (configuration.request === 'launch' && !configuration.kernel && !configuration.firmware) {
            return refuse(folder, `'${configuration.name}' starts nothing: give it a 'kernel' or a 'firmware'.`);
        }
        const { target, guest, debugServer } = configuration;
        if (configuration.request === 'attach' && !(target ?? guest ?? debugServer)) {
            return refuse(
                folder,
                `'${configuration.name}' attaches to nothing: give it a 'target', the HOST:PORT of a gdb stub.`,
            );
        }
        return configuration;
    }
}

/** Offered under "Add Configuration…" and in the list of what can be debugged. */
export class FoundGuests implements vscode.DebugConfigurationProvider {
    provideDebugConfigurations(folder: vscode.WorkspaceFolder | undefined): Promise<vscode.DebugConfiguration[]> {
        return guestsIn(folder);
    }
}

async function refuse(folder: vscode.WorkspaceFolder | undefined, why: string): Promise<undefined> {
    const open = 'Open launch.json';
    const choice = await vscode.window.showErrorMessage(why, { modal: true }, open);
    if (choice === open && folder !== undefined) await vscode.commands.executeCommand('debug.openConfigurations');
    return undefined;
}

async function chooseGuest(found: vscode.DebugConfiguration[]): Promise<vscode.DebugConfiguration | undefined> {
    const chosen = await vscode.window.showQuickPick(
        found.map(configuration => ({ label: configuration.name, configuration })),
        { title: 'Which guest?' },
    );
    return chosen?.configuration;
}

async function guestsIn(folder: vscode.WorkspaceFolder | undefined): Promise<vscode.DebugConfiguration[]> {
    if (folder === undefined) return [];
    const files = await vscode.workspace.findFiles(
        new vscode.RelativePattern(folder, GUEST_FILES),
        new vscode.RelativePattern(folder, NOT_THERE),
        MOST_FILES,
    );
    const found = await Promise.all(files.sort((a, b) => (a.path < b.path ? -1 : 1)).map(file => offer(folder, file)));
    return found.filter(configuration => configuration !== undefined);
}

type Kind = 'linux' | 'elf' | 'disk' | 'firmware';

async function offer(folder: vscode.WorkspaceFolder, file: vscode.Uri): Promise<vscode.DebugConfiguration | undefined> {
    const kind = await recognize(file);
    if (kind === undefined) return undefined;
    const name = vscode.workspace.asRelativePath(file, false);
    const path = `\${workspaceFolder}/${name}`;
    const common = { type: DEBUG_TYPE, request: 'launch', name: `Debug ${name}` };
    switch (kind) {
        case 'linux': {
            const symbols = await exists(vscode.Uri.joinPath(folder.uri, 'vmlinux'));
            return {
                ...common,
                kernel: path,
                append: 'console=ttyS0',
                memory: '512M',
                ...(symbols ? { symbols: ['${workspaceFolder}/vmlinux'] } : {}),
                stopOnEntry: true,
            };
        }
        case 'elf':
            return { ...common, kernel: path, memory: '256M', stopOnEntry: true };
        case 'firmware':
            return { ...common, firmware: path, memory: '256M', stopOnEntry: true };
        case 'disk':
            return undefined;
    }
}

async function exists(file: vscode.Uri): Promise<boolean> {
    try {
        await vscode.workspace.fs.stat(file);
        return true;
    } catch {
        return false;
    }
}

/** By what is in it: `kernel.elf` may be a program for the host, and `firmware.img` a disk. */
async function recognize(file: vscode.Uri): Promise<Kind | undefined> {
    const { createReadStream } = await import('node:fs');
    const head = await new Promise<Buffer | undefined>(resolve => {
        const chunks: Buffer[] = [];
        createReadStream(file.fsPath, { end: 0x3ff })
            .on('data', chunk => chunks.push(chunk as Buffer))
            .on('error', () => resolve(undefined))
            .on('end', () => resolve(Buffer.concat(chunks)));
    });
    if (head === undefined) return undefined;
    // The setup header of Linux: the boot protocol's magic number.
    if (head.length > 0x206 && head.toString('latin1', 0x202, 0x206) === 'HdrS') return 'linux';
    const elf = head.length >= 20 && head.toString('latin1', 0, 4) === '\x7fELF';
    // ET_EXEC or ET_DYN, for the 386 or x86-64.
    if (elf) return [2, 3].includes(head[16]) && [3, 62].includes(head[18]) ? 'elf' : undefined;
    if (/\.rom$/i.test(file.path)) return 'firmware';
    return /\.(iso|img)$/i.test(file.path) ? 'disk' : undefined;
}

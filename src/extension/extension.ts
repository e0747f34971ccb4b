/** The extension's root: puts its parts together when VS Code first needs one of them. */
import path from 'node:path';
import * as vscode from 'vscode';
import { registerAddressCommands } from './address-commands';
import { AdapterProcess, type AdapterCommand } from './adapter-process';
import { Configurations, FoundGuests } from './configurations';
import { switchEngine } from './engine-switch';
import { DEBUG_TYPE, GuestSessions } from './guest-sessions';
import { registerDecorations, type TreeNode } from './guest-tree';
import { openListing, TranslationDocuments } from './listings';
import { createMemoryPanel } from './memory-panel';
import { readSubject } from './address-commands';
import { debugSample, openSampleSource } from './sample-guest';
import { SerialTerminals } from './serial-terminals';
import { StatusBar } from './status-bar';
import { createVmExitsPanel } from './vm-exits-panel';
import { DescriptorTablesView } from './views/descriptor-tables-view';
import { DevicesView } from './views/devices-view';
import { InterruptsView } from './views/interrupts-view';
import { LinuxView, tablesOf } from './views/linux-view';
import { PageTablesView } from './views/page-tables-view';
import { RegistersView } from './views/registers-view';
import { TranslatorView } from './views/translator-view';

export function activate(context: vscode.ExtensionContext): void {
    const { extensionUri, subscriptions, workspaceState } = context;
    const log = vscode.window.createOutputChannel('Hyperscope', { log: true });
    const sessions = new GuestSessions(line => log.debug(line));
    subscriptions.push(log, sessions, registerDecorations());
    const announce = announcer(sessions);

    const { registerDebugAdapterDescriptorFactory, registerDebugConfigurationProvider } = vscode.debug;
    const { Initial, Dynamic } = vscode.DebugConfigurationProviderTriggerKind;
    subscriptions.push(
        registerDebugAdapterDescriptorFactory(DEBUG_TYPE, {
            createDebugAdapterDescriptor: session => {
                const adapter = new AdapterProcess(adapterCommand(extensionUri), log);
                sessions.connect(session, adapter);
                return new vscode.DebugAdapterInlineImplementation(adapter);
            },
        }),
        registerDebugConfigurationProvider(DEBUG_TYPE, new Configurations(extensionUri), Initial),
        registerDebugConfigurationProvider(DEBUG_TYPE, new FoundGuests(), Dynamic),
        sessions.onDidChange(announce),
        new SerialTerminals(sessions),
    );

    // At a stop they ask in this order, and are answered in it: pages are the farthest away.
    const memory = createMemoryPanel(extensionUri, sessions);
    const exits = createVmExitsPanel(extensionUri, sessions);
    const registers = new RegistersView(sessions, workspaceState);
    const pageTables = new PageTablesView(sessions);
    const linux = new LinuxView(sessions);
    const trees = [
        registers,
        pageTables,
        new DescriptorTablesView(sessions),
        new InterruptsView(sessions),
        new DevicesView(sessions),
        new TranslatorView(sessions),
        linux,
    ];
    const statusBar = new StatusBar(sessions);
    const translations = new TranslationDocuments(sessions);
    subscriptions.push(
        memory.panel,
        exits.panel,
        ...trees,
        statusBar,
        translations,
        registerAddressCommands(sessions, memory.panel, pageTables),
    );

    const terminals = subscriptions.find(part => part instanceof SerialTerminals);
    const commands: Readonly<Record<string, (...args: never[]) => unknown>> = {
        debugSample: () => debugSample(extensionUri),
        openSampleSource: () => openSampleSource(extensionUri),
        openWalkthrough: () =>
            vscode.commands.executeCommand('workbench.action.openWalkthrough', `${context.extension.id}#start`),
        showLog: () => log.show(),
        showConsole: () => terminals?.focus(),
        nextBase: () => registers.nextBase(),
        'base.hex': () => registers.setBase('hex'),
        'base.decimal': () => registers.setBase('decimal'),
        'base.binary': () => registers.setBase('binary'),
        chooseLanes: () => registers.chooseLanes(),
        editRegister: (node?: TreeNode) => registers.edit(node),
        copyValue: ({ entry }: TreeNode) => vscode.env.clipboard.writeText(entry.value ?? entry.label),
        refresh: () => trees.forEach(tree => tree.refresh()),
        walk: () => pageTables.chooseAddress(),
        choosePageTables: () => pageTables.chooseTables(),
        showTranslation: (address?: unknown) => translations.show(typeof address === 'string' ? address : undefined),
        gotoAddress: () => memory.askForAddress(),
        saveMemory: () => memory.save(),
        loadMemory: () => memory.load(),
        recordExits: () => exits.record(),
        clearExits: () => exits.clear(),
        switchEngine: () => switchEngine(sessions),
        openTaskFrame: (frame?: Parameters<LinuxView['openFrame']>[0]) => linux.openFrame(frame),
        showTaskTables: (node?: TreeNode) => pageTables.show(tablesOf(node)),
        showTaskMemory: async (node?: TreeNode) => {
            const address = await linux.physicalOf(node);
            if (address !== undefined) memory.panel.show({ event: 'goto', address, space: 'physical' });
        },
        disassemble: async (subject: Parameters<typeof readSubject>[0]) => {
            const guest = sessions.live;
            if (guest === undefined) return;
            await openListing(guest, readSubject(subject) ?? { address: 'rip' });
        },
    };
    for (const [name, run] of Object.entries(commands)) {
        subscriptions.push(
            vscode.commands.registerCommand(`hyperscope.${name}`, async (...args: never[]) => {
                try {
                    await run(...args);
                } catch (error) {
                    void vscode.window.showErrorMessage((error as Error).message);
                }
            }),
        );
    }
    announce();
}

/** What `when` clauses go by. */
function announcer(sessions: GuestSessions): () => void {
    const told = new Map<string, unknown>();
    const set = (name: string, value: unknown): void => {
        // Each time VS Code would look at all its buttons anew.
        if (told.get(name) === value) return;
        told.set(name, value);
        void vscode.commands.executeCommand('setContext', `hyperscope.${name}`, value);
    };
    return () => {
        set('hasGuest', sessions.current !== undefined);
        set('live', sessions.live !== undefined);
        set('running', sessions.current?.state === 'running');
    };
}

/** The adapter, run by the Node.js that was chosen, or else by the one inside VS Code. */
function adapterCommand(extension: vscode.Uri): AdapterCommand {
    const chosen = vscode.workspace.getConfiguration('hyperscope').get<string>('adapter.node', '').trim();
    return {
        command: chosen === '' ? process.execPath : chosen,
        // A larger young generation takes 90 MB more, and is no faster: see src/cli/young-generation.ts.
        args: ['--max-semi-space-size=16', path.join(extension.fsPath, 'dist', 'adapter.js')],
        env: chosen === '' ? { ELECTRON_RUN_AS_NODE: '1' } : {},
    };
}

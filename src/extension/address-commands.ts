/** What can be done with an address, wherever a view shows one. */
import * as vscode from 'vscode';
import { type AddressTarget, formatReference, readReference } from './address-target';
import type { GuestSessions } from './guest-sessions';
import type { TreeNode } from './guest-tree';
import type { PageTablesView } from './views/page-tables-view';
import type { WebviewPanel } from './webview-panel';

/** What the menus of VS Code's own debug views hand over. */
interface VariableContext {
    readonly variable?: { readonly memoryReference?: string; readonly value?: string };
}

type Subject = TreeNode | VariableContext | AddressTarget | string | undefined;

export function readSubject(subject: Subject): AddressTarget | undefined {
    if (subject === undefined || subject === null) return undefined;
    if (typeof subject === 'string') return readReference(subject);
    if ('entry' in subject) return subject.entry.target;
    if ('address' in subject) return subject;
    if (!('variable' in subject)) return undefined;
    const { memoryReference, value } = subject.variable ?? {};
    return readReference(memoryReference) ?? readReference(/0x[0-9a-f]{1,16}/i.exec(value ?? '')?.[0]);
}

export function registerAddressCommands(
    sessions: GuestSessions,
    memory: WebviewPanel,
    pageTables: PageTablesView,
): vscode.Disposable {
    const command = (name: string, run: (target: AddressTarget) => unknown): vscode.Disposable =>
        vscode.commands.registerCommand(`hyperscope.${name}`, async (subject: Subject) => {
            const target = readSubject(subject) ?? (await askForAddress(name));
            if (target !== undefined) await run(target);
        });

    async function askForAddress(purpose: string): Promise<AddressTarget | undefined> {
        const guest = sessions.live;
        if (guest === undefined) {
            void vscode.window.showInformationMessage('There is no guest: start one first.');
            return undefined;
        }
        const expression = await vscode.window.showInputBox({
            title: { disassemble: 'Disassemble', showMemory: 'Show memory' }[purpose] ?? 'Which address?',
            prompt: 'An address or an expression: rip, rsp + 8, start_kernel, phys:0x1000',
            value: purpose === 'disassemble' || purpose === 'breakAtAddress' ? 'rip' : 'rsp',
        });
        if (expression === undefined || expression.trim() === '') return undefined;
        try {
            const { result, memoryReference } = await guest.request<{ result: string; memoryReference?: string }>(
                'evaluate',
                { expression, context: 'watch' },
            );
            return readReference(memoryReference) ?? readReference(/^(?:phys:)?0x[0-9a-f]+/i.exec(result)?.[0]);
        } catch (error) {
            void vscode.window.showErrorMessage(`${expression}: ${(error as Error).message}`);
            return undefined;
        }
    }

    return vscode.Disposable.from(
        command('showMemory', ({ address, space }) => memory.show({ event: 'goto', address, space })),
        command('mapsPage', ({ address, space }) => memory.show({ event: 'mappings', address, space })),
        command('walkAddress', ({ address }) => pageTables.walk(address)),
        command('watchAddress', async target => {
            const expression = `*(u64*)${formatReference(target)}`;
            await vscode.commands.executeCommand('debug.addToWatchExpressions', {
                variable: { evaluateName: expression, name: expression, value: '', variablesReference: 0 },
                container: {},
                sessionId: sessions.current?.debug.id,
            });
            await vscode.commands.executeCommand('workbench.debug.action.focusWatchView');
        }),
        command('breakAtAddress', async ({ address, symbol }) => {
            // Function breakpoints take an address for a name: they show in the Breakpoints view as any other.
            const name = symbol ?? address;
            const known = vscode.debug.breakpoints.some(
                breakpoint => breakpoint instanceof vscode.FunctionBreakpoint && breakpoint.functionName === name,
            );
            if (!known) vscode.debug.addBreakpoints([new vscode.FunctionBreakpoint(name)]);
            await vscode.commands.executeCommand('workbench.debug.action.focusBreakpointsView');
        }),
    );
}

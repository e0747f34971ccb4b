/** Moving a stopped guest from one engine to another: "Continue on KVM". */
import * as vscode from 'vscode';
import type { EngineBody, EngineName, SwitchEngineBody } from '../messages/engine';
import type { GuestSessions } from './guest-sessions';

interface EngineChoice extends vscode.QuickPickItem {
    readonly engine: EngineName;
    readonly problem: string | undefined;
}

export async function switchEngine(sessions: GuestSessions): Promise<void> {
    const guest = sessions.live;
    if (guest === undefined) return;
    const { engines } = await guest.request<EngineBody>('hyperscope/engine');
    const choices = engines.map(({ name, label, active, problem, standIn }): EngineChoice => ({
        engine: name,
        problem,
        label: `$(${active ? 'check' : problem === undefined ? 'arrow-swap' : 'circle-slash'}) ${label}`,
        description: active && standIn === undefined ? 'executes the guest now' : undefined,
        detail: standIn === undefined ? problem : `The translator executes the guest for now: ${standIn}`,
    }));
    const chosen = await vscode.window.showQuickPick(choices, {
        title: 'Engine',
        placeHolder: 'What is to execute the guest from here on?',
    });
    if (chosen === undefined) return;
    if (chosen.problem !== undefined) {
        void vscode.window.showInformationMessage(chosen.problem);
        return;
    }
    const { note } = await guest.request<SwitchEngineBody>('hyperscope/switchEngine', { engine: chosen.engine });
    if (note !== undefined) void vscode.window.showInformationMessage(note);
}

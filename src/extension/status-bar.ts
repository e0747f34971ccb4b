/** One line about the guest: whether it runs, on what, how fast, and what time it is there. */
import * as vscode from 'vscode';
import type { EngineBody } from '../messages/engine';
import type { VmExitsResponse } from '../messages/vm-exits';
import { formatCount, formatTime } from './format';
import type { GuestSession, GuestSessions } from './guest-sessions';

/** Milliseconds between two looks at a guest that runs. */
const PERIOD = 1000;
/** Characters of why the guest has stopped; the tooltip has all. */
const LONGEST_REASON = 60;

interface Progress {
    readonly at: number;
    readonly instructions: number;
    /** Guest time, ns. */
    readonly now: number;
}

export class StatusBar implements vscode.Disposable {
    private readonly item = vscode.window.createStatusBarItem('hyperscope.status', vscode.StatusBarAlignment.Left, 50);
    private readonly subscriptions: vscode.Disposable[];
    private timer: NodeJS.Timeout | undefined;
    private last: Progress | undefined;
    private guest: GuestSession | undefined;
    private vcpus = 1;
    private engine = '';
    /** There is another engine to choose. */
    private choice: boolean | undefined;
    /** Why the translator executes the guest for the moment. */
    private standIn: string | undefined;

    constructor(private readonly sessions: GuestSessions) {
        this.item.name = 'Hyperscope guest';
        this.subscriptions = [
            this.item,
            sessions.onDidChange(change => change === 'state' && this.update()),
            sessions.onDidReceiveEvent(({ event }) => event === 'hyperscope/engine' && this.update()),
        ];
    }

    dispose(): void {
        clearTimeout(this.timer);
        vscode.Disposable.from(...this.subscriptions).dispose();
    }

    private update(): void {
        const guest = this.sessions.live;
        clearTimeout(this.timer);
        if (guest === undefined) {
            this.item.hide();
            this.guest = undefined;
            return;
        }
        if (guest !== this.guest) {
            this.guest = guest;
            this.engine = '';
            this.standIn = undefined;
            this.last = undefined;
            this.show(guest, undefined, undefined);
        }
        void this.look(guest);
    }

    private async look(guest: GuestSession): Promise<void> {
        try {
            const [{ now, instructions }, { threads }, { engine, engines }] = await Promise.all([
                guest.request<VmExitsResponse>('hyperscope/vmExits'),
                guest.request<{ threads: unknown[] }>('threads'),
                guest.request<EngineBody>('hyperscope/engine'),
            ]);
            if (guest !== this.sessions.live) return;
            this.vcpus = threads.length;
            const choice = engines.some(({ active, problem }) => !active && problem === undefined);
            if (choice !== this.choice) void vscode.commands.executeCommand('setContext', 'hyperscope.engines', choice);
            this.choice = choice;
            const option = engines.find(({ name }) => name === engine);
            this.engine = option?.label ?? 'attached';
            this.standIn = option?.standIn;
            const present = { at: performance.now(), instructions, now };
            const { last } = this;
            const since = last === undefined ? 0 : present.at - last.at;
            // Of a moment too short the rate says nothing.
            const mips =
                last !== undefined && since > 100 && guest.state === 'running' && instructions >= last.instructions
                    ? (instructions - last.instructions) / since / 1000
                    : undefined;
            this.last = present;
            this.show(guest, now, mips);
        } catch {
            // It has ended meanwhile, or its target does not count; the line stays as it is.
            if (guest === this.sessions.live) this.show(guest, undefined, undefined);
        }
        clearTimeout(this.timer);
        if (guest.state === 'running' && guest === this.sessions.live) {
            this.timer = setTimeout(() => void this.look(guest), PERIOD);
        }
    }

    private show(guest: GuestSession, now: number | undefined, mips: number | undefined): void {
        const { state, debug } = guest;
        const running = state === 'running';
        const stopped = state === 'starting' ? 'starting' : (guest.stop?.description ?? 'stopped');
        const parts = [
            running ? undefined : shorten(stopped),
            this.engine === '' ? undefined : this.engine.replace(/^[A-Z](?=[a-z])/, letter => letter.toLowerCase()),
            this.standIn === undefined ? undefined : 'translator stands in',
            mips === undefined ? undefined : `${formatCount(Math.round(mips))} MIPS`,
            now === undefined ? undefined : `${formatTime(now)} guest`,
            `${this.vcpus} vCPU${this.vcpus === 1 ? '' : 's'}`,
        ].filter(part => part !== undefined);
        this.item.text = `$(${running ? 'play' : 'debug-pause'}) ${parts.join(' · ')}`;
        const what = running ? 'running; click to pause' : `${guest.stop?.text ?? stopped}; click to choose the engine`;
        const why = this.standIn === undefined ? '' : `\nThe translator executes the guest for now: ${this.standIn}`;
        this.item.tooltip = `${debug.name}: ${what}${why}`;
        this.item.accessibilityInformation = { label: `Hyperscope guest ${state}, ${parts.join(', ')}` };
        this.item.command = running ? 'workbench.action.debug.pause' : 'hyperscope.switchEngine';
        this.item.show();
    }
}

function shorten(text: string): string {
    // Names are the guest's: they may not become icons.
    const plain = text.replaceAll('$(', '$ (');
    return plain.length <= LONGEST_REASON ? plain : `${plain.slice(0, LONGEST_REASON - 1)}…`;
}

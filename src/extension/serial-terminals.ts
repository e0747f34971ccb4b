/** The guest's serial ports as terminals: its colours stay, and what is typed goes to the guest. */
import * as vscode from 'vscode';
import type { SerialEvent } from '../messages/serial';
import type { GuestSession, GuestSessions } from './guest-sessions';

/** Characters that a terminal which nobody has opened yet keeps. */
const BACKLOG = 1 << 20;

class SerialTerminal implements vscode.Pseudoterminal {
    private readonly writes = new vscode.EventEmitter<string>();
    readonly onDidWrite = this.writes.event;
    private readonly names = new vscode.EventEmitter<string>();
    readonly onDidChangeName = this.names.event;
    readonly terminal: vscode.Terminal;
    private opened = false;
    private backlog = '';
    private lastWasReturn = false;
    closed = false;
    /** The guest whose end has been noted. */
    private ended: GuestSession | undefined;

    constructor(
        public guest: GuestSession,
        private readonly port: number,
    ) {
        this.terminal = vscode.window.createTerminal({
            // The port first: of longer names the list of terminals shows the beginning.
            name: `COM${port + 1}: ${guest.debug.name}`,
            pty: this,
            iconPath: new vscode.ThemeIcon('terminal'),
            isTransient: true,
        });
    }

    open(): void {
        this.opened = true;
        this.writes.fire(this.backlog);
        this.backlog = '';
    }

    close(): void {
        this.closed = true;
    }

    handleInput(text: string): void {
        if (this.guest.state === 'ended') return;
        // The guest may have ended just now: what is typed is lost then, as on a real line.
        this.guest.request('hyperscope/sendSerial', { port: this.port, text }).catch(() => undefined);
    }

    write(text: string): void {
        const shown = this.withReturns(text);
        if (this.opened) this.writes.fire(shown);
        else this.backlog = (this.backlog + shown).slice(-BACKLOG);
    }

    /** Says, set off from what the guest does, that it has ended: once. */
    noteEnd(): void {
        if (this.guest.state !== 'ended' || this.ended === this.guest) return;
        this.ended = this.guest;
        this.write('\r\n\x1b[0;2mthe guest has ended\x1b[0m\r\n');
    }

    /** Kernels end lines with a line feed alone before their terminal driver is up. */
    private withReturns(text: string): string {
        let shown = '';
        for (const character of text) {
            if (character === '\n' && !this.lastWasReturn) shown += '\r';
            shown += character;
            this.lastWasReturn = character === '\r';
        }
        return shown;
    }
}

export class SerialTerminals implements vscode.Disposable {
    /** By session and port. */
    private readonly terminals = new Map<string, SerialTerminal>();
    private readonly subscriptions: vscode.Disposable[];

    constructor(private readonly sessions: GuestSessions) {
        this.subscriptions = [
            sessions.onDidReceiveEvent(({ session, event, body }) => {
                if (event !== 'hyperscope/serial') return;
                const { port, text } = body as SerialEvent;
                this.of(session, port).write(text);
            }),
            vscode.debug.onDidStartDebugSession(session => {
                // It is there before the guest has a word to say, so that one knows where to look.
                const guest = sessions.find(session.id);
                if (guest === undefined) return;
                // VS Code itself talks to an adapter that listens: there it has not been told of our terminals.
                if (session.configuration.debugServer !== undefined) {
                    guest.request('hyperscope/serialEvents').catch(() => undefined);
                }
                if (session.configuration.serial === undefined) this.of(guest, 0);
            }),
            sessions.onDidChange(() => this.noteEnds()),
        ];
    }

    dispose(): void {
        vscode.Disposable.from(...this.subscriptions).dispose();
        for (const { terminal } of this.terminals.values()) terminal.dispose();
    }

    /** Shows the first console of the guest that is debugged, and gives it the keyboard. */
    focus(): void {
        const guest = this.sessions.current;
        if (guest === undefined) {
            void vscode.window.showInformationMessage('No guest has run yet: its serial console will be a terminal.');
            return;
        }
        this.of(guest, 0).terminal.show(false);
    }

    private of(guest: GuestSession, port: number): SerialTerminal {
        const key = `${guest.debug.id} ${port}`;
        let terminal = this.terminals.get(key);
        if (terminal === undefined || terminal.closed) {
            // One that an ended session of the same name has left is used again: restarts do not pile up terminals.
            const left = [...this.terminals].find(
                ([name, { guest: other, closed }]) =>
                    !closed &&
                    other.state === 'ended' &&
                    other.debug.name === guest.debug.name &&
                    name.endsWith(` ${port}`),
            );
            if (left !== undefined) {
                this.terminals.delete(left[0]);
                terminal = left[1];
                terminal.guest = guest;
            } else {
                terminal = new SerialTerminal(guest, port);
                // Shown without taking the focus; one that somebody may be typing into stays where it is.
                if (port === 0 || vscode.window.activeTerminal === undefined) terminal.terminal.show(true);
            }
            this.terminals.set(key, terminal);
        }
        return terminal;
    }

    private noteEnds(): void {
        for (const terminal of this.terminals.values()) terminal.noteEnd();
    }
}

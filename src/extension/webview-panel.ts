/** A view whose inside is a web page: the page, what it may do, and the messages between it and the guest. */
import { randomBytes } from 'node:crypto';
import * as vscode from 'vscode';
import type {
    PanelAnswer,
    PanelEvent,
    PanelQuestion,
    PanelRequest,
    PanelResponse,
    PanelShown,
    PanelState,
} from '../messages/panel';
import type { Change, GuestSession, GuestSessions } from './guest-sessions';

/** What a page may ask for by name; anything else is refused. */
export type PanelMethod = (args: unknown) => Promise<unknown>;

export interface PanelDescription {
    /** Name of the view behind `hyperscope.`. */
    readonly view: string;
    /** As package.json has it. */
    readonly title: string;
    /** Name of the page: `dist/webview-<page>.js`, `media/webview/<page>.css`. */
    readonly page: string;
    /** Requests to the adapter that pass through as they are. */
    readonly adapterRequests: readonly string[];
    /** What the extension itself does for the page. */
    readonly methods: Readonly<Record<string, PanelMethod>>;
}

/** Questions that are asked again for a page at each stop. */
const MOST_QUESTIONS = 32;

export class WebviewPanel implements vscode.WebviewViewProvider, vscode.Disposable {
    private view: vscode.WebviewView | undefined;
    private readonly subscriptions: vscode.Disposable[];
    /** For a page that is not there yet. */
    private pending: PanelEvent[] = [];
    private ready = false;
    /** Called once the page shows the stop that it was told of last. */
    private shown: ((at?: number) => void) | undefined;
    /** What the page will want to know at the next stop. */
    private questions: readonly PanelQuestion[] = [];
    /** Counts what the page is told of the guest: of what takes time to find out, only the last counts. */
    private round = 0;

    constructor(
        private readonly extension: vscode.Uri,
        private readonly sessions: GuestSessions,
        private readonly description: PanelDescription,
    ) {
        this.subscriptions = [
            vscode.window.registerWebviewViewProvider(`hyperscope.${description.view}`, this),
            sessions.onDidChange(change => void this.tell(change)),
        ];
    }

    dispose(): void {
        vscode.Disposable.from(...this.subscriptions).dispose();
    }

    resolveWebviewView(view: vscode.WebviewView): void {
        this.view = view;
        this.ready = false;
        const { webview } = view;
        webview.options = {
            enableScripts: true,
            localResourceRoots: ['dist', 'media'].map(folder => vscode.Uri.joinPath(this.extension, folder)),
        };
        webview.onDidReceiveMessage((message: PanelRequest) => void this.receive(message));
        view.onDidChangeVisibility(() => {
            if (view.visible) void this.tell('state');
        });
        view.onDidDispose(() => {
            this.view = undefined;
            this.ready = false;
        });
        webview.html = this.html(webview);
    }

    /** Opens the view and tells its page something. */
    async show(event: PanelEvent): Promise<void> {
        if (!this.ready) this.pending.push(event);
        await vscode.commands.executeCommand(`hyperscope.${this.description.view}.focus`);
        if (this.ready && !this.pending.includes(event)) this.post(event);
    }

    private post(event: PanelEvent): void {
        // A page that nobody sees asks anew when it is shown.
        if (this.ready && (this.view?.visible === true || event.event !== 'state'))
            void this.view?.webview.postMessage(event);
    }

    /** Tells the page what has become of the guest, with what it is going to ask, and notes when it has been drawn. */
    private async tell(change: Change): Promise<void> {
        const round = ++this.round;
        const state = this.state();
        let known: (PanelQuestion & { answer: PanelAnswer })[] | undefined;
        if (state.state === 'stopped' && this.ready && this.view?.visible === true) {
            this.shown?.();
            this.shown = this.sessions.clock.begin(this.description.view);
            const found = this.sessions.together.begin();
            known = await Promise.all(
                this.questions.map(async question => ({ ...question, answer: await this.find(question) })),
            );
            // Its way is longer than that of the trees: it does not wait for them.
            void found();
            if (round !== this.round) return;
        }
        this.post({ event: 'state', state, change, known });
    }

    private async find({ method, args }: PanelQuestion): Promise<PanelAnswer> {
        try {
            return { result: await this.guest().request(method, (args ?? {}) as object) };
        } catch (error) {
            return { error: error instanceof Error ? error.message : String(error) };
        }
    }

    /** The page shows a stop. */
    private noteShown({ stoppedAt, drawnAt, questions }: PanelShown): void {
        const { adapterRequests } = this.description;
        this.questions = questions.filter(({ method }) => adapterRequests.includes(method)).slice(-MOST_QUESTIONS);
        if (stoppedAt === this.sessions.current?.stop?.at.getTime()) this.shown?.(drawnAt);
    }

    private async receive({ id, method, args }: PanelRequest): Promise<void> {
        if (method === 'ready') {
            this.ready = true;
            this.questions = [];
            await this.tell('state');
            for (const event of this.pending.splice(0)) this.post(event);
            return;
        }
        if (method === 'shown') {
            this.noteShown(args as PanelShown);
            return;
        }
        let response: PanelResponse;
        try {
            response = { id, result: await this.answer(method, args) };
        } catch (error) {
            response = { id, error: error instanceof Error ? error.message : String(error) };
        }
        void this.view?.webview.postMessage(response);
    }

    private answer(method: string, args: unknown): Promise<unknown> {
        const { adapterRequests, methods } = this.description;
        if (Object.hasOwn(methods, method)) return methods[method](args);
        if (!adapterRequests.includes(method)) return Promise.reject(new Error(`'${method}' is not for this view`));
        return this.guest().request(method, (args ?? {}) as object);
    }

    /** @throws Error without one */
    guest(): GuestSession {
        const guest = this.sessions.live;
        if (guest === undefined) throw new Error('there is no guest');
        return guest;
    }

    private state(): PanelState {
        const guest = this.sessions.current;
        return {
            session: guest?.debug.id,
            name: guest?.debug.name,
            state: guest?.state ?? 'none',
            vcpu: guest?.vcpu ?? 0,
            stoppedAt: guest?.stop?.at.getTime(),
        };
    }

    private html(webview: vscode.Webview): string {
        const nonce = randomBytes(16).toString('base64');
        const resource = (...path: string[]): string =>
            webview.asWebviewUri(vscode.Uri.joinPath(this.extension, ...path)).toString();
        const { page, title } = this.description;
        const policy = `default-src 'none'; style-src ${webview.cspSource}; script-src 'nonce-${nonce}'`;
        return `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="stylesheet" href="${resource('media', 'webview', 'panel.css')}">
<link rel="stylesheet" href="${resource('media', 'webview', `${page}.css`)}">
<title>${title}</title>
</head>
<body>
<main id="root" data-view="${title}"></main>
<script nonce="${nonce}" src="${resource('dist', `webview-${page}.js`)}"></script>
</body>
</html>`;
    }
}

/**
 * A tree of what the guest is like at a stop. It asks anew at each stop, has VS Code draw the rows that are not what they
 * were, marks what has changed since the stop before, and keeps showing the last values, dimmed, while the guest runs and
 * after it has ended.
 */
import * as vscode from 'vscode';
import type { GuestSession, GuestSessions } from './guest-sessions';
import { type Entry, type TreeContent, type TreeNode, TreeRows } from './tree-rows';

export type { Entry, TreeNode } from './tree-rows';

const SCHEME = 'hyperscope-view';

/** What themes give to things that have been modified. */
const CHANGED = new vscode.ThemeColor('gitDecoration.modifiedResourceForeground');
const DIMMED = new vscode.ThemeColor('disabledForeground');

/** Milliseconds after which VS Code has forgotten what it was told and has not fetched. */
const PATIENCE = 1000;

type Look = 'plain' | 'changed';

/**
 * Colours and badges of the rows of all trees. VS Code asks for them by address, and draws when the answer is there: rows
 * that look the same share an address, so that it knows the answer when a stop comes.
 */
class Decorations implements vscode.FileDecorationProvider {
    private readonly changes = new vscode.EventEmitter<vscode.Uri[]>();
    readonly onDidChangeFileDecorations = this.changes.event;
    private readonly dimmed = new Set<string>();
    /** Views whose rows look different now. */
    private readonly different = new Set<string>();

    uri(view: string, look: Look): vscode.Uri {
        return vscode.Uri.from({ scheme: SCHEME, authority: view, path: `/${look}` });
    }

    dim(view: string, dimmed: boolean): void {
        if (dimmed === this.dimmed.has(view)) return;
        if (dimmed) this.dimmed.add(view);
        else this.dimmed.delete(view);
        if (this.different.size === 0) {
            // All views at once: they hear of the guest one after the other.
            queueMicrotask(() => {
                const views = [...this.different];
                this.different.clear();
                this.changes.fire(views.flatMap(name => [this.uri(name, 'plain'), this.uri(name, 'changed')]));
            });
        }
        this.different.add(view);
    }

    provideFileDecoration(uri: vscode.Uri): vscode.FileDecoration | undefined {
        if (uri.scheme !== SCHEME) return undefined;
        if (this.dimmed.has(uri.authority)) return new vscode.FileDecoration(undefined, undefined, DIMMED);
        return uri.path === '/changed' ? new vscode.FileDecoration('●', undefined, CHANGED) : undefined;
    }
}

const decorations = new Decorations();

export function registerDecorations(): vscode.Disposable {
    return vscode.window.registerFileDecorationProvider(decorations);
}

export abstract class GuestTree implements vscode.TreeDataProvider<TreeNode>, vscode.Disposable {
    private readonly changes = new vscode.EventEmitter<TreeNode | TreeNode[] | undefined>();
    readonly onDidChangeTreeData = this.changes.event;
    protected readonly treeView: vscode.TreeView<TreeNode>;
    private readonly subscriptions: vscode.Disposable[] = [];

    private readonly rows = new TreeRows();
    private guest: GuestSession | undefined;
    /** The last one that the view was told of. */
    private stop: unknown;
    private dimmed = false;
    /** A stop came while nobody saw the view. */
    private stale = false;
    /** Counts questions: answers to any but the last are dropped. */
    private round = 0;
    /** What is being asked for. */
    private coming: Promise<void> | undefined;
    /** The time of the stop that is shown, or when a guest that ran was asked. */
    private asOf: Date | undefined;
    /** Rows that VS Code was told of and has not fetched, and when it was told; undefined among them: the top. */
    private readonly untaken = new Map<TreeNode | undefined, number>();
    /** Called once VS Code has fetched all {@link untaken}. */
    private taken: (() => void) | undefined;
    private description: string | undefined;

    /** @param view its name behind `hyperscope.` */
    constructor(
        readonly view: string,
        protected readonly sessions: GuestSessions,
    ) {
        this.treeView = vscode.window.createTreeView(`hyperscope.${view}`, {
            treeDataProvider: this,
            showCollapseAll: true,
        });
        this.subscriptions.push(
            this.changes,
            this.treeView,
            sessions.onDidChange(() => this.update()),
            this.treeView.onDidChangeVisibility(({ visible }) => {
                if (visible && this.stale) this.refresh();
            }),
            this.treeView.onDidExpandElement(({ element }) => this.rows.opened(element, true)),
            this.treeView.onDidCollapseElement(({ element }) => this.rows.opened(element, false)),
        );
    }

    dispose(): void {
        vscode.Disposable.from(...this.subscriptions).dispose();
    }

    /** The rows at the top. Errors are shown in their place. */
    protected abstract entries(guest: GuestSession): Promise<readonly Entry[]>;

    /** What stands behind the view's name. */
    protected describe(_guest: GuestSession): string | undefined {
        return undefined;
    }

    /** Asks again for everything that is shown: also a guest that runs, which has been told to by somebody then. */
    refresh(): void {
        const { guest } = this;
        if (guest === undefined || guest.state === 'starting' || guest.state === 'ended') return;
        if (!this.treeView.visible) {
            this.stale = true;
            this.round++;
            return;
        }
        void this.renew(guest);
    }

    private update(): void {
        const guest = this.sessions.current;
        if (guest !== this.guest) {
            this.guest = guest;
            this.round++;
            this.coming = undefined;
            this.asOf = undefined;
            this.rows.clear();
            this.tell([undefined]);
        }
        this.dimmed = guest?.state === 'running' || guest?.state === 'ended';
        decorations.dim(this.view, this.dimmed);
        if (guest !== undefined) this.rows.look(`${guest.debug.id} ${guest.vcpu}`);
        if (guest?.state === 'stopped') {
            if (guest.stop !== this.stop) {
                this.stop = guest.stop;
                this.rows.nextStop();
            }
            this.refresh();
        } else if (guest?.state === 'running' && !this.rows.filled) {
            // It has not been stopped since the view was opened: its present state is better than nothing.
            this.refresh();
        }
        this.title();
    }

    /** Asks for everything, and has VS Code draw what has become different. */
    private async renew(guest: GuestSession): Promise<void> {
        this.stale = false;
        const round = ++this.round;
        this.allTaken();
        this.taken = this.sessions.clock.begin(this.view);
        const coming = this.fetch(guest, round);
        this.coming = coming;
        await coming;
        if (this.coming === coming) this.coming = undefined;
    }

    private async fetch(guest: GuestSession, round: number): Promise<void> {
        const asOf = guest.state === 'stopped' ? guest.stop?.at : new Date();
        const lists = new Map<string, readonly Entry[]>();
        const found = this.sessions.together.begin();
        let entries: readonly Entry[];
        try {
            entries = await this.entries(guest);
            await this.fetchOpen(guest, entries, '', lists);
        } catch (error) {
            entries = [errorEntry(error)];
        }
        await found();
        // Something newer is on its way, or has been shown already; what a guest leaves behind stays.
        if (round !== this.round || (guest.state === 'ended' && this.rows.filled)) return;
        this.asOf = asOf;
        this.present({ entries, lists });
        this.title();
    }

    /** Asks for what is below open rows, as far as the rows do not tell. */
    private async fetchOpen(
        guest: GuestSession,
        entries: readonly Entry[],
        path: string,
        lists: Map<string, readonly Entry[]>,
    ): Promise<void> {
        await Promise.all(
            entries.map(async entry => {
                const below = `${path}/${entry.key}`;
                const { children } = entry;
                if (children === undefined || !this.rows.isOpen(below, entry)) return;
                let list = children;
                if (typeof list === 'function') {
                    list = await list(guest).catch((error: unknown) => [errorEntry(error)]);
                    lists.set(below, list);
                }
                await this.fetchOpen(guest, list, below, lists);
            }),
        );
    }

    private present(content: TreeContent): void {
        const different = this.rows.update(content);
        if (different === 'all') {
            for (const node of [...this.untaken.keys()]) if (node !== undefined) this.untaken.delete(node);
            this.tell([undefined]);
        } else {
            this.tell(different);
        }
        if (this.untaken.size === 0) this.allTaken();
    }

    /**
     * Tells VS Code of rows that look different. It waits for some time after the last word when it hears many, so that
     * it is not told once more of what it is about to fetch.
     */
    private tell(nodes: readonly (TreeNode | undefined)[]): void {
        const now = performance.now();
        const news = nodes.filter(node => now - (this.untaken.get(node) ?? -Infinity) > PATIENCE);
        if (news.length === 0) return;
        for (const node of news) this.untaken.set(node, now);
        this.changes.fire(news.includes(undefined) ? undefined : (news as TreeNode[]));
    }

    private take(node: TreeNode | undefined): void {
        if (this.untaken.delete(node) && this.untaken.size === 0) this.allTaken();
    }

    private allTaken(): void {
        this.taken?.();
        this.taken = undefined;
    }

    private title(): void {
        const { guest } = this;
        let description: string | undefined;
        if (guest !== undefined && this.dimmed) {
            const at = this.asOf?.toLocaleTimeString();
            const what = guest.state === 'ended' ? 'guest has ended' : 'running';
            description = at === undefined ? what : `${what} · as of ${at}`;
        } else if (guest !== undefined) {
            description = this.describe(guest);
        }
        if (description === this.description) return;
        this.description = description;
        this.treeView.description = description;
    }

    async getChildren(node?: TreeNode): Promise<TreeNode[]> {
        if (node === undefined) await this.fill();
        else if (this.guest !== undefined && this.rows.entriesBelow(node) === undefined) {
            await this.fetchBelow(this.guest, node);
        }
        const rows = this.rows.give(node);
        this.take(node);
        return rows;
    }

    /** Waits until there is something to show, if there can be. */
    private async fill(): Promise<void> {
        // Guests may come and go meanwhile.
        while (!this.rows.filled) {
            const { guest } = this;
            if (guest === undefined || guest.state === 'ended' || guest.state === 'starting') return;
            if (this.coming === undefined) void this.renew(guest);
            await this.coming;
        }
    }

    /** Asks for what is below a row that has been opened. */
    private async fetchBelow(guest: GuestSession, node: TreeNode): Promise<void> {
        if (guest.state === 'ended' || guest.state === 'starting') return;
        const done = this.sessions.clock.begin(this.view);
        let round: number;
        do {
            ({ round } = this);
            const { children } = node.entry;
            let list: readonly Entry[];
            try {
                list = typeof children === 'function' ? await children(guest) : (children ?? []);
            } catch (error) {
                list = [errorEntry(error)];
            }
            // Of a guest that has gone on meanwhile, what it was a moment ago.
            const isLast = round === this.round || guest.state !== 'stopped';
            if (isLast && guest === this.guest) this.rows.takeList(node, list);
            // A stop has come in between: of that one it shall be.
        } while (round !== this.round && guest === this.guest && guest.state === 'stopped');
        done();
    }

    getParent(node: TreeNode): TreeNode | undefined {
        return node.parent;
    }

    getTreeItem(node: TreeNode): vscode.TreeItem {
        const { path, entry, old } = node;
        const { label, value, tooltip, icon, children, expanded, command, context = [], target } = entry;
        const collapsible = vscode.TreeItemCollapsibleState;
        const item = new vscode.TreeItem(
            label,
            children === undefined ? collapsible.None : expanded ? collapsible.Expanded : collapsible.Collapsed,
        );
        item.id = path;
        item.resourceUri = decorations.uri(this.view, old === undefined ? 'plain' : 'changed');
        item.description = value;
        const words = tooltip ?? (value === undefined ? label : `${label}: ${value}`);
        item.tooltip = old === undefined ? words : `${words}\nbefore: ${old}`;
        item.accessibilityInformation = {
            label: `${label} ${value ?? ''}${old === undefined ? '' : `, changed, was ${old}`}`,
        };
        item.iconPath = new vscode.ThemeIcon(icon ?? 'blank');
        item.command = command;
        const kinds = target === undefined ? context : [...context, 'address', target.space];
        if (kinds.length > 0) item.contextValue = kinds.join(' ');
        this.take(node);
        return item;
    }
}

function errorEntry(error: unknown): Entry {
    const text = error instanceof Error ? error.message : String(error);
    return { key: '!', label: text, tooltip: text, icon: 'info', unmarked: true };
}

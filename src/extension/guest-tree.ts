/**
 * A tree of what the guest is like at a stop. It asks anew at each stop, marks what has changed since the one before,
 * and keeps showing the last values, dimmed, while the guest runs and after it has ended.
 */
import * as vscode from 'vscode';
import type { AddressTarget } from './address-target';
import type { GuestSession, GuestSessions } from './guest-sessions';

/** One row, as a view describes it. */
export interface Entry {
    /** Tells it from its siblings, at every stop alike. */
    readonly key: string;
    readonly label: string;
    readonly value?: string;
    /** Plain text. */
    readonly tooltip?: string;
    /** Name of a product icon. */
    readonly icon?: string;
    /** Words for `when` clauses of menus: `register`, `writable`. */
    readonly context?: readonly string[];
    /** What the menu's address commands are about. */
    readonly target?: AddressTarget;
    /** What commands of the view need to know of it. */
    readonly data?: unknown;
    readonly command?: vscode.Command;
    readonly children?: readonly Entry[] | ((guest: GuestSession) => Promise<readonly Entry[]>);
    readonly expanded?: boolean;
    /** Its value is an important one to compare; what it was, where it is known better than by comparing. */
    readonly old?: string;
    /** Not compared with the stop before. */
    readonly unmarked?: boolean;
}

/** A row of the tree: what commands receive. */
export interface TreeNode {
    /** Path of the keys. */
    readonly path: string;
    readonly entry: Entry;
    readonly parent: TreeNode | undefined;
}

const SCHEME = 'hyperscope-view';

/** What themes give to things that have been modified. */
const CHANGED = new vscode.ThemeColor('gitDecoration.modifiedResourceForeground');

/** Rows below one parent; what lies beyond is told, not shown. */
const MOST_ROWS = 5000;

/** Colours and badges of the rows of all trees, by the address that each row has. */
class Decorations implements vscode.FileDecorationProvider {
    private readonly changes = new vscode.EventEmitter<undefined>();
    readonly onDidChangeFileDecorations = this.changes.event;
    private readonly trees = new Map<string, GuestTree>();
    private timer: NodeJS.Timeout | undefined;

    add(tree: GuestTree): void {
        this.trees.set(tree.view, tree);
    }

    /** All rows may look different now; asked for many times at once, it is done once. */
    refresh(): void {
        this.timer ??= setTimeout(() => {
            this.timer = undefined;
            this.changes.fire(undefined);
        });
    }

    provideFileDecoration(uri: vscode.Uri): vscode.FileDecoration | undefined {
        if (uri.scheme !== SCHEME) return undefined;
        return this.trees.get(uri.authority)?.decoration(uri.path.slice(1));
    }
}

let decorations: Decorations | undefined;

export function registerDecorations(): vscode.Disposable {
    decorations = new Decorations();
    return vscode.window.registerFileDecorationProvider(decorations);
}

export abstract class GuestTree implements vscode.TreeDataProvider<TreeNode>, vscode.Disposable {
    private readonly changes = new vscode.EventEmitter<TreeNode | undefined>();
    readonly onDidChangeTreeData = this.changes.event;
    protected readonly treeView: vscode.TreeView<TreeNode>;
    private readonly subscriptions: vscode.Disposable[] = [];

    /** Rows that were shown last, by their parent's path: what is left when the guest cannot be asked. */
    private readonly shown = new Map<string, TreeNode[]>();
    /** Values at this stop and at the one before, by path. */
    private values = new Map<string, string>();
    private before = new Map<string, string>();
    private readonly changed = new Map<string, string>();
    /** The stop that {@link values} are of. */
    private stop: unknown;
    private guest: GuestSession | undefined;
    private dimmed = false;
    /** A stop came while nobody saw the view. */
    private stale = false;
    /** Rows at the top that have been asked for, but not been shown. */
    private coming: Promise<readonly Entry[]> | undefined;
    /** Called once {@link coming} are shown. */
    private arrived: (() => void) | undefined;
    /** Of the rows at the top that are shown, with all below. */
    private fingerprint: string | undefined;
    /** Rows have marks of the stop before. */
    private marked = false;

    /** @param view its name behind `hyperscope.` */
    constructor(
        readonly view: string,
        protected readonly sessions: GuestSessions,
    ) {
        this.treeView = vscode.window.createTreeView(`hyperscope.${view}`, {
            treeDataProvider: this,
            showCollapseAll: true,
        });
        decorations?.add(this);
        this.subscriptions.push(
            this.changes,
            this.treeView,
            sessions.onDidChange(() => this.update()),
            this.treeView.onDidChangeVisibility(({ visible }) => {
                if (visible && this.stale) this.refresh();
            }),
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

    /** Asks again for everything that is shown. */
    refresh(): void {
        // What was asked for earlier, and not fetched by VS Code, is of then.
        this.coming = undefined;
        if (this.treeView.visible) {
            this.stale = false;
            this.changes.fire(undefined);
        } else {
            this.stale = true;
        }
    }

    /**
     * Asks for what a stop has brought, at once, and has it drawn only if it is not what is shown: to draw all trees anew
     * costs VS Code more than everything that the guest is asked.
     */
    private async renew(guest: GuestSession): Promise<void> {
        if (!this.treeView.visible) {
            this.coming = undefined;
            this.stale = true;
            return;
        }
        this.arrived?.();
        this.arrived = this.sessions.clock.begin(this.view);
        const coming = this.entries(guest);
        this.coming = coming;
        let isShown = false;
        try {
            const entries = await coming;
            isShown = fingerprint(entries) === this.fingerprint && !this.marked && !this.showsMore(entries);
        } catch {
            // Whoever draws the rows shows the error.
        }
        if (coming !== this.coming) return;
        if (!isShown) {
            this.changes.fire(undefined);
            return;
        }
        this.coming = undefined;
        this.arrived?.();
        this.arrived = undefined;
        this.title();
    }

    /** Rows are shown that these entries do not tell of yet. */
    private showsMore(entries: readonly Entry[], parent = ''): boolean {
        return entries.some(({ key, children }) => {
            const path = `${parent}/${key}`;
            return typeof children === 'function' ? this.shown.has(path) : this.showsMore(children ?? [], path);
        });
    }

    private update(): void {
        const guest = this.sessions.current;
        if (guest !== this.guest) {
            this.guest = guest;
            this.shown.clear();
            this.values.clear();
            this.before.clear();
            this.changed.clear();
            this.coming = undefined;
            this.fingerprint = undefined;
            if (guest?.state !== 'stopped') this.refresh();
        }
        const dimmed = guest?.state === 'running' || guest?.state === 'ended';
        const wasDimmed = this.dimmed;
        this.dimmed = dimmed;
        this.title();
        if (guest?.state === 'stopped') {
            if (guest.stop !== this.stop) {
                this.stop = guest.stop;
                this.before = new Map([...this.before, ...this.values]);
                if (this.changed.size > 0) decorations?.refresh();
                this.marked = this.changed.size > 0;
                this.changed.clear();
            }
            void this.renew(guest);
        }
        // A guest that has not been stopped since the view was opened: its present state is better than nothing.
        if (guest?.state === 'running' && this.shown.size === 0) this.refresh();
        if (dimmed !== wasDimmed) decorations?.refresh();
    }

    protected title(): void {
        const { guest } = this;
        if (guest === undefined) {
            this.treeView.description = undefined;
        } else if (this.dimmed) {
            const at = guest.stop?.at.toLocaleTimeString();
            const what = guest.state === 'ended' ? 'guest has ended' : 'running';
            this.treeView.description = at === undefined ? what : `${what} · as of ${at}`;
        } else {
            this.treeView.description = this.describe(guest);
        }
    }

    async getChildren(node?: TreeNode): Promise<TreeNode[]> {
        const { guest } = this;
        if (guest === undefined) return [];
        const path = node?.path ?? '';
        // A dead guest answers nothing, and a running one something else than what stands beside it.
        const kept = this.shown.get(path);
        if (guest.state === 'ended' || (guest.state === 'running' && kept !== undefined)) return kept ?? [];
        if (guest.state === 'starting') return [];
        const done = (node === undefined && this.arrived) || this.sessions.clock.begin(this.view);
        if (node === undefined) this.arrived = undefined;
        try {
            const rows = await this.rows(guest, node);
            if (guest !== this.guest) return [];
            this.shown.set(path, rows);
            return rows;
        } catch (error) {
            const text = error instanceof Error ? error.message : String(error);
            const entry: Entry = { key: '!', label: text, tooltip: text, icon: 'info', unmarked: true };
            return kept ?? [{ path: `${path}/!`, entry, parent: node }];
        } finally {
            done();
            if (node === undefined) this.title();
        }
    }

    private async rows(guest: GuestSession, parent: TreeNode | undefined): Promise<TreeNode[]> {
        const entries = parent === undefined ? await this.top(guest) : await below(guest, parent);
        const rows = entries.slice(0, MOST_ROWS).map((entry): TreeNode => {
            const path = `${parent?.path ?? ''}/${entry.key}`;
            this.compare(path, entry);
            return { path, entry, parent };
        });
        if (entries.length > MOST_ROWS) {
            const label = `… ${entries.length - MOST_ROWS} more`;
            rows.push({ path: `${parent?.path ?? ''}/…`, entry: { key: '…', label, unmarked: true }, parent });
        }
        return rows;
    }

    private async top(guest: GuestSession): Promise<readonly Entry[]> {
        const { coming } = this;
        this.coming = undefined;
        const entries = await (coming ?? this.entries(guest));
        this.fingerprint = fingerprint(entries);
        this.marked = false;
        return entries;
    }

    private compare(path: string, { value, old, unmarked }: Entry): void {
        if (unmarked || value === undefined) return;
        const before = old ?? this.before.get(path);
        const changed = before !== undefined && before !== value ? before : undefined;
        if (changed !== this.changed.get(path)) decorations?.refresh();
        if (changed === undefined) this.changed.delete(path);
        else this.changed.set(path, changed);
        this.values.set(path, value);
    }

    getParent(node: TreeNode): TreeNode | undefined {
        return node.parent;
    }

    getTreeItem({ path, entry }: TreeNode): vscode.TreeItem {
        const { label, value, tooltip, icon, children, expanded, command, context = [], target } = entry;
        const old = this.changed.get(path);
        const collapsible = vscode.TreeItemCollapsibleState;
        const item = new vscode.TreeItem(
            label,
            children === undefined ? collapsible.None : expanded ? collapsible.Expanded : collapsible.Collapsed,
        );
        item.id = path;
        item.resourceUri = vscode.Uri.from({ scheme: SCHEME, authority: this.view, path: encodePath(path) });
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
        return item;
    }

    /** Shown in the row of that path (without the first slash). */
    decoration(path: string): vscode.FileDecoration | undefined {
        if (this.dimmed)
            return new vscode.FileDecoration(undefined, undefined, new vscode.ThemeColor('disabledForeground'));
        const old = this.changed.get(`/${path}`);
        return old === undefined ? undefined : new vscode.FileDecoration('●', `was ${old}`.slice(0, 200), CHANGED);
    }
}

async function below(guest: GuestSession, { entry }: TreeNode): Promise<readonly Entry[]> {
    const { children = [] } = entry;
    return typeof children === 'function' ? children(guest) : children;
}

/** Differs where anything does that rows show; what is asked for later only, it does not know. */
function fingerprint(entries: readonly Entry[]): string {
    return JSON.stringify(entries, (_key, value: unknown) => (typeof value === 'bigint' ? value.toString() : value));
}

/** Paths of resources may not begin with two slashes. */
function encodePath(path: string): string {
    return `/${path.replace(/^\/+/, '')}`;
}

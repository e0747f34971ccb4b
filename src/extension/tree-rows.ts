/**
 * The rows of a tree as VS Code has them, and what a stop changes in them: VS Code draws anew what it is told of, with
 * everything open below, which costs it far more than the guest is asked. It knows nothing of VS Code.
 */
import type { Command } from 'vscode';
import type { AddressTarget } from './address-target';
import type { GuestSession } from './guest-sessions';

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
    readonly command?: Command;
    /** Below it; a function is asked once the row is open. */
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
    /** Its value at the stop before, if that was another one. */
    readonly old: string | undefined;
}

/** What a view shows at a stop. */
export interface TreeContent {
    readonly entries: readonly Entry[];
    /** Those below open rows that had to be asked for, by the row's path. */
    readonly lists: ReadonlyMap<string, readonly Entry[]>;
}

interface Row extends TreeNode {
    entry: Entry;
    old: string | undefined;
    /** The rows below it, if VS Code has them. */
    given: Row[] | undefined;
}

/** Values of one list of rows, by key. */
interface Values {
    /** Number of the stop that they are of. */
    stop: number;
    now: Map<string, string>;
    before: ReadonlyMap<string, string>;
}

/** Rows below one parent; what lies beyond is told, not shown. */
const MOST_ROWS = 5000;

/** Rows that are drawn one by one; of more, their parent is drawn. */
const MOST_SINGLE_ROWS = 60;

const NONE: ReadonlyMap<string, string> = new Map();

export class TreeRows {
    private content: TreeContent | undefined;
    /** At the top, if VS Code has them. */
    private given: Row[] | undefined;
    /** Lists asked for since {@link content} came: of this stop, too. */
    private readonly asked = new Map<string, readonly Entry[]>();
    /** Whether somebody has opened or closed a row, by path. */
    private readonly open = new Map<string, boolean>();
    private readonly values = new Map<string, Values>();
    private stop = 0;
    private subject = '';

    /** There is something to show. */
    get filled(): boolean {
        return this.content !== undefined;
    }

    /** Another guest: nothing is known of it. */
    clear(): void {
        this.content = undefined;
        this.given = undefined;
        this.asked.clear();
        this.values.clear();
    }

    /** The guest has stopped once more. */
    nextStop(): void {
        this.stop++;
    }

    /** Tells what is shown of the guest: the values of another vCPU are not what these were before. */
    look(subject: string): void {
        if (subject !== this.subject) this.values.clear();
        this.subject = subject;
    }

    opened({ path }: TreeNode, open: boolean): void {
        this.open.set(path, open);
    }

    isOpen(path: string, { expanded, children }: Entry): boolean {
        return children !== undefined && (this.open.get(path) ?? expanded ?? false);
    }

    /** The entries below a row, as far as they are known. */
    entriesBelow(node: TreeNode | undefined): readonly Entry[] | undefined {
        if (node === undefined) return this.content?.entries;
        const { children = [] } = node.entry;
        if (typeof children !== 'function') return children;
        return this.asked.get(node.path) ?? this.content?.lists.get(node.path);
    }

    /** Takes what was asked for below a row. */
    takeList({ path }: TreeNode, entries: readonly Entry[]): void {
        this.asked.set(path, entries);
        this.noteAll(path, entries);
    }

    /** The rows below a row, for VS Code: from now on {@link update} tells what becomes of them. */
    give(node: TreeNode | undefined): TreeNode[] {
        const entries = this.entriesBelow(node) ?? [];
        const parent = node as Row | undefined;
        const path = parent?.path ?? '';
        const rows = bounded(entries).map((entry): Row => ({
            path: `${path}/${entry.key}`,
            entry,
            parent,
            old: this.changedFrom(path, entry),
            given: undefined,
        }));
        if (parent === undefined) this.given = rows;
        else parent.given = rows;
        return rows;
    }

    /** Takes what is to be shown from now on; returns the rows that look different, or 'all'. */
    update(content: TreeContent): 'all' | readonly TreeNode[] {
        this.content = content;
        this.asked.clear();
        this.noteAll('', content.entries);
        for (const [list, { stop }] of this.values) if (stop < this.stop - 1) this.values.delete(list);
        const rows = this.given && this.differing(this.given, content.entries, '');
        if (rows === undefined) this.given = undefined;
        return rows ?? 'all';
    }

    /** Brings rows up to date; those to be drawn anew, or undefined: the whole list. */
    private differing(rows: Row[], entries: readonly Entry[], path: string): Row[] | undefined {
        const shown = bounded(entries);
        if (shown.length !== rows.length || shown.some(({ key }, index) => key !== rows[index].entry.key)) {
            return undefined;
        }
        const found: Row[] = [];
        let ofThese = 0;
        for (const [index, row] of rows.entries()) {
            const before = row.entry;
            const { old } = row;
            row.entry = shown[index];
            row.old = this.changedFrom(path, row.entry);
            const differs = row.old !== old || !looksAlike(before, row.entry);
            if (differs) ofThese++;
            const below = row.given === undefined ? [] : this.below(row);
            if (differs || below === undefined) {
                // VS Code takes what is below it anew, too, if it is open, and forgets it otherwise.
                row.given = undefined;
                found.push(row);
            } else {
                found.push(...below);
            }
        }
        return ofThese > MOST_SINGLE_ROWS ? undefined : found;
    }

    /** As {@link differing}, of what is below a row. */
    private below(row: Row): Row[] | undefined {
        const entries = this.entriesBelow(row);
        // Of a list that is closed, nothing is known any more.
        if (entries === undefined) return undefined;
        const found = this.differing(row.given!, entries, row.path);
        // What nobody sees is drawn when it is opened.
        return found?.length === 0 || this.isOpen(row.path, row.entry) ? found : undefined;
    }

    // ---- values ------------------------------------------------------------------------------------------------------

    private noteAll(path: string, entries: readonly Entry[]): void {
        this.note(path, entries);
        for (const { key, children } of entries) {
            const below = `${path}/${key}`;
            const list = typeof children === 'function' ? this.content?.lists.get(below) : children;
            if (list !== undefined) this.noteAll(below, list);
        }
    }

    private note(path: string, entries: readonly Entry[]): void {
        let list = this.values.get(path);
        if (list === undefined) this.values.set(path, (list = { stop: this.stop, now: new Map(), before: NONE }));
        if (list.stop !== this.stop) {
            list.before = list.stop === this.stop - 1 ? list.now : NONE;
            list.stop = this.stop;
        }
        list.now = new Map();
        for (const { key, value, unmarked } of entries) {
            if (!unmarked && value !== undefined) list.now.set(key, value);
        }
    }

    private changedFrom(path: string, { key, value, old, unmarked }: Entry): string | undefined {
        if (unmarked || value === undefined) return undefined;
        const before = old ?? this.values.get(path)?.before.get(key);
        return before === value ? undefined : before;
    }
}

function bounded(entries: readonly Entry[]): readonly Entry[] {
    if (entries.length <= MOST_ROWS) return entries;
    const more: Entry = { key: '…', label: `… ${entries.length - MOST_ROWS} more`, unmarked: true };
    return [...entries.slice(0, MOST_ROWS), more];
}

/** Everything that VS Code is told of a row is the same. */
function looksAlike(one: Entry, other: Entry): boolean {
    return (
        one.label === other.label &&
        one.value === other.value &&
        one.tooltip === other.tooltip &&
        one.icon === other.icon &&
        one.expanded === other.expanded &&
        (one.children === undefined) === (other.children === undefined) &&
        one.target?.space === other.target?.space &&
        sameWords(one.context, other.context) &&
        sameCommand(one.command, other.command)
    );
}

function sameWords(one: readonly string[] = [], other: readonly string[] = []): boolean {
    return one.length === other.length && one.every((word, index) => word === other[index]);
}

function sameCommand(one: Command | undefined, other: Command | undefined): boolean {
    return one === other || JSON.stringify(one) === JSON.stringify(other);
}

/**
 * Makes a table one stop for the Tab key: arrows go from cell to cell, and what is redrawn keeps the focus. A cell with a
 * button in it is that button.
 */
import { element } from '../dom';

type Attributes = Parameters<typeof element>[1];

/** Rows that Page Up and Page Down go. */
const PAGE = 10;

export class Grid {
    /** Where the focus is, or comes to. */
    private row: Element | undefined;
    private index = 0;
    private column = 0;
    /** Where the Tab key stops. */
    private stop: HTMLElement | undefined;

    /**
     * @param body of a table with the role `grid`; its cells are made by {@link textCell} and {@link buttonCell}
     * @param copy takes the text of a row, cells apart by tabs
     */
    constructor(
        private readonly body: HTMLTableSectionElement,
        private readonly copy: (text: string) => void,
    ) {
        body.addEventListener('keydown', event => this.key(event));
        body.addEventListener('focusin', event => this.enter(event.target as Element));
    }

    /** While rows come, go, and change, the focus stays in the row, or at least at its place. */
    redraw(draw: () => void): void {
        const { body } = this;
        const focused = body.contains(document.activeElement);
        draw();
        const { row } = this;
        if (row !== undefined && row.parentElement === body) this.index = [...body.children].indexOf(row);
        const cell = this.cell(this.index, this.column);
        if (cell === undefined) return;
        this.stopAt(cell);
        if (focused && document.activeElement !== cell) cell.focus({ preventScroll: true });
    }

    /** What takes the focus in the cell at, or next to, a place. */
    private cell(index: number, column: number): HTMLElement | undefined {
        const { children } = this.body;
        const cells = children[Math.max(0, Math.min(index, children.length - 1))]?.children;
        const cell = cells?.[Math.max(0, Math.min(column, cells.length - 1))];
        return cell === undefined ? undefined : target(cell as HTMLElement);
    }

    private enter(element: Element): void {
        const cell = element.closest('td');
        const row = cell?.parentElement;
        if (!cell || !row) return;
        this.row = row;
        this.index = [...this.body.children].indexOf(row);
        this.column = [...row.children].indexOf(cell);
        this.stopAt(target(cell));
    }

    private stopAt(cell: HTMLElement): void {
        if (this.stop !== undefined && this.stop !== cell) this.stop.tabIndex = -1;
        this.stop = cell;
        if (cell.tabIndex !== 0) cell.tabIndex = 0;
    }

    private key(event: KeyboardEvent): void {
        const { index, column } = this;
        const command = event.ctrlKey || event.metaKey;
        if (command && event.key === 'c') {
            // What is marked with the mouse, the browser copies.
            if (window.getSelection()?.isCollapsed === false || this.row === undefined) return;
            this.copy([...this.row.children].map(cell => cell.textContent ?? '').join('\t'));
            event.preventDefault();
            return;
        }
        if (event.altKey || (command && event.key !== 'Home' && event.key !== 'End')) return;
        const last = this.body.children.length - 1;
        const moves: Readonly<Record<string, readonly [index: number, column: number]>> = {
            ArrowUp: [index - 1, column],
            ArrowDown: [index + 1, column],
            ArrowLeft: [index, column - 1],
            ArrowRight: [index, column + 1],
            PageUp: [index - PAGE, column],
            PageDown: [index + PAGE, column],
            Home: [command ? 0 : index, 0],
            End: [command ? last : index, Infinity],
        };
        if (!Object.hasOwn(moves, event.key)) return;
        event.preventDefault();
        const cell = this.cell(...moves[event.key]);
        cell?.focus();
        cell?.scrollIntoView({ block: 'nearest' });
    }
}

export function textCell(attributes: Attributes, text: string): HTMLTableCellElement {
    return element('td', { tabindex: -1, ...attributes }, text);
}

/** @param attributes and `text` of the button */
export function buttonCell(attributes: Attributes, text: string): HTMLTableCellElement {
    return element('td', {}, element('button', { tabindex: -1, type: 'button', ...attributes }, text));
}

/** Two cells look alike, wherever the focus is. */
export function sameCell(one: Element, other: Element): boolean {
    return plain(one) === plain(other);
}

/** As the cell was made: `tabindex` stands before what a guest has said. */
function plain(cell: Element): string {
    const text = cell.outerHTML;
    return target(cell as HTMLElement).tabIndex === 0 ? text.replace('tabindex="0"', 'tabindex="-1"') : text;
}

/** What takes the focus in a cell. */
function target(cell: HTMLElement): HTMLElement {
    return cell.querySelector('button') ?? cell;
}

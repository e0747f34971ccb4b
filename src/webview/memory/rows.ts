/** Rows of memory as elements. */
import { element } from '../dom';
import { character, describePage, digits, hex, type Width } from './format';
import { type KnownPage, type MemoryPages, PAGE } from './pages';

export interface Matches {
    readonly starts: ReadonlySet<bigint>;
    readonly length: number;
}

/** What rows depend on besides memory. */
export interface RowLook {
    readonly bytesInRow: number;
    readonly width: Width;
    readonly littleEndian: boolean;
    /** Show the bytes as text, too. */
    readonly text: boolean;
    readonly addressDigits: number;
    /** The byte that the cursor is on. */
    readonly cursor: bigint;
    /** Digits typed over the number at the cursor. */
    readonly typed: string;
    /** What was gone to: marked. */
    readonly goal: bigint | undefined;
    readonly matches: Matches | undefined;
}

/** The page of an address, as far as it is known; asking makes it known soon. */
export function pageAt(pages: MemoryPages, address: bigint): { page: KnownPage | undefined; offset: number } {
    const offset = Number(address % PAGE);
    return { page: pages.page(address - BigInt(offset)), offset };
}

/** A row that stays while memory goes by: what is the same as before is left alone. */
export class MemoryRow {
    private readonly at = element('span', { class: 'at', role: 'rowheader' });
    private readonly numbers = element('span', { class: 'numbers', role: 'presentation' });
    private readonly text = element('span', { class: 'text', role: 'gridcell' });
    private readonly note = element('span', { class: 'note', role: 'gridcell' });
    readonly element = element('div', { class: 'row', role: 'row' }, this.at, this.numbers, this.text, this.note);
    private readonly cells: NumberCell[] = [];

    show(pages: MemoryPages, address: bigint, look: RowLook): void {
        const { bytesInRow, width, addressDigits } = look;
        const { page, offset } = pageAt(pages, address);
        const known = page !== undefined && page.bytes.length >= offset + bytesInRow && page.problem === undefined;
        setText(this.at, address.toString(16).padStart(addressDigits, '0'));
        const count = bytesInRow / width;
        for (const cell of this.cells.splice(count)) cell.element.remove();
        for (let index = 0; index < count; index++) {
            if (index === this.cells.length) {
                const cell = new NumberCell();
                this.cells.push(cell);
                this.numbers.append(cell.element);
            }
            const at = index * width;
            this.cells[index].show(address + BigInt(at), known ? page : undefined, offset + at, look);
        }
        this.text.hidden = !look.text;
        if (look.text) {
            const bytes = known ? Array.from(page.bytes.subarray(offset, offset + bytesInRow), character).join('') : '';
            setText(this.text, bytes.padEnd(bytesInRow));
        }
        setText(this.note, notes(page, known, offset, bytesInRow));
    }
}

function setText(node: HTMLElement, text: string): void {
    if (node.textContent !== text) node.textContent = text;
}

function notes(page: KnownPage | undefined, known: boolean, offset: number, bytesInRow: number): string {
    if (page === undefined) return '';
    if (!known) return offset === 0 ? (page.problem ?? '') : '';
    const found: string[] = [];
    for (let at = 0; at < bytesInRow; at += 4) {
        const annotation = page.annotations.get(offset + at);
        if (annotation !== undefined) found.push(`→ ${annotation.symbol}`);
    }
    if (offset === 0 && page.info !== undefined) found.push(describePage(page.info));
    return found.join('   ');
}

/** One number of a row. */
class NumberCell {
    readonly element = element('span', { role: 'gridcell' });
    /** What it shows. */
    private shown = '';

    show(address: bigint, page: KnownPage | undefined, offset: number, look: RowLook): void {
        const { width, littleEndian, cursor, typed, goal, matches } = look;
        const isCursor = cursor >= address && cursor < address + BigInt(width);
        const classes = ['number'];
        let text = '·'.repeat(width * 2);
        let before: string | undefined;
        if (page !== undefined) {
            text = digits(page.bytes, offset, width, littleEndian);
            if (page.before?.length === page.bytes.length) {
                before = digits(page.before, offset, width, littleEndian);
                if (before === text) before = undefined;
                else classes.push('changed');
            }
        }
        if (isCursor && typed !== '') {
            text = typed.padEnd(width * 2, '_');
            classes.push('typing');
        }
        if (isCursor) classes.push('cursor');
        if (goal !== undefined && goal >= address && goal < address + BigInt(width)) classes.push('goal');
        if (isMatch(matches, address, width)) classes.push('match');
        const shown = `${address} ${text} ${before} ${classes.join(' ')}`;
        if (shown === this.shown) return;
        this.shown = shown;
        const title = before === undefined ? undefined : `before: ${before}`;
        setText(this.element, text);
        this.element.className = classes.join(' ');
        this.set('title', title);
        this.set('id', isCursor ? 'cursor' : undefined);
        this.set('aria-selected', isCursor ? 'true' : undefined);
        this.set('aria-label', `${hex(address)}: ${text}${title === undefined ? '' : `, changed, ${title}`}`);
        this.set('data-address', hex(address));
    }

    private set(attribute: string, value: string | undefined): void {
        if (value === undefined) this.element.removeAttribute(attribute);
        else this.element.setAttribute(attribute, value);
    }
}

function isMatch(matches: Matches | undefined, address: bigint, width: number): boolean {
    if (matches === undefined) return false;
    for (let at = 0; at < width; at++) {
        for (let back = 0; back < matches.length; back++) {
            if (matches.starts.has(address + BigInt(at - back))) return true;
        }
    }
    return false;
}

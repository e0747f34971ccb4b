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

export function drawRow(pages: MemoryPages, address: bigint, look: RowLook): HTMLElement {
    const { bytesInRow, width, addressDigits } = look;
    const { page, offset } = pageAt(pages, address);
    const row = element(
        'div',
        { class: 'row', role: 'row' },
        element('span', { class: 'at', role: 'rowheader' }, address.toString(16).padStart(addressDigits, '0')),
    );
    const known = page !== undefined && page.bytes.length >= offset + bytesInRow && page.problem === undefined;
    const numbers = element('span', { class: 'numbers', role: 'presentation' });
    for (let at = 0; at < bytesInRow; at += width) {
        numbers.append(drawNumber(address + BigInt(at), known ? page : undefined, offset + at, look));
    }
    row.append(numbers);
    if (look.text) {
        const text = element('span', { class: 'text', role: 'gridcell' });
        text.textContent = known
            ? Array.from(page.bytes.subarray(offset, offset + bytesInRow), character).join('')
            : ' '.repeat(bytesInRow);
        row.append(text);
    }
    const notes: string[] = [];
    if (known) {
        for (let at = 0; at < bytesInRow; at += 4) {
            const annotation = page.annotations.get(offset + at);
            if (annotation !== undefined) notes.push(`→ ${annotation.symbol}`);
        }
    } else if (page?.problem !== undefined && offset === 0) {
        notes.push(page.problem);
    }
    if (known && offset === 0 && page.info !== undefined) notes.push(describePage(page.info));
    row.append(element('span', { class: 'note' }, notes.join('   ')));
    return row;
}

function drawNumber(address: bigint, page: KnownPage | undefined, offset: number, look: RowLook): HTMLElement {
    const { width, littleEndian, cursor, typed, goal, matches } = look;
    const isCursor = cursor >= address && cursor < address + BigInt(width);
    const classes = ['number'];
    let text = '·'.repeat(width * 2);
    let title: string | undefined;
    if (page !== undefined) {
        text = digits(page.bytes, offset, width, littleEndian);
        const { before } = page;
        if (before !== undefined && before.length === page.bytes.length) {
            for (let index = 0; index < width; index++) {
                if (before[offset + index] !== page.bytes[offset + index]) {
                    classes.push('changed');
                    title = `before: ${digits(before, offset, width, littleEndian)}`;
                    break;
                }
            }
        }
    }
    if (isCursor && typed !== '') {
        text = typed.padEnd(width * 2, '_');
        classes.push('typing');
    }
    if (isCursor) classes.push('cursor');
    if (goal !== undefined && goal >= address && goal < address + BigInt(width)) classes.push('goal');
    if (isMatch(matches, address, width)) classes.push('match');
    return element(
        'span',
        {
            class: classes.join(' '),
            role: 'gridcell',
            title,
            id: isCursor ? 'cursor' : undefined,
            'aria-selected': isCursor ? 'true' : undefined,
            'aria-label': `${hex(address)}: ${text}${title === undefined ? '' : `, changed, ${title}`}`,
            'data-address': hex(address),
        },
        text,
    );
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

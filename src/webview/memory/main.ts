/** The Memory view's page. */
import type { MemorySpace } from '../../messages/common';
import type { MemoryBody } from '../../messages/memory';
import type { PanelEvent, PanelState } from '../../messages/panel';
import { element, onceAFrame, onceSoon, welcome } from '../dom';
import { Host } from '../host';
import { bytesOf, describePage, digits, hex } from './format';
import { encode, MemoryPages, PAGE } from './pages';
import { Results } from './results';
import { MemoryRow, pageAt, type RowLook } from './rows';
import { DEFAULTS, type Settings, Toolbar } from './toolbar';

/** Bytes in a row, the first that fits the view's width. */
const ROW_SIZES = [16, 8] as const;
/** Pixels; as in memory.css. */
const ROW_HEIGHT = 20;
/** Rows of the part of memory that the scroll bar spans; scrolling moves it along. */
const ROWS = 8192;
const MIDDLE = ROWS / 2;
const SPACE_END = { virtual: 1n << 64n, linear: 1n << 64n, physical: 1n << 52n };

const host = new Host(receive);
const settings = host.restore<Settings>(DEFAULTS);

let state: PanelState = { state: 'none', vcpu: 0 };
let bytesInRow: number = ROW_SIZES[0];
/** Address of the first row that the scroll bar reaches. */
let base = 0n;
/** The byte that the cursor is on. */
let cursor = 0n;
/** Digits typed over the number at the cursor, not written yet. */
let typed = '';
/** What was gone to: marked. */
let goal: bigint | undefined;

const drawSoon = onceSoon(() => {
    draw();
    arrived();
});
const pages = new MemoryPages(
    args => host.ask<MemoryBody>(`page ${args.address}`, 'hyperscope/memory', args),
    drawSoon,
);

// ---- the parts of the page -----------------------------------------------------------------------------------------

const root = document.getElementById('root')!;

const toolbar = new Toolbar(settings, {
    goTo: expression => void goTo(expression),
    commit,
    changed: () => {
        save();
        draw();
    },
    search: pattern => void results.search(pattern),
    closeResults: () => results.close(),
    showMappings: () => void results.showMappings(hex(cursor), settings.space),
});
const results = new Results({
    host,
    get place() {
        return { space: settings.space, segment: settings.segment, vcpu: state.vcpu };
    },
    goTo: show,
    redraw: draw,
    takeFocus: () => scroller.focus(),
});

const spacer = element('div', { class: 'spacer' });
const rows = element('div', { class: 'rows', role: 'rowgroup' });
const scroller = element(
    'div',
    { class: 'scroller', tabindex: 0, role: 'grid', 'aria-label': 'Guest memory', 'aria-readonly': 'false' },
    spacer,
    rows,
);
const status = element('footer', { class: 'status', role: 'status' });
const empty = welcome(
    'No guest yet: its memory will be here.',
    'Debug the sample guest',
    () => void perform('debugSample'),
);
const content = element(
    'div',
    { class: 'content', hidden: true },
    toolbar.element,
    element('div', { class: 'body' }, scroller, results.element),
    status,
);
root.append(empty, content);
spacer.style.height = `${ROWS * ROW_HEIGHT}px`;

// ---- addresses -----------------------------------------------------------------------------------------------------

function save(): void {
    host.save({ ...settings, address: hex(cursor) });
}

/** Goes where somebody points: from there on no register is followed. */
function show(address: string, space: MemorySpace): void {
    toolbar.setFollow('');
    toolbar.setSpace(space);
    void goTo(address);
}

/** Scrolls so that an address is at the top, or stays where it is if it can be seen already. */
function reveal(address: bigint, always: boolean): void {
    const row = (address - base) / BigInt(bytesInRow);
    const first = Math.floor(scroller.scrollTop / ROW_HEIGHT);
    const visible = Math.floor(scroller.clientHeight / ROW_HEIGHT) - 1;
    if (row >= BigInt(first) && row < BigInt(first + visible) && !always) return;
    if (row < 0n || row >= BigInt(ROWS - visible - 1) || always) {
        const aligned = address - (address % BigInt(bytesInRow));
        const half = BigInt(MIDDLE * bytesInRow);
        base = aligned > half ? aligned - half : 0n;
        scroller.scrollTop = Number((aligned - base) / BigInt(bytesInRow)) * ROW_HEIGHT;
        return;
    }
    const below = row >= BigInt(first + visible);
    scroller.scrollTop = (Number(row) - (below ? visible - 1 : 0)) * ROW_HEIGHT;
}

/** Expressions that were gone to: only the last one counts. */
let lastTurn = 0;
/** The last one has not been answered yet. */
let going = false;

/** Goes to what an expression says; tells why if it says nothing. */
async function goTo(expression: string, keep = false): Promise<void> {
    settings.expression = expression;
    toolbar.showExpression(expression);
    const turn = ++lastTurn;
    going = true;
    try {
        const body = await host.ask<MemoryBody>('goTo', 'hyperscope/memory', {
            address: expression,
            space: settings.space,
            segment: settings.space === 'virtual' ? settings.segment : undefined,
            vcpu: state.vcpu,
            count: 1,
        });
        if (turn !== lastTurn) return;
        going = false;
        toolbar.markWrong(false);
        if (body.space !== settings.space) toolbar.setSpace(body.space);
        pages.look({ space: settings.space, segment: settings.segment, vcpu: state.vcpu });
        const address = BigInt(body.address);
        const moved = goal !== address;
        goal = address;
        cursor = address;
        typed = '';
        reveal(address, moved && !keep);
        save();
        drawSoon();
    } catch (error) {
        if (turn !== lastTurn) return;
        going = false;
        toolbar.markWrong(true);
        draw();
        arrived();
        say((error as Error).message);
    }
}

function moveCursor(by: bigint): void {
    commit();
    const end = SPACE_END[settings.space];
    const moved = cursor + by;
    cursor = moved < 0n ? 0n : moved >= end ? end - 1n : moved;
    reveal(cursor, false);
    save();
    draw();
}

// ---- rows ----------------------------------------------------------------------------------------------------------

/** Keeps the scroll bar away from its ends, unless memory ends there too. */
function recentre(): void {
    const first = Math.floor(scroller.scrollTop / ROW_HEIGHT);
    const rest = scroller.scrollTop % ROW_HEIGHT;
    const end = SPACE_END[settings.space];
    const span = BigInt(ROWS * bytesInRow);
    const shift = BigInt(first - MIDDLE) * BigInt(bytesInRow);
    if ((first > ROWS / 8 || base === 0n) && (first < (ROWS * 7) / 8 || base + span >= end)) return;
    let moved = base + shift;
    if (moved < 0n) moved = 0n;
    if (moved + span > end) moved = end - span;
    const by = Number((moved - base) / BigInt(bytesInRow));
    if (by === 0) return;
    base = moved;
    scroller.scrollTop = (first - by) * ROW_HEIGHT + rest;
}

/** Takes as many bytes in a row as the view is wide for; what was at the top stays there. */
function fitWidth(): void {
    const probe = rows.querySelector<HTMLElement>('.at');
    const measured = probe === null ? 0 : probe.getBoundingClientRect().width / Math.max(1, probe.textContent.length);
    const columns = scroller.clientWidth / (measured || 8);
    const needed = (size: number): number =>
        20 + (size / settings.width) * (settings.width * 2 + 1.5) + (settings.text ? size + 3 : 0);
    const size = ROW_SIZES.find(one => needed(one) <= columns) ?? ROW_SIZES[ROW_SIZES.length - 1];
    if (size === bytesInRow) return;
    const top = base + BigInt(Math.floor(scroller.scrollTop / ROW_HEIGHT) * bytesInRow);
    bytesInRow = size;
    reveal(top, true);
}

/** Those that can be seen, from the top. */
const drawnRows: MemoryRow[] = [];

/** Asks for the pages that can be seen, as far as they are not of this stop. */
function askForVisible(): void {
    const first = base + BigInt(Math.floor(scroller.scrollTop / ROW_HEIGHT) * bytesInRow);
    const last = first + BigInt(Math.ceil(scroller.clientHeight / ROW_HEIGHT) * bytesInRow);
    const end = last < SPACE_END[settings.space] ? last : SPACE_END[settings.space] - 1n;
    for (let page = first - (first % PAGE); page <= end; page += PAGE) pages.page(page);
}

function draw(): void {
    if (content.hidden) return;
    fitWidth();
    recentre();
    const first = Math.floor(scroller.scrollTop / ROW_HEIGHT);
    const count = Math.ceil(scroller.clientHeight / ROW_HEIGHT) + 1;
    const end = SPACE_END[settings.space];
    const { width, littleEndian, text } = settings;
    const look: RowLook = {
        ...{ bytesInRow, width, littleEndian, text, cursor, typed, goal },
        addressDigits: settings.space === 'physical' ? 13 : 16,
        matches: results.matches,
    };
    let drawn = 0;
    for (let row = first; row < Math.min(first + count, ROWS); row++) {
        const address = base + BigInt(row * bytesInRow);
        if (address >= end) break;
        if (drawn === drawnRows.length) {
            const made = new MemoryRow();
            drawnRows.push(made);
            rows.append(made.element);
        }
        drawnRows[drawn++].show(pages, address, look);
    }
    for (const { element: gone } of drawnRows.splice(drawn)) gone.remove();
    const place = `translateY(${first * ROW_HEIGHT}px)`;
    if (rows.style.transform !== place) rows.style.transform = place;
    scroller.setAttribute('aria-activedescendant', 'cursor');
    if (!results.searching) describeCursor();
}

function describeCursor(): void {
    const offset = cursor % PAGE;
    const page = pages.peek(cursor - offset);
    const info = page?.info;
    const when = state.state === 'running' || state.state === 'ended' ? `as of ${time(state.stoppedAt)} · ` : '';
    const physical = info?.physical === undefined ? '' : describePage(info, Number(offset));
    say(
        `${when}${hex(cursor)}${physical === '' ? (page?.problem === undefined ? '' : ` · ${page.problem}`) : ` · ${physical}`}`,
    );
}

function time(at: number | undefined): string {
    return at === undefined ? 'no stop yet' : new Date(at).toLocaleTimeString();
}

function say(text: string): void {
    if (status.textContent === text) return;
    status.textContent = text;
    // For where it is too narrow.
    status.title = text;
}

scroller.addEventListener('scroll', onceAFrame(draw), { passive: true });
new ResizeObserver(onceAFrame(draw)).observe(scroller);
scroller.addEventListener('mousedown', event => {
    const cell = (event.target as HTMLElement).closest<HTMLElement>('.number');
    if (cell?.dataset.address === undefined) return;
    commit();
    cursor = BigInt(cell.dataset.address);
    save();
    draw();
});
scroller.addEventListener('dblclick', event => {
    // What looks like an address is one: go there.
    const cell = (event.target as HTMLElement).closest<HTMLElement>('.number');
    if (cell?.textContent && settings.width === 8 && settings.littleEndian) {
        toolbar.setFollow('');
        void goTo(`0x${cell.textContent}`);
    }
});

// ---- editing -------------------------------------------------------------------------------------------------------

scroller.addEventListener('keydown', event => {
    const width = BigInt(settings.width);
    const visible = BigInt(Math.max(1, Math.floor(scroller.clientHeight / ROW_HEIGHT) - 1) * bytesInRow);
    const perRow = BigInt(bytesInRow);
    const inRow = (((cursor - base) % perRow) + perRow) % perRow;
    const moves: Readonly<Record<string, bigint>> = {
        ArrowLeft: -width,
        ArrowRight: width,
        ArrowUp: BigInt(-bytesInRow),
        ArrowDown: BigInt(bytesInRow),
        Home: -inRow,
        End: BigInt(bytesInRow) - width - inRow,
        PageUp: -visible,
        PageDown: visible,
    };
    if (event.ctrlKey || event.metaKey || event.altKey) {
        if (event.key === 'c') void perform('copy', numberAtCursor());
        return;
    }
    if (event.key in moves) moveCursor(moves[event.key]);
    else if (/^[0-9a-fA-F]$/.test(event.key)) type(event.key.toLowerCase());
    else if (event.key === 'Enter') commit();
    else if (event.key === 'Escape') typed = '';
    else if (event.key === 'Backspace') typed = typed.slice(0, -1);
    else return;
    event.preventDefault();
    draw();
});
scroller.addEventListener('blur', () => commit());

function numberAtCursor(): string {
    const start = cursor - (cursor % BigInt(settings.width));
    const { page, offset } = pageAt(pages, start);
    return page === undefined || page.bytes.length === 0
        ? ''
        : `0x${digits(page.bytes, offset, settings.width, settings.littleEndian)}`;
}

function type(digit: string): void {
    if (state.state !== 'stopped' && state.state !== 'running') return;
    cursor -= cursor % BigInt(settings.width);
    typed += digit;
    if (typed.length === settings.width * 2) {
        commit();
        cursor += BigInt(settings.width);
    }
}

/** Writes what has been typed over a number; digits that are missing are zero, as in a number. */
function commit(): void {
    if (typed === '') return;
    const text = typed;
    typed = '';
    const start = cursor - (cursor % BigInt(settings.width));
    void write(start, bytesOf(text, settings.width, settings.littleEndian));
}

async function write(address: bigint, bytes: Uint8Array): Promise<void> {
    try {
        // In which linear address a virtual one lies, the adapter knows.
        const { memoryReference } = await host.request<MemoryBody>('hyperscope/memory', {
            address: hex(address),
            space: settings.space,
            segment: settings.space === 'virtual' ? settings.segment : undefined,
            vcpu: state.vcpu,
            count: 1,
        });
        await host.request('writeMemory', { memoryReference, data: encode(bytes) });
        pages.refresh();
        draw();
    } catch (error) {
        say(`${hex(address)} was not written: ${(error as Error).message}`);
    }
}

// ---- requests ------------------------------------------------------------------------------------------------------

async function perform(method: string, args?: unknown): Promise<void> {
    try {
        await host.request(method, args);
    } catch (error) {
        say((error as Error).message);
    }
}

// ---- what the extension says ---------------------------------------------------------------------------------------

let shownStop: number | undefined;
/** What the extension said last of the stop is on its way to the screen. */
let arriving = false;

function receive(event: PanelEvent): void {
    switch (event.event) {
        case 'state':
            update(event.state, event.change);
            return;
        case 'goto':
            show(event.address, event.space);
            return;
        case 'mappings':
            void results.showMappings(event.address, event.space);
    }
}

/** Tells when the last stop can be seen, to which nothing is missing then. */
function arrived(): void {
    if (!arriving || going || !pages.settled) return;
    arriving = false;
    host.shown();
}

function update(next: PanelState, change: string): void {
    const other = next.session !== state.session;
    const first = state.state === 'none' || state.state === 'starting';
    state = next;
    const none = next.state === 'none' || (next.state === 'starting' && next.stoppedAt === undefined);
    empty.hidden = !none;
    content.hidden = none;
    content.classList.toggle('dimmed', next.state === 'running' || next.state === 'ended');
    if (none) return;
    if (other) {
        pages.forget();
        goal = undefined;
        results.close();
    }
    if (next.state === 'stopped') {
        pages.look({ space: settings.space, segment: settings.segment, vcpu: next.vcpu });
        if (next.stoppedAt !== shownStop) {
            shownStop = next.stoppedAt;
            pages.nextStop();
        } else if (change === 'values') {
            pages.refresh();
        }
        if (settings.follow !== '') void goTo(settings.follow, true);
        else if (first || other) void goTo(settings.expression);
        arriving = true;
        // The old ones stay until the new ones are here.
        if (!first && !other) askForVisible();
        drawSoon();
        return;
    }
    draw();
}

host.ready();

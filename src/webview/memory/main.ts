/** The Memory view's page. */
import type { MemorySpace } from '../../messages/common';
import type { MemoryBody, PageMappingsBody, SearchMemoryBody } from '../../messages/memory';
import type { PanelEvent, PanelState } from '../../messages/panel';
import { button, element, onceAFrame, select, welcome } from '../dom';
import { Host } from '../host';
import { bytesOf, character, describePage, digits, permissions, type Width } from './format';
import { encode, type KnownPage, MemoryPages, PAGE } from './pages';

/** Bytes in a row, the first that fits the view's width. */
const ROW_SIZES = [16, 8] as const;
/** Pixels; as in memory.css. */
const ROW_HEIGHT = 20;
/** Rows of the part of memory that the scroll bar spans; scrolling moves it along. */
const ROWS = 8192;
const MIDDLE = ROWS / 2;
const SPACE_END = { virtual: 1n << 64n, linear: 1n << 64n, physical: 1n << 52n };
const REGISTERS = [
    'rip',
    'rsp',
    'rbp',
    'rax',
    'rbx',
    'rcx',
    'rdx',
    'rsi',
    'rdi',
    ...[8, 9, 10, 11, 12, 13, 14, 15].map(n => `r${n}`),
];
const SEGMENTS = ['ds', 'ss', 'cs', 'es', 'fs', 'gs'];
/** Milliseconds of one piece of a search: between two of them it can be cancelled. */
const SEARCH_BUDGET = 150;
const MOST_MATCHES = 1000;

interface Saved {
    space: MemorySpace;
    segment: string;
    /** The expression that was gone to last. */
    expression: string;
    /** Register whose value is kept in view, or nothing. */
    follow: string;
    width: Width;
    littleEndian: boolean;
    text: boolean;
    address: string;
    pattern: string;
}

const host = new Host(receive);
const saved = host.restore<Saved>({
    space: 'linear',
    segment: 'ds',
    expression: 'rsp',
    follow: 'rsp',
    width: 8,
    littleEndian: true,
    text: true,
    address: '0x0',
    pattern: '',
});

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
let matches: { readonly starts: ReadonlySet<bigint>; readonly length: number } | undefined;

const pages = new MemoryPages(
    args => host.request<MemoryBody>('hyperscope/memory', args),
    onceAFrame(() => draw()),
);

// ---- the parts of the page -----------------------------------------------------------------------------------------

const root = document.getElementById('root')!;

const spaceChoice = select<MemorySpace>(
    'Address space',
    [
        ['linear', 'linear'],
        ['virtual', 'virtual'],
        ['physical', 'physical'],
    ],
    saved.space,
    space => {
        saved.space = space;
        segmentChoice.hidden = space !== 'virtual';
        void goTo(saved.expression);
    },
);
const segmentChoice = select(
    'Segment',
    SEGMENTS.map(name => [name, `${name}:`] as const),
    saved.segment,
    segment => {
        saved.segment = segment;
        void goTo(saved.expression);
    },
);
segmentChoice.hidden = saved.space !== 'virtual';
const addressInput = element('input', {
    type: 'text',
    class: 'address',
    value: saved.expression,
    'aria-label': 'Address or expression',
    title: 'Address or expression: rsp + 8, start_kernel, 0x1000',
    spellcheck: 'false',
    onkeydown: (event: KeyboardEvent) => {
        if (event.key !== 'Enter') return;
        setFollow('');
        void goTo(addressInput.value);
    },
});
const followChoice = select(
    'Follow a register',
    [['', 'follow none'] as const, ...REGISTERS.map(name => [name, `follow ${name}`] as const)],
    saved.follow,
    register => {
        saved.follow = register;
        save();
        if (register !== '') void goTo(register);
    },
);
const widthChoice = select(
    'Bytes in a number',
    [
        ['1', '1 byte'],
        ['2', '2 bytes'],
        ['4', '4 bytes'],
        ['8', '8 bytes'],
    ],
    String(saved.width) as '1' | '2' | '4' | '8',
    width => {
        commit();
        saved.width = Number(width) as Width;
        save();
        draw();
    },
);
const endianChoice = select(
    'Byte order: little-endian or big-endian',
    [
        ['little', 'LE'],
        ['big', 'BE'],
    ],
    saved.littleEndian ? 'little' : 'big',
    order => {
        commit();
        saved.littleEndian = order === 'little';
        save();
        draw();
    },
);
const textChoice = element('input', {
    type: 'checkbox',
    id: 'text',
    checked: saved.text,
    onchange: () => {
        saved.text = textChoice.checked;
        save();
        draw();
    },
});
const searchInput = element('input', {
    type: 'search',
    class: 'search',
    value: saved.pattern,
    placeholder: 'search: text, 48 8b ?? c3, u64 = rsp',
    'aria-label': 'Search memory: text in quotes, bytes, or a number such as u64 = 0x1000',
    spellcheck: 'false',
    onkeydown: (event: KeyboardEvent) => {
        if (event.key === 'Enter') void search();
        if (event.key === 'Escape') closeResults();
    },
});
const toolbar = element(
    'div',
    { class: 'toolbar', role: 'toolbar', 'aria-label': 'Memory' },
    spaceChoice,
    segmentChoice,
    addressInput,
    followChoice,
    widthChoice,
    endianChoice,
    element('label', { class: 'check' }, textChoice, 'text'),
    searchInput,
    button(
        'Who maps this?',
        'List what maps the page at the cursor',
        () => void showMappings(hex(cursor), saved.space),
    ),
);

const spacer = element('div', { class: 'spacer' });
const rows = element('div', { class: 'rows', role: 'rowgroup' });
const scroller = element(
    'div',
    { class: 'scroller', tabindex: 0, role: 'grid', 'aria-label': 'Guest memory', 'aria-readonly': 'false' },
    spacer,
    rows,
);
const results = element('aside', { class: 'results', hidden: true, 'aria-label': 'Results' });
const status = element('footer', { class: 'status', role: 'status' });
const empty = welcome(
    'No guest yet: its memory will be here.',
    'Debug the sample guest',
    () => void perform('debugSample'),
);
const content = element(
    'div',
    { class: 'content', hidden: true },
    toolbar,
    element('div', { class: 'body' }, scroller, results),
    status,
);
root.append(empty, content);
spacer.style.height = `${ROWS * ROW_HEIGHT}px`;

// ---- addresses -----------------------------------------------------------------------------------------------------

function hex(value: bigint): string {
    return `0x${value.toString(16)}`;
}

function save(): void {
    host.save({ ...saved, address: hex(cursor) });
}

function setFollow(register: string): void {
    saved.follow = register;
    followChoice.value = register;
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

/** Goes to what an expression says; tells why if it says nothing. */
async function goTo(expression: string, keep = false): Promise<void> {
    saved.expression = expression;
    if (document.activeElement !== addressInput) addressInput.value = expression;
    try {
        const body = await host.request<MemoryBody>('hyperscope/memory', {
            address: expression,
            space: saved.space,
            segment: saved.space === 'virtual' ? saved.segment : undefined,
            vcpu: state.vcpu,
            count: 1,
        });
        addressInput.classList.remove('wrong');
        if (body.space !== saved.space) {
            saved.space = body.space;
            spaceChoice.value = body.space;
            segmentChoice.hidden = body.space !== 'virtual';
        }
        pages.look({ space: saved.space, segment: saved.segment, vcpu: state.vcpu });
        const address = BigInt(body.address);
        const moved = goal !== address;
        goal = address;
        cursor = address;
        typed = '';
        reveal(address, moved && !keep);
        save();
        draw();
    } catch (error) {
        addressInput.classList.add('wrong');
        say((error as Error).message);
    }
}

function moveCursor(by: bigint): void {
    commit();
    const end = SPACE_END[saved.space];
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
    const end = SPACE_END[saved.space];
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

function pageAt(address: bigint): { page: KnownPage | undefined; offset: number } {
    const offset = Number(address % PAGE);
    return { page: pages.page(address - BigInt(offset)), offset };
}

function drawRow(address: bigint): HTMLElement {
    const { page, offset } = pageAt(address);
    const addressDigits = saved.space === 'physical' ? 13 : 16;
    const row = element(
        'div',
        { class: 'row', role: 'row' },
        element('span', { class: 'at', role: 'rowheader' }, address.toString(16).padStart(addressDigits, '0')),
    );
    const known = page !== undefined && page.bytes.length >= offset + bytesInRow && page.problem === undefined;
    const numbers = element('span', { class: 'numbers', role: 'presentation' });
    for (let at = 0; at < bytesInRow; at += saved.width) {
        numbers.append(drawNumber(address + BigInt(at), known ? page : undefined, offset + at));
    }
    row.append(numbers);
    if (saved.text) {
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

function drawNumber(address: bigint, page: KnownPage | undefined, offset: number): HTMLElement {
    const { width, littleEndian } = saved;
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
    if (isMatch(address, width)) classes.push('match');
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

function isMatch(address: bigint, width: number): boolean {
    if (matches === undefined) return false;
    for (let at = 0; at < width; at++) {
        for (let back = 0; back < matches.length; back++) {
            if (matches.starts.has(address + BigInt(at - back))) return true;
        }
    }
    return false;
}

/** Takes as many bytes in a row as the view is wide for; what was at the top stays there. */
function fitWidth(): void {
    const probe = rows.querySelector<HTMLElement>('.at');
    const measured = probe === null ? 0 : probe.getBoundingClientRect().width / Math.max(1, probe.textContent.length);
    const columns = scroller.clientWidth / (measured || 8);
    const needed = (size: number): number =>
        20 + (size / saved.width) * (saved.width * 2 + 1.5) + (saved.text ? size + 3 : 0);
    const size = ROW_SIZES.find(one => needed(one) <= columns) ?? ROW_SIZES[ROW_SIZES.length - 1];
    if (size === bytesInRow) return;
    const top = base + BigInt(Math.floor(scroller.scrollTop / ROW_HEIGHT) * bytesInRow);
    bytesInRow = size;
    reveal(top, true);
}

function draw(): void {
    if (content.hidden) return;
    fitWidth();
    recentre();
    const first = Math.floor(scroller.scrollTop / ROW_HEIGHT);
    const count = Math.ceil(scroller.clientHeight / ROW_HEIGHT) + 1;
    const end = SPACE_END[saved.space];
    const drawn: HTMLElement[] = [];
    for (let row = first; row < Math.min(first + count, ROWS); row++) {
        const address = base + BigInt(row * bytesInRow);
        if (address >= end) break;
        drawn.push(drawRow(address));
    }
    rows.style.transform = `translateY(${first * ROW_HEIGHT}px)`;
    rows.replaceChildren(...drawn);
    scroller.setAttribute('aria-activedescendant', 'cursor');
    if (!searching) describeCursor();
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
    if (status.textContent !== text) status.textContent = text;
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
    if (cell?.textContent && saved.width === 8 && saved.littleEndian) {
        setFollow('');
        void goTo(`0x${cell.textContent}`);
    }
});

// ---- editing -------------------------------------------------------------------------------------------------------

scroller.addEventListener('keydown', event => {
    const width = BigInt(saved.width);
    const visible = BigInt(Math.max(1, Math.floor(scroller.clientHeight / ROW_HEIGHT) - 1) * bytesInRow);
    const moves: Readonly<Record<string, bigint>> = {
        ArrowLeft: -width,
        ArrowRight: width,
        ArrowUp: BigInt(-bytesInRow),
        ArrowDown: BigInt(bytesInRow),
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
    const start = cursor - (cursor % BigInt(saved.width));
    const { page, offset } = pageAt(start);
    return page === undefined || page.bytes.length === 0
        ? ''
        : `0x${digits(page.bytes, offset, saved.width, saved.littleEndian)}`;
}

function type(digit: string): void {
    if (state.state !== 'stopped' && state.state !== 'running') return;
    cursor -= cursor % BigInt(saved.width);
    typed += digit;
    if (typed.length === saved.width * 2) {
        commit();
        cursor += BigInt(saved.width);
    }
}

/** Writes what has been typed over a number; digits that are missing are zero, as in a number. */
function commit(): void {
    if (typed === '') return;
    const text = typed;
    typed = '';
    const start = cursor - (cursor % BigInt(saved.width));
    void write(start, bytesOf(text, saved.width, saved.littleEndian));
}

async function write(address: bigint, bytes: Uint8Array): Promise<void> {
    try {
        // In which linear address a virtual one lies, the adapter knows.
        const { memoryReference } = await host.request<MemoryBody>('hyperscope/memory', {
            address: hex(address),
            space: saved.space,
            segment: saved.space === 'virtual' ? saved.segment : undefined,
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

// ---- searching -----------------------------------------------------------------------------------------------------

let searching = false;
let searchNumber = 0;

async function search(): Promise<void> {
    const pattern = searchInput.value.trim();
    saved.pattern = pattern;
    save();
    if (pattern === '') {
        closeResults();
        return;
    }
    const mine = ++searchNumber;
    searching = true;
    const space = saved.space === 'physical' ? 'physical' : 'linear';
    const found: SearchMemoryBody['matches'][number][] = [];
    const list = element('ol', { class: 'matches' });
    const heading = element('span', {}, 'searching…');
    const cancel = button('Cancel', 'Cancel the search', () => searchNumber++);
    showResults(heading, cancel, list);
    try {
        let first: string | undefined;
        let searched = 0;
        do {
            const body: SearchMemoryBody = await host.request('hyperscope/searchMemory', {
                space,
                pattern: asPattern(pattern),
                vcpu: state.vcpu,
                first,
                limit: MOST_MATCHES - found.length,
                budget: SEARCH_BUDGET,
            });
            searched += body.searched;
            for (const match of body.matches) {
                found.push(match);
                list.append(matchItem(match, space));
            }
            matches = { starts: new Set(found.map(({ address }) => BigInt(address))), length: body.length };
            first = body.next;
            const part = searched + body.remaining === 0 ? 1 : searched / (searched + body.remaining);
            heading.textContent = `${found.length} found, ${Math.floor(part * 100)} % searched`;
        } while (first !== undefined && found.length < MOST_MATCHES && mine === searchNumber);
        const ended =
            mine !== searchNumber
                ? 'cancelled'
                : first !== undefined
                  ? 'the first ones'
                  : `in ${Math.ceil(searched / 2 ** 20)} MiB`;
        heading.textContent = `${found.length} found, ${ended}`;
    } catch (error) {
        heading.textContent = (error as Error).message;
        heading.classList.add('wrong');
    }
    cancel.remove();
    searching = false;
    draw();
}

/** Words that are neither bytes nor a number are meant as text. */
function asPattern(text: string): string {
    const bytes = /^(?:[0-9a-f?]{2}\s*)+$/i.test(text) && text.length > 1;
    const said = /^[a-z]?"|^[uif]\d+\s*=/i.test(text);
    return bytes || said ? text : JSON.stringify(text);
}

/** An address that shows the memory there. */
function addressLink(address: string, space: MemorySpace): HTMLElement {
    const onclick = (): void => {
        setFollow('');
        saved.space = space;
        spaceChoice.value = space;
        void goTo(address);
    };
    const text = address.slice(2).padStart(space === 'physical' ? 9 : 16, '0');
    return element('button', { type: 'button', class: 'link', onclick }, text);
}

function matchItem({ address, symbol, bytes }: SearchMemoryBody['matches'][number], space: MemorySpace): HTMLElement {
    return element(
        'li',
        {},
        addressLink(address, space),
        symbol === undefined ? undefined : element('span', { class: 'symbol' }, symbol),
        element('span', { class: 'bytes' }, bytes),
    );
}

function showResults(heading: HTMLElement, action: HTMLElement | undefined, list: HTMLElement): void {
    const bar = element('div', { class: 'heading' }, heading, action, button('✕', 'Close', closeResults));
    results.replaceChildren(bar, list);
    results.hidden = false;
}

function closeResults(): void {
    searchNumber++;
    matches = undefined;
    results.hidden = true;
    draw();
}

// ---- who maps a page -----------------------------------------------------------------------------------------------

async function showMappings(address: string, space: MemorySpace): Promise<void> {
    const heading = element('span', {}, `who maps ${address}`);
    const list = element('ol', { class: 'matches' });
    showResults(heading, undefined, list);
    try {
        const place = { address, space, segment: space === 'virtual' ? saved.segment : undefined };
        const { physical, mappings, more, usedAs } = await host.request<PageMappingsBody>('hyperscope/pageMappings', {
            vcpu: state.vcpu,
            place,
        });
        heading.textContent = `page ${physical}: ${mappings.length}${more ? ' and more' : ''} mappings`;
        for (const use of usedAs) list.append(element('li', {}, use));
        for (const { linear, permissions: allowed, pageSize, symbol, label, cr3 } of mappings) {
            const words = [permissions(allowed), `${pageSize >> 10}K`, symbol, label ?? `CR3 ${cr3}`];
            list.append(
                element(
                    'li',
                    {},
                    addressLink(linear, 'linear'),
                    element('span', {}, words.filter(Boolean).join(' · ')),
                ),
            );
        }
    } catch (error) {
        heading.textContent = (error as Error).message;
        heading.classList.add('wrong');
    }
}

async function perform(method: string, args?: unknown): Promise<void> {
    try {
        await host.request(method, args);
    } catch (error) {
        say((error as Error).message);
    }
}

// ---- what the extension says ---------------------------------------------------------------------------------------

let shownStop: number | undefined;

function receive(event: PanelEvent): void {
    switch (event.event) {
        case 'state':
            update(event.state, event.change);
            return;
        case 'goto':
            setFollow('');
            saved.space = event.space;
            spaceChoice.value = event.space;
            segmentChoice.hidden = event.space !== 'virtual';
            void goTo(event.address);
            return;
        case 'mappings':
            void showMappings(event.address, event.space);
    }
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
        closeResults();
    }
    if (next.state === 'stopped') {
        pages.look({ space: saved.space, segment: saved.segment, vcpu: next.vcpu });
        if (next.stoppedAt !== shownStop) {
            shownStop = next.stoppedAt;
            pages.nextStop();
        } else if (change === 'values') {
            pages.refresh();
        }
        if (saved.follow !== '') void goTo(saved.follow, true);
        else if (first || other) void goTo(saved.expression);
    }
    draw();
}

host.ready();

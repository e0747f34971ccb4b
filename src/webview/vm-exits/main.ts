/** The VM exits view's page. */
import type { PanelEvent, PanelState } from '../../messages/panel';
import type {
    VmExitFilter,
    VmExitKind,
    VmExitKindInfo,
    VmExitRecord,
    VmExitRow,
    VmExitsRequest,
    VmExitsResponse,
} from '../../messages/vm-exits';
import { button, element, select, welcome } from '../dom';
import { Host } from '../host';
import { buttonCell, Grid, sameCell, textCell } from './grid';
import { milliseconds, type Range, Timeline } from './timeline';

/** Milliseconds between two looks at a guest that runs. */
const PERIOD = 400;
const BUCKETS = 240;
/** Rows at a time; more come as one scrolls. */
const PART = 100;
/** Rows of a table, by what a row is. */
const MOST_ROWS = { summary: 500, records: 5000 };

type Grouping = 'kind' | 'cause' | 'none';
type Sort = 'count' | 'time' | 'recent' | 'cause';

interface Saved {
    group: Grouping;
    sort: Sort;
    kind: VmExitKind | '';
    text: string;
}

const host = new Host(receive);
const saved = host.restore<Saved>({ group: 'cause', sort: 'count', kind: '', text: '' });

let state: PanelState = { state: 'none', vcpu: 0 };
let range: Range | undefined;
let kinds: readonly VmExitKindInfo[] = [];
let limit = PART;

const root = document.getElementById('root')!;
const filterInput = element('input', {
    type: 'search',
    class: 'filter',
    value: saved.text,
    placeholder: 'filter: port, device, register…',
    'aria-label': 'Filter VM exits by text',
    spellcheck: 'false',
    oninput: () => {
        saved.text = filterInput.value;
        changed();
    },
});
const kindHolder = element('span', {});
const groupChoice = select<Grouping>(
    'Group VM exits',
    [
        ['cause', 'by cause'],
        ['kind', 'by kind'],
        ['none', 'one by one'],
    ],
    saved.group,
    group => {
        saved.group = group;
        changed();
    },
);
const recordButton = button('Record…', 'Record every VM exit to a file', () => void perform('record'));
const total = element('span', { class: 'total' });
const toolbar = element(
    'div',
    { class: 'toolbar', role: 'group', 'aria-label': 'What to show of VM exits' },
    filterInput,
    kindHolder,
    groupChoice,
    recordButton,
    total,
);
const timeline = new Timeline(chosen => {
    range = chosen;
    void look();
});
const head = element('thead', {});
const body = element('tbody', {});
const table = element('table', { role: 'grid', 'aria-label': 'VM exits', 'aria-readonly': 'true' }, head, body);
const grid = new Grid(body, text => void perform('copy', text));
const scroller = element('div', { class: 'scroller' }, table);
const status = element('footer', { class: 'status', role: 'status' });
const empty = welcome(
    'No guest yet: its VM exits will be counted here.',
    'Debug the sample guest',
    () => void perform('debugSample'),
);
const content = element('div', { class: 'content', hidden: true }, toolbar, timeline.element, scroller, status);
root.append(empty, content);

scroller.addEventListener('scroll', () => {
    if (scroller.scrollTop + scroller.clientHeight < scroller.scrollHeight - 200) return;
    const most = MOST_ROWS[saved.group === 'none' ? 'records' : 'summary'];
    if (body.childElementCount >= limit && limit < most) {
        limit = Math.min(most, limit + PART);
        void look();
    }
});

function changed(): void {
    host.save(saved);
    limit = PART;
    void look();
}

function drawKindChoice(): void {
    const options: (readonly [VmExitKind | '', string])[] = [['', 'all kinds']];
    for (const { kind, label } of kinds) options.push([kind, label]);
    kindHolder.replaceChildren(
        select<VmExitKind | ''>('Kind of VM exit', options, saved.kind, kind => {
            saved.kind = kind;
            changed();
        }),
    );
}

// ---- asking --------------------------------------------------------------------------------------------------------

let looking = false;
let again = false;
/** Counts questions: an answer to any but the last comes too late. */
let turn = 0;
let timer: number | undefined;

function request(): VmExitsRequest {
    const filter: VmExitFilter = {
        kinds: saved.kind === '' ? undefined : [saved.kind],
        text: saved.text.trim() === '' ? undefined : saved.text.trim(),
    };
    return {
        kinds: kinds.length === 0,
        summary: saved.group === 'none' ? undefined : { group: saved.group, filter, sort: saved.sort, limit },
        records: saved.group === 'none' ? { filter: { ...filter, ...range }, count: limit } : undefined,
        timeline: { ...range, buckets: BUCKETS, kinds: filter.kinds },
    };
}

/** Asks and shows; one question at a time, the last one for sure. @param atOnce without waiting for an answer that is due */
async function look(atOnce = false): Promise<void> {
    if (looking && !atOnce) {
        again = true;
        return;
    }
    if (state.state === 'none' || state.state === 'ended') return;
    const mine = ++turn;
    looking = true;
    again = false;
    window.clearTimeout(timer);
    try {
        const answer = await host.ask<VmExitsResponse>('exits', 'hyperscope/vmExits', request());
        if (mine !== turn) return;
        show(answer);
    } catch (error) {
        if (mine !== turn) return;
        say((error as Error).message);
    }
    looking = false;
    if (again) {
        void look();
    } else if (state.state === 'running') {
        timer = window.setTimeout(() => void look(), PERIOD);
    } else {
        host.shown();
    }
}

function show(answer: VmExitsResponse): void {
    if (answer.kinds !== undefined) {
        kinds = answer.kinds;
        drawKindChoice();
    }
    const { unavailable, recording, summary, dropped } = { ...answer, dropped: answer.records?.dropped ?? 0 };
    setText(total, `${count(answer.total)} since start`);
    setText(recordButton, recording?.active === true ? `■ Stop (${count(recording.records)})` : 'Record…');
    timeline.show(answer.timeline);
    // The answer may be to a question from before the grouping was changed.
    grid.redraw(() => {
        if (saved.group !== 'none' && summary !== undefined) drawSummary(summary.rows);
        else if (saved.group === 'none' && answer.records !== undefined) drawRecords(answer.records.records);
    });
    const notes = [
        unavailable,
        recording?.problem,
        summary !== undefined && summary.totalRows > summary.rows.length
            ? `${summary.rows.length} of ${summary.totalRows} rows`
            : undefined,
        answer.records === undefined
            ? undefined
            : `${count(answer.records.matching)} of ${count(answer.records.kept)} kept exits${dropped > 0 ? `, ${count(dropped)} older ones were dropped` : ''}`,
        answer.breaks.length > 0 ? `stops at ${answer.breaks.length} of these` : undefined,
        state.state === 'running' ? 'live' : undefined,
    ];
    // Of a guest that runs they change all the time: nobody wants to be read them.
    say(notes.filter(note => note !== undefined).join(' · '), state.state === 'running' ? 'off' : 'polite');
}

/** Says something below the table, and to screen readers unless they are to be left alone. */
function say(text: string, live: 'off' | 'polite' = 'polite'): void {
    if (status.ariaLive !== live) status.ariaLive = live;
    setText(status, text);
    // For where it is too narrow.
    if (status.title !== text) status.title = text;
}

/** What is the same already is not drawn again. */
function setText(node: HTMLElement, text: string): void {
    if (node.textContent !== text) node.textContent = text;
}

// ---- tables --------------------------------------------------------------------------------------------------------

function heading(text: string, sort?: Sort, number = false): HTMLElement {
    const sorted = sort !== undefined && saved.sort === sort;
    return element(
        'th',
        {
            class: number ? 'figure' : undefined,
            scope: 'col',
            'aria-label': text === '' ? 'break' : undefined,
            'aria-sort': sorted ? 'descending' : undefined,
        },
        sort === undefined
            ? text
            : element(
                  'button',
                  {
                      type: 'button',
                      class: 'sort',
                      onclick: () => {
                          saved.sort = sort;
                          changed();
                      },
                  },
                  `${text}${sorted ? ' ▾' : ''}`,
              ),
    );
}

/** What the heading was drawn for. */
let headed = '';

function drawHead(...cells: (() => HTMLElement)[]): void {
    const wanted = `${saved.group} ${saved.sort}`;
    if (wanted === headed) return;
    headed = wanted;
    table.className = saved.group === 'none' ? 'records' : 'summary';
    head.replaceChildren(element('tr', {}, ...cells.map(cell => cell())));
}

/** Rows of the summary that is shown, by what they are of: most stay as they are. */
let drawn: ReadonlyMap<string, SummaryRow> = new Map();

function drawSummary(rows: readonly VmExitRow[]): void {
    drawHead(
        () => heading(''),
        () => heading('kind'),
        () => heading(saved.group === 'kind' ? '' : 'cause', saved.group === 'kind' ? undefined : 'cause'),
        () => heading('count', 'count', true),
        () => heading('time', 'time', true),
        () => heading('last', 'recent'),
        () => heading('guest RIP'),
    );
    const before = drawn;
    drawn = new Map(
        rows.map(row => {
            const key = `${row.kind} ${row.cause}`;
            const kept = before.get(key) ?? new SummaryRow();
            kept.show(row);
            return [key, kept];
        }),
    );
    showRows([...drawn.values()].map(row => row.element));
}

class SummaryRow {
    readonly element = element('tr', {});
    private shown = '';

    show(row: VmExitRow): void {
        const shown = JSON.stringify(row);
        if (shown === this.shown) return;
        this.shown = shown;
        const cells = summaryCells(row);
        const old = [...this.element.children];
        if (old.length !== cells.length) {
            this.element.replaceChildren(...cells);
            return;
        }
        cells.forEach((cell, at) => {
            // Listeners hold the row's kind and cause, which are those of the key.
            if (!sameCell(cell, old[at])) old[at].replaceWith(cell);
        });
    }
}

function summaryCells(row: VmExitRow): HTMLElement[] {
    return [
        breakCell(row),
        textCell({}, row.label),
        textCell({ class: 'cause', title: told(row.causeText, row.device) }, row.causeText),
        textCell({ class: 'figure' }, count(row.count)),
        textCell({ class: 'figure', title: row.exactTime ? undefined : 'estimated from a sample' }, hostTime(row)),
        textCell({ class: 'last', title: row.last?.text }, row.last?.text ?? ''),
        row.last === undefined ? textCell({}, '') : placeCell(row.last),
    ];
}

/** Rows of single exits that are shown, by all that they show: numbers begin anew, and names are found later. */
let drawnRecords: ReadonlyMap<string, HTMLElement> = new Map();

function drawRecords(list: readonly VmExitRecord[]): void {
    drawHead(
        () => heading('number', undefined, true),
        () => heading('guest time', undefined, true),
        () => heading('vCPU', undefined, true),
        () => heading('kind'),
        () => heading('what'),
        () => heading('device'),
        () => heading('guest RIP'),
    );
    const labels = new Map(kinds.map(({ kind, label }) => [kind, label]));
    const before = drawnRecords;
    drawnRecords = new Map(
        list.map(record => {
            const key = JSON.stringify(record);
            return [key, before.get(key) ?? recordRow(record, labels)];
        }),
    );
    showRows([...drawnRecords.values()]);
}

function recordRow(record: VmExitRecord, labels: ReadonlyMap<VmExitKind, string>): HTMLElement {
    return element(
        'tr',
        {},
        textCell({ class: 'figure' }, count(record.sequence)),
        textCell({ class: 'figure' }, milliseconds(record.time)),
        textCell({ class: 'figure' }, String(record.vcpu)),
        textCell({}, labels.get(record.kind) ?? record.kind),
        textCell({ class: 'last', title: record.text }, record.text),
        textCell({ title: record.device }, record.device ?? ''),
        placeCell(record),
    );
}

function showRows(rows: readonly HTMLElement[]): void {
    const same = rows.length === body.childElementCount && rows.every((row, at) => row === body.children[at]);
    if (!same) body.replaceChildren(...rows);
}

/** What a cell says, for where it is too narrow to; undefined where it says nothing. */
function told(...words: readonly (string | undefined)[]): string | undefined {
    return words.filter(word => word !== undefined && word !== '').join('\n') || undefined;
}

function placeCell({ rip, symbol }: VmExitRecord): HTMLElement {
    return buttonCell(
        {
            class: 'link',
            title: `${symbol === undefined ? '' : `${symbol} at `}${rip}: show its disassembly`,
            onclick: () => void perform('disassemble', rip),
        },
        symbol ?? rip,
    );
}

function breakCell({ kind, cause, label, causeText, breaks }: VmExitRow): HTMLElement {
    const what = cause === '' ? label : `${label} ${causeText}`;
    return buttonCell(
        {
            class: breaks ? 'break set' : 'break',
            'aria-pressed': breaks ? 'true' : 'false',
            'aria-label': `Break on ${what}`,
            title: breaks ? `Stops on ${what}: click to go on without` : `Break on ${what}`,
            onclick: () => void toggleBreak(kind, cause === '' ? undefined : cause, !breaks),
        },
        breaks ? '●' : '○',
    );
}

async function toggleBreak(kind: VmExitKind, cause: string | undefined, enabled: boolean): Promise<void> {
    await perform('hyperscope/breakOnExit', { kind, cause, enabled });
    void look();
}

function count(value: number): string {
    return value.toString().replace(/\B(?=(\d{3})+$)/g, ',');
}

function hostTime({ hostTime: nanoseconds, exactTime }: VmExitRow): string {
    const about = exactTime || nanoseconds === 0 ? '' : '~';
    if (nanoseconds >= 1e9) return `${about}${(nanoseconds / 1e9).toFixed(2)} s`;
    if (nanoseconds >= 1e6) return `${about}${(nanoseconds / 1e6).toFixed(1)} ms`;
    return `${about}${(nanoseconds / 1e3).toFixed(0)} µs`;
}

async function perform(method: string, args?: unknown): Promise<void> {
    try {
        await host.request(method, args);
        void look();
    } catch (error) {
        say((error as Error).message);
    }
}

// ---- what the extension says ---------------------------------------------------------------------------------------

function receive(event: PanelEvent): void {
    if (event.event !== 'state') return;
    const other = event.state.session !== state.session;
    state = event.state;
    const none = state.state === 'none' || state.state === 'starting';
    empty.hidden = !none;
    content.hidden = none;
    content.classList.toggle('dimmed', state.state === 'ended');
    if (none) return;
    if (other) {
        range = undefined;
        kinds = [];
        drawnRecords = new Map();
        // Single exits are kept from now on.
        void perform('hyperscope/vmExitsWatch', { watch: true });
    }
    if (state.state === 'ended') say('the guest has ended');
    void look(true);
}

drawKindChoice();
host.ready();

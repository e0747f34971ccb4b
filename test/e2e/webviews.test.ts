/** The web pages of the views, given the worst that a guest can say, in a browser but without VS Code around them. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { type Browser, chromium, type Page } from 'playwright-core';
import type { MemoryBody, PageMappingsBody, SearchMemoryBody } from '../../src/messages/memory';
import type { VmExitRecord, VmExitsRequest, VmExitsResponse } from '../../src/messages/vm-exits';
import { projectRoot } from '../support/project';
import { browserPath, needs, vsCode } from '../support/requirements';
import { waitFor } from './support/vscode';

/** Symbols, texts and errors of a guest that means harm. */
const HOSTILE = [
    '<img src=x onerror="window.harmed=1">',
    '<script>window.harmed=1</script>',
    '"><svg onload=window.harmed=1>',
    "javascript:window.harmed=1//'onclick='window.harmed=1",
    '\u202egnp.exe\u0000\u0007\u001b]8;;evil\u001b\\',
    '{{constructor.constructor("window.harmed=1")()}}',
    'x'.repeat(20_000),
];
const WORST = HOSTILE.join(' ');

const POLICY = "default-src 'none'; style-src 'self'; script-src 'nonce-test'";

const memoryBody = (): MemoryBody => ({
    space: 'linear',
    address: '0x1000',
    linear: '0x1000',
    symbol: WORST,
    memoryReference: '0x1000',
    data: Buffer.from(HOSTILE.join('').slice(0, 4096).padEnd(4096, '\0'), 'latin1').toString('base64'),
    pages: [
        { offset: 0, length: 4096, physical: '0x1000', readable: true, kind: 'ram', region: WORST, problem: WORST },
    ],
    annotations: [{ offset: 0, size: 8, value: '0x1', symbol: WORST }],
});

const searchBody = (): SearchMemoryBody => ({
    matches: [{ address: '0x1000', physical: '0x1000', memoryReference: '0x1000', symbol: WORST, bytes: WORST }],
    searched: 4096,
    remaining: 0,
    length: 4,
});

const mappingsBody = (): PageMappingsBody => ({
    physical: '0x1000',
    mappings: [
        {
            cr3: '0x2000',
            linear: '0x1000',
            pageSize: 4096,
            permissions: { writable: true, user: true, executable: true },
            symbol: WORST,
            label: WORST,
        },
    ],
    more: false,
    usedAs: [WORST],
});

const record: VmExitRecord = {
    sequence: 1,
    vcpu: 0,
    kind: 'portOut',
    cause: WORST,
    text: WORST,
    device: WORST,
    rip: '0x1000',
    symbol: WORST,
    time: 1,
    instructions: 1,
};

const exitsBody = (): VmExitsResponse => ({
    total: 1,
    now: 1,
    instructions: 1,
    watching: true,
    breaks: [],
    kinds: [{ kind: 'portOut', label: WORST }],
    summary: {
        rows: [
            {
                kind: 'portOut',
                label: WORST,
                cause: WORST,
                causeText: WORST,
                device: WORST,
                count: 1,
                hostTime: 1,
                exactTime: false,
                last: record,
                breaks: false,
            },
        ],
        totalRows: 1,
    },
    records: { records: [record], matching: 1, kept: 1, dropped: 0 },
    timeline: { from: 0, to: 10, bucket: 1, counts: { portOut: [1, 2, 3] } },
    unavailable: WORST,
});

const ANSWERS: Readonly<Record<string, unknown>> = {
    'hyperscope/memory': memoryBody(),
    'hyperscope/searchMemory': searchBody(),
    'hyperscope/pageMappings': mappingsBody(),
    'hyperscope/vmExits': exitsBody(),
    'hyperscope/vmExitsWatch': { watching: true, capacity: 1 },
};

describe('the pages of the views', function () {
    this.timeout(60_000);
    let browser: Browser;

    before(async function () {
        needs(this, vsCode);
        browser = await chromium.launch({ executablePath: browserPath(), args: ['--no-sandbox', '--disable-gpu'] });
    });

    after(() => browser?.close());

    /** A page as the extension makes it, with an extension that answers what it is told to. */
    async function open(
        name: string,
        failing = false,
        answers = ANSWERS,
    ): Promise<{ page: Page; violations: string[] }> {
        const page = await browser.newPage();
        const violations: string[] = [];
        page.on('console', message => {
            if (/Content Security Policy|Refused to/.test(message.text())) violations.push(message.text());
        });
        page.on('pageerror', error => violations.push(`error: ${error.message}`));
        page.on('dialog', dialog => void dialog.dismiss());
        const file = (...parts: string[]): string => readFileSync(path.join(projectRoot, ...parts), 'utf8');
        const bodies: Readonly<Record<string, readonly [string, string]>> = {
            '/panel.css': ['text/css', file('media', 'webview', 'panel.css')],
            '/page.css': ['text/css', file('media', 'webview', `${name}.css`)],
            '/page.js': ['text/javascript', file('dist', `webview-${name}.js`)],
            '/stub.js': ['text/javascript', stub(answers, failing ? WORST : undefined)],
        };
        await page.route('http://page.test/**', route => {
            const { pathname } = new URL(route.request().url());
            const [contentType, body] = bodies[pathname] ?? [
                'text/html',
                `<!DOCTYPE html><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="${POLICY}">
                 <link rel="stylesheet" href="/panel.css"><link rel="stylesheet" href="/page.css">
                 <main id="root"></main><script nonce="test" src="/stub.js"></script>
                 <script nonce="test" src="/page.js"></script>`,
            ];
            return route.fulfill({ contentType, body });
        });
        await page.goto('http://page.test/');
        return { page, violations };
    }

    async function assertUnharmed(page: Page, violations: readonly string[]): Promise<void> {
        assert.equal(await page.evaluate('window.harmed'), undefined);
        assert.equal(await page.locator('main img, main script, main svg, main [onclick], main [onload]').count(), 0);
        assert.deepEqual(violations, []);
    }

    it('show hostile names, bytes and search results as the text that they are', async () => {
        const { page, violations } = await open('memory');
        await page.locator('.number').first().waitFor();
        await page.locator('input.search').fill(HOSTILE[0]);
        await page.locator('input.search').press('Enter');
        await page.locator('.matches li').first().waitFor();
        assert.ok((await page.locator('.matches').innerText()).includes(HOSTILE[0]));
        await page.getByRole('button', { name: 'List what maps the page at the cursor' }).click();
        await page.getByText('1 mapping').waitFor();
        assert.ok((await page.locator('.rows').innerText()).includes(HOSTILE[1]));
        await assertUnharmed(page, violations);
        await page.close();
    });

    it('show hostile causes, devices and kinds as the text that they are', async () => {
        const { page, violations } = await open('vm-exits');
        await page.locator('tbody tr').first().waitFor();
        assert.ok((await page.locator('tbody').innerText()).includes(HOSTILE[0]));
        await page.locator('select[aria-label="Group VM exits"]').selectOption('none');
        await page.getByRole('columnheader', { name: 'guest time' }).waitFor();
        assert.ok((await page.locator('tbody').innerText()).includes(HOSTILE[1]));
        await assertUnharmed(page, violations);
        await page.close();
    });

    it('say hostile errors in words', async () => {
        for (const name of ['memory', 'vm-exits']) {
            const { page, violations } = await open(name, true);
            await page.locator('.status', { hasText: '<img src=x' }).waitFor();
            await assertUnharmed(page, violations);
            await page.close();
        }
    });

    it('forbid scripts and styles that are not theirs', async () => {
        const { page } = await open('memory');
        await page.locator('.number').first().waitFor();
        await page.evaluate(() => {
            const image = document.createElement('div');
            image.innerHTML = '<img src=x onerror="window.harmed=1">';
            document.body.append(image);
            const script = document.createElement('script');
            script.textContent = 'window.harmed=1';
            document.body.append(script);
        });
        await page.waitForTimeout(200);
        assert.equal(await page.evaluate('window.harmed'), undefined);
        await page.close();
    });

    it('tell when they show what the extension has said, also when it has said it before', async () => {
        interface Sent {
            readonly method: string;
            readonly args: { readonly stoppedAt?: number; readonly questions: readonly unknown[] };
        }
        for (const name of ['memory', 'vm-exits']) {
            const { page } = await open(name);
            const shown = async (): Promise<Sent[]> =>
                ((await page.evaluate('window.sent')) as Sent[]).filter(({ method }) => method === 'shown');
            const state = { session: '1', state: 'stopped', vcpu: 0 };
            const say = (change: string, stoppedAt: number): Promise<void> =>
                page.evaluate(message => window.postMessage(message, '*'), {
                    event: 'state',
                    change,
                    state: { ...state, stoppedAt },
                });
            const messages = [() => say('state', 1), () => say('values', 1), () => say('state', 2)];
            const stops = [1, 1, 1, 2];
            for (const [index, stoppedAt] of stops.entries()) {
                if (index > 0) await messages[index - 1]();
                await waitFor(`${name} shows message ${index}`, async () => (await shown()).length > index);
                const { args } = (await shown())[index];
                assert.equal(args.stoppedAt, stoppedAt);
                // What it needs at the next stop it knows at each of these.
                assert.ok(args.questions.length > 0, `${name} ${index}`);
                assert.ok(args.questions.length <= 3, JSON.stringify(args.questions));
            }
            await page.close();
        }
    });

    it('ask for more VM exits as one scrolls, and for few at first', async () => {
        const { page } = await open('vm-exits', false, {
            'hyperscope/vmExits': {
                ...exitsBody(),
                summary: {
                    rows: Array.from({ length: 100 }, (_, row) => ({
                        ...exitsBody().summary!.rows[0],
                        cause: String(row),
                        causeText: String(row),
                    })),
                    totalRows: 140,
                },
            },
        });
        await page.locator('tbody tr').first().waitFor();
        const limits = async (): Promise<unknown[]> =>
            ((await page.evaluate('window.sent')) as { method: string; args?: VmExitsRequest }[])
                .filter(({ method }) => method === 'hyperscope/vmExits')
                .map(({ args }) => args?.summary?.limit);
        assert.deepEqual([...new Set(await limits())], [100]);
        await page.locator('.scroller').evaluate(scroller => scroller.scrollTo(0, scroller.scrollHeight));
        await waitFor('it asks for more', async () => (await limits()).includes(200));
        await page.close();
    });

    it('can be used with the keyboard alone, and name their controls', async () => {
        for (const name of ['memory', 'vm-exits']) {
            const { page } = await open(name);
            await page.locator('.content').waitFor();
            await page.locator('.number, tbody tr').first().waitFor();
            const unnamed = await page.locator('button, input, select, [tabindex]').evaluateAll(controls =>
                controls
                    .filter(control => (control as HTMLElement).offsetParent !== null)
                    .filter(
                        control =>
                            !control.getAttribute('aria-label') &&
                            !control.textContent &&
                            control.closest('label') === null &&
                            !control.matches('.scroller'),
                    )
                    .map(control => control.outerHTML.slice(0, 100)),
            );
            assert.deepEqual(unnamed, []);
            await page.close();
        }
    });

    /** What the page has asked for, by method. */
    const sent = async <Args>(page: Page, method: string): Promise<Args[]> =>
        ((await page.evaluate('window.sent')) as { method: string; args: Args }[])
            .filter(message => message.method === method)
            .map(({ args }) => args);

    it('make a table of VM exits one stop of the Tab key, with arrows inside, and keep the focus where it is', async () => {
        const row = (cause: string, count: number): NonNullable<VmExitsResponse['summary']>['rows'][number] => ({
            ...{ kind: 'portOut', label: 'I/O out', cause, causeText: cause, count, hostTime: 1, exactTime: true },
            ...{ breaks: false, last: { ...record, text: 'last', symbol: 'symbol' } },
        });
        const body = (...rows: ReturnType<typeof row>[]): VmExitsResponse => ({
            ...exitsBody(),
            summary: { rows, totalRows: rows.length },
        });
        const { page } = await open('vm-exits', false, {
            ...ANSWERS,
            'hyperscope/vmExits': body(row('0x20', 3), row('0x21', 2), row('0x22', 1)),
        });
        await page.locator('tbody tr').first().waitFor();
        assert.equal(await page.locator('tbody [tabindex="0"]').count(), 1);
        const focused = (): Promise<string> =>
            page.evaluate(() => {
                const at = document.activeElement!;
                return `${at.closest('tr')?.children[2].textContent}: ${at.getAttribute('aria-label') ?? at.textContent}`;
            });
        await page.locator('tbody [tabindex="0"]').focus();
        assert.equal(await focused(), '0x20: Break on I/O out 0x20');
        const ways = [
            ['ArrowDown', '0x21: Break on I/O out 0x21'],
            ['End', '0x21: symbol'],
            ['PageDown', '0x22: symbol'],
            ['ArrowLeft', '0x22: last'],
            ['ArrowUp', '0x21: last'],
            ['Control+Home', '0x20: Break on I/O out 0x20'],
            ['ArrowUp', '0x20: Break on I/O out 0x20'],
            ['ArrowDown', '0x21: Break on I/O out 0x21'],
        ] as const;
        for (const [key, place] of ways) {
            await page.keyboard.press(key);
            assert.equal(await focused(), place, key);
        }
        await page.keyboard.press('Control+c');
        assert.deepEqual(await sent(page, 'copy'), ['○\tI/O out\t0x21\t2\t0 µs\tlast\tsymbol']);
        // Another stop, at which that row has changed and comes first.
        const state = { session: '1', state: 'stopped', vcpu: 0 };
        const say = (message: object): Promise<void> =>
            page.evaluate(data => window.postMessage(data, '*'), { event: 'state', change: 'state', ...message });
        const shown = (): Promise<{ questions: readonly object[] }[]> => sent(page, 'shown');
        const before = (await shown()).length;
        await say({ state: { ...state, stoppedAt: 2 } });
        await waitFor('the second stop is shown', async () => (await shown()).length > before);
        const [question] = (await shown()).at(-1)!.questions;
        const result = body({ ...row('0x21', 7), breaks: true }, row('0x20', 3));
        await say({ state: { ...state, stoppedAt: 3 }, known: [{ ...question, answer: { result } }] });
        await page.locator('tbody td', { hasText: /^7$/ }).waitFor();
        assert.equal(await focused(), '0x21: Break on I/O out 0x21');
        assert.equal(await page.locator('tbody [tabindex="0"]').count(), 1);
        assert.equal(await page.evaluate(() => document.activeElement?.getAttribute('aria-pressed')), 'true');
        await page.close();
    });

    it('lead through memory and what was found in it with the keyboard', async () => {
        const search = searchBody();
        const { page } = await open('memory', false, {
            ...ANSWERS,
            'hyperscope/searchMemory': {
                ...search,
                matches: ['0x1000', '0x1010', '0x1020'].map(address => ({ ...search.matches[0], address })),
            },
        });
        // Until it is known where to go, the cursor is at zero.
        await page.locator('.number.cursor.goal').waitFor();
        await page.locator('.scroller').focus();
        const cursor = (): Promise<string | null> => page.locator('.number.cursor').getAttribute('data-address');
        const start = BigInt((await cursor())!);
        const width = BigInt(await page.locator('.row').first().locator('.number').count()) * 8n;
        const rowStart = start - (start % width);
        const keys = [
            ['Home', rowStart],
            ['End', rowStart + width - 8n],
            ['ArrowDown', rowStart + 2n * width - 8n],
            ['Home', rowStart + width],
        ] as const;
        for (const [key, address] of keys) {
            await page.keyboard.press(key);
            assert.equal(await cursor(), `0x${address.toString(16)}`, key);
        }
        await page.locator('input.search').fill('x');
        await page.locator('input.search').press('Enter');
        const links = page.locator('.matches button');
        await links.nth(2).waitFor();
        assert.equal(await page.locator('.matches [tabindex="0"]').count(), 1);
        await links.first().focus();
        const focused = (): Promise<string | null> => page.evaluate(() => document.activeElement!.textContent);
        for (const [key, last] of [
            ['ArrowDown', '1010'],
            ['End', '1020'],
            ['ArrowDown', '1020'],
            ['ArrowUp', '1010'],
        ]) {
            await page.keyboard.press(key);
            assert.match((await focused())!, new RegExp(`${last}$`), key);
        }
        await page.keyboard.press('Escape');
        assert.equal(await page.locator('.results').isVisible(), false);
        assert.equal(await page.evaluate(() => document.activeElement?.getAttribute('role')), 'grid');
        await page.close();
    });

    it('leave no marks of a search whose list was closed', async () => {
        const endless = { ...searchBody(), remaining: 1 << 30, next: '0x2000' };
        const { page } = await open('memory', false, { ...ANSWERS, 'hyperscope/searchMemory': endless });
        await page.locator('.number.cursor.goal').waitFor();
        await page.locator('input.search').fill('x');
        await page.locator('input.search').press('Enter');
        await page.locator('.matches button').nth(1).waitFor();
        await page.locator('.matches button').first().focus();
        await page.keyboard.press('Escape');
        const sent = (): Promise<number> => page.evaluate('window.sent.length');
        // Its last answer comes before that of a request made now.
        await page.locator('.scroller').focus();
        for (let before = -1; before !== (await sent());) {
            before = await sent();
            await page.waitForTimeout(50);
        }
        await page.keyboard.press('Home');
        assert.equal(await page.locator('.number.cursor').count(), 1);
        assert.equal(await page.locator('.match').count(), 0);
        await page.close();
    });

    it('have the roles that screen readers go by', async () => {
        const { page: exits } = await open('vm-exits');
        await exits.locator('tbody tr').first().waitFor();
        const slider = exits.getByRole('slider');
        for (const name of ['aria-valuemin', 'aria-valuenow', 'aria-valuemax']) {
            assert.match((await slider.getAttribute(name)) ?? '', /^\d+$/, name);
        }
        assert.equal(await exits.getByRole('grid', { name: 'VM exits' }).getByRole('gridcell').count(), 7);
        await exits.close();
        const { page: memory } = await open('memory', true);
        await memory.locator('input.address[aria-invalid="true"]').waitFor();
        await memory.close();
    });
});

/** The extension's side, in the page: answers requests, and says that a guest has stopped. */
function stub(answers: Readonly<Record<string, unknown>>, error: string | undefined): string {
    const text = (value: unknown): string => JSON.stringify(value).replace(/</g, '\\u003c');
    return `window.acquireVsCodeApi = () => ({
        getState: () => undefined,
        setState: () => undefined,
        postMessage: ({ id, method, args }) => (window.sent ??= []).push({ method, args }) && setTimeout(() => window.postMessage(method === 'ready'
            ? { event: 'state', change: 'state', state: { session: '1', state: 'stopped', vcpu: 0, stoppedAt: 1 } }
            : ${error === undefined ? `{ id, result: ${text(answers)}[method] }` : `{ id, error: ${text(error)} }`}, '*')),
    });`;
}

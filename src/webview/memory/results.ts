/** The list beside memory: what a search has found, and who maps a page. */
import type { MemorySpace } from '../../messages/common';
import type { PageMappingsBody, SearchMemoryBody } from '../../messages/memory';
import { button, element } from '../dom';
import type { Host } from '../host';
import { permissions } from './format';
import type { Matches } from './rows';

/** Milliseconds of one piece of a search: between two of them it can be cancelled. */
const SEARCH_BUDGET = 150;
const MOST_MATCHES = 1000;

/** What the list needs of the page around it. */
export interface ResultsPage {
    readonly host: Host;
    readonly place: { readonly space: MemorySpace; readonly segment: string; readonly vcpu: number };
    goTo(address: string, space: MemorySpace): void;
    redraw(): void;
    /** The list has gone, and had the focus. */
    takeFocus(): void;
}

export class Results {
    readonly element = element('aside', { class: 'results', hidden: true, 'aria-label': 'Results' });
    /** What is to be marked in memory. */
    matches: Matches | undefined;
    /** Searches that are underway; one that nobody wants any more ends at its next answer. */
    private underway = 0;
    /** The search that is wanted: others end. */
    private wanted = 0;
    /** The search whose list is shown, or 0. */
    private shown = 0;

    constructor(private readonly page: ResultsPage) {
        this.element.addEventListener('keydown', event => this.key(event));
    }

    /** A search is underway. */
    get searching(): boolean {
        return this.underway > 0;
    }

    close(): void {
        this.wanted++;
        this.shown = 0;
        this.matches = undefined;
        const focused = this.element.contains(document.activeElement);
        this.element.hidden = true;
        if (focused) this.page.takeFocus();
        this.page.redraw();
    }

    async search(pattern: string): Promise<void> {
        const { host, place } = this.page;
        const mine = ++this.wanted;
        this.shown = mine;
        this.underway++;
        const space = place.space === 'physical' ? 'physical' : 'linear';
        const found: SearchMemoryBody['matches'][number][] = [];
        const list = element('ol', { class: 'matches' });
        // Read out once it is complete.
        const heading = element('span', { role: 'status', 'aria-live': 'off' }, 'searching…');
        const cancel = button('Cancel', 'Cancel the search', () => this.wanted++);
        this.show(heading, cancel, list);
        try {
            let first: string | undefined;
            let searched = 0;
            do {
                const body: SearchMemoryBody = await host.request('hyperscope/searchMemory', {
                    space,
                    pattern: asPattern(pattern),
                    vcpu: place.vcpu,
                    first,
                    limit: MOST_MATCHES - found.length,
                    budget: SEARCH_BUDGET,
                });
                searched += body.searched;
                for (const match of body.matches) {
                    found.push(match);
                    list.append(this.matchItem(match, space));
                }
                if (this.shown === mine) {
                    const starts = new Set(found.map(({ address }) => BigInt(address)));
                    this.matches = { starts, length: body.length };
                }
                first = body.next;
                const part = searched + body.remaining === 0 ? 1 : searched / (searched + body.remaining);
                heading.textContent = `${found.length} found, ${Math.floor(part * 100)} % searched`;
            } while (first !== undefined && found.length < MOST_MATCHES && mine === this.wanted);
            const ended =
                mine !== this.wanted
                    ? 'cancelled'
                    : first !== undefined
                      ? 'the first ones'
                      : `in ${Math.ceil(searched / 2 ** 20)} MiB`;
            heading.ariaLive = 'polite';
            heading.textContent = `${found.length} found, ${ended}`;
        } catch (error) {
            heading.ariaLive = 'polite';
            heading.textContent = (error as Error).message;
            heading.classList.add('wrong');
        }
        cancel.remove();
        this.underway--;
        this.page.redraw();
    }

    /** Lists what maps the page of an address. */
    async showMappings(address: string, space: MemorySpace): Promise<void> {
        const { host, place } = this.page;
        this.wanted++;
        this.shown = 0;
        const heading = element('span', { role: 'status' }, `who maps ${address}`);
        const list = element('ol', { class: 'matches' });
        this.show(heading, undefined, list);
        try {
            const segment = space === 'virtual' ? place.segment : undefined;
            const { physical, mappings, more, usedAs } = await host.request<PageMappingsBody>(
                'hyperscope/pageMappings',
                { vcpu: place.vcpu, place: { address, space, segment } },
            );
            const mapped =
                mappings.length === 1 && !more ? '1 mapping' : `${mappings.length}${more ? ' and more' : ''} mappings`;
            heading.textContent = `page ${physical}: ${mapped}`;
            for (const use of usedAs) list.append(element('li', {}, use));
            for (const { linear, permissions: allowed, pageSize, symbol, label, cr3 } of mappings) {
                const words = [permissions(allowed), `${pageSize >> 10}K`, symbol, label ?? `CR3 ${cr3}`];
                list.append(
                    element(
                        'li',
                        {},
                        this.addressLink(linear, 'linear'),
                        element('span', {}, words.filter(Boolean).join(' · ')),
                    ),
                );
            }
        } catch (error) {
            heading.textContent = (error as Error).message;
            heading.classList.add('wrong');
        }
    }

    private show(heading: HTMLElement, action: HTMLElement | undefined, list: HTMLElement): void {
        const close = button('✕', 'Close', () => this.close());
        this.element.replaceChildren(element('div', { class: 'heading' }, heading, action, close), list);
        this.element.hidden = false;
    }

    private matchItem(
        { address, symbol, bytes }: SearchMemoryBody['matches'][number],
        space: MemorySpace,
    ): HTMLElement {
        return element(
            'li',
            {},
            this.addressLink(address, space),
            symbol === undefined ? undefined : element('span', { class: 'symbol' }, symbol),
            element('span', { class: 'bytes' }, bytes),
        );
    }

    /** An address that shows the memory there. */
    private addressLink(address: string, space: MemorySpace): HTMLElement {
        const onclick = (): void => this.page.goTo(address, space);
        const text = address.slice(2).padStart(space === 'physical' ? 9 : 16, '0');
        // The first one is where the Tab key stops, arrows go on from there.
        const tabindex = this.element.querySelector('.matches button') === null ? 0 : -1;
        return element('button', { type: 'button', class: 'link', tabindex, onclick }, text);
    }

    private key(event: KeyboardEvent): void {
        if (event.key === 'Escape') {
            this.close();
            return;
        }
        const links = [...this.element.querySelectorAll<HTMLElement>('.matches button')];
        const at = links.indexOf(document.activeElement as HTMLElement);
        if (at < 0) return;
        const moves: Readonly<Record<string, number>> = {
            ArrowUp: at - 1,
            ArrowDown: at + 1,
            Home: 0,
            End: links.length - 1,
        };
        if (!Object.hasOwn(moves, event.key)) return;
        event.preventDefault();
        const next = links[Math.max(0, Math.min(moves[event.key], links.length - 1))];
        links[at].tabIndex = -1;
        next.tabIndex = 0;
        next.focus();
    }
}

/** Words that are neither bytes nor a number are meant as text. */
function asPattern(text: string): string {
    const bytes = /^(?:[0-9a-f?]{2}\s*)+$/i.test(text) && text.length > 1;
    const said = /^[a-z]?"|^[uif]\d+\s*=/i.test(text);
    return bytes || said ? text : JSON.stringify(text);
}

/**
 * When views are drawn, as the window itself sees it: from the elements that change in it, not by looking at them again
 * and again from outside, which would take part of the time that is measured.
 */
import type { Frame } from 'playwright-core';
import type { VsCode } from './vscode';

/** What a page of the window keeps, in ms since 1970. */
interface Noted {
    /** The last change of each view, by the name that its title begins with. */
    readonly drawn: Record<string, number>;
    /** When the frame with the last change had been painted. */
    painted: number;
}

declare global {
    var redraws: Noted | undefined;
}

export interface Redraws {
    /** Of each view that changed since, ms. */
    readonly drawn: ReadonlyMap<string, number>;
    /** Of the last one to change, ms. */
    readonly last: number;
    /** Until that could be seen, ms. */
    readonly painted: number;
}

/** Milliseconds without a change after which everything counts as drawn. */
const QUIET = 300;

export class RedrawClock {
    private constructor(
        private readonly code: VsCode,
        private readonly frames: readonly Frame[],
    ) {}

    /** @param views the names of all that are open: trees and pages */
    static async watch(code: VsCode, views: readonly string[]): Promise<RedrawClock> {
        const frames = [code.page.mainFrame()];
        await frames[0].evaluate(observe, views);
        for (const frame of code.page.frames()) {
            const root = frame.locator('main[data-view]');
            const name = (await root.count()) === 1 ? await root.getAttribute('data-view') : null;
            if (name === null || !views.includes(name) || !(await root.isVisible())) continue;
            await frame.evaluate(observe, [name]);
            frames.push(frame);
        }
        return new RedrawClock(code, frames);
    }

    /** Waits until nothing changes any more. @param since the moment that times are counted from, ms since 1970 */
    async settle(since: number): Promise<Redraws> {
        for (;;) {
            await this.code.page.waitForTimeout(QUIET);
            const drawn = new Map<string, number>();
            let painted = 0;
            for (const frame of this.frames) {
                const noted = (await frame.evaluate(() => globalThis.redraws))!;
                for (const [view, at] of Object.entries(noted.drawn)) if (at >= since) drawn.set(view, at - since);
                painted = Math.max(painted, noted.painted - since);
            }
            const last = Math.max(0, ...drawn.values());
            if (Date.now() - since - last > QUIET) return { drawn, last, painted };
        }
    }
}

/** Runs in a page: in the window, or inside one of the views that are pages. */
function observe(views: readonly string[]): void {
    const noted: Noted = { drawn: {}, painted: 0 };
    const known = globalThis.redraws !== undefined;
    globalThis.redraws = noted;
    if (known) return;
    const viewOf = (node: Node): string | undefined => {
        const at = node instanceof Element ? node : node.parentElement;
        if (at === null) return undefined;
        if (at.closest('main[data-view]') !== null) return views[0];
        if (at.closest('.monaco-list-rows') === null) return undefined;
        const title = at.closest('.pane')?.querySelector('.pane-header')?.getAttribute('aria-label') ?? '';
        return views.find(view => title.startsWith(view));
    };
    new MutationObserver(records => {
        let any = false;
        for (const { target } of records) {
            const view = viewOf(target);
            if (view === undefined) continue;
            globalThis.redraws!.drawn[view] = Date.now();
            any = true;
        }
        if (!any) return;
        requestAnimationFrame(() => setTimeout(() => (globalThis.redraws!.painted = Date.now())));
    }).observe(document.body, { subtree: true, childList: true, characterData: true, attributes: true });
}

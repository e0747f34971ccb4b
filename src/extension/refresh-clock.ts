/**
 * How long after a stop VS Code, or the page of a view, has what each open view shows of it: a line in the log, at the
 * level Debug. When it can be seen is the window's affair.
 */

/** Milliseconds without anything underway after which a stop counts as shown. */
const QUIET = 250;

export class RefreshClock {
    private started: number | undefined;
    /** Milliseconds since 1970, as the clock of the window has them, too. */
    private stoppedAt = 0;
    /** Milliseconds from the stop to what each view showed last. */
    private readonly shown = new Map<string, number>();
    private readonly underway = new Set<object>();
    private timer: NodeJS.Timeout | undefined;

    /** @param log takes the line */
    constructor(private readonly log: (line: string) => void) {}

    /** A guest that is shown has stopped; what is underway is of the stop before. */
    start(): void {
        clearTimeout(this.timer);
        this.shown.clear();
        this.underway.clear();
        this.started = performance.now();
        this.stoppedAt = Date.now();
    }

    /**
     * A view begins to bring itself up to date; what is returned is called once it has.
     * @returns takes when it had, in ms since 1970, where that is heard of later
     */
    begin(view: string): (at?: number) => void {
        const { started } = this;
        if (started === undefined) return () => undefined;
        const work = {};
        this.underway.add(work);
        clearTimeout(this.timer);
        return at => {
            if (!this.underway.delete(work)) return;
            const heard = performance.now() - started;
            // The window may be on another computer, with a clock of its own.
            const told = at === undefined ? -1 : at - this.stoppedAt;
            this.shown.set(view, told >= 0 && told < heard ? told : heard);
            if (this.underway.size === 0) this.timer = setTimeout(() => this.tell(), QUIET);
        };
    }

    dispose(): void {
        clearTimeout(this.timer);
    }

    private tell(): void {
        this.started = undefined;
        const views = [...this.shown].sort(([, one], [, other]) => one - other);
        const parts = views.map(([view, took]) => `${view} ${took.toFixed(1)}`);
        const last = views.at(-1)?.[1] ?? 0;
        this.log(`views of the stop at ${this.stoppedAt} ready after ${last.toFixed(1)} ms: ${parts.join(', ')}`);
    }
}

/**
 * Has the views that look at a stop show it at one moment. VS Code's window draws itself after each thing that it hears:
 * of seven trees heard of one by one it draws seven pictures, each of which takes about as long as the adapter needs to
 * answer them all.
 */

/** Milliseconds that views wait for slower ones. */
const PATIENCE = 50;

export class Together {
    private readonly looking = new Set<object>();
    private found: (() => void)[] = [];
    /** Runs as long as somebody may be waited for. */
    private timer: NodeJS.Timeout | undefined;

    /**
     * A view begins to look at the guest. What is returned is called once it has what it shows, or knows that there is
     * nothing; the promise is kept when the others have, too.
     */
    begin(): () => Promise<void> {
        const view = {};
        this.looking.add(view);
        this.bePatient();
        return () => {
            const shown = new Promise<void>(resolve => this.found.push(resolve));
            this.looking.delete(view);
            if (this.looking.size === 0 || this.timer === undefined) this.show();
            return shown;
        };
    }

    /** Kept when VS Code has been told what they show; undefined where nobody looks. */
    told(): Promise<void> | undefined {
        if (this.looking.size === 0) return undefined;
        this.bePatient();
        return new Promise(resolve => this.found.push(() => setImmediate(resolve)));
    }

    dispose(): void {
        this.show();
    }

    private bePatient(): void {
        this.timer ??= setTimeout(() => this.show(), PATIENCE);
    }

    private show(): void {
        clearTimeout(this.timer);
        this.timer = undefined;
        for (const resolve of this.found.splice(0)) resolve();
    }
}

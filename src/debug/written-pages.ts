/**
 * Which pages the guest writes on KVM, for who looks at each stop and for who looks now and then: KVM tells of a page once.
 */
import { HyperscopeError } from '../common/errors';
import type { DirtyLogAction, SwitchableEngine } from '../machine/engine';

export class WrittenPages {
    /** Physical addresses; undefined while nothing is noted. */
    private atLastStop: ReadonlySet<number> | undefined;
    private readonly sinceLook = new Set<number>();
    private noted = false;

    constructor(private readonly engine: SwitchableEngine) {}

    /** As `SwitchableEngine.dirtyPages` has it. @throws HyperscopeError */
    do(action: DirtyLogAction): readonly number[] {
        const pages = this.engine.dirtyPages(action);
        this.noted = action !== 'end';
        if (action !== 'take') {
            this.forget();
            return pages;
        }
        const all = new Set([...this.sinceLook, ...pages]);
        this.sinceLook.clear();
        return [...all].sort((a, b) => a - b);
    }

    /** The guest has stopped. */
    stopped(): void {
        if (!this.noted) return;
        try {
            this.atLastStop = new Set(this.engine.dirtyPages('take'));
            for (const page of this.atLastStop) this.sinceLook.add(page);
        } catch (error) {
            if (!(error instanceof HyperscopeError)) throw error;
            // The translator executes the guest by now, or KVM does not answer: nobody knows.
            this.atLastStop = undefined;
        }
    }

    /** Between the last stop and the one before; undefined if that was not noted. */
    get sinceLastStop(): ReadonlySet<number> | undefined {
        return this.atLastStop;
    }

    private forget(): void {
        this.atLastStop = undefined;
        this.sinceLook.clear();
    }
}

/** Tells the client where and why the guest has stopped. */
import type { Stop } from '../debug/target';
import type { BreakpointRequests } from './breakpoint-requests';
import type { DataBreakpointRequests } from './data-breakpoint-requests';
import type { EngineRequests } from './engine-requests';
import { presentStop } from './presentation';
import type { SessionContext } from './session-context';
import type { SourceRequests } from './source-requests';
import { whatIsKnown } from './what-is-known';

/** Who has a say in what a stop is called, or something to do at one. */
export interface StopReportParts {
    readonly breakpoints: BreakpointRequests;
    readonly dataBreakpoints: DataBreakpointRequests;
    readonly engines: EngineRequests;
    readonly sources: SourceRequests;
}

export class StopReports {
    /** The last stop, as far as it is explained; undefined once that is no more where the guest is. */
    last: Stop | undefined;

    constructor(
        private readonly session: SessionContext,
        private readonly parts: StopReportParts,
    ) {}

    /**
     * Explaining a stop takes some looking at the guest. If that is let go meanwhile, or stops elsewhere, whoever did not
     * wait is not told of this one, nor of what the looking has failed with.
     */
    async report(reported: Stop): Promise<void> {
        this.last = reported;
        const { guest } = this.session;
        try {
            await this.explain(reported);
        } catch (error) {
            if (this.session.guest === guest) throw error;
        }
    }

    private async explain(reported: Stop): Promise<void> {
        const { session } = this;
        const { breakpoints, dataBreakpoints, engines, sources } = this.parts;
        const { guest, target } = session;
        // A guest that is out of reach has stopped all the same.
        const stop = await whatIsKnown(() => breakpoints.explain(reported), reported);
        if (this.last === reported) this.last = stop;
        await engines.stopped(target, stop);
        const ids = stop.breakpoints ?? [];
        const body = presentStop(stop, stop.vcpu + 1, breakpoints.kindOfStop(ids));
        // Of frames without a source, VS Code focuses only those of this reason; the description tells the truth.
        const hidden = session.client.isVsCode && !(await whatIsKnown(() => sources.hasPlace(target, stop.vcpu), true));
        if (session.guest !== guest || this.last !== stop) return;
        session.emitEvent('stopped', hidden ? { ...body, reason: 'instruction breakpoint' } : body);
        await whatIsKnown(() => breakpoints.stopped(target, ids), undefined);
        await whatIsKnown(() => dataBreakpoints.stopped(target), undefined);
    }
}

/** Shows the client how far the reading of symbol files is, and lets it be cancelled. */
import path from 'node:path';
import type { BackgroundIndex } from './background-index';
import type { SessionContext } from './session-context';

/** Host milliseconds between two words on one index: clients redraw. */
const INTERVAL = 250;

export class IndexProgressReports {
    private readonly running = new Map<string, BackgroundIndex>();
    private count = 0;

    constructor(private readonly session: Pick<SessionContext, 'emitEvent' | 'console'>) {}

    /** @param shows whether the client shows progress */
    show(indices: readonly BackgroundIndex[], shows: boolean): void {
        for (const index of indices) {
            if (!index.isRunning) continue;
            const progressId = `symbols ${++this.count}`;
            const title = `Reading symbols of ${path.basename(index.program.name)}`;
            let told = Date.now();
            if (shows) this.session.emitEvent('progressStart', { progressId, title, cancellable: true, percentage: 0 });
            this.running.set(progressId, index);
            index.listen({
                progress: share => {
                    if (!shows || Date.now() - told < INTERVAL) return;
                    told = Date.now();
                    this.session.emitEvent('progressUpdate', { progressId, percentage: Math.floor(100 * share) });
                },
                ended: problem => {
                    this.running.delete(progressId);
                    if (shows) this.session.emitEvent('progressEnd', { progressId });
                    if (problem !== undefined && problem !== 'cancelled') {
                        this.session.console(
                            `${index.program.name}: its names cannot be read: ${problem}\n`,
                            'important',
                        );
                    }
                },
            });
        }
    }

    cancel(progressId: unknown): void {
        if (typeof progressId === 'string') this.running.get(progressId)?.cancel();
    }
}

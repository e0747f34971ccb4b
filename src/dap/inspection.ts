/** The requests behind the views, all together. */
import { InspectionContext } from './inspection-context';
import { memoryViewRequests } from './memory-view-requests';
import { pageTableRequests } from './page-table-requests';
import type { RequestHandlers } from './protocol-session';
import type { SessionContext } from './session-context';

export class InspectionRequests {
    readonly handlers: RequestHandlers;

    constructor(session: SessionContext) {
        const context = new InspectionContext(session);
        this.handlers = { ...pageTableRequests(context), ...memoryViewRequests(context) };
    }
}

/** The requests behind the views, all together. */
import { descriptorTableRequests } from './descriptor-table-requests';
import { hardwareRequests } from './hardware-requests';
import { InspectionContext } from './inspection-context';
import { linuxRequests } from './linux-requests';
import { memoryViewRequests } from './memory-view-requests';
import { pageTableRequests } from './page-table-requests';
import type { RequestHandlers } from './protocol-session';
import { RegisterRequests } from './register-requests';
import { translationRequests } from './translation-requests';
import type { SessionContext } from './session-context';

export class InspectionRequests {
    readonly handlers: RequestHandlers;
    private readonly registers: RegisterRequests;

    constructor(session: SessionContext) {
        const context = new InspectionContext(session);
        this.registers = new RegisterRequests(context);
        this.handlers = {
            ...this.registers.handlers,
            ...memoryViewRequests(context),
            ...pageTableRequests(context),
            ...descriptorTableRequests(context),
            ...hardwareRequests(context),
            ...translationRequests(context),
            ...linuxRequests(context),
        };
    }

    /** The guest has stopped. */
    stopped(): void {
        this.registers.stopped();
    }

    /** There is another guest, or none. */
    forget(): void {
        this.registers.forget();
    }
}

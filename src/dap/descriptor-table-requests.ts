/** The request of the Descriptor tables view. */
import { viewDescriptorTables } from '../inspect/descriptors/descriptor-tables-view';
import type { InspectionContext } from './inspection-context';
import type { RequestHandlers } from './protocol-session';

export function descriptorTableRequests(context: InspectionContext): RequestHandlers {
    return {
        'hyperscope/descriptorTables': args =>
            context.look(context.vcpu(args), source => viewDescriptorTables(source, args.flag('brief'))),
    };
}

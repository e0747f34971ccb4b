/** Requests of the views of interrupts and devices. */
import { viewDevices } from '../inspect/devices/devices-view';
import { viewInterrupts } from '../inspect/interrupts-view';
import type { InspectionContext } from './inspection-context';
import type { RequestHandlers } from './protocol-session';

export function hardwareRequests(context: InspectionContext): RequestHandlers {
    return {
        'hyperscope/interrupts': args => context.look(context.vcpu(args), viewInterrupts),
        'hyperscope/devices': args => context.look(context.vcpu(args), viewDevices),
    };
}

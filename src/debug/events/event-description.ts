import { Vector } from '../../machine/cpu/fault';
import { interruptSource } from '../../machine/board/interrupt-source';
import type { Machine } from '../../machine/machine';
import type { EventRecord } from '../../machine/observation/event';
import { MACHINE_EVENTS, MachineEventKind, type MachineEventName } from '../../machine/observation/kinds';
import { describeFault } from '../faults';
import type { VcpuView } from '../vcpu-view';
import { eventDetail, eventTitle } from './event-words';

/** An event at which the guest has stopped, in words. */
export interface EventDescription {
    readonly kind: MachineEventName;
    /** `#PF`, `CR3 write`. */
    readonly title: string;
    /** One line: `CR3 write: 0x1a2b000 → 0x1a30000 at switch_mm+0x1c2`. */
    readonly text: string;
    /** Exceptions stop before they are delivered; see {@link whenItStops} for the others. */
    readonly isException: boolean;
    /** Where the vCPU is: still at the instruction, behind it, or in the handler. */
    readonly when: StopPlace;
}

export type StopPlace = 'at the instruction' | 'behind the instruction' | "at the handler's first instruction";

/** Where a vCPU is when it has stopped at an event of a kind. */
export function whenItStops(kind: MachineEventKind): StopPlace {
    switch (kind) {
        case MachineEventKind.Exception:
        case MachineEventKind.SoftwareInterrupt:
            return 'at the instruction';
        case MachineEventKind.ExternalInterrupt:
        case MachineEventKind.Nmi:
            return "at the handler's first instruction";
        default:
            return 'behind the instruction';
    }
}

/** Describes an event while the vCPU is still where it happened. */
export function describeEvent(
    event: EventRecord,
    device: string | undefined,
    view: VcpuView,
    machine: Machine,
): EventDescription {
    const { kind } = event;
    const common = { kind: MACHINE_EVENTS[kind], title: eventTitle(event), when: whenItStops(kind) };
    if (kind === MachineEventKind.Exception) {
        const errorCode = Number(event.value ?? 0n);
        const { text } = describeFault(view.cpu, view.memory, {
            vector: event.cause,
            errorCode,
            address: event.address,
        });
        const doubled = event.cause === (Vector.DF as number) ? ', raised while another exception was delivered' : '';
        return { ...common, text: `${text}${doubled}`, isException: true };
    }
    const detail = eventDetail(event, device);
    const text = detail === '' ? common.title : `${common.title}: ${detail}`;
    return { ...common, text: `${text}${source(event, machine)} at ${view.placeName(event.rip)}`, isException: false };
}

function source({ kind, vcpu, cause }: EventRecord, machine: Machine): string {
    if (kind !== MachineEventKind.ExternalInterrupt) {
        return '';
    }
    const name = interruptSource(machine.board, machine.processors[vcpu].apic, cause);
    return name === undefined ? '' : `, ${name}`;
}

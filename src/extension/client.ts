/** Typed requests to the adapter. */
import type { InspectionRequests } from '../messages/requests';
import type { GuestSession } from './guest-sessions';

/** @throws Error with the adapter's words */
export function ask<Name extends keyof InspectionRequests>(
    guest: GuestSession,
    name: Name,
    args: InspectionRequests[Name][0],
): Promise<InspectionRequests[Name][1]> {
    return guest.request(name, args);
}

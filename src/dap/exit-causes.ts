/** Keys of causes, as rows of the "VM exits" view have them. */
import type { EventFilter } from '../debug/events/event-stops';
import type { VmExitKind } from '../messages/vm-exits';

/** What a key such as `0x3f8`, `0xb8000-0xb8fff` or `cr3` stands for; undefined if it is none. */
export function causeOfKey(kind: VmExitKind, key: string): EventFilter['cause'] {
    if (kind === 'crWrite') {
        const register = /^cr(\d{1,2})$/.exec(key);
        return register === null ? undefined : Number(register[1]);
    }
    const match = /^(0x[0-9a-f]{1,13})(?:-(0x[0-9a-f]{1,13}))?$/.exec(key);
    if (match === null) {
        return undefined;
    }
    return match[2] === undefined ? Number(match[1]) : [Number(match[1]), Number(match[2])];
}

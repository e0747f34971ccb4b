/** Guests that a client has left, for another to attach to: those of one `hyperscope dap --listen`. */
import path from 'node:path';
import { disposeOf, type Guest, type GuestOutput } from './guest';
import type { LaunchConfiguration, SessionConfiguration } from './launch-configuration';
import { RequestError } from './request-error';

/** The guest of a session. */
export interface RunningGuest {
    readonly guest: Guest;
    /** Of the session: what it was launched with, or attached to with. */
    readonly configuration: SessionConfiguration;
    /** What it was launched with, by this session or an earlier one; undefined for one behind a stub. */
    readonly launched?: LaunchConfiguration;
    /** Where its characters go; undefined for one behind a stub. */
    readonly output?: { write: GuestOutput };
}

/** A guest that was launched here. */
export type OwnGuest = RunningGuest & Required<Pick<RunningGuest, 'output'>>;

/** Each has its memory: the oldest goes once there are more. */
const MOST_GUESTS = 4;

export class GuestRegistry {
    private readonly guests: OwnGuest[] = [];

    async leave(guest: OwnGuest): Promise<void> {
        guest.guest.target.listener = undefined;
        guest.output.write = () => undefined;
        this.guests.push(guest);
        if (this.guests.length > MOST_GUESTS) {
            const [oldest] = this.guests.splice(0, 1);
            await disposeOf(oldest.guest);
        }
    }

    /**
     * The guest of a name, or the only one.
     * @throws RequestError
     */
    take(name: string | undefined): OwnGuest {
        const names = this.guests.map(guestName);
        const list = names.length === 0 ? 'none has been left running' : `there are ${names.join(', ')}`;
        if (name === undefined && names.length !== 1) {
            throw new RequestError(
                names.length === 0
                    ? "nothing to attach to: no guest has been left running here; give 'target' for a gdb stub"
                    : `guest: has to say which: ${list}`,
            );
        }
        const index = name === undefined ? 0 : names.lastIndexOf(name);
        if (index < 0) {
            throw new RequestError(`guest: there is no '${name}': ${list}`);
        }
        return this.guests.splice(index, 1)[0];
    }
}

/** A guest is called by the file that it started from. */
export function guestName({ launched }: Pick<RunningGuest, 'launched'>): string {
    return path.basename(launched?.kernel ?? launched?.firmware ?? 'guest');
}

/** The words of shared memory through which the machine's thread and the threads of vCPUs talk. */

/** Words of a thread in {@link ThreadTask.words}. */
export const enum ThreadCell {
    /** Number of the KVM_RUN to be done: the last one's {@link afterCommand}; {@link END_THREAD} ends the thread. */
    command = 0,
    /** A signal may have been sent for nothing since the last one. */
    drain = 1,
    /** Number of the KVM_RUN that has been done; 0 at the beginning. */
    done = 2,
    /** Its error number, or 0. */
    errno = 3,
    /** The kernel's number of the thread, once it is there; {@link FAILED_THREAD} if it cannot be. */
    thread = 4,
    /** How often to look for the next command before sleeping. */
    patience = 5,
    /** Nobody writes it: for sleeping. */
    never = 6,
    /** A cache line each. */
    size = 16,
}

export const END_THREAD = -1;
export const FAILED_THREAD = -1;
/** Counts what threads have done: the machine's thread sleeps on it. */
export const BELL = 0;

/** The next KVM_RUN's number: a guest that does nothing but I/O may use up 31 bits in hours. */
export function afterCommand(command: number): number {
    return command === 0x7fffffff ? 1 : command + 1;
}

/** What a thread is told when it is made. */
export interface ThreadTask {
    readonly words: SharedArrayBuffer;
    /** Index of its {@link ThreadCell.command}. */
    readonly at: number;
    /** Its file descriptor. */
    readonly vcpu: number;
    /** Takes the words, in UTF-8 and as far as they fit, for why the thread cannot begin. */
    readonly problem: SharedArrayBuffer;
}

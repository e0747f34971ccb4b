/** What goes wrong on the way to /dev/kvm, in words that say what to do. */
import { HyperscopeError } from '../common/errors';

export const EINTR = 4;
export const EAGAIN = 11;

/** Error numbers of Linux on x86-64 that KVM's requests give: name, and what they mean there. */
const ERRNO: ReadonlyMap<number, readonly [name: string, meaning: string]> = new Map([
    [1, ['EPERM', 'not permitted']],
    [2, ['ENOENT', 'there is no such thing in this kernel']],
    [EINTR, ['EINTR', 'interrupted by a signal']],
    [5, ['EIO', 'the virtual machine belongs to another process, or is dead']],
    [6, ['ENXIO', 'this kernel does not offer it for this kind of machine']],
    [7, ['E2BIG', 'the list is longer than the room for it']],
    [9, ['EBADF', 'the file descriptor is closed: the machine has been disposed of']],
    [EAGAIN, ['EAGAIN', 'not ready yet: try again']],
    [12, ['ENOMEM', 'the host has no memory left for it']],
    [13, ['EACCES', 'permission denied']],
    [14, ['EFAULT', 'the guest touched memory that the host does not back']],
    [16, ['EBUSY', 'in use: VT-x or AMD-V may be taken by another hypervisor']],
    [17, ['EEXIST', 'it exists already, or overlaps what exists']],
    [19, ['ENODEV', 'no device behind it']],
    [22, ['EINVAL', 'KVM does not accept the values']],
    [25, ['ENOTTY', 'this kernel does not know the request']],
    [28, ['ENOSPC', 'no room left']],
    [38, ['ENOSYS', 'this kernel has no such call']],
    [133, ['EHWPOISON', 'the host memory behind the guest is broken']],
]);

export function errnoName(errno: number): string {
    return ERRNO.get(errno)?.[0] ?? `error ${errno}`;
}

/** A request to KVM, or a system call around it, failed. */
export class KvmError extends HyperscopeError {
    /**
     * @param call as the manual names it: `KVM_SET_SREGS`
     * @param detail what the request was about
     */
    constructor(
        readonly call: string,
        readonly errno: number,
        readonly detail?: string,
    ) {
        const [name, meaning] = ERRNO.get(errno) ?? [`error ${errno}`, 'an unexpected error'];
        super(`${call} failed with ${name}: ${meaning}${detail === undefined ? '' : ` (${detail})`}`);
    }
}

/** KVM cannot be used on this host; the message says why and what helps. */
export class KvmUnavailableError extends HyperscopeError {}

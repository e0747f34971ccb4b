import { HyperscopeError } from '../common/errors';

/** Something of the guest's kernel cannot be shown; the message says what was found, and where. */
export class LinuxError extends HyperscopeError {}

/** What is shown where it can be read, and left out elsewhere. */
export function optional<T>(read: () => T | undefined): T | undefined {
    try {
        return read();
    } catch (error) {
        if (error instanceof LinuxError) return undefined;
        throw error;
    }
}

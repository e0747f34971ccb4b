/**
 * The typed errors of the project. Each says what was found, where, and what to do about it; the command line prints
 * the message alone, so it has to stand without a stack trace.
 */

/** Base of every error that Hyperscope throws on purpose. Anything else that surfaces is a defect. */
export class HyperscopeError extends Error {
    constructor(message: string, options?: ErrorOptions) {
        super(message, options);
        this.name = new.target.name;
    }
}

/** A saved record cannot be restored: other kind, other version, or fields that saving never produces. */
export class SnapshotError extends HyperscopeError {}

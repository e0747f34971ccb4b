import { HyperscopeError } from '../common/errors';

/** Something of the guest's kernel cannot be shown; the message says what was found, and where. */
export class LinuxError extends HyperscopeError {}

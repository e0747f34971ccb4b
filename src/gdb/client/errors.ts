import { HyperscopeError } from '../../common/errors';

/** A gdb stub cannot be reached, has gone, or does not answer as the protocol says. */
export class StubError extends HyperscopeError {}

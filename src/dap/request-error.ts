import { HyperscopeError } from '../common/errors';

/** A request that cannot be answered as asked; the message is shown to the user. */
export class RequestError extends HyperscopeError {}

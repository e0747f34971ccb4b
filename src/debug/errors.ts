import { HyperscopeError } from '../common/errors';

/** The target cannot do this, or not in its present state. */
export class TargetError extends HyperscopeError {}

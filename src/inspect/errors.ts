import { HyperscopeError } from '../common/errors';

/** What was asked for cannot be shown; the message says what was found and what to do. */
export class InspectionError extends HyperscopeError {}

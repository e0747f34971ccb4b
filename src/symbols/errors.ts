import { HyperscopeError } from '../common/errors';

/** A symbol file that cannot be read; the message begins with the file's name. */
export class SymbolFileError extends HyperscopeError {}

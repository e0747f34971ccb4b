import { HyperscopeError } from '../common/errors';
import { hex } from './format';

/**
 * The machine cannot be built from what the user gave: the message is one line that names the file or option and what
 * is wrong with it.
 */
export class ConfigurationError extends HyperscopeError {}

/** A memory size that the guest's address space, or the host, does not have. */
export class MemorySizeError extends ConfigurationError {}

/** Two regions claim the same addresses. */
export class AddressOverlapError extends ConfigurationError {
    constructor(space: 'memory' | 'port', added: AddressRange, present: AddressRange) {
        super(`${space} region ${describe(added)} overlaps ${describe(present)}`);
    }
}

/** A kernel, initrd, module or ROM image that cannot be loaded. */
export class LoadError extends ConfigurationError {
    /**
     * @param file as the user named it
     * @param problem what is wrong with it, e.g. `truncated: the setup area needs 16384 bytes, the file has 512`
     */
    constructor(
        readonly file: string,
        readonly problem: string,
    ) {
        super(`${file}: ${problem}`);
    }
}

/** A named range of addresses. */
export interface AddressRange {
    readonly name: string;
    readonly base: number;
    readonly size: number;
}

function describe(range: AddressRange): string {
    return `'${range.name}' (${hex(range.base)}–${hex(range.base + range.size - 1)})`;
}

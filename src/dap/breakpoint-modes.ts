/** The modes of breakpoints that clients offer: how one is to be realised. */
import type { DebugProtocol } from '@vscode/debugprotocol';
import { RequestError } from './request-error';
import type { RequestArguments } from './arguments';

export type BreakpointMode = 'software' | 'hardware' | 'physical';

/**
 * On the translator software and hardware breakpoints are the same: no byte of the guest changes, none of its debug
 * registers is taken, and there may be any number of them.
 */
export const BREAKPOINT_MODES: readonly (DebugProtocol.BreakpointMode & { readonly mode: BreakpointMode })[] = [
    {
        mode: 'software',
        label: 'Software',
        description: 'At the linear address, in every address space',
        appliesTo: ['source', 'instruction', 'data'],
    },
    {
        mode: 'hardware',
        label: 'Hardware',
        description:
            'At the linear address, in every address space; the guest sees neither memory nor registers changed',
        appliesTo: ['source', 'instruction', 'data'],
    },
    {
        mode: 'physical',
        label: 'Physical',
        description: 'At the physical address that is behind the address now, met through any mapping of it',
        appliesTo: ['source', 'instruction', 'data'],
    },
];

/** The `mode` of a request; undefined if it leaves the choice to us. */
export function readMode(args: RequestArguments): BreakpointMode | undefined {
    const text = args.optionalString('mode');
    if (text === undefined || text === '') {
        return undefined;
    }
    const known = BREAKPOINT_MODES.find(({ mode }) => mode === text);
    if (known === undefined) {
        const names = BREAKPOINT_MODES.map(({ mode }) => `'${mode}'`).join(', ');
        throw new RequestError(`mode has to be one of ${names}, not '${text}'`);
    }
    return known.mode;
}

/** The client's breakpoints of all kinds, as one list for the target. */
import type { DebugProtocol } from '@vscode/debugprotocol';
import { formatAddress } from '../debug/address';
import type { BreakpointRequest } from '../debug/breakpoints';
import { pattern } from '../debug/expression/value';
import type { DebugTarget } from '../debug/target';
import { HyperscopeError } from '../common/errors';
import type { RequestArguments } from './arguments';

/** Where a kind of breakpoint comes from: each request replaces those of its own kind. */
type Kind = 'instruction' | 'function';

interface Stored {
    readonly id: number;
    /** Finds its address; undefined with a reason while it has none. */
    readonly locate: (target: DebugTarget) => Promise<{ address?: bigint; problem?: string }>;
    readonly condition?: string;
    readonly hitCondition?: string;
    readonly logMessage?: string;
}

/** vCPU whose memory and registers tell where a named breakpoint is. */
const BOOT_PROCESSOR = 0;

export class BreakpointStore {
    private readonly byKind = new Map<Kind, Stored[]>();
    private lastId = 0;

    setInstructionBreakpoints(requests: readonly RequestArguments[]): void {
        this.byKind.set(
            'instruction',
            requests.map(request => {
                const { space, offset } = request.address('instructionReference');
                const problem = space === 'physical' ? 'code breakpoints take linear addresses' : undefined;
                return this.store(request, async () => (problem === undefined ? { address: offset } : { problem }));
            }),
        );
    }

    setFunctionBreakpoints(requests: readonly RequestArguments[]): void {
        this.byKind.set(
            'function',
            requests.map(request => {
                const name = request.string('name').trim();
                return this.store(request, target => locateFunction(target, name));
            }),
        );
    }

    /** Sets all breakpoints in the target; returns how those of one kind fared, in the order of their request. */
    async apply(target: DebugTarget | undefined, kind?: Kind): Promise<DebugProtocol.Breakpoint[]> {
        const all = [...this.byKind.values()].flat();
        const results = new Map<number, DebugProtocol.Breakpoint>();
        const requests: BreakpointRequest[] = [];
        for (const { id, locate, ...rest } of all) {
            const { address, problem } =
                target === undefined ? { problem: 'there is no guest yet', address: undefined } : await locate(target);
            if (address === undefined) {
                results.set(id, { id, verified: false, message: problem, reason: 'pending' });
            } else {
                requests.push({ id, address, ...rest });
                const instructionReference = formatAddress({ space: 'linear', offset: address });
                results.set(id, { id, verified: true, instructionReference });
            }
        }
        for (const { id, problem } of (await target?.setBreakpoints(requests)) ?? []) {
            if (problem !== undefined) {
                results.set(id, { id, verified: false, message: problem, reason: 'failed' });
            }
        }
        return (kind === undefined ? all : (this.byKind.get(kind) ?? [])).map(({ id }) => results.get(id)!);
    }

    private store(request: RequestArguments, locate: Stored['locate']): Stored {
        return {
            id: ++this.lastId,
            locate,
            condition: request.optionalString('condition'),
            hitCondition: request.optionalString('hitCondition'),
            logMessage: request.optionalString('logMessage'),
        };
    }
}

/** A function by its name, or any expression that gives an address: `start_kernel+0x10`, `0x100000`. */
async function locateFunction(target: DebugTarget, name: string): ReturnType<Stored['locate']> {
    try {
        const { value } = await target.evaluate(BOOT_PROCESSOR, name, false);
        return { address: pattern(value) };
    } catch (error) {
        if (error instanceof HyperscopeError) {
            return { problem: error.message.split('\n')[0] };
        }
        throw error;
    }
}

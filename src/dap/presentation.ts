/** How the target's data read in the protocol. */
import type { DebugProtocol } from '@vscode/debugprotocol';
import { formatAddress } from '../debug/address';
import type { RegisterView } from '../debug/registers/register-file';
import type { EvaluationResult, Stop } from '../debug/target';
import type { BreakpointKind } from './breakpoint-store';
import { pattern, typeName, type Value } from '../debug/expression/value';

export function hex(value: bigint): string {
    return `0x${value.toString(16)}`;
}

/** Numbers below this read the same in both bases. */
const SMALL = 10n;

function formatValue({ value, symbol }: EvaluationResult): string {
    const { type } = value;
    const bits = type.kind === 'integer' ? BigInt.asUintN(type.width, value.bits) : pattern(value);
    const space = value.space === 'physical' ? 'phys:' : '';
    const number = `${space}${hex(bits)}`;
    if (symbol !== undefined) {
        return `${number} <${symbol}>`;
    }
    return value.bits >= 0n && value.bits < SMALL ? number : `${number} (${value.bits})`;
}

function mayBeAddress({ type, bits }: Value): boolean {
    return type.kind === 'pointer' || (type.width === 64 && !type.signed && bits > 0n);
}

export function presentResult(result: EvaluationResult): DebugProtocol.EvaluateResponse['body'] {
    const { value } = result;
    return {
        result: formatValue(result),
        type: typeName(value.type),
        variablesReference: 0,
        memoryReference: mayBeAddress(value)
            ? formatAddress({ space: value.space, offset: pattern(value) })
            : undefined,
    };
}

/** @param children gives out a reference to the register's parts */
export function presentRegister(
    register: RegisterView,
    children: (parts: readonly RegisterView[]) => number,
): DebugProtocol.Variable {
    const { name, text, width, writable, address, parts } = register;
    return {
        name,
        value: text,
        type: `u${width}`,
        evaluateName: width <= 64 ? name : undefined,
        variablesReference: parts === undefined ? 0 : children(parts),
        namedVariables: parts?.length,
        memoryReference: address && formatAddress(address),
        presentationHint: writable ? undefined : { attributes: ['readOnly'] },
    };
}

const DESCRIPTIONS: Readonly<Record<Stop['reason'], string>> = {
    entry: 'Stopped at the first instruction',
    pause: 'Paused',
    step: 'Stepped',
    goto: 'Moved',
    breakpoint: 'Paused at breakpoint',
    exception: 'Paused on exception',
};

/** Breakpoints of a source are plainly breakpoints. */
const BREAKPOINT_REASONS: Readonly<Record<BreakpointKind, string>> = {
    source: 'breakpoint',
    function: 'function breakpoint',
    instruction: 'instruction breakpoint',
};

/**
 * The body of a `stopped` event.
 * @param kind of the breakpoint that was hit
 */
export function presentStop(
    stop: Stop,
    threadId: number,
    kind: BreakpointKind | undefined,
): DebugProtocol.StoppedEvent['body'] {
    const { reason, breakpoints, fault, note } = stop;
    return {
        reason: reason === 'breakpoint' ? BREAKPOINT_REASONS[kind ?? 'source'] : reason,
        description: DESCRIPTIONS[reason],
        text: fault?.text ?? note,
        threadId,
        allThreadsStopped: true,
        hitBreakpointIds: breakpoints && [...breakpoints],
    };
}

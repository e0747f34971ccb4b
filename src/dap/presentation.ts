/** How the target's data read in the protocol. */
import type { DebugProtocol } from '@vscode/debugprotocol';
import { formatAddress } from '../debug/address';
import type { RegisterView } from '../debug/registers/register-file';
import type { EvaluationResult, Stop } from '../debug/target';
import type { BreakpointKind } from './breakpoint-store';
import { pattern, typeName, type Value } from '../debug/expression/value';
import type { NumberBase } from './session-context';

export function hex(value: bigint): string {
    return `0x${value.toString(16)}`;
}

/** An unsigned number in a base. */
export function inBase(value: bigint, base: NumberBase): string {
    return base === 'hex' ? hex(value) : base === 'binary' ? `0b${value.toString(2)}` : value.toString();
}

/** Numbers below this read the same in both bases. */
const SMALL = 10n;

function formatValue({ value, symbol }: EvaluationResult, base: NumberBase): string {
    const number = plainValue(value, base);
    if (symbol !== undefined) {
        return `${number} <${symbol}>`;
    }
    return base !== 'hex' || (value.bits >= 0n && value.bits < SMALL) ? number : `${number} (${value.bits})`;
}

/** The number alone, as expressions take it again. */
function plainValue(value: Value, base: NumberBase): string {
    const { type } = value;
    if (value.space === 'physical') {
        return `phys:${hex(pattern(value))}`;
    }
    const bits = type.kind === 'integer' ? BigInt.asUintN(type.width, value.bits) : pattern(value);
    return base === 'decimal' ? value.bits.toString() : inBase(bits, base);
}

function mayBeAddress({ type, bits }: Value): boolean {
    return type.kind === 'pointer' || (type.kind === 'integer' && type.width === 64 && !type.signed && bits > 0n);
}

/** @param plain for the clipboard: the number and nothing else */
export function presentResult(
    result: EvaluationResult,
    base: NumberBase,
    plain = false,
): DebugProtocol.EvaluateResponse['body'] {
    const { value } = result;
    return {
        result: plain ? plainValue(value, base) : formatValue(result, base),
        type: typeName(value.type),
        variablesReference: 0,
        memoryReference: mayBeAddress(value)
            ? formatAddress({ space: value.space, offset: pattern(value) })
            : undefined,
    };
}

/** A register's number, with what it says behind it. */
export function registerText({ text, value, description, problem }: RegisterView, base: NumberBase): string {
    if (problem !== undefined) {
        return `<${problem}>`;
    }
    if (base === 'hex') {
        return text;
    }
    const number = inBase(value, base);
    return description === undefined ? number : `${number} ${description}`;
}

/** @param children gives out a reference to the register's parts */
export function presentRegister(
    register: RegisterView,
    base: NumberBase,
    children: (parts: readonly RegisterView[]) => number,
): DebugProtocol.Variable {
    const { name, width, writable, address, parts } = register;
    return {
        name,
        value: registerText(register, base),
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
    watchpoint: 'Paused on data breakpoint',
    exception: 'Paused on exception',
    event: 'Paused on machine event',
};

/** Breakpoints of a source are plainly breakpoints. */
const BREAKPOINT_REASONS: Readonly<Record<BreakpointKind, string>> = {
    source: 'breakpoint',
    function: 'function breakpoint',
    instruction: 'instruction breakpoint',
    linux: 'exception',
};

/**
 * What the protocol calls other stops. A machine event has a word of its own: what VS Code calls an exception looks like an
 * error, and a guest that writes to a port or switches address spaces makes none.
 */
const REASONS: Readonly<Partial<Record<Stop['reason'], string>>> = {
    event: 'machine event',
    watchpoint: 'data breakpoint',
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
    const { reason, breakpoints, event, note } = stop;
    return {
        reason: reason === 'breakpoint' ? BREAKPOINT_REASONS[kind ?? 'source'] : (REASONS[reason] ?? reason),
        description: describeStop(stop),
        text: note ?? event?.text,
        threadId,
        allThreadsStopped: true,
        hitBreakpointIds: breakpoints && [...breakpoints],
    };
}

function describeStop({ reason, event, title }: Stop): string | undefined {
    if (event !== undefined) {
        // Of an exception more is shown where the guest has stopped; of other events, nowhere else.
        return `Paused on ${event.isException ? event.title : event.text}`;
    }
    if (title === undefined) {
        return DESCRIPTIONS[reason];
    }
    return reason === 'exception' ? `Paused on ${title}` : title;
}

/** Code breakpoints with conditions, hit counts and log messages, on top of what an engine offers. */
import { type EvaluationContext, Expression } from './expression/evaluator';
import { ExpressionError } from './expression/error';
import { pattern } from './expression/value';

/** What the front end asks for. */
export interface BreakpointRequest {
    readonly id: number;
    /** Linear. */
    readonly address: bigint;
    /** Stops only where this is not 0. */
    readonly condition?: string;
    /** `5`, `>= 5`, `% 10`: of the times that the condition held, those at which to stop. */
    readonly hitCondition?: string;
    /** Logs instead of stopping; `{expression}` stands for its value. */
    readonly logMessage?: string;
}

/** A breakpoint of the debugger's own, gone after its first hit. */
export interface TemporaryBreakpoint {
    readonly address: bigint;
    readonly hits: (vcpu: number) => boolean;
}

type HitTest = (count: number) => boolean;

interface Breakpoint {
    readonly id: number;
    readonly condition?: Expression;
    readonly hitTest: HitTest;
    readonly log?: LogMessage;
    hits: number;
}

export interface BreakpointHost {
    context(vcpu: number): EvaluationContext;
    log(text: string): void;
    /** The set of addresses has changed: the engine has to be told. */
    addressesChanged(): void;
}

const HIT_CONDITION = /^\s*(>=|>|==|=|<=|<|%)?\s*(\d{1,9})\s*$/;

/**
 * The breakpoints of a target. The engine asks {@link hit} at an address from {@link addresses}; what it answers, and
 * counts, is decided here.
 */
export class BreakpointSet {
    private readonly byAddress = new Map<bigint, Breakpoint[]>();
    private temporary: TemporaryBreakpoint | undefined;
    /** Of the last {@link hit} that said yes. */
    lastHit: { readonly ids: readonly number[]; readonly temporary: boolean } = { ids: [], temporary: false };

    constructor(private readonly host: BreakpointHost) {}

    get addresses(): ReadonlySet<bigint> {
        const all = new Set(this.byAddress.keys());
        if (this.temporary !== undefined) {
            all.add(this.temporary.address);
        }
        return all;
    }

    /** Replaces the breakpoints; what is wrong with one is told, by id, and that one left out. */
    replace(requests: readonly BreakpointRequest[]): Map<number, string> {
        const problems = new Map<number, string>();
        const before = new Map([...this.byAddress.values()].flat().map(old => [old.id, old.hits]));
        this.change(() => {
            this.byAddress.clear();
            for (const request of requests) {
                try {
                    // The count of a breakpoint that stays goes on.
                    this.add(request, before.get(request.id) ?? 0);
                } catch (error) {
                    if (!(error instanceof ExpressionError)) throw error;
                    problems.set(request.id, error.message);
                }
            }
        });
        return problems;
    }

    setTemporary(breakpoint: TemporaryBreakpoint | undefined): void {
        this.change(() => {
            this.temporary = breakpoint;
        });
    }

    /** A vCPU is about to execute the instruction at an address of the set; returns whether to stop. */
    hit(address: bigint, vcpu: number): boolean {
        const temporary = this.temporary?.address === address && this.temporary.hits(vcpu);
        const ids = (this.byAddress.get(address) ?? [])
            .filter(breakpoint => this.stops(breakpoint, vcpu))
            .map(({ id }) => id);
        if (!temporary && ids.length === 0) {
            return false;
        }
        this.lastHit = { ids, temporary };
        return true;
    }

    /** @throws ExpressionError */
    private add({ id, address, condition, hitCondition, logMessage }: BreakpointRequest, hits: number): void {
        const breakpoint: Breakpoint = {
            id,
            hits,
            condition: isBlank(condition) ? undefined : parseCondition(condition),
            hitTest: isBlank(hitCondition) ? () => true : parseHitCondition(hitCondition),
            log: isBlank(logMessage) ? undefined : new LogMessage(logMessage),
        };
        const others = this.byAddress.get(address);
        if (others === undefined) {
            this.byAddress.set(address, [breakpoint]);
        } else {
            others.push(breakpoint);
        }
    }

    private stops(breakpoint: Breakpoint, vcpu: number): boolean {
        const { condition, log } = breakpoint;
        const context = this.host.context(vcpu);
        if (condition !== undefined && !this.holds(condition, context)) {
            return false;
        }
        breakpoint.hits++;
        if (!breakpoint.hitTest(breakpoint.hits)) {
            return false;
        }
        if (log !== undefined) {
            this.host.log(log.format(context));
            return false;
        }
        return true;
    }

    /** A condition that cannot be evaluated holds: whoever set it wants to know. */
    private holds(condition: Expression, context: EvaluationContext): boolean {
        try {
            return pattern(condition.evaluate(context)) !== 0n;
        } catch (error) {
            if (!(error instanceof ExpressionError)) throw error;
            this.host.log(`breakpoint condition: ${error.message}`);
            return true;
        }
    }

    /** Engines drop translated code when breakpoints change, so they hear only of addresses that really do. */
    private change(action: () => void): void {
        const before = this.addresses;
        action();
        const after = this.addresses;
        if (before.size !== after.size || [...after].some(address => !before.has(address))) {
            this.host.addressesChanged();
        }
    }
}

function isBlank(text: string | undefined): text is undefined {
    return text === undefined || text.trim() === '';
}

/** @throws ExpressionError */
export function parseCondition(text: string): Expression {
    const expression = new Expression(text);
    if (expression.assigns) {
        throw new ExpressionError("a condition must not change anything: '==' compares", text, text.indexOf('='));
    }
    return expression;
}

/** @throws ExpressionError */
function parseHitCondition(text: string): HitTest {
    const match = HIT_CONDITION.exec(text);
    if (match === null) {
        throw new ExpressionError('a hit condition is a number, or one behind >=, >, <=, < or %', text, 0);
    }
    const number = Number(match[2]);
    switch (match[1]) {
        case '>':
            return count => count > number;
        case '>=':
            return count => count >= number;
        case '<':
            return count => count < number;
        case '<=':
            return count => count <= number;
        case '%':
            return count => number > 0 && count % number === 0;
        default:
            return count => count === number;
    }
}

/** Text with expressions in braces. */
class LogMessage {
    private readonly parts: readonly (string | Expression)[];

    /** @throws ExpressionError */
    constructor(text: string) {
        this.parts = text
            .split(/(\{[^{}]*\})/)
            .filter(part => part !== '')
            .map(part => (part.startsWith('{') ? parseCondition(part.slice(1, -1)) : part));
    }

    format(context: EvaluationContext): string {
        return this.parts.map(part => (typeof part === 'string' ? part : evaluated(part, context))).join('');
    }
}

function evaluated(expression: Expression, context: EvaluationContext): string {
    try {
        return `0x${pattern(expression.evaluate(context)).toString(16)}`;
    } catch (error) {
        if (!(error instanceof ExpressionError)) throw error;
        return `<${error.problem}>`;
    }
}

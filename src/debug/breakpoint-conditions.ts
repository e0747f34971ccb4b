/** What breakpoints of all kinds ask before they stop: conditions, hit conditions and log messages. */
import { HyperscopeError } from '../common/errors';
import { type BreakpointProgram, HitCounter, type HitTest, passesHitTest } from '../machine/breakpoint';
import { isTrue } from './expression/arithmetic';
import { compileCondition } from './expression/compile';
import { ExpressionError } from './expression/error';
import type { EvaluationContext } from './expression/context';
import { Expression } from './expression/expression';
import { pattern } from './expression/value';
import { registerCondition } from './registers/register-file';

/** The texts that users write; blank ones count as absent. */
export interface StopConditions {
    /** Stops only where this is not 0. */
    readonly condition?: string;
    /** `5`, `>= 5`, `% 10`: of the times that the condition held, those at which to stop. */
    readonly hitCondition?: string;
    /** Logs instead of stopping; `{expression}` stands for its value. */
    readonly logMessage?: string;
}

const HIT_CONDITION = /^\s*(>=|>|==|=|<=|<|%)?\s*(\d{1,9})\s*$/;

/** Decides, each time one breakpoint is met, whether the guest stops. */
export class StopDecision {
    private readonly condition: Expression | undefined;
    private readonly hitTest: HitTest | undefined;
    private readonly message: LogMessage | undefined;

    /**
     * @param counter goes on counting
     * @throws ExpressionError
     */
    constructor(
        texts: StopConditions,
        readonly counter: HitCounter = new HitCounter(),
    ) {
        const { condition, hitCondition, logMessage } = texts;
        this.condition = isBlank(condition) ? undefined : parseCondition(condition);
        this.hitTest = isBlank(hitCondition) ? undefined : parseHitCondition(hitCondition);
        this.message = isBlank(logMessage) ? undefined : new LogMessage(logMessage);
    }

    /** Whether it depends on an expression. */
    get isConditional(): boolean {
        return this.condition !== undefined;
    }

    /**
     * What an engine may decide by itself; undefined if each time has to be asked about.
     * @param symbol address of a symbol
     * @param isVariable whether a name is that of a variable where the breakpoint is
     */
    program(
        symbol: (name: string) => bigint | undefined,
        isVariable?: (name: string) => boolean,
    ): BreakpointProgram | undefined {
        const { hitTest, counter } = this;
        if (this.condition === undefined) {
            return hitTest && { hitTest, counter };
        }
        const condition = compileCondition(this.condition, {
            register: registerCondition,
            symbol,
            isVariable,
        });
        return condition && { condition, hitTest, counter };
    }

    /** Evaluates everything that {@link stops} may, without any effect: a target behind a wire so fetches the memory. */
    look(context: EvaluationContext): void {
        if (this.condition !== undefined) holds(this.condition, context, () => undefined);
        this.message?.format(context);
    }

    /**
     * Counts, logs, and says whether to stop.
     * @param decided the {@link program} has decided that it is time, and counted
     */
    stops(context: EvaluationContext, log: (text: string) => void, decided = false): boolean {
        if (!decided) {
            if (this.condition !== undefined && !holds(this.condition, context, log)) {
                return false;
            }
            this.counter.count++;
            if (this.hitTest !== undefined && !passesHitTest(this.hitTest, this.counter.count)) {
                return false;
            }
        }
        if (this.message !== undefined) {
            log(this.message.format(context));
            return false;
        }
        return true;
    }
}

/** A condition that cannot be evaluated holds: whoever set it wants to know. */
function holds(condition: Expression, context: EvaluationContext, log: (text: string) => void): boolean {
    try {
        return isTrue(condition.evaluate(context));
    } catch (error) {
        // What a variable's value is found by may be missing or corrupt as well.
        if (!(error instanceof HyperscopeError)) throw error;
        log(`breakpoint condition: ${error.message}`);
        return true;
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
export function parseHitCondition(text: string): HitTest {
    const match = HIT_CONDITION.exec(text);
    if (match === null) {
        throw new ExpressionError('a hit condition is a number, or one behind >=, >, <=, < or %', text, 0);
    }
    const [, operator] = match as unknown as readonly [string, string | undefined];
    return {
        operator: operator === undefined || operator === '=' ? '==' : (operator as HitTest['operator']),
        number: Number(match[2]),
    };
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
        const value = expression.evaluate(context);
        return context.describe?.(value) ?? `0x${pattern(value).toString(16)}`;
    } catch (error) {
        if (!(error instanceof HyperscopeError)) throw error;
        return `<${error instanceof ExpressionError ? error.problem : error.message}>`;
    }
}

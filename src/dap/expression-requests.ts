/** Requests that take expressions. */
import type { DebugProtocol } from '@vscode/debugprotocol';
import { ExpressionError } from '../debug/expression/error';
import { Expression } from '../debug/expression/evaluator';
import { pattern } from '../debug/expression/value';
import type { DebugTarget } from '../debug/target';
import type { RequestArguments } from './arguments';
import { presentResult } from './presentation';
import type { RequestHandlers } from './protocol-session';
import { RequestError } from './request-error';
import type { SessionContext } from './session-context';

/** The word that ends where the cursor is. */
const WORD = /[\w$.]*$/;

export class ExpressionRequests {
    readonly handlers: RequestHandlers = {
        evaluate: args => this.evaluate(args),
        setExpression: args => this.setExpression(args),
        completions: args => this.complete(args),
    };

    constructor(private readonly session: SessionContext) {}

    private async evaluate(args: RequestArguments): Promise<DebugProtocol.EvaluateResponse['body']> {
        const context = args.optionalString('context');
        try {
            const text = args.string('expression');
            const assigns = context === 'repl' && new Expression(text).assigns;
            const { vcpu } = this.session.frame(args);
            const result = await this.session.target.evaluate(vcpu, text, assigns);
            if (assigns) {
                this.session.guestChanged();
            }
            return presentResult(result);
        } catch (error) {
            throw shortened(error, context);
        }
    }

    private async setExpression(args: RequestArguments): Promise<DebugProtocol.SetExpressionResponse['body']> {
        const text = `${args.string('expression')} = ${args.string('value')}`;
        const { vcpu } = this.session.frame(args);
        const { result, ...rest } = presentResult(await this.session.target.evaluate(vcpu, text, true));
        this.session.guestChanged();
        return { value: result, ...rest };
    }

    private async complete(args: RequestArguments): Promise<DebugProtocol.CompletionsResponse['body']> {
        const text = args.string('text').slice(0, Math.max(0, args.integer('column') - 1));
        const word = WORD.exec(text)?.[0] ?? '';
        const found = await this.session.target.complete(word.replace(/^\$/, ''));
        return {
            targets: found.map(({ text: label, kind }) => ({
                label,
                type: kind === 'register' ? 'variable' : 'function',
                start: text.length - word.length,
                length: word.length,
            })),
        };
    }
}

/** A number as the user typed it: an expression, or more digits than expressions have. */
export async function numberOf(target: DebugTarget, vcpu: number, text: string): Promise<bigint> {
    if (/^\s*0x[0-9a-f]{17,32}\s*$/i.test(text)) {
        return BigInt(text.trim());
    }
    return pattern((await target.evaluate(vcpu, text, false)).value);
}

/** An expression's error, on several lines only where there is room for them. */
function shortened(error: unknown, context: string | undefined): unknown {
    return error instanceof ExpressionError && context !== 'repl' ? new RequestError(error.problem) : error;
}

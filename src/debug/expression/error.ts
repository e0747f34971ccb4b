import { HyperscopeError } from '../../common/errors';

/** Something in an expression that cannot be: the message stands on its own, the position tells where. */
export class ExpressionError extends HyperscopeError {
    /**
     * @param problem what is wrong and, where there is one, what to write instead
     * @param position 0-based index of the character in `text`
     */
    constructor(
        readonly problem: string,
        readonly text: string,
        readonly position: number,
    ) {
        super(`${problem}\n  ${text}\n  ${' '.repeat(position)}^`);
    }
}

/** There is nothing of that name: whatever else happens, the expression is wrong. */
export class UnknownName extends ExpressionError {}

/** A problem that evaluating met, before the position of its operator is known. */
export class EvaluationProblem extends HyperscopeError {}

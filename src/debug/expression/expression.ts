import { childrenOf, type Node } from './ast';
import type { EvaluationContext, EvaluationOptions } from './context';
import { Evaluation } from './evaluator';
import { parseExpression } from './parser';
import type { Value } from './value';

/** An expression that has been parsed. */
export class Expression {
    readonly root: Node;

    /** @throws ExpressionError */
    constructor(readonly text: string) {
        this.root = parseExpression(text);
    }

    /** Whether evaluating it would change anything. */
    get assigns(): boolean {
        return assigns(this.root);
    }

    /** Names of registers and symbols in it, with their places in the text. */
    get names(): readonly NamePlace[] {
        return namesIn(this.root);
    }

    /** @throws ExpressionError */
    evaluate(context: EvaluationContext, options: EvaluationOptions = {}): Value {
        return new Evaluation(this.text, context, options).evaluate(this.root);
    }
}

export interface NamePlace {
    readonly name: string;
    readonly position: number;
}

function namesIn(node: Node): NamePlace[] {
    const { position } = node;
    return node.kind === 'name' ? [{ name: node.name, position }] : childrenOf(node).flatMap(namesIn);
}

function assigns(node: Node): boolean {
    return node.kind === 'assign' || childrenOf(node).some(assigns);
}

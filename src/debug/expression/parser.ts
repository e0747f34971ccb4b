/**
 * Parser of the expression language, with C's operators and precedences:
 *
 *     assignment   place = expression
 *     binary       || && | ^ & == != < <= > >= << >> + - * / %
 *     unary        - + ~ ! * &  (type)x  phys:x  linear:x  ds:x
 *     postfix      pointer[index]
 *     primary      number  'c'  register  $register  symbol  `symbol`  type[address]  (expression)
 */
import type { BinaryOperator, Node, UnaryOperator } from './ast';
import { ExpressionError } from './error';
import { type Token, tokenize } from './lexer';
import { INTEGER_TYPES, type ValueType } from './value';

/** C's binary operators, loosest first. */
const LEVELS: readonly (readonly string[])[] = [
    ['||'],
    ['&&'],
    ['|'],
    ['^'],
    ['&'],
    ['==', '!='],
    ['<', '<=', '>', '>='],
    ['<<', '>>'],
    ['+', '-'],
    ['*', '/', '%'],
];

const UNARY: ReadonlySet<string> = new Set<UnaryOperator>(['-', '+', '~', '!']);

/** What may stand before a colon. */
const SPACE_PREFIXES: ReadonlySet<string> = new Set(['phys', 'linear', 'es', 'cs', 'ss', 'ds', 'fs', 'gs']);

/** Deeper nesting is a mistake or an attack on the stack. */
const DEEPEST = 200;

/** @throws ExpressionError */
export function parseExpression(text: string): Node {
    return new Parser(text).parse();
}

class Parser {
    private readonly tokens: readonly Token[];
    private next = 0;
    private depth = 0;

    constructor(private readonly text: string) {
        this.tokens = tokenize(text);
    }

    parse(): Node {
        if (this.peek().kind === 'end') {
            throw this.error('an expression is missing here');
        }
        const node = this.assignment();
        if (this.peek().kind !== 'end') {
            throw this.error(`an operator or the end is missing before ${this.describe()}`);
        }
        return node;
    }

    private assignment(): Node {
        const target = this.binary(0);
        const { position } = this.peek();
        if (!this.accept('=')) {
            return target;
        }
        return { kind: 'assign', target, value: this.nested(() => this.assignment()), position };
    }

    private binary(level: number): Node {
        if (level === LEVELS.length) {
            return this.unary();
        }
        let left = this.binary(level + 1);
        for (;;) {
            const { position } = this.peek();
            const operator = LEVELS[level].find(candidate => this.accept(candidate));
            if (operator === undefined) {
                return left;
            }
            left = {
                kind: 'binary',
                operator: operator as BinaryOperator,
                left,
                right: this.binary(level + 1),
                position,
            };
        }
    }

    private unary(): Node {
        const token = this.peek();
        const { position } = token;
        if (token.kind === 'operator' && UNARY.has(token.text)) {
            this.next++;
            return { kind: 'unary', operator: token.text as UnaryOperator, operand: this.operand(), position };
        }
        if (this.accept('*')) {
            return { kind: 'dereference', operand: this.operand(), position };
        }
        if (this.accept('&')) {
            return { kind: 'addressOf', operand: this.operand(), position };
        }
        const type = this.castType();
        if (type !== undefined) {
            return { kind: 'cast', type, operand: this.operand(), position };
        }
        if (token.kind === 'name' && this.isOperator(this.next + 1, ':')) {
            if (!SPACE_PREFIXES.has(token.name)) {
                throw this.error(`'${token.name}:' is no address space: use phys:, linear: or a segment register`);
            }
            this.next += 2;
            return { kind: 'space', prefix: token.name, operand: this.operand(), position };
        }
        return this.postfix();
    }

    private operand(): Node {
        return this.nested(() => this.unary());
    }

    private nested(parse: () => Node): Node {
        if (++this.depth > DEEPEST) {
            throw this.error('the expression is nested too deeply');
        }
        const node = parse();
        this.depth--;
        return node;
    }

    private postfix(): Node {
        let node = this.primary();
        for (;;) {
            const { position } = this.peek();
            if (!this.accept('[')) {
                return node;
            }
            node = { kind: 'index', base: node, index: this.nested(() => this.binary(0)), position };
            this.expect(']');
        }
    }

    private primary(): Node {
        const token = this.peek();
        const { position } = token;
        switch (token.kind) {
            case 'number':
                this.next++;
                return { kind: 'number', value: token.value, position };
            case 'name':
                this.next++;
                return this.nameOrMemory(token.name, token.dollar, position);
            case 'operator':
                if (this.accept('(')) {
                    const inner = this.nested(() => this.assignment());
                    this.expect(')');
                    return inner;
                }
                throw this.error(`a value is missing before '${token.text}'`);
            case 'end':
                throw this.error('a value is missing at the end');
        }
    }

    private nameOrMemory(name: string, dollar: boolean, position: number): Node {
        const base = dollar ? undefined : INTEGER_TYPES.get(name);
        if (base === undefined) {
            return { kind: 'name', name, register: dollar, position };
        }
        const type = this.stars(base);
        if (!this.accept('[')) {
            throw this.error(`'${name}' is a type: write ${name}[address] to read memory, or (${name})value to cast`);
        }
        const address = this.nested(() => this.binary(0));
        this.expect(']');
        return { kind: 'memory', type, address, position };
    }

    /** `(u32*)`, if that is what comes next. */
    private castType(): ValueType | undefined {
        const name = this.tokens[this.next + 1];
        const base =
            this.isOperator(this.next, '(') && name.kind === 'name' && !name.dollar
                ? INTEGER_TYPES.get(name.name)
                : undefined;
        if (base === undefined) {
            return undefined;
        }
        const start = this.next;
        this.next += 2;
        const type = this.stars(base);
        if (this.isOperator(this.next, '[')) {
            this.next = start; // (u32[address])
            return undefined;
        }
        this.expect(')');
        return type;
    }

    private stars(base: ValueType): ValueType {
        let type = base;
        while (this.accept('*')) {
            type = { kind: 'pointer', to: type };
        }
        return type;
    }

    // ---- tokens --------------------------------------------------------------------------------------------------

    private peek(): Token {
        return this.tokens[this.next];
    }

    private isOperator(index: number, text: string): boolean {
        const token = this.tokens[index] as Token | undefined;
        return token?.kind === 'operator' && token.text === text;
    }

    private accept(text: string): boolean {
        if (this.isOperator(this.next, text)) {
            this.next++;
            return true;
        }
        return false;
    }

    private expect(text: string): void {
        if (!this.accept(text)) {
            throw this.error(`'${text}' is missing before ${this.describe()}`);
        }
    }

    private describe(): string {
        const token = this.peek();
        switch (token.kind) {
            case 'end':
                return 'the end';
            case 'number':
                return 'this number';
            case 'name':
                return `'${token.name}'`;
            case 'operator':
                return `'${token.text}'`;
        }
    }

    private error(problem: string): ExpressionError {
        return new ExpressionError(problem, this.text, this.peek().position);
    }
}

/**
 * Parser of the expression language, with C's operators and precedences:
 *
 *     assignment   place = expression
 *     conditional  condition ? expression : expression
 *     binary       || && | ^ & == != < <= > >= << >> + - * / %
 *     unary        - + ~ ! * &  (type)x  phys:x  linear:x  ds:x
 *     postfix      pointer[index]  record.member  pointer->member
 *     primary      number  'c'  variable  register  $register  symbol  `symbol`  type[address]  (expression)
 *                  sizeof(type)  sizeof x  offsetof(type, member)  container_of(pointer, type, member)
 *                  per_cpu(name, cpu)
 *
 * Types are u8 to u64 and i8 to i64, C's own, and those of the debugging information: `struct list_head *`, `pid_t`.
 * A lone name in parentheses is a type if a value follows; `(name) * x`, `& x`, `- x` and `+ x` are operations, unless
 * the name turns out to be a type's.
 */
import type { BinaryOperator, Node, TypeSpelling, UnaryOperator } from './ast';
import { ExpressionError } from './error';
import { type Token, tokenize } from './lexer';
import { isTypeWord, typeOfWords } from './type-words';
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

/** Words that begin a type with a tag. */
const TAGS: ReadonlySet<string> = new Set(['struct', 'union', 'enum', 'class']);
const QUALIFIERS: ReadonlySet<string> = new Set(['const', 'volatile', 'restrict']);
/** Larger arrays are nothing to look at. */
const LARGEST_DIMENSION = 1 << 30;

/** What may stand before a colon. */
const SPACE_PREFIXES: ReadonlySet<string> = new Set(['phys', 'linear', 'es', 'cs', 'ss', 'ds', 'fs', 'gs']);

/** Deeper nesting is a mistake or an attack on the stack. */
const DEEPEST = 200;

/** @throws ExpressionError */
export function parseExpression(text: string): Node {
    return new Parser(text).parse();
}

/** `$sp` is the whole stack pointer to users of gdb, not the lower 16 bits of it. */
const GDB_NAMES: ReadonlyMap<string, string> = new Map([
    ['sp', 'rsp'],
    ['fp', 'rbp'],
]);

class Parser {
    private readonly tokens: readonly Token[];
    private next = 0;
    private depth = 0;
    /** Conditionals whose first choice is being read: a colon may be theirs. */
    private choices = 0;

    constructor(private readonly text: string) {
        this.tokens = tokenize(text);
    }

    parse(): Node {
        if (this.peek().kind === 'end') {
            throw this.error('an expression is missing here');
        }
        const node = this.assignment();
        if (this.isOperator(this.next, '(')) {
            throw this.error('functions of the guest cannot be called');
        }
        if (this.peek().kind !== 'end') {
            throw this.error(`an operator or the end is missing before ${this.describe()}`);
        }
        return node;
    }

    private assignment(): Node {
        const target = this.conditional();
        const { position } = this.peek();
        if (!this.accept('=')) {
            return target;
        }
        return { kind: 'assign', target, value: this.nested(() => this.assignment()), position };
    }

    private conditional(): Node {
        const condition = this.binary(0);
        const { position } = this.peek();
        if (!this.accept('?')) {
            return condition;
        }
        this.choices++;
        const then = this.nested(() => this.assignment());
        this.choices--;
        this.expect(':');
        return { kind: 'conditional', condition, then, otherwise: this.nested(() => this.conditional()), position };
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
        if (token.kind === 'name' && this.isPrefix(token)) {
            if (!SPACE_PREFIXES.has(token.name)) {
                throw this.error(`'${token.name}:' is no address space: use phys:, linear: or a segment register`);
            }
            this.next += 2;
            return { kind: 'space', prefix: token.name, operand: this.operand(), position };
        }
        return this.postfix();
    }

    /** `ds:` and the like; between `?` and `:` only where a name of a space stands close to the colon. */
    private isPrefix({ name, position }: Token & { kind: 'name' }): boolean {
        if (!this.isOperator(this.next + 1, ':')) {
            return false;
        }
        const colon = this.tokens[this.next + 1].position;
        const isClose = colon === position + name.length && this.tokens[this.next + 2].position === colon + 1;
        return this.choices === 0 || (SPACE_PREFIXES.has(name) && isClose);
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
            if (this.accept('[')) {
                node = { kind: 'index', base: node, index: this.nested(() => this.conditional()), position };
                this.expect(']');
            } else if (this.isOperator(this.next, '->') || this.isOperator(this.next, '.')) {
                const arrow = this.accept('->');
                if (!arrow) this.expect('.');
                this.memberNames().forEach((name, index) => {
                    node = { kind: 'member', operand: node, name, arrow: arrow && index === 0, position };
                });
            } else {
                return node;
            }
        }
    }

    /** `name` or `name.name`: the lexer takes the dots for parts of a name. */
    private memberNames(): string[] {
        const token = this.peek();
        if (token.kind !== 'name') {
            throw this.error(`the name of a member is missing before ${this.describe()}`);
        }
        this.next++;
        return token.name.split('.');
    }

    private primary(): Node {
        const token = this.peek();
        const { position } = token;
        switch (token.kind) {
            case 'number':
                this.next++;
                return { kind: 'number', value: token.value, unsigned: token.unsigned, type: token.type, position };
            case 'float':
                this.next++;
                return { kind: 'float', value: token.value, single: token.single, position };
            case 'name':
                this.next++;
                if (token.quoted === true) {
                    return { kind: 'name', name: token.name, register: false, symbol: true, position };
                }
                return this.nameOrMemory(token.name, token.dollar, position);
            case 'operator':
                if (this.accept('(')) {
                    const inner = this.nested(() => this.assignment());
                    this.expect(')');
                    return inner;
                }
                if (token.text === '=' && this.isArithmetic(this.next - 1)) {
                    throw this.error("only '=' assigns: write x = x + 1 for x += 1");
                }
                throw this.error(`a value is missing before '${token.text}'`);
            case 'end':
                throw this.error('a value is missing at the end');
        }
    }

    private nameOrMemory(name: string, dollar: boolean, position: number): Node {
        if (dollar) {
            return { kind: 'name', name: GDB_NAMES.get(name) ?? name, register: true, position };
        }
        switch (name) {
            case 'sizeof':
                return this.sizeOf(position);
            case 'offsetof': {
                this.expect('(');
                const type = this.expectType();
                this.expect(',');
                const members = this.memberNames();
                this.expect(')');
                return { kind: 'offsetOf', type, members, position };
            }
            case 'container_of': {
                this.expect('(');
                const operand = this.nested(() => this.conditional());
                this.expect(',');
                const type = this.expectType();
                this.expect(',');
                const members = this.memberNames();
                this.expect(')');
                return { kind: 'containerOf', operand, type, members, position };
            }
        }
        if (name === 'per_cpu' && this.isOperator(this.next, '(')) {
            return this.perCpu(position);
        }
        const base = INTEGER_TYPES.get(name);
        if (base === undefined) {
            return { kind: 'name', name, register: false, position };
        }
        const pointers = this.stars();
        const type: TypeSpelling = { position, base: { kind: 'known', type: base }, pointers, dimensions: [] };
        if (!this.accept('[')) {
            throw this.error(`'${name}' is a type: write ${name}[address] to read memory, or (${name})value to cast`);
        }
        const address = this.nested(() => this.conditional());
        this.expect(']');
        return { kind: 'memory', type, address, position };
    }

    private perCpu(position: number): Node {
        this.expect('(');
        const operand = this.nested(() => this.conditional());
        if (operand.kind !== 'name') {
            throw this.error("'per_cpu' takes the name of a variable, and the number of a CPU");
        }
        this.expect(',');
        const cpu = this.nested(() => this.conditional());
        this.expect(')');
        return { kind: 'perCpu', operand, cpu, position };
    }

    private sizeOf(position: number): Node {
        if (this.isOperator(this.next, '(')) {
            const start = this.next;
            this.next++;
            const type = this.type();
            if (type !== undefined && this.accept(')')) {
                return { kind: 'sizeOfType', type, position };
            }
            this.next = start;
        }
        return { kind: 'sizeOf', operand: this.operand(), position };
    }

    /** `(u32*)`, if that is what comes next. */
    private castType(): TypeSpelling | undefined {
        const start = this.next;
        if (!this.accept('(')) {
            return undefined;
        }
        const type = this.type();
        if (type === undefined || !this.isOperator(this.next, ')')) {
            // (u32[address]), (a + b)…
            this.next = start;
            return undefined;
        }
        this.next++;
        if (type.base.kind === 'name' && type.pointers === 0 && type.dimensions.length === 0 && !this.isValueNext()) {
            this.next = start; // (a) * b
            return undefined;
        }
        return type;
    }

    /** Whether what follows can only be a value. */
    private isValueNext(): boolean {
        const token = this.peek();
        return (
            token.kind === 'name' ||
            token.kind === 'number' ||
            token.kind === 'float' ||
            this.isOperator(this.next, '(')
        );
    }

    private expectType(): TypeSpelling {
        const type = this.type();
        if (type === undefined) {
            throw this.error(`a type is missing before ${this.describe()}`);
        }
        return type;
    }

    /** A type, if one could begin here; nothing is consumed otherwise. */
    private type(): TypeSpelling | undefined {
        const start = this.next;
        const { position } = this.peek();
        this.qualifiers();
        const base = this.typeBase();
        if (base === undefined) {
            this.next = start;
            return undefined;
        }
        this.qualifiers();
        const pointers = this.stars();
        const dimensions: number[] = [];
        // u32[4] reads memory, and name[4] is an element of a variable.
        const mayBeArray = base.kind === 'tag' || (base.kind === 'known' && !this.isShorthand(base.type));
        while (mayBeArray && this.isOperator(this.next, '[')) {
            const count = this.tokens[this.next + 1];
            if (count.kind !== 'number' || !this.isOperator(this.next + 2, ']') || count.value > LARGEST_DIMENSION) {
                break;
            }
            dimensions.push(Number(count.value));
            this.next += 3;
        }
        return { position, base, pointers, dimensions };
    }

    private isShorthand(type: ValueType): boolean {
        return type.kind === 'integer' && type.name === undefined;
    }

    private typeBase(): TypeSpelling['base'] | undefined {
        const token = this.peek();
        if (token.kind !== 'name' || token.dollar || token.quoted === true) {
            return undefined;
        }
        const { name } = token;
        const known = INTEGER_TYPES.get(name);
        if (known !== undefined) {
            this.next++;
            return { kind: 'known', type: known };
        }
        if (TAGS.has(name)) {
            const tag = this.tokens[this.next + 1];
            if (tag.kind !== 'name') return undefined;
            this.next += 2;
            return { kind: 'tag', keyword: name as 'struct' | 'union' | 'enum' | 'class', name: tag.name };
        }
        if (isTypeWord(name)) {
            const words: string[] = [];
            for (let word = this.peek(); word.kind === 'name' && isTypeWord(word.name); word = this.peek()) {
                words.push(word.name);
                this.next++;
            }
            const type = typeOfWords(words);
            return type && { kind: 'known', type };
        }
        this.next++;
        return { kind: 'name', name };
    }

    private qualifiers(): void {
        for (let token = this.peek(); token.kind === 'name' && QUALIFIERS.has(token.name); token = this.peek()) {
            this.next++;
        }
    }

    private stars(): number {
        let count = 0;
        while (this.accept('*')) {
            this.qualifiers();
            count++;
        }
        return count;
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

    private isArithmetic(index: number): boolean {
        const token = this.tokens[index];
        return token?.kind === 'operator' && LEVELS.some(level => level.includes(token.text));
    }

    private describe(): string {
        const token = this.peek();
        switch (token.kind) {
            case 'end':
                return 'the end';
            case 'number':
            case 'float':
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

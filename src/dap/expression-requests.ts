/** Requests that take expressions. */
import type { DebugProtocol } from '@vscode/debugprotocol';
import { formatAddress } from '../debug/address';
import { ExpressionError } from '../debug/expression/error';
import { Expression } from '../debug/expression/expression';
import { pattern, sizeOf, type ValueType } from '../debug/expression/value';
import type { DebugTarget, EvaluationResult } from '../debug/target';
import { bare } from '../symbols/types';
import type { Activity } from './activity';
import type { RequestArguments } from './arguments';
import { ConsoleCommands } from './console-commands';
import { InspectionContext, memoryWritten } from './inspection-context';
import { kvmCommand } from './kvm-console';
import { linuxCommand } from './linux-console';
import { presentResult } from './presentation';
import type { RequestHandlers } from './protocol-session';
import { RequestError } from './request-error';
import type { NumberBase, SessionContext } from './session-context';
import type { VariableStore } from './variable-store';

/** The word that ends where the cursor is. */
const WORD = /[\w$.]*$/;

/** How debuggers of C let watches be shown: `flags,x`. */
const FORMAT = /,\s*([xhdb])\s*$/;
const FORMAT_BASES: Readonly<Record<string, NumberBase>> = { x: 'hex', h: 'hex', d: 'decimal', b: 'binary' };

export class ExpressionRequests {
    readonly handlers: RequestHandlers = {
        evaluate: (args, activity) => this.evaluate(args, activity),
        setExpression: args => this.setExpression(args),
        completions: args => this.complete(args),
        'hyperscope/numberBase': args => this.setNumberBase(args),
    };

    private readonly commands: ConsoleCommands;

    constructor(
        private readonly session: SessionContext,
        private readonly variables: VariableStore,
    ) {
        this.commands = new ConsoleCommands([linuxCommand(new InspectionContext(session)), kvmCommand(session)]);
    }

    private async evaluate(
        args: RequestArguments,
        activity: Activity,
    ): Promise<DebugProtocol.EvaluateResponse['body']> {
        const context = args.optionalString('context');
        try {
            const given = args.string('expression');
            const format = FORMAT.exec(given);
            const text = given.slice(0, format?.index);
            const said = context === 'repl' ? await this.commands.run(given, activity) : undefined;
            if (said !== undefined) {
                return { result: said, variablesReference: 0 };
            }
            const assigns = context === 'repl' && new Expression(text).assigns;
            const place = this.session.frame(args);
            const result = await this.session.target.evaluate(place.vcpu, text, assigns, place.depth);
            if (assigns) {
                assigned(this.session, result);
            }
            if (result.view !== undefined && (format === null || !isNumber(result.value.type))) {
                const { value, type, variablesReference, indexedVariables, namedVariables, memoryReference } =
                    this.variables.present(result.view, place);
                return { result: value, type, variablesReference, indexedVariables, namedVariables, memoryReference };
            }
            const base = format === null ? baseOf(args, this.session) : FORMAT_BASES[format[1]];
            return presentResult(result, base, context === 'clipboard');
        } catch (error) {
            throw shortened(error, context);
        }
    }

    private async setExpression(args: RequestArguments): Promise<DebugProtocol.SetExpressionResponse['body']> {
        const text = `${args.string('expression')} = ${args.string('value')}`;
        const { vcpu, depth } = this.session.frame(args);
        const changed = await this.session.target.evaluate(vcpu, text, true, depth);
        assigned(this.session, changed);
        if (changed.view !== undefined) {
            const { value, type } = changed.view;
            return { value, type };
        }
        const { result, ...rest } = presentResult(changed, baseOf(args, this.session));
        return { value: result, ...rest };
    }

    /** The base of the numbers in variables and results, until another is asked for. */
    private setNumberBase(args: RequestArguments): void {
        const base = args.string('base');
        if (base !== 'hex' && base !== 'decimal' && base !== 'binary') {
            throw new RequestError(`base has to be 'hex', 'decimal' or 'binary', not '${base}'`);
        }
        this.session.numberBase = base;
        this.session.guestChanged();
    }

    private async complete(args: RequestArguments): Promise<DebugProtocol.CompletionsResponse['body']> {
        const { client, target } = this.session;
        // Of several lines, the one that is meant.
        const line = args.string('text').split('\n')[args.optionalInteger('line', client.firstLine) - client.firstLine];
        const text = (line ?? '').slice(0, Math.max(0, args.integer('column') - client.firstColumn));
        const commands = this.commands.complete(text);
        if (commands.length > 0 && /\s/.test(text.trimStart())) {
            return { targets: commands };
        }
        const word = WORD.exec(text)?.[0] ?? '';
        const found = await target.complete(word.replace(/^\$/, ''));
        return {
            targets: [
                ...commands,
                ...found.map(({ text: label, kind }) => ({
                    label,
                    type: kind === 'register' ? ('variable' as const) : ('function' as const),
                    start: text.length - word.length,
                    length: word.length,
                })),
            ],
        };
    }
}

function isNumber(type: ValueType): boolean {
    return ['integer', 'enum', 'pointer'].includes(bare(type).kind);
}

/** Tells the client what an assignment has changed. */
export function assigned(session: SessionContext, { value: { place, type } }: EvaluationResult): void {
    if (place?.kind === 'memory') {
        const { space, address } = place;
        memoryWritten(session, formatAddress({ space, offset: address }), 0, sizeOf(type));
    } else {
        session.guestChanged();
    }
}

/** The base that a request asks for (DAP, "ValueFormat"), or the session's. */
export function baseOf(args: RequestArguments, { numberBase }: SessionContext): NumberBase {
    const hexadecimal = args.has('format') ? args.object('format').raw.hex : undefined;
    return hexadecimal === true ? 'hex' : hexadecimal === false ? 'decimal' : numberBase;
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

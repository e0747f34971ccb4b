/** What conditions and log messages do about values that cannot be told. */
import assert from 'node:assert/strict';
import { StopDecision } from '../../../src/debug/breakpoint-conditions';
import { parseEventCondition } from '../../../src/debug/events/event-condition';
import { EvaluationProblem, ExpressionError } from '../../../src/debug/expression/error';
import type { EvaluationContext } from '../../../src/debug/expression/context';
import { DOUBLE, makeValue, type Value } from '../../../src/debug/expression/value';
import type { MachineEvent } from '../../../src/machine/observation/event';
import { MachineEventKind } from '../../../src/machine/observation/kinds';
import { SymbolFileError } from '../../../src/symbols/errors';
import { NOTHING } from '../../support/evaluation';

const MINUS_ZERO = makeValue(1n << 63n, DOUBLE);

const context: EvaluationContext = {
    ...NOTHING,
    local(name): Value | undefined {
        switch (name) {
            case 'lost':
                throw new EvaluationProblem('no memory to read at linear address 0x10');
            case 'corrupt':
                throw new SymbolFileError('the debugging information is corrupt');
            case 'zero':
                return MINUS_ZERO;
            default:
                return undefined;
        }
    },
};

const EVENT = { kind: MachineEventKind.PortIn, vcpu: 0, size: 1 } as MachineEvent;

describe('conditions of breakpoints', () => {
    for (const [name, said] of [
        ['lost', /^breakpoint condition: no memory to read at linear address 0x10\n {2}1 \+ lost\n {6}\^$/],
        ['corrupt', /^breakpoint condition: the debugging information is corrupt$/],
    ] as const) {
        it(`stop and say why where a variable is ${name}`, () => {
            const logged: string[] = [];
            const decision = new StopDecision({ condition: `1 + ${name}` });
            decision.look(context);
            assert.equal(
                decision.stops(context, text => logged.push(text)),
                true,
            );
            assert.equal(logged.length, 1);
            assert.match(logged[0], said);
        });

        it(`a log message says why a variable is ${name}`, () => {
            const logged: string[] = [];
            const decision = new StopDecision({ logMessage: `a {${name}} b` });
            decision.look(context);
            assert.equal(
                decision.stops(context, text => logged.push(text)),
                false,
            );
            assert.match(logged[0], /^a <(no memory to read at linear address 0x10|.* is corrupt)> b$/);
        });
    }

    it('take minus zero for false', () => {
        assert.equal(
            new StopDecision({ condition: 'zero' }).stops(context, () => undefined),
            false,
        );
        const condition = parseEventCondition('zero', MachineEventKind.PortIn, undefined, context);
        assert.equal(condition.holds(EVENT, context), false);
    });

    it('of events tell where the value is missing', () => {
        const condition = parseEventCondition('lost == 1', MachineEventKind.PortIn, undefined, context);
        assert.throws(() => condition.holds(EVENT, context), ExpressionError);
    });
});

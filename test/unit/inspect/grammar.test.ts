import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { OP_NAMES, PURE_OPERATIONS } from '../../../src/translator/ir/opcodes';
import { MEMORY_ACCESS_NAMES, STATE_ACCESS_NAMES } from '../../../src/translator/ir/text';
import { MEMORY_NAMES, PLAIN_NAMES, VECTOR_NAMES } from '../../../src/wasm/opcode-names';
import { projectRoot } from '../../support/project';

interface Pattern {
    readonly name?: string;
    readonly match?: string;
    readonly include?: string;
}

function load(name: string): { patterns: Pattern[]; repository?: Record<string, { patterns: Pattern[] }> } {
    return JSON.parse(
        readFileSync(path.join(projectRoot, 'syntaxes', `${name}.tmLanguage.json`), 'utf8'),
    ) as ReturnType<typeof load>;
}

/** The patterns of the grammar for translated code, those that it includes put in. */
function patterns(): { name: string; match: RegExp }[] {
    const operands = load('disassembly').repository!.operands.patterns;
    return load('translation')
        .patterns.flatMap(pattern => (pattern.include === undefined ? [pattern] : operands))
        .map(({ name, match }) => ({ name: name!, match: new RegExp(match!, 'y') }));
}

/** What each word of a line is: as an editor finds out, from left to right, the first pattern of those that fit. */
function scopes(line: string): string[] {
    const all = patterns();
    const found: string[] = [];
    for (let at = 0; at < line.length;) {
        const hit = all.find(({ match }) => {
            match.lastIndex = at;
            return match.test(line) && match.lastIndex > at;
        });
        if (hit !== undefined) {
            found.push(`${line.slice(at, hit.match.lastIndex)}: ${hit.name}`);
            at = hit.match.lastIndex;
            continue;
        }
        if (/[\w$]/.test(line[at])) found.push(`${line.slice(at)}: nothing`);
        at++;
    }
    return found;
}

describe('the grammar of translated code', () => {
    it('tells the parts of IR and of WebAssembly apart', () => {
        assert.deepEqual(scopes('    v3 = i64.add v1, v2'), [
            'v3: variable.other.value',
            'i64.add: support.function',
            'v1: variable.other.value',
            'v2: variable.other.value',
        ]);
        assert.deepEqual(scopes('set.i64 flagResult, v12'), [
            'set.i64: support.function',
            'flagResult: variable.language.state',
            'v12: variable.other.value',
        ]);
        assert.deepEqual(scopes('  i32.load offset=0x88'), [
            'i32.load: support.function',
            'offset: variable.language.state',
            '0x88: constant.numeric.hex',
        ]);
        assert.deepEqual(scopes('call $loadMiss'), ['call: keyword.control', '$loadMiss: variable.other.value']);
        assert.deepEqual(scopes('if ;; then'), ['if: keyword.control', ';; then: comment.line']);
    });

    it('knows every operation', () => {
        const names = [
            ...PURE_OPERATIONS.map(({ name }) => name),
            ...OP_NAMES,
            ...STATE_ACCESS_NAMES.map(access => `get.${access}`),
            ...MEMORY_ACCESS_NAMES.map(access => `load.${access}`),
            ...PLAIN_NAMES.values(),
            ...MEMORY_NAMES.values(),
            ...VECTOR_NAMES.values(),
            ...['block', 'loop', 'br_if 1', 'local.get 3', 'return_call_indirect (type 2)', 'br_table 1 2'],
        ];
        for (const name of names) {
            const unknown = scopes(name).filter(scope => scope.endsWith(': nothing'));
            assert.deepEqual(unknown, [], name);
        }
    });
});

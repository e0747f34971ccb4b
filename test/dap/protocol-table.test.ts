/** docs/dap.md tells the truth: it names all of the protocol, what the adapter does of it, and tests that exist. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { HyperscopeSession } from '../../src/dap/session';
import { projectRoot } from '../support/project';

interface Row {
    readonly name: string;
    readonly isOffered: boolean;
    readonly says: string;
    readonly test: string;
}

const page = readFileSync(path.join(projectRoot, 'docs', 'dap.md'), 'utf8');
const specification = readFileSync(
    path.join(projectRoot, 'node_modules', '@vscode', 'debugprotocol', 'lib', 'debugProtocol.d.ts'),
    'utf8',
);

function rows(heading: string): Row[] {
    const section = page.split(`## ${heading}\n`)[1].split('\n## ')[0];
    return [...section.matchAll(/^\| `(\w+)` \| *(.*?) *\| *(.*?) *\|$/gm)].map(([, name, says, test]) => ({
        name,
        isOffered: !says.startsWith('no: '),
        says,
        test,
    }));
}

/** Names of the protocol's requests or events: `interface SetVariableRequest` is `setVariable`. */
function named(kind: 'Request' | 'Event'): string[] {
    const found = specification.matchAll(new RegExp(`interface (\\w+)${kind} extends ${kind} `, 'g'));
    return [...found].map(([, name]) => name[0].toLowerCase() + name.slice(1));
}

describe('the table of the protocol', () => {
    const requests = rows('Requests');
    const events = rows('Events');

    it('has every request and event, each once', () => {
        assert.deepEqual(requests.map(({ name }) => name).sort(), named('Request').sort());
        assert.deepEqual(events.map(({ name }) => name).sort(), named('Event').sort());
    });

    it('says of each request whether the adapter answers it', () => {
        const handlers = new HyperscopeSession({ closed: () => undefined })['handlers'];
        const offered = requests.filter(({ isOffered }) => isOffered).map(({ name }) => name);
        // `cancel` overtakes the others, and has no handler among them.
        const answered = Object.keys(handlers).filter(name => !name.startsWith('hyperscope/'));
        assert.deepEqual([...answered, 'cancel'].sort(), offered.sort());
    });

    it('gives a reason for what is left out, and a test that exists for the rest', () => {
        for (const { name, isOffered, says, test } of [...requests, ...events]) {
            if (!isOffered) {
                assert.ok(says.length > 20, `${name} is left out without a reason`);
                continue;
            }
            const [file, title] = test.split(': ');
            const source = readFileSync(path.join(projectRoot, 'test', 'dap', `${file}.test.ts`), 'utf8');
            assert.match(source, new RegExp(`it\\((['"\`]|\\s)*${title.replace(/[^\w ,]/g, '.')}`), `${name}: ${test}`);
        }
    });
});

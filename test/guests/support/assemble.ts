import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { projectRoot } from '../../support/project';
import { needs, tool } from '../../support/requirements';

const PROGRAMS = path.join(projectRoot, 'test', 'guests', 'programs');
/** Kernels start at 1 MiB, as most do. */
const BASE = '0x100000';

/** What a test that assembles guests `needs`. */
export const assembler = [tool('as'), tool('ld')];

/** Assembles and links one of the small kernels in `test/guests/programs` into `folder`; returns the file's path. */
export function assembleKernel(name: string, folder: string): string {
    const object = path.join(folder, `${name}.o`);
    const kernel = path.join(folder, name);
    run('as', '--32', '-I', PROGRAMS, '-o', object, path.join(PROGRAMS, `${name}.S`));
    run('ld', '-m', 'elf_i386', '-N', '-Ttext', BASE, '-e', 'start', '-o', kernel, object);
    return kernel;
}

/** Has the suite's kernel assembled before its tests, and removed behind them. Returns where it is, for tests. */
export function assembledForSuite(name: string): () => string {
    let folder: string | undefined;
    let kernel = '';
    before(function () {
        needs(this, ...assembler);
        folder = mkdtempSync(path.join(tmpdir(), 'hyperscope-'));
        kernel = assembleKernel(name, folder);
    });
    after(() => {
        if (folder !== undefined) {
            rmSync(folder, { recursive: true });
        }
    });
    return () => kernel;
}

/** Assembles one of `test/guests/programs` into the image of a floppy disk that the BIOS starts; returns the file's path. */
export function assembleDisk(name: string, folder: string): string {
    const object = path.join(folder, `${name}.o`);
    const image = path.join(folder, `${name}.img`);
    run('as', '--32', '-o', object, path.join(PROGRAMS, `${name}.S`));
    run('ld', '-m', 'elf_i386', '-N', '-Ttext', '0x7c00', '--oformat', 'binary', '-e', 'start', '-o', image, object);
    return image;
}

/** Throws with what the tool says where it fails; keeps its warnings, of writable code, to itself. */
function run(command: string, ...args: readonly string[]): void {
    execFileSync(command, args, { stdio: ['ignore', 'ignore', 'pipe'] });
}

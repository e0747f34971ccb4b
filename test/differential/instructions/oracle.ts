/** The host CPU as an oracle of instructions: compiles and runs `test/differential/native/instruction-oracle.c`. */

import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { projectRoot } from '../../support/project';
import { CaseOffset, type InstructionCase, ResultOffset } from './layout';

const SOURCE = path.join(projectRoot, 'test/differential/native/instruction-oracle.c');
const PROGRAM = path.join(projectRoot, 'out/native/instruction-oracle');
/** Cases that the program takes at once. */
const BATCH = 64;
const FLAGS = ['-O1', '-no-pie', '-fno-stack-protector', '-fcf-protection=none'];

/** Compiles the program if need be. @returns why this machine cannot run it, or undefined if it can */
export function prepareOracle(): string | undefined {
    if (process.arch !== 'x64' || process.platform !== 'linux') {
        return `the oracle is written for x64 Linux, not ${process.arch} ${process.platform}`;
    }
    if (!existsSync(PROGRAM) || statSync(PROGRAM).mtimeMs < statSync(SOURCE).mtimeMs) {
        mkdirSync(path.dirname(PROGRAM), { recursive: true });
        const compiled = spawnSync('cc', [...FLAGS, '-o', PROGRAM, SOURCE], { encoding: 'utf8' });
        if (compiled.error) {
            return `no C compiler: ${compiled.error.message}`;
        }
        if (compiled.status !== 0) {
            throw new Error(`cannot compile ${SOURCE}:\n${compiled.stderr}`);
        }
    }
    const probe = spawnSync(PROGRAM, [], { input: '', encoding: 'utf8' });
    return probe.status === 0 ? undefined : `the oracle does not run here: ${probe.error?.message ?? probe.stderr}`;
}

/**
 * Executes each case on the host CPU; results are in the layout of {@link ResultOffset}. Undefined for a case that took
 * the program down: code under test can write to the few pages that are the program's own.
 */
export function runOnHost(cases: readonly InstructionCase[]): (DataView | undefined)[] {
    const results = runTogether(cases);
    if (results !== undefined) {
        return results;
    }
    if (cases.length === 1) {
        return [undefined];
    }
    const middle = cases.length >> 1;
    return [...runOnHost(cases.slice(0, middle)), ...runOnHost(cases.slice(middle))];
}

/** Runs the program on all cases; undefined if it came to grief. */
function runTogether(cases: readonly InstructionCase[]): DataView[] | undefined {
    const batches = Math.ceil(cases.length / BATCH);
    const input = Buffer.alloc(cases.length * CaseOffset.size + batches * 4);
    let position = 0;
    cases.forEach((each, index) => {
        if (index % BATCH === 0) {
            position = input.writeUInt32LE(Math.min(BATCH, cases.length - index), position);
        }
        input.set(each.bytes, position);
        position += CaseOffset.size;
    });
    const size = cases.length * ResultOffset.size;
    const { status, stdout } = spawnSync(PROGRAM, [], { input, maxBuffer: size + 1024 });
    if (status !== 0 || stdout.length !== size) {
        return undefined;
    }
    return cases.map(
        (_, index) => new DataView(stdout.buffer, stdout.byteOffset + index * ResultOffset.size, ResultOffset.size),
    );
}

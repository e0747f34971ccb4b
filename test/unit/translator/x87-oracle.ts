/** The host CPU as an oracle for whole x87 instructions: compiles and runs `test/differential/native/x87-oracle.c`. */

import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { projectRoot } from '../../support/project';

/** Bytes of the image that FNSAVE writes in 32-bit protected mode, and its stack registers' place in it. */
export const STATE_BYTES = 108;
export const STACK_START = 28;

export interface X87Case {
    /** {@link STATE_BYTES}, as FRSTOR takes them. */
    readonly state: Buffer;
    /** 128 bytes that the instruction addresses as [rSI]. */
    readonly memory: Buffer;
    readonly code: readonly number[];
    readonly rflags: number;
    readonly ax: number;
}

export interface X87Outcome {
    readonly state: Buffer;
    readonly memory: Buffer;
    readonly rflags: number;
    readonly ax: number;
    /** Vector of the exception that was raised, 0 for none. */
    readonly vector: number;
    /** Low 32 bits of the addresses of the instruction and of its memory operand. */
    readonly rip: number;
    readonly rsi: number;
}

const SOURCE = path.join(projectRoot, 'test/differential/native/x87-oracle.c');
const PROGRAM = path.join(projectRoot, 'out/native/x87-oracle');
const RECORD_BYTES = 272;

/** Executes each case once. The machine must be an x86-64 Linux with a C compiler. */
export function runNatively(cases: readonly X87Case[]): X87Outcome[] {
    if (!existsSync(PROGRAM) || statSync(PROGRAM).mtimeMs < statSync(SOURCE).mtimeMs) {
        mkdirSync(path.dirname(PROGRAM), { recursive: true });
        const compiled = spawnSync('cc', ['-O1', '-no-pie', '-o', PROGRAM, SOURCE], { encoding: 'utf8' });
        if (compiled.status !== 0) {
            throw new Error(`cannot compile ${SOURCE}:\n${compiled.error?.message ?? compiled.stderr}`);
        }
    }
    const input = Buffer.alloc(cases.length * RECORD_BYTES);
    cases.forEach(({ state, memory, code, rflags, ax }, i) => {
        const record = input.subarray(i * RECORD_BYTES, (i + 1) * RECORD_BYTES);
        state.copy(record);
        memory.copy(record, 112);
        Buffer.from(code).copy(record, 240);
        record[255] = code.length;
        record.writeUInt32LE(ax, 256);
        record.writeUInt32LE(rflags, 264);
    });
    const ran = spawnSync(PROGRAM, [], { input, maxBuffer: input.length + 1024 });
    if (ran.status !== 0 || ran.stdout.length !== input.length) {
        throw new Error(`${PROGRAM} failed: ${ran.error?.message ?? `status ${ran.status} ${ran.signal}`}`);
    }
    return cases.map((_, i) => {
        const record = ran.stdout.subarray(i * RECORD_BYTES, (i + 1) * RECORD_BYTES);
        return {
            state: record.subarray(0, STATE_BYTES),
            memory: record.subarray(112, 240),
            ax: record.readUInt16LE(240),
            rflags: record.readUInt32LE(248),
            rip: record.readUInt32LE(256),
            rsi: record.readUInt32LE(260),
            vector: record.readUInt32LE(264),
        };
    });
}

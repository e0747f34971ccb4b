/** The host CPU as an oracle: compiles and runs `test/differential/native/softfloat-oracle.c`. */

import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, statSync } from 'node:fs';
import path from 'node:path';
import type { Extended } from '../../../src/softfloat';
import { projectRoot } from '../../support/project';

/** An operand by width: up to 32 bits as a number, up to 80 as a bigint, or an f80. */
export type OracleOperand = number | bigint | Extended;

/** One execution of one instruction. */
export interface OracleCase {
    /** x87 control word or MXCSR, whichever the operation obeys. */
    readonly control: number;
    readonly a?: OracleOperand;
    readonly b?: OracleOperand;
    readonly c?: OracleOperand;
}

/** What the CPU made of a case. */
export interface OracleResult {
    first32(): number;
    first64(): bigint;
    /** The low 80 bits as an integer. */
    first80(): bigint;
    firstExtended(): Extended;
    secondExtended(): Extended;
    /** Lane `index` of 32 or 64 bits. */
    lane32(index: number): number;
    lane64(index: number): bigint;
    /** x87 status word or MXCSR. */
    readonly status: number;
    /** SSE: the instruction raised #XM, and there is no result. */
    readonly trapped: boolean;
}

const SOURCE = path.join(projectRoot, 'test/differential/native/softfloat-oracle.c');
const PROGRAM = path.join(projectRoot, 'out/native/softfloat-oracle');
const RECORD_BYTES = 56;
const RESULT_BYTES = 40;

/** Executes instructions on the host CPU. */
export class Oracle {
    private constructor(private readonly operations: readonly string[]) {}

    /** Compiles the program if need be. @returns a reason instead where this machine cannot run it. */
    static open(): Oracle | string {
        if (process.arch !== 'x64') {
            return `the host CPU is ${process.arch}, not x64`;
        }
        if (process.platform !== 'linux') {
            return `the oracle is written for Linux, not ${process.platform}`;
        }
        if (!existsSync(PROGRAM) || statSync(PROGRAM).mtimeMs < statSync(SOURCE).mtimeMs) {
            mkdirSync(path.dirname(PROGRAM), { recursive: true });
            const compiled = spawnSync('cc', ['-O1', '-o', PROGRAM, SOURCE], { encoding: 'utf8' });
            if (compiled.error) {
                return `no C compiler: ${compiled.error.message}`;
            }
            if (compiled.status !== 0) {
                throw new Error(`cannot compile ${SOURCE}:\n${compiled.stderr}`);
            }
        }
        const listed = spawnSync(PROGRAM, ['list'], { encoding: 'utf8' });
        if (listed.status !== 0) {
            throw new Error(`${PROGRAM} list failed: ${listed.error?.message ?? listed.stderr}`);
        }
        return new Oracle(listed.stdout.trimEnd().split('\n'));
    }

    /** Whether the CPU has the operation. */
    has(operation: string): boolean {
        return this.operations.includes(operation);
    }

    /** Executes an operation once for each case. */
    run(operation: string, cases: readonly OracleCase[]): OracleResult[] {
        const number = this.operations.indexOf(operation);
        if (number < 0) {
            throw new Error(`the oracle has no operation ${operation}`);
        }
        const input = Buffer.alloc(cases.length * RECORD_BYTES);
        const view = new DataView(input.buffer, input.byteOffset, input.byteLength);
        cases.forEach(({ control, a = 0, b = 0, c = 0 }, index) => {
            const offset = index * RECORD_BYTES;
            view.setUint16(offset, number, true);
            view.setUint16(offset + 2, control & 0xffff, true);
            view.setUint32(offset + 4, control, true);
            putOperand(view, offset + 8, a);
            putOperand(view, offset + 24, b);
            putOperand(view, offset + 40, c);
        });
        const ran = spawnSync(PROGRAM, [], { input, maxBuffer: cases.length * RESULT_BYTES + 1024 });
        if (ran.status !== 0 || ran.stdout.length !== cases.length * RESULT_BYTES) {
            throw new Error(`${PROGRAM} failed on ${operation}: ${ran.error?.message ?? `status ${ran.status}`}`);
        }
        const output = new DataView(ran.stdout.buffer, ran.stdout.byteOffset, ran.stdout.byteLength);
        return cases.map((_, index) => new Result(output, index * RESULT_BYTES));
    }
}

class Result implements OracleResult {
    constructor(
        private readonly view: DataView,
        private readonly offset: number,
    ) {}

    first32(): number {
        return this.lane32(0);
    }

    first64(): bigint {
        return this.lane64(0);
    }

    first80(): bigint {
        return this.lane64(0) | (BigInt(this.view.getUint16(this.offset + 8, true)) << 64n);
    }

    firstExtended(): Extended {
        return { signExponent: this.view.getUint16(this.offset + 8, true), significand: this.lane64(0) };
    }

    secondExtended(): Extended {
        return { signExponent: this.view.getUint16(this.offset + 24, true), significand: this.lane64(2) };
    }

    lane32(index: number): number {
        return this.view.getUint32(this.offset + 4 * index, true);
    }

    lane64(index: number): bigint {
        return this.view.getBigUint64(this.offset + 8 * index, true);
    }

    get status(): number {
        return this.view.getUint32(this.offset + 32, true);
    }

    get trapped(): boolean {
        return this.view.getUint32(this.offset + 36, true) !== 0;
    }
}

function putOperand(view: DataView, offset: number, operand: OracleOperand): void {
    if (typeof operand === 'number') {
        view.setUint32(offset, operand, true);
    } else if (typeof operand === 'bigint') {
        view.setBigUint64(offset, BigInt.asUintN(64, operand), true);
        view.setBigUint64(offset + 8, BigInt.asUintN(64, operand >> 64n), true);
    } else {
        view.setBigUint64(offset, operand.significand, true);
        view.setUint16(offset + 8, operand.signExponent, true);
    }
}

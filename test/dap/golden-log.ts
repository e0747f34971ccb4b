import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { projectRoot } from '../support/project';

/** Set this variable to write the logs anew; read the difference before committing it. */
const UPDATE = process.env.UPDATE_GOLDEN === '1';

/**
 * A log that has to read as the file `test/dap/golden/<name>.txt` does. What differs from run to run is replaced.
 */
export class GoldenLog {
    private readonly lines: string[] = [];
    private readonly scrubbed: { readonly pattern: RegExp; readonly by: string }[] = [];

    constructor(private readonly name: string) {}

    scrub(text: string, by: string): void {
        this.scrubbed.push({ pattern: new RegExp(text.replace(/[^\w]/g, '\\$&'), 'g'), by });
    }

    line(text: string): void {
        this.lines.push(this.scrubbed.reduce((result, { pattern, by }) => result.replace(pattern, by), text));
    }

    check(): void {
        const file = path.join(projectRoot, 'test', 'dap', 'golden', `${this.name}.txt`);
        const text = `${this.lines.join('\n')}\n`;
        if (UPDATE) {
            writeFileSync(file, text);
            return;
        }
        assert.ok(existsSync(file), `${file} is missing: write it with UPDATE_GOLDEN=1`);
        assert.deepEqual(text.split('\n'), readFileSync(file, 'utf8').split('\n'), `differs from ${file}`);
    }
}

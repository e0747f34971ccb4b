import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { ENDINGS, guestImage } from './guest';

/**
 * Gives a suite a folder with the guest in each of its {@link ENDINGS} (`exit.elf`, …), removed behind its tests. Returns
 * where the folder is, or a file in there, for tests.
 */
export function guestFolder(): (file?: string) => string {
    let folder: string | undefined;
    before(() => {
        folder = mkdtempSync(path.join(os.tmpdir(), 'hyperscope-dap-'));
        for (const ending of Object.keys(ENDINGS) as (keyof typeof ENDINGS)[]) {
            writeFileSync(path.join(folder, `${ending}.elf`), guestImage(ending));
        }
    });
    // There is none where a suite has been left out.
    after(() => {
        if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
    });
    return (file = '') => path.join(folder!, file);
}

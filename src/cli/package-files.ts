/** Files of the package that this program is part of. */
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { UsageError } from './usage';

/**
 * Path of a file of the package, which is in one of the folders above this program.
 * @throws UsageError if it is not there
 */
function packageFile(...segments: string[]): string {
    for (let folder = __dirname; ; folder = path.dirname(folder)) {
        const file = path.join(folder, ...segments);
        if (existsSync(file)) {
            return file;
        }
        if (folder === path.dirname(folder)) {
            throw new UsageError(`this installation is not complete: no ${path.join(...segments)} above ${__dirname}`);
        }
    }
}

/** The sample guest as a ROM. */
export function sampleRom(): string {
    return packageFile('media', 'sample-guest', 'sample.rom');
}

/** Its program, with symbols and debug information. */
export function sampleElf(): string {
    return packageFile('media', 'sample-guest', 'sample.elf');
}

export function packageVersion(): string {
    return (JSON.parse(readFileSync(packageFile('package.json'), 'utf8')) as { version: string }).version;
}

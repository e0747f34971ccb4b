/** The files that a guest is made of. */
import { existsSync, readFileSync, statSync } from 'node:fs';
import type { BootModule } from '../machine/loaders/boot-context';
import type { ImageFile } from '../machine/loaders/image';
import { parseModuleList } from '../machine/loaders/multiboot';
import { UsageError } from './usage';

/** @throws UsageError naming the option and the file */
export function readImage(option: string, path: string): ImageFile {
    try {
        // Some of them never end.
        if (statSync(path).isCharacterDevice()) {
            throw new UsageError(`${option} ${path}: is a device, not a file`);
        }
        return { name: path, data: readFileSync(path) };
    } catch (error) {
        if (error instanceof UsageError) {
            throw error;
        }
        const code = (error as NodeJS.ErrnoException).code;
        const reason =
            code === 'ENOENT' ? 'no such file' : code === 'EISDIR' ? 'is a directory' : `cannot be read (${code})`;
        throw new UsageError(`${option} ${path}: ${reason}`);
    }
}

/** The initial RAM disk, or Multiboot modules with their arguments. */
export function readModules(text: string | undefined): BootModule[] {
    if (text === undefined) {
        return [];
    }
    if (existsSync(text)) {
        return [{ ...readImage('--initrd', text), commandLine: text }];
    }
    const modules = parseModuleList(text);
    if (modules.length === 0) {
        throw new UsageError(`--initrd takes a file, not '${text}'`);
    }
    return modules.map(module => ({
        ...readImage('--initrd', module.file),
        commandLine: module.commandLine,
    }));
}

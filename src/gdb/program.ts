/** The guest's program as a file that gdb may read: the only one. */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import path from 'node:path';
import type { SessionHost } from './session';

export type Program = NonNullable<SessionHost['program']> & { close(): void };

/** Opens it once: what gdb reads stays the same file, whatever becomes of its name. */
export function openProgram(file: string): Program {
    const descriptor = openSync(file, 'r');
    return {
        path: path.resolve(file),
        size: fstatSync(descriptor).size,
        read: (offset, length) => {
            const bytes = new Uint8Array(length);
            return bytes.subarray(0, readSync(descriptor, bytes, 0, length, offset));
        },
        close: () => closeSync(descriptor),
    };
}

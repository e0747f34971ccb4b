import path from 'node:path';

/** The project's folder. Compiled tests live in `out/test/…`, so it lies three levels above this file's output. */
export const projectRoot = path.resolve(__dirname, '..', '..', '..');

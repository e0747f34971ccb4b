/** What the symbol benchmarks share: the compiled sources, and the file that they are about. */
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';

const ROOT = path.resolve(import.meta.dirname, '..', '..', '..');
const OUT = path.join(ROOT, 'out');

/** Debian's kernel with its debugging information, and the same kernel to run. */
export const VMLINUX = path.join(ROOT, '.cache', 'guests', 'vmlinux-cloud');
export const VMLINUZ = path.join(ROOT, '.cache', 'guests', 'vmlinuz-cloud');
export const INITRD = path.join(ROOT, '.cache', 'guests', 'initrd-busybox.cpio.gz');

const require = createRequire(import.meta.url);

/** A compiled module: `load('src/symbols/program')`. */
export function load(name) {
    const file = path.join(OUT, `${name}.js`);
    if (!existsSync(file)) throw new Error(`${file} is missing: run 'npm run compile' first`);
    return require(file);
}

export function compiledFile(name) {
    return path.join(OUT, `${name}.js`);
}

export function requireVmlinux() {
    if (!existsSync(VMLINUX)) {
        throw new Error("the kernel's debugging information is missing: run 'npm run guests -- --with dbg' first");
    }
}

/** Prints a figure with what it has to be. */
export function report(name, figure, must, met) {
    console.log(`${met ? 'ok    ' : 'MISSED'} ${name}: ${figure} (must: ${must})`);
}

/** What the project needs of a Debian system: tools to test against and packages to take guests out of. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import path from 'node:path';

/** A package or a tool that cannot be had, told with what to do about it. */
export class DebianError extends Error {}

/** The tools that tests compare against or build test programs with, and the packages that it takes to have them. */
export const TEST_TOOLS = {
    'qemu-system-x86_64': ['qemu-system-x86'],
    gdb: ['gdb'],
    gcc: ['gcc', 'libc6-dev'],
    ld: ['binutils'],
    objdump: ['binutils'],
    readelf: ['binutils'],
    cpio: ['cpio'],
    // A browser to drive VS Code with, and what VS Code's native modules are compiled with.
    chromium: ['chromium'],
    'g++': ['g++'],
    make: ['make'],
    python3: ['python3'],
    'pkg-config': ['pkg-config'],
    'krb5-config': ['libkrb5-dev'],
};

function run(command, args, options = {}) {
    const environment = { ...process.env, LC_ALL: 'C', DEBIAN_FRONTEND: 'noninteractive' };
    const result = spawnSync(command, args, {
        encoding: 'utf8',
        maxBuffer: 1 << 28,
        stdio: ['ignore', 'pipe', 'pipe'],
        env: environment,
        ...options,
    });
    return { ok: result.status === 0, output: result.stdout ?? '', complaint: (result.stderr ?? '').trim() };
}

export function isOnPath(tool) {
    return (process.env.PATH ?? '').split(path.delimiter).some(folder => existsSync(path.join(folder, tool)));
}

/** True where packages can be looked up, downloaded and unpacked: Debian and its descendants. */
export function hasPackageClient() {
    return process.platform === 'linux' && ['apt-get', 'apt-cache', 'dpkg-deb'].every(isOnPath);
}

function isRoot() {
    return process.getuid?.() === 0;
}

let listsAreFresh = false;

/** Reads the package lists anew, once a run. Without root there is no way to; the lists stay as they are. */
function refreshLists() {
    if (listsAreFresh || !isRoot()) return false;
    listsAreFresh = true;
    console.log('debian: reading the package lists (apt-get update)');
    const { ok, complaint } = run('apt-get', ['update', '-q']);
    if (!ok) console.warn(`debian: apt-get update failed: ${complaint}`);
    return ok;
}

function candidateIn(policy) {
    const candidate = /^ *Candidate: (.+)$/m.exec(policy)?.[1];
    return candidate === '(none)' ? undefined : candidate;
}

/**
 * The version of a package that apt would install.
 * @throws {DebianError} if the package is unknown here
 */
export function candidateVersion(name) {
    const lookUp = () => candidateIn(run('apt-cache', ['policy', name]).output);
    const version = lookUp() ?? (refreshLists() ? lookUp() : undefined);
    if (version === undefined) {
        throw new DebianError(`no package '${name}' here: run 'apt-get update' as root, then try again`);
    }
    return version;
}

/** The first package that `name`'s candidate depends on and whose name matches `pattern`. */
export function dependency(name, pattern) {
    candidateVersion(name);
    const { output } = run('apt-cache', ['show', '--no-all-versions', name]);
    const depends = /^Depends: (.+)$/m.exec(output)?.[1] ?? '';
    const found = depends
        .split(/[,|]/)
        .map(item => item.trim().split(/[ :(]/)[0])
        .find(item => pattern.test(item));
    if (found === undefined)
        throw new DebianError(`package '${name}' depends on nothing like ${pattern}: "${depends}"`);
    return found;
}

/**
 * Downloads a package and unpacks it, installing nothing.
 * @param {string} name package
 * @param {string} folder scratch folder; its sub-folder of the package's name is returned, holding the package's tree
 * @throws {DebianError} if the package cannot be downloaded or unpacked
 */
export function unpackPackage(name, folder) {
    mkdirSync(folder, { recursive: true });
    const downloads = mkdtempSync(path.join(folder, 'download-'));
    try {
        // As root, apt would hand the download to its own user, who may not write here.
        const args = ['-q', '-o', 'APT::Sandbox::User=root', 'download', name];
        let result = run('apt-get', args, { cwd: downloads });
        if (!result.ok && refreshLists()) result = run('apt-get', args, { cwd: downloads });
        const archive = readdirSync(downloads).find(file => file.endsWith('.deb'));
        if (!result.ok || archive === undefined) {
            throw new DebianError(
                `cannot download package '${name}': ${result.complaint || 'apt-get left no archive'}\n` +
                    "check the network and the package sources, run 'apt-get update' as root, then try again",
            );
        }
        const tree = path.join(folder, name);
        rmSync(tree, { recursive: true, force: true });
        const unpacked = run('dpkg-deb', ['-x', path.join(downloads, archive), tree]);
        if (!unpacked.ok) throw new DebianError(`cannot unpack package '${name}' (${archive}): ${unpacked.complaint}`);
        return tree;
    } finally {
        rmSync(downloads, { recursive: true, force: true });
    }
}

/** Installs what is missing of {@link TEST_TOOLS}, where that is possible; says what stays missing. */
export function installTestTools() {
    const missing = Object.keys(TEST_TOOLS).filter(tool => !isOnPath(tool));
    if (missing.length === 0) return;
    const packages = [...new Set(missing.flatMap(tool => TEST_TOOLS[tool]))];
    if (!hasPackageClient() || !isRoot()) {
        console.log(`debian: tests that need ${missing.join(', ')} will be skipped (packages: ${packages.join(' ')})`);
        return;
    }
    console.log(`debian: installing ${packages.join(' ')}`);
    const args = ['install', '-q', '-y', '--no-install-recommends', ...packages];
    let result = run('apt-get', args);
    if (!result.ok && refreshLists()) result = run('apt-get', args);
    if (!result.ok) throw new DebianError(`cannot install ${packages.join(' ')}: ${result.complaint}`);
}

#!/usr/bin/env node
/**
 * Fetches the guests that tests and benchmarks run, out of Debian's packages, into `.cache/guests`. Nothing is
 * installed on the machine. What is there already is kept.
 */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { candidateVersion, DebianError, dependency, hasPackageClient, isOnPath, unpackPackage } from './debian.mjs';
import { buildInitrd, compileGuestProgram } from './initrd.mjs';

const ROOT = path.resolve(import.meta.dirname, '..');
const CACHE = path.join(ROOT, '.cache', 'guests');
// Of this process alone: two terminals may be fetching at once.
const SCRATCH = path.join(CACHE, `unpacked-${process.pid}`);
const STAMPS = path.join(CACHE, 'versions.json');

const USAGE = `usage: node scripts/guests.mjs [--update] [--with NAME]…

  --update      look for newer packages instead of keeping what is there
  --with NAME   fetch more than the tests need:
                  dbg                the cloud kernel's vmlinux with DWARF (large) -> vmlinux-cloud
                  linux-image-amd64  the kernel with all drivers   -> vmlinuz-amd64, modules-amd64/
                  grub-pc-bin        GRUB's images for PC firmware -> grub-pc/

Guests are kept in .cache/guests, with the versions in its versions.json.`;

/**
 * @typedef {object} Guest what one package gives
 * @property {() => string} package name of the Debian package
 * @property {Record<string, string | RegExp>} outputs for each name in the cache, where the package's tree has it: a
 *     path, or a pattern for the one file among all of the tree's
 */

const cloudKernel = () => dependency('linux-image-cloud-amd64', /^linux-image-\d.*-cloud-amd64$/);
const amd64Kernel = () => dependency('linux-image-amd64', /^linux-image-\d.*-amd64$/);
const cloudDebugSymbols = () => dependency('linux-image-cloud-amd64-dbg', /^linux-image-\d.*-cloud-amd64-dbg$/);

/** @type {Record<string, Guest>} */
const NEEDED = {
    kernel: {
        package: cloudKernel,
        outputs: { 'vmlinuz-cloud': /^boot\/vmlinuz-/, 'modules-cloud': /^(usr\/)?lib\/modules$/ },
    },
    busybox: { package: () => 'busybox-static', outputs: { busybox: /bin\/busybox$/ } },
    seabios: {
        package: () => 'seabios',
        outputs: { 'bios.bin': 'usr/share/seabios/bios.bin', 'bios-256k.bin': 'usr/share/seabios/bios-256k.bin' },
    },
    ipxe: {
        package: () => 'ipxe',
        outputs: { 'ipxe.lkrn': /^(usr\/lib\/ipxe|boot)\/ipxe\.lkrn$/, 'ipxe.iso': 'usr/lib/ipxe/ipxe.iso' },
    },
    syslinux: { package: () => 'syslinux-common', outputs: { syslinux: 'usr/lib/syslinux' } },
};

/** @type {Record<string, Guest>} */
const OPTIONAL = {
    dbg: { package: cloudDebugSymbols, outputs: { 'vmlinux-cloud': /^usr\/lib\/debug\/boot\/vmlinux-/ } },
    'linux-image-amd64': {
        package: amd64Kernel,
        outputs: { 'vmlinuz-amd64': /^boot\/vmlinuz-/, 'modules-amd64': /^(usr\/)?lib\/modules$/ },
    },
    'grub-pc-bin': { package: () => 'grub-pc-bin', outputs: { 'grub-pc': 'usr/lib/grub/i386-pc' } },
};

function readStamps() {
    try {
        return JSON.parse(readFileSync(STAMPS, 'utf8'));
    } catch {
        return {}; // none yet, or a broken one: everything is fetched again
    }
}

/** Writes a file so that a reader, or a run that is cut off, never finds half of it. */
function replaceFile(name, content) {
    const temporary = path.join(CACHE, `${name}.${process.pid}.new`);
    writeFileSync(temporary, content);
    renameSync(temporary, path.join(CACHE, name));
}

function locate(tree, where, packageName) {
    const found =
        typeof where === 'string' ? where : readdirSync(tree, { recursive: true }).find(name => where.test(name));
    if (found === undefined || !existsSync(path.join(tree, found))) {
        throw new DebianError(
            `package '${packageName}' holds no ${where}: scripts/guests.mjs has to learn its new place`,
        );
    }
    return path.join(tree, found);
}

/** Fetches a guest unless the cache has it. */
function fetchGuest(name, guest, stamps, update) {
    const outputs = Object.entries(guest.outputs);
    const complete = outputs.every(([output]) => existsSync(path.join(CACHE, output)));
    if (complete && stamps[name] && !update) return;

    const packageName = guest.package();
    const version = candidateVersion(packageName);
    if (complete && stamps[name]?.package === packageName && stamps[name].version === version) return;

    console.log(`guests: fetching ${packageName} ${version} for ${outputs.map(([output]) => output).join(', ')}`);
    const tree = unpackPackage(packageName, SCRATCH);
    const files = {};
    for (const [output, where] of outputs) {
        const source = locate(tree, where, packageName);
        const target = path.join(CACHE, output);
        rmSync(target, { recursive: true, force: true });
        renameSync(source, target);
        files[output] = path.relative(tree, source);
    }
    rmSync(tree, { recursive: true, force: true });
    stamps[name] = { package: packageName, version, files };
    replaceFile('versions.json', `${JSON.stringify(stamps, null, 4)}\n`);
}

/** Builds an initrd, and replaces the one in the cache if the bytes differ. */
function buildInto(name, content) {
    const target = path.join(CACHE, name);
    if (existsSync(target) && readFileSync(target).equals(content)) return;
    replaceFile(name, content);
    const digest = createHash('sha256').update(content).digest('hex').slice(0, 12);
    console.log(`guests: built ${name} (${content.length >> 10} KiB, sha256 ${digest}…)`);
}

/**
 * Makes sure of everything that tests and benchmarks run.
 * @param {{ update?: boolean, extras?: string[] }} options `extras` are names of {@link OPTIONAL}
 * @returns {boolean} false on a machine without Debian's package client
 * @throws {DebianError} if a package cannot be had
 */
export function prepareGuests({ update = false, extras = [] } = {}) {
    if (!hasPackageClient()) {
        console.log('guests: no Debian package client (apt-get, dpkg-deb) here: tests on real guests will be skipped');
        return false;
    }
    mkdirSync(CACHE, { recursive: true });
    const stamps = readStamps();
    try {
        for (const [name, guest] of Object.entries(NEEDED)) fetchGuest(name, guest, stamps, update);
        for (const name of extras) fetchGuest(name, OPTIONAL[name], stamps, update);
    } finally {
        rmSync(SCRATCH, { recursive: true, force: true });
    }

    const busybox = readFileSync(path.join(CACHE, 'busybox'));
    buildInto('initrd-busybox.cpio.gz', buildInitrd(busybox, 'init.sh'));
    if (isOnPath('gcc')) {
        const programs = { bench: compileGuestProgram('bench.c') };
        buildInto('initrd-bench.cpio.gz', buildInitrd(busybox, 'init-bench.sh', programs));
    } else {
        console.log('guests: no gcc here, so no initrd-bench.cpio.gz: install gcc to run the compute benchmark');
    }
    return true;
}

function main() {
    const { values } = parseArgs({
        options: { update: { type: 'boolean' }, with: { type: 'string', multiple: true }, help: { type: 'boolean' } },
    });
    const extras = values.with ?? [];
    const unknown = extras.filter(name => !(name in OPTIONAL));
    if (values.help) {
        console.log(USAGE);
    } else if (unknown.length > 0) {
        console.error(`guests: nothing to fetch is named '${unknown[0]}'\n\n${USAGE}`);
        process.exitCode = 2;
    } else if (prepareGuests({ update: values.update, extras })) {
        for (const [name, { package: packageName, version }] of Object.entries(readStamps())) {
            console.log(`guests: ${name}: ${packageName} ${version}`);
        }
    } else {
        process.exitCode = 1;
    }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
    try {
        main();
    } catch (error) {
        console.error(`guests: ${error.message}`);
        process.exitCode = 1;
    }
}

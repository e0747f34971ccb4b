import { accessSync, constants, existsSync } from 'node:fs';
import path from 'node:path';
import { projectRoot } from './project';

/** Where `scripts/guests.mjs` puts kernels, firmware and initial RAM disks. */
export const guestsDirectory = path.join(projectRoot, '.cache', 'guests');

/** Something that a test needs and a machine may lack. */
export interface Requirement {
    readonly name: string;
    isMet(): boolean;
    /** True if a CI machine may lack it too; elsewhere a test that lacks it is skipped, in CI it fails. */
    mayBeAbsentInCi(): boolean;
}

function isOnPath(tool: string): boolean {
    return (process.env.PATH ?? '').split(path.delimiter).some(folder => existsSync(path.join(folder, tool)));
}

function hasPackageClient(): boolean {
    return ['apt-get', 'apt-cache', 'dpkg-deb'].every(isOnPath);
}

/** `/dev/kvm`, readable and writable. */
export const kvm: Requirement = {
    name: '/dev/kvm',
    isMet() {
        try {
            accessSync('/dev/kvm', constants.R_OK | constants.W_OK);
            return true;
        } catch {
            return false;
        }
    },
    mayBeAbsentInCi: () => !existsSync('/dev/kvm'),
};

/** Where `scripts/vscode.mjs` puts a VS Code to test in. */
export const vsCodeDirectory = path.join(projectRoot, '.cache', 'vscode');

/** A browser to drive it; undefined where there is none. */
export function browserPath(): string | undefined {
    return (process.env.PATH ?? '')
        .split(path.delimiter)
        .flatMap(folder => ['chromium', 'chromium-browser', 'google-chrome'].map(name => path.join(folder, name)))
        .find(existsSync);
}

/** VS Code and a browser. `npm test` installs both where it can. */
export const vsCode: Requirement = {
    name: 'a VS Code to test in (node scripts/vscode.mjs) and Chromium',
    isMet: () => existsSync(path.join(vsCodeDirectory, 'installed.json')) && browserPath() !== undefined,
    mayBeAbsentInCi: () => !hasPackageClient() || process.platform !== 'linux' || process.arch !== 'x64',
};

/** Files of {@link guestsDirectory}, by name. */
export function guestFiles(...names: string[]): Requirement {
    const missing = (): string[] => names.filter(name => !existsSync(path.join(guestsDirectory, name)));
    return {
        get name() {
            return `guest files ${missing().join(', ')} (npm run guests)`;
        },
        isMet: () => missing().length === 0,
        mayBeAbsentInCi: () => !hasPackageClient(),
    };
}

/** Debian's kernel with its debug information: 590 MB that `npm test` does not fetch. */
export const debugKernel: Requirement = {
    name: 'the kernel with debug information (npm run guests -- --with dbg)',
    isMet: () => existsSync(path.join(guestsDirectory, 'vmlinux-cloud')),
    mayBeAbsentInCi: () => true,
};

/** A program on the PATH. `npm test` installs those of scripts/debian.mjs where it can. */
export function tool(name: string): Requirement {
    return { name, isMet: () => isOnPath(name), mayBeAbsentInCi: () => !hasPackageClient() };
}

/** An x86-64 host processor on Linux, which can run test instructions natively. */
export const nativeX86: Requirement = {
    name: 'an x86-64 Linux host',
    isMet: () => process.platform === 'linux' && process.arch === 'x64',
    mayBeAbsentInCi: () => process.arch !== 'x64' || process.platform !== 'linux',
};

/**
 * Skips the test, or in a `before` hook the whole suite, where the machine lacks something it needs; fails it in CI if
 * CI must have it. Call it first: `needs(this, kvm, tool('gdb'))`.
 */
export function needs(context: Mocha.Context, ...requirements: Requirement[]): void {
    const unmet = requirements.find(requirement => !requirement.isMet());
    if (unmet === undefined) return;
    if (process.env.CI && process.env.CI !== 'false' && !unmet.mayBeAbsentInCi()) {
        throw new Error(`this test needs ${unmet.name}, which a CI machine must have`);
    }
    const runnable = context.test as Mocha.Runnable & { type: 'test' | 'hook' };
    // Read by scripts/summary-reporter.cjs, which tells a test skipped for a reason from one that is switched off.
    Object.assign((runnable.type === 'hook' ? runnable.parent : runnable) ?? {}, { skipReason: `needs ${unmet.name}` });
    context.skip();
}

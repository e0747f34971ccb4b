/** Brings `node_modules` to what `package-lock.json` says. Uses nothing of it, so that it runs on a fresh clone. */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';

const ROOT = path.resolve(import.meta.dirname, '..');

function packagesOf(lockFile) {
    try {
        return JSON.parse(readFileSync(path.join(ROOT, lockFile), 'utf8')).packages;
    } catch {
        return {};
    }
}

/** The locked packages that are not installed in their locked version. Optional ones depend on the platform. */
function outdatedPackages() {
    // npm's own record of what it installed: same format as the lock file.
    const installed = packagesOf('node_modules/.package-lock.json');
    return Object.entries(packagesOf('package-lock.json'))
        .filter(([location, { optional }]) => location !== '' && !optional)
        .filter(([location, { version }]) => installed[location]?.version !== version)
        .map(([location]) => location);
}

/** @throws {Error} if npm fails, having said why */
export function installDependencies() {
    const outdated = outdatedPackages();
    if (outdated.length === 0) return;
    console.log(`dependencies: ${outdated.length} packages are missing or of another version: running npm ci`);
    const result = spawnSync('npm', ['ci', '--no-fund', '--no-audit'], {
        cwd: ROOT,
        stdio: ['ignore', 'inherit', 'inherit'],
    });
    if (result.status !== 0) throw new Error('npm ci failed: see above; it needs the npm registry');
}

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { projectRoot } from '../support/project';
import { needs, tool } from '../support/requirements';

interface CpioArchive {
    directory(name: string): this;
    file(name: string, content: string, permissions?: number): this;
    symlink(name: string, target: string): this;
    characterDevice(name: string, major: number, minor: number): this;
    finish(): Buffer;
}

describe('cpio archive of an initial RAM disk', () => {
    let build: () => Buffer;

    before(async () => {
        const url = pathToFileURL(path.join(projectRoot, 'scripts', 'cpio.mjs')).href;
        const writer = (await import(url)) as { CpioArchive: new () => CpioArchive };
        build = () =>
            new writer.CpioArchive()
                .directory('bin')
                .characterDevice('dev/console', 5, 1)
                .file('init', '#!/bin/sh\n', 0o755)
                .file('odd', 'five!')
                .symlink('bin/sh', 'busybox')
                .finish();
    });

    it('lists in cpio as it was written', function () {
        needs(this, tool('cpio'));
        const { stdout, status } = spawnSync('cpio', ['-itvn', '--quiet'], {
            input: build(),
            encoding: 'utf8',
            env: { ...process.env, LC_ALL: 'C', TZ: 'UTC' },
        });
        assert.equal(status, 0);
        const lines = stdout.trimEnd().split('\n');
        assert.deepEqual(
            lines.map(line => line.replace(/\s+/g, ' ')),
            [
                'drwxr-xr-x 2 0 0 0 Jan 1 1970 bin',
                'crw------- 1 0 0 5, 1 Jan 1 1970 dev/console',
                '-rwxr-xr-x 1 0 0 10 Jan 1 1970 init',
                '-rw-r--r-- 1 0 0 5 Jan 1 1970 odd',
                'lrwxrwxrwx 1 0 0 7 Jan 1 1970 bin/sh -> busybox',
            ],
        );
    });

    it('has the same bytes each time', () => {
        assert.ok(build().equals(build()));
    });
});

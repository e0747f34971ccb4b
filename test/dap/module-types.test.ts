/** A stock kernel with one of its own modules, and nothing else: types out of the BTF that it keeps of both. */
import assert from 'node:assert/strict';
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { gzipSync } from 'node:zlib';
import { scratchDirectory } from '../support/compiled';
import { projectRoot } from '../support/project';
import { guestFiles, guestsDirectory, needs } from '../support/requirements';
import { SourceClient } from './source-client';

/** Text search by Boyer and Moore: it needs no other module. */
const MODULE = 'ts_bm';

const INIT = `#!/bin/sh
mount -t proc proc /proc
insmod /${MODULE}.ko
rmmod ${MODULE}
poweroff -f
`;

interface CpioWriter {
    file(name: string, content: Uint8Array, mode?: number): void;
    finish(): Buffer;
}

describe('types of a module that nobody has files of', () => {
    let client: SourceClient;

    after(() => (client as SourceClient | undefined)?.stop());

    it('are known while it is loaded', async function () {
        this.timeout(240_000);
        needs(this, guestFiles('vmlinuz-cloud', 'initrd-busybox.cpio.gz', 'modules-cloud'));
        const modules = path.join(guestsDirectory, 'modules-cloud');
        const url = pathToFileURL(path.join(projectRoot, 'scripts', 'cpio.mjs')).href;
        const { CpioArchive } = (await import(url)) as { CpioArchive: new () => CpioWriter };
        const archive = new CpioArchive();
        archive.file('init', Buffer.from(INIT), 0o755);
        const [version] = readdirSync(modules);
        archive.file(`${MODULE}.ko`, readFileSync(path.join(modules, version, 'kernel', 'lib', `${MODULE}.ko`)));
        const initrd = path.join(scratchDirectory(), 'initrd');
        const busybox = readFileSync(path.join(guestsDirectory, 'initrd-busybox.cpio.gz'));
        writeFileSync(initrd, Buffer.concat([busybox, gzipSync(archive.finish())]));
        client = new SourceClient(undefined, 200_000);
        await client.launch({
            kernel: path.join(guestsDirectory, 'vmlinuz-cloud'),
            initrd,
            memory: '256M',
            append: 'console=ttyS0 quiet',
            serial: 'none',
        });
        await client.request('setFunctionBreakpoints', {
            breakpoints: [{ name: 'textsearch_register' }, { name: 'free_module' }, { name: 'kernel_power_off' }],
        });
        await client.run('configurationDone', {});

        assert.equal((await client.run('continue')).reason, 'function breakpoint');
        assert.equal(await client.evaluate('sizeof(struct ts_bm)'), '0x410 (1040)');
        assert.match(await client.evaluate('((struct ts_ops *)rdi)->name'), /"bm"$/);
        assert.match(await client.evaluate('((struct ts_ops *)rdi)->find'), /bm_find/);
        assert.match(await client.evaluate('((struct ts_bm *)rdi)->patlen'), /^\d+/);
        await client.run('continue');
        assert.match(await client.evaluate('rip'), /free_module/);
        await client.run('continue');
        assert.match(await client.evaluate('rip'), /kernel_power_off/);
        assert.match(await client.refusal('evaluate', { expression: 'sizeof(struct ts_bm)' }), /ts_bm/);
    });
});

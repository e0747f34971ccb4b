import assert from 'node:assert/strict';
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { gzipSync } from 'node:zlib';
import { ModuleFiles, openModule } from '../../../src/dap/module-files';
import { scratchDirectory } from '../../support/compiled';

describe('files of modules', () => {
    let folder: string;

    before(() => {
        folder = scratchDirectory();
        mkdirSync(path.join(folder, 'kernel', 'net'), { recursive: true });
        for (const name of ['kernel/net/nf-tables.ko.debug', 'kernel/net/nf-tables.ko', 'veth.ko.xz', 'notes.txt']) {
            writeFileSync(path.join(folder, name), name);
        }
        writeFileSync(path.join(folder, 'packed.ko.gz'), gzipSync('packed'));
        symlinkSync('..', path.join(folder, 'kernel', 'round'));
    });

    it('are found by the names that kernels give, those with code first', () => {
        const files = new ModuleFiles([path.join(folder, 'missing'), folder]);
        assert.deepEqual(
            files.of('nf_tables').map(file => path.relative(folder, file)),
            ['kernel/net/nf-tables.ko', 'kernel/net/nf-tables.ko.debug'],
        );
        assert.deepEqual(files.of('notes'), []);
        assert.deepEqual(files.of('nothing'), []);
    });

    it('are unpacked where they are compressed', () => {
        const [file] = new ModuleFiles([folder]).of('packed');
        assert.equal(new TextDecoder().decode(openModule(file).read(0, 10)), 'packed');
        assert.throws(() => openModule(path.join(folder, 'veth.ko.xz')), /compressed with xz.*: unpack it/);
        writeFileSync(path.join(folder, 'bad.ko.zst'), 'nothing of the kind');
        assert.throws(() => openModule(path.join(folder, 'bad.ko.zst')), /bad.ko.zst: cannot be decompressed/);
    });
});

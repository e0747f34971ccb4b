/** What users are told of files that they name for their symbols. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { SymbolFiles } from '../../../src/dap/symbol-files';
import { programProblem } from '../../../src/dap/symbol-problems';
import { run, scratchDirectory } from '../../support/compiled';
import { needs, tool } from '../../support/requirements';

describe('files named for their symbols', () => {
    let folder: string;

    before(() => {
        folder = scratchDirectory();
    });

    const noteOf = (content: Uint8Array | string, attribute = 'symbols'): string | undefined => {
        const files = new SymbolFiles();
        const file = path.join(folder, 'given');
        writeFileSync(file, content);
        try {
            files.add(attribute, file);
            return files.notes.at(0)?.replace(file, 'given');
        } finally {
            files.close();
        }
    };

    it('that hold none are told from those that do', () => {
        const image = new Uint8Array(0x400);
        image.set(new TextEncoder().encode('MZ'));
        assert.match(noteOf(image) ?? '', /^given: is a PE image, whose symbols are not read: name the ELF file/);
        image.set(new TextEncoder().encode('HdrS'), 0x202);
        assert.match(noteOf(image) ?? '', /^given: is a boot image, which holds no symbols: name the vmlinux/);
        assert.match(noteOf('hello') ?? '', /^given: holds no symbols: it is neither an ELF file nor a list/);
        assert.match(noteOf('') ?? '', /^given: holds no symbols/);
        assert.equal(noteOf('ffffffff81000000 T _text\n'), undefined);
        assert.equal(noteOf(image, 'kernel'), undefined, 'a kernel need not have any');
    });

    it('say what of them is missing, and for which processor they are', function () {
        needs(this, tool('gcc'));
        writeFileSync(path.join(folder, 'split.c'), 'int value; void _start(void) { for (;;) value++; }\n');
        run(folder, 'gcc', ...'-g -gsplit-dwarf -nostdlib -static -no-pie split.c -o split'.split(' '));
        run(
            folder,
            'sh',
            '-c',
            'rm *.dwo && cp split other && printf "\\267\\000" | dd of=other bs=1 seek=18 conv=notrunc',
        );
        const files = new SymbolFiles();
        try {
            files.add('symbols', path.join(folder, 'split'));
            files.add('symbols', path.join(folder, 'other'));
            const [split, other] = files.modules;
            assert.match(programProblem(split.program) ?? '', /\.dwo is missing: nothing is known of /);
            assert.equal(programProblem(other.program), 'it is for another processor (ELF machine 183)');
            assert.match(files.notes[0], /split: .*\.dwo is missing: nothing is known of /);
            assert.deepEqual(files.notes.slice(1), [
                `${path.join(folder, 'other')}: it is for another processor (ELF machine 183)`,
            ]);
        } finally {
            files.close();
        }
    });
});

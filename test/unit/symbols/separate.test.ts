import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import path from 'node:path';
import type { SourceOpener } from '../../../src/symbols/byte-source';
import { Program } from '../../../src/symbols/program';
import { typeName } from '../../../src/symbols/types';
import { fileSource, fixturesDirectory, lineOf, run, scratchDirectory } from '../../support/compiled';
import { needs, tool } from '../../support/requirements';

const opener: SourceOpener = { open: name => (existsSync(name) ? fileSource(name) : undefined) };

/** What a program with all its debugging information knows. */
function assertComplete(program: Program): void {
    const line = lineOf('program.c', 'total += twice');
    const [found] = program.info.locate('program.c', line);
    assert.equal(found?.line, line);
    const chain = program.info.blocksAt(found.addresses[0]);
    assert.equal(program.info.nameOf(chain[0]), 'sum', program.info.dwarf.problems.join('\n'));
    const names = chain.flatMap(({ variables }) => variables.map(die => die.effectiveName));
    assert.deepEqual(names, ['values', 'count', 'total', 'i', 'value']);
    const parameter = chain[0].variables[0];
    assert.equal(typeName(program.types.typeOf(parameter)), 'const int *');
}

describe('debugging information in other files', () => {
    let folder: string;
    const compile = (name: string, ...options: string[]): string => {
        const flags = ['-ffreestanding', '-fno-stack-protector', '-nostdlib', '-static', '-no-pie', ...options];
        run(folder, 'gcc', ...flags, path.join(fixturesDirectory, 'program.c'), '-o', name);
        return path.join(folder, name);
    };

    before(function () {
        needs(this, tool('gcc'), tool('objcopy'));
        folder = scratchDirectory();
    });

    for (const version of ['-gdwarf-4', '-gdwarf-5']) {
        it(`is found in split files: ${version}`, () => {
            assertComplete(new Program(fileSource(compile(`split${version}`, version, '-gsplit-dwarf')), opener));
        });
    }

    // The dwp of binutils makes packages of version 4 only.
    it('is found in a package of split files', function () {
        needs(this, tool('dwp'));
        const file = compile('packed', '-gdwarf-4', '-gsplit-dwarf');
        run(folder, 'dwp', '-e', 'packed', '-o', 'packed.dwp');
        run(folder, 'sh', '-c', 'rm -f packed-*.dwo');
        assertComplete(new Program(fileSource(file), opener));
    });

    it('is told to be missing where a split file is', () => {
        const file = compile('lonely', '-gdwarf-5', '-gsplit-dwarf');
        const program = new Program(fileSource(file), { open: () => undefined });
        const [found] = program.info.locate('program.c', lineOf('program.c', 'total += twice'));
        assert.deepEqual(program.info.blocksAt(found.addresses[0]), []);
        assert.match(program.info.dwarf.problems.join('\n'), /\.dwo is missing: nothing is known of/);
    });

    it('is found beside a stripped program, by .gnu_debuglink and checksum', () => {
        const file = compile('stripped', '-gdwarf-5', '-Wl,--build-id=none');
        run(folder, 'objcopy', '--only-keep-debug', 'stripped', 'stripped.debug');
        run(folder, 'objcopy', '--strip-all', '--add-gnu-debuglink=stripped.debug', 'stripped');
        const program = new Program(fileSource(file), opener);
        assertComplete(program);
        assert.ok(program.symbols.named('sum').length > 0);
        // Of another build it is refused.
        compile('other', '-gdwarf-5', '-O2', '-Wl,--build-id=none');
        run(folder, 'objcopy', '--only-keep-debug', 'other', 'stripped.debug');
        const wrong = new Program(fileSource(file), opener);
        assert.equal(wrong.info.isPresent, false);
        assert.match(wrong.problems.join('\n'), /does not belong to .*stripped: it is of another build/);
    });
});

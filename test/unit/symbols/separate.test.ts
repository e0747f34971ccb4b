import assert from 'node:assert/strict';
import { existsSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { SourceOpener } from '../../../src/symbols/byte-source';
import { Program } from '../../../src/symbols/program';
import { findMember, sizeOf, typeName } from '../../../src/symbols/types';
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
    // By name, and through a unit of their own where the compiler has made one.
    const node = program.findType('node', 'struct', undefined);
    assert.ok(node?.kind === 'record' && node.complete, 'struct node');
    assert.deepEqual(
        ['value', 'colour', 'list', 'word', 'flags'].map(name => sizeOf(findMember(node, name)!.type)),
        [4, 4, 16, 4, 16],
    );
    const first = program.findGlobal('first', undefined);
    assert.ok(first?.kind === 'object');
    assert.equal(first.address, program.symbols.named('first')[0].address);
    assert.equal(typeName(first.type), 'struct node');
    const green = program.findGlobal('GREEN', undefined);
    assert.ok(green?.kind === 'constant' && green.value === 5n);
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

    for (const options of [
        ['-gdwarf-4'],
        ['-gdwarf-5'],
        ['-gdwarf-4', '-fdebug-types-section'],
        ['-gdwarf-5', '-fdebug-types-section'],
    ]) {
        it(`is found in split files: ${options.join(' ')}`, () => {
            const file = compile(`split${options.join('')}`, ...options, '-gsplit-dwarf');
            assertComplete(new Program(fileSource(file), opener));
        });
    }

    it('is found in units of types', () => {
        assertComplete(new Program(fileSource(compile('types', '-gdwarf-4', '-fdebug-types-section')), opener));
    });

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

    it('is found in a file that programs share, as dwz makes it', () => {
        const assemble = (name: string, text: string): string => {
            writeFileSync(path.join(folder, `${name}.s`), text);
            run(folder, 'gcc', '-c', `${name}.s`, '-o', name);
            return path.join(folder, name);
        };
        assemble('shared.debug', SHARED);
        const file = assemble('sharing', SHARING);
        const program = new Program(fileSource(file), opener);
        const counter = program.findGlobal('counter', undefined);
        assert.ok(counter?.kind === 'object', program.info.dwarf.problems.join('\n'));
        assert.equal(typeName(counter.type), 'strange');
        assert.equal(typeName(program.findType('strange', undefined, undefined)!), 'strange');
        // Of another build it is refused.
        assemble('shared.debug', SHARED.replace('0xab', '0xac'));
        const wrong = new Program(fileSource(file), opener);
        assert.equal(wrong.findGlobal('counter', undefined), undefined);
        assert.match(wrong.info.dwarf.problems.join('\n'), /shared\.debug is missing: what it shares/);
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
        run(folder, 'rm', 'stripped.debug');
        assert.deepEqual(new Program(fileSource(file), opener).problems, [
            `${file}: stripped.debug, which has its debugging information, is missing`,
        ]);
    });
});

/** A unit with a base type, 12 bytes behind the section's beginning, and its strings. */
const SHARED = `
    .section .note.gnu.build-id, "", @note
    .long 4, 4, 3
    .asciz "GNU"
    .byte 0xab, 1, 2, 3
    .section .debug_abbrev, "", @progbits
    .uleb128 1, 0x3c ; .byte 1 ; .uleb128 0, 0
    .uleb128 2, 0x24 ; .byte 0 ; .uleb128 0x3, 0xe, 0xb, 0xb, 0x3e, 0xb, 0, 0
    .byte 0
    .section .debug_info, "", @progbits
    .long end - version
version:
    .short 4
    .long 0
    .byte 8
    .uleb128 1
    .uleb128 2 ; .long 8 ; .byte 4, 5
    .byte 0
end:
    .section .debug_str, "", @progbits
    .asciz "counter"
    .asciz "strange"
`;

/** A variable whose name and type are in the other file. */
const SHARING = `
    .section .gnu_debugaltlink, "", @progbits
    .asciz "shared.debug"
    .byte 0xab, 1, 2, 3
    .section .debug_abbrev, "", @progbits
    .uleb128 1, 0x11 ; .byte 1 ; .uleb128 0, 0
    .uleb128 2, 0x34 ; .byte 0 ; .uleb128 0x3, 0x1f21, 0x49, 0x1f20, 0, 0
    .byte 0
    .section .debug_info, "", @progbits
    .long end - version
version:
    .short 4
    .long 0
    .byte 8
    .uleb128 1
    .uleb128 2 ; .long 0, 12
    .byte 0
end:
`;

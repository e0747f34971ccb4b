import assert from 'node:assert/strict';
import { toAddress } from '../../../src/symbols/cursor';
import { DebugInfo } from '../../../src/symbols/debug-info';
import { ElfFile } from '../../../src/symbols/elf-file';
import { compileProgram, fileSource, lineOf, run } from '../../support/compiled';
import { compareWithReadelf } from '../../support/line-rows';
import { needs, tool } from '../../support/requirements';

function debugInfo(file: string): DebugInfo {
    return new DebugInfo(new ElfFile(fileSource(file)), { open: name => fileSource(name) });
}

describe('line tables', () => {
    before(function () {
        needs(this, tool('gcc'), tool('readelf'));
    });

    for (const options of [
        ['-gdwarf-2', '-gstrict-dwarf'],
        ['-gdwarf-3'],
        ['-gdwarf-4'],
        ['-gdwarf-5'],
        ['-gdwarf-5', '-O2'],
        ['-gdwarf-5', '-gdwarf64', '-O2'],
        ['-gdwarf-5', '-gz=zlib'],
        ['-gdwarf-4', '-gz=zlib-gnu'],
        ['-gdwarf-5', '-c'],
        ['-gdwarf-4', '-c', '-O2'],
        ['-gdwarf-5', '-m32', '-O1', '-fno-pic'],
        ['-gdwarf-4', '-gno-column-info', '-fdebug-types-section'],
    ]) {
        it(`have the rows that readelf has: ${options.join(' ')}`, async () => {
            const file = compileProgram(...options);
            const { rows, differences } = await compareWithReadelf(file, debugInfo(file));
            assert.deepEqual(differences, []);
            assert.ok(rows > 30, `${rows} rows`);
        });
    }

    it('find every instance of an inlined line', () => {
        const file = compileProgram('-gdwarf-5', '-O2');
        const info = debugInfo(file);
        const line = lineOf('shapes.h', 'return doubled');
        const [found] = info.locate('/somewhere/else/shapes.h', line);
        assert.equal(found.line, line);
        assert.match(found.path, /fixtures\/shapes\.h$/);
        const functions = found.addresses.map(address => info.blocksAt(address).map(block => info.nameOf(block)));
        assert.deepEqual(
            [...new Set(functions.map(names => names.filter(name => name !== undefined).join(' > ')))].sort(),
            ['main > twice', 'sum > twice'],
        );
        const chains = found.addresses.map(address => info.blocksAt(address));
        const inSum = chains.find(([outermost]) => info.nameOf(outermost) === 'sum')!;
        assert.equal(
            info.callSiteOf(inSum.find(({ kind }) => kind === 'inlined')!)?.line,
            lineOf('program.c', 'total += twice'),
        );
    });

    it('move to the next line that has code, and stop behind the prologue of code that is not optimised', () => {
        const file = compileProgram('-gdwarf-5');
        const info = debugInfo(file);
        const first = lineOf('program.c', 'int sum(');
        const [found] = info.locate('fixtures/program.c', first - 2);
        assert.equal(found.line, first + 1);
        const symbols = run('/', 'nm', file);
        const sum = BigInt(`0x${/^(\w+) T sum$/m.exec(symbols)![1]}`);
        assert.ok(toAddress(found.addresses[0]) > sum, 'the arguments have been stored');
        assert.equal(info.positionAt(found.addresses[0])?.line, first + 2);
    });

    it('match a relative path as a whole only', () => {
        const info = debugInfo(compileProgram('-gdwarf-5'));
        assert.equal(info.locate('fixtures/program.c', 26).length, 1);
        assert.equal(info.locate('fixtureS/program.c', 26).length, 0);
        assert.equal(info.locate('program.c', 26).length, 1);
        assert.equal(info.locate('rogram.c', 26).length, 0);
        assert.equal(info.locate('/other/program.c', 26).length, 1);
        assert.equal(info.locate('program.c', 1000).length, 0);
    });

    it('list the places of a range of lines', () => {
        const info = debugInfo(compileProgram('-gdwarf-5'));
        const first = lineOf('program.c', 'int sum(');
        const places = info.linesWithCode('program.c', first, first + 8);
        const lines = [...new Set(places.map(({ line }) => line - first))];
        assert.deepEqual(lines, [1, 2, 3, 4, 5, 7, 8]);
        assert.ok(places.filter(({ line }) => line === first + 3).length >= 2, 'a for loop has several statements');
    });
});

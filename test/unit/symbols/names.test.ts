import assert from 'node:assert/strict';
import { decodeIndex, encodeIndex, FileIndex, makeFileTable } from '../../../src/symbols/dwarf/index-file';
import { NameCollector, NameKind } from '../../../src/symbols/dwarf/name-index';
import { Program } from '../../../src/symbols/program';
import {
    bare,
    type CType,
    declaration,
    findMember,
    type RecordType,
    sizeOf,
    typeName,
} from '../../../src/symbols/types';
import { compileProgram, fileSource } from '../../support/compiled';
import { needs, tool } from '../../support/requirements';

function program(...options: string[]): Program {
    return new Program(fileSource(compileProgram(...options)), { open: () => undefined });
}

function record(of: Program, name: string, keyword: 'struct' | 'union' = 'struct'): RecordType {
    const type = of.findType(name, keyword, undefined);
    assert.ok(type?.kind === 'record', name);
    return type;
}

describe('names and types', () => {
    before(function () {
        needs(this, tool('gcc'));
    });

    for (const options of [
        ['-gdwarf-2', '-gstrict-dwarf'],
        ['-gdwarf-3'],
        ['-gdwarf-4', '-fdebug-types-section'],
        ['-gdwarf-5', '-O2'],
        ['-gdwarf-5', '-gdwarf64'],
        ['-gdwarf-5', '-c'],
        ['-gdwarf-5', '-gz=zlib'],
    ]) {
        it(`have the layouts that the compiler gave them: ${options.join(' ')}`, () => {
            const found = program(...options);
            const node = record(found, 'node');
            const flags = record(found, 'flags');
            assert.equal(node.size, 72);
            assert.deepEqual(
                node.members.map(({ name, offset }) => [name, offset]),
                [
                    ['value', 0],
                    ['colour', 4],
                    ['name', 8],
                    ['list', 16],
                    ['word', 32],
                    ['flags', 40],
                    ['compare', 56],
                    ['weight', 64],
                    ['data', 72],
                ],
            );
            assert.deepEqual(
                flags.members.map(({ name, bits }) => [name, bits?.offset, bits?.size]),
                [
                    ['first', 0, 3],
                    ['second', 3, 7],
                    ['sign', 10, 5],
                    ['after', undefined, undefined],
                    ['wide', 64, 40],
                ],
            );
            const compare = findMember(node, 'compare')!;
            assert.equal(
                declaration(compare.type, 'compare'),
                'int (*compare)(const struct node *, const struct node *)',
            );
            assert.equal(typeName(findMember(node, 'name')!.type), 'const char *');
            const data = bare(findMember(node, 'data')!.type);
            assert.ok(data.kind === 'array' && (data.count ?? 0) === 0 && sizeOf(data) === 0);
            // Of an anonymous struct in the union.
            assert.equal(findMember(record(found, 'word', 'union'), 'third')?.offset, 2);
            const colour = bare(findMember(node, 'colour')!.type);
            assert.ok(colour.kind === 'enum' && colour.signed);
            assert.deepEqual(
                colour.enumerators.map(({ name, value }) => [name, value]),
                [
                    ['RED', 0n],
                    ['GREEN', 5n],
                    ['BLUE', -1n],
                ],
            );
        });
    }

    it('have qualifiers of arrays at the elements, and once', () => {
        const character: CType = { kind: 'integer', width: 8, signed: true, name: 'char' };
        const constant = (target: CType): CType => ({ kind: 'qualified', qualifier: 'const', target });
        const array = (element: CType, count: number): CType => ({ kind: 'array', element, count });
        const text: CType = { kind: 'pointer', to: constant(character), size: 8 };
        assert.equal(typeName(constant(array(constant(text), 3))), 'const char *const[3]');
        assert.equal(typeName(constant(array(text, 3))), 'const char *const[3]');
        assert.equal(typeName(constant(array(array(character, 2), 3))), 'const char[3][2]');
    });

    it('are found by name: variables, functions and enumerators', () => {
        const found = program('-gdwarf-5');
        const counter = found.findGlobal('counter', undefined);
        const sum = found.findGlobal('sum', undefined);
        assert.ok(counter?.kind === 'object' && counter.address !== undefined);
        assert.equal(typeName(counter.type), 'int');
        assert.ok(sum?.kind === 'object');
        assert.equal(typeName(sum.type), 'int (const int *, int)');
        const green = found.findGlobal('GREEN', undefined);
        assert.ok(green?.kind === 'constant' && green.value === 5n);
        assert.equal(found.findGlobal('nosuch', undefined), undefined);
        assert.equal(found.findType('flags', 'union', undefined), undefined);
        const [symbol] = found.symbols.named('counter');
        assert.equal(counter.address, symbol.address);
    });

    it('are kept on disk, and read anew if what was kept is damaged', () => {
        const { info } = program('-gdwarf-5');
        const collector = new NameCollector(info.dwarf);
        for (const unit of info.dwarf.units) collector.add(unit);
        const files = makeFileTable(info.sources.namesToHeaders());
        const bytes = encodeIndex({ names: collector.table, files });
        // As files are read in Node.
        const again = decodeIndex(Buffer.from(bytes))!;
        assert.deepEqual(again.names.names, collector.table.names);
        assert.deepEqual(again.names.offsets, collector.table.offsets);
        assert.ok(
            again.names.names.some((name, index) => name === 'node' && again.names.kinds[index] === NameKind.Struct),
        );
        assert.deepEqual(new FileIndex(again.files).headersOf('shapes.h'), [0]);
        assert.deepEqual(new FileIndex(again.files).headersOf('nosuch.h'), []);
        for (let length = 0; length < bytes.length; length += 7) {
            assert.equal(decodeIndex(bytes.slice(0, length)), undefined, `${length} bytes`);
        }
        const other = bytes.slice();
        other[4] ^= 1;
        assert.equal(decodeIndex(other), undefined, 'another version');
    });
});

/** Entries that other compilers than GCC write: assembled by hand, so that the test needs none of them. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { makeValue } from '../../../src/debug/expression/value';
import { ValuePresenter } from '../../../src/debug/source/value-text';
import { fromAddress } from '../../../src/symbols/cursor';
import { Program } from '../../../src/symbols/program';
import { bare, findMember, type RecordType } from '../../../src/symbols/types';
import { fileSource, run, scratchDirectory } from '../../support/compiled';
import { NOTHING } from '../../support/evaluation';
import { needs, tool } from '../../support/requirements';

describe('entries of other compilers', () => {
    let folder: string;

    before(function () {
        needs(this, tool('gcc'), tool('g++'));
        folder = scratchDirectory();
    });

    function record(program: Program, name: string, keyword: 'struct' | 'class' = 'struct'): RecordType {
        const type = program.findType(name, keyword, undefined);
        assert.ok(type?.kind === 'record', name);
        return type;
    }

    it('place a bit-field that reaches beyond its storage unit, by an offset below 0 in 64 bits', () => {
        const type = record(assembled(), 'tight');
        const field = findMember(type, 'y');
        // Clang: DW_AT_bit_offset (0xffffffffffffffd5) of a unit of 8 bytes.
        assert.deepEqual([field?.offset, field?.bits], [5, { offset: 47, size: 60 }]);
    });

    it('tell the length of an array by a variable: it is not known from the type', () => {
        const type = bare(findMember(record(assembled(), 'tight'), 'elements')!.type);
        assert.ok(type.kind === 'array' && type.count === undefined);
    });

    it('tell where a virtual base is only to the running program', () => {
        const program = compiled('virtual', CLASSES);
        assert.deepEqual(
            record(program, 'Derived').members.map(({ name }) => name),
            ['_vptr.Derived', 'mine'],
        );
    });

    it('tell variants of a record by a discriminant, as Rust does', () => {
        const program = assembled();
        const type = record(program, 'Shape');
        assert.deepEqual(
            type.members.map(({ name, offset }) => [name, offset]),
            [
                ['Circle', 4],
                ['Rect', 8],
                ['Rest', 4],
            ],
        );
        const presenter = new ValuePresenter({ context: NOTHING, symbol: () => undefined });
        const shown = (...bytes: readonly number[]): string => {
            const image = { bytes: Uint8Array.from(bytes), known: bytes.map(() => true) };
            return presenter.text({ ...makeValue(0n, type), image });
        };
        assert.equal(shown(0, 0, 0, 0, 5, 0, 0, 0, 6, 0, 0, 0), '{Circle = 5}');
        assert.equal(shown(0xff, 0xff, 0xff, 0xff, 5, 0, 0, 0, 6, 0, 0, 0), '{Rect = 6}');
        assert.equal(shown(7, 0, 0, 0, 5, 0, 0, 0, 6, 0, 0, 0), '{Rest = 5}');
    });

    it('have functions inside of functions', () => {
        const program = compiled('lambda', CLASSES);
        const inner = [...program.symbols.all()].find(({ name }) => /main.*clEi$/.test(name))!;
        const [block] = program.info.blocksAt(fromAddress(inner.address));
        assert.equal(program.info.nameOf(block), 'operator()');
        assert.ok(block.variables.some(die => die.effectiveName === 'more'));
        const method = [...program.symbols.all()].find(({ name }) => name.endsWith('3getEv'))!;
        assert.equal(program.info.nameOf(program.info.blocksAt(fromAddress(method.address))[0]), 'get');
    });

    function compiled(name: string, text: string): Program {
        writeFileSync(path.join(folder, `${name}.cc`), text);
        const options = '-g -O0 -ffreestanding -nostdlib -static -no-pie -fno-exceptions -fno-rtti -Wl,-e,main';
        run(folder, 'g++', ...options.split(' '), `${name}.cc`, '-o', name);
        return new Program(fileSource(path.join(folder, name)), { open: () => undefined });
    }

    function assembled(): Program {
        writeFileSync(path.join(folder, 'odd.s'), ENTRIES);
        run(folder, 'gcc', '-c', 'odd.s', '-o', 'odd.o');
        return new Program(fileSource(path.join(folder, 'odd.o')), { open: () => undefined });
    }
});

const CLASSES = `
struct Base { int base; };
struct Derived : virtual Base { int mine; };
int main(int argc, char **)
{
    struct Local { int value; int get() { return value; } } local = { argc };
    Derived derived;
    derived.mine = 1;
    auto lambda = [&](int more) { int sum = argc + more; return sum; };
    return lambda(3) + local.get() + derived.mine;
}
`;

/** Version 4, one unit: two base types, struct tight { y : 60; elements[length] }, the variable that tells the length, and an enumeration of Rust's. */
const ENTRIES = `
    .section .debug_abbrev, "", @progbits
    .uleb128 1, 0x11 ; .byte 1 ; .uleb128 0x25, 0x8, 0, 0
    .uleb128 2, 0x24 ; .byte 0 ; .uleb128 0x3, 0x8, 0xb, 0xb, 0x3e, 0xb, 0, 0
    .uleb128 3, 0x13 ; .byte 1 ; .uleb128 0x3, 0x8, 0xb, 0xb, 0, 0
    .uleb128 4, 0xd ; .byte 0 ; .uleb128 0x3, 0x8, 0x49, 0x13, 0xb, 0xb, 0xd, 0xb, 0xc, 0x7, 0x38, 0xb, 0, 0
    .uleb128 5, 0xd ; .byte 0 ; .uleb128 0x3, 0x8, 0x49, 0x13, 0x38, 0xb, 0, 0
    .uleb128 6, 0x1 ; .byte 1 ; .uleb128 0x49, 0x13, 0, 0
    .uleb128 7, 0x21 ; .byte 0 ; .uleb128 0x49, 0x13, 0x37, 0x13, 0, 0
    .uleb128 8, 0x34 ; .byte 0 ; .uleb128 0x3, 0x8, 0x49, 0x13, 0, 0
    .uleb128 9, 0x33 ; .byte 1 ; .uleb128 0x15, 0x13, 0, 0
    .uleb128 10, 0xd ; .byte 0 ; .uleb128 0x49, 0x13, 0x38, 0xb, 0, 0
    .uleb128 11, 0x19 ; .byte 1 ; .uleb128 0x16, 0xd, 0, 0
    .uleb128 12, 0x19 ; .byte 1 ; .uleb128 0, 0
    .byte 0
    .section .debug_info, "", @progbits
unit:
    .long end - version
version:
    .short 4
    .long .debug_abbrev
    .byte 8
    .uleb128 1 ; .asciz "by hand"
wide:
    .uleb128 2 ; .asciz "unsigned long long" ; .byte 8, 7
number:
    .uleb128 2 ; .asciz "int" ; .byte 4, 5
    .uleb128 3 ; .asciz "tight" ; .byte 16
    .uleb128 4 ; .asciz "y" ; .long wide - unit ; .byte 8, 60 ; .quad 0xffffffffffffffd5 ; .byte 0
    .uleb128 5 ; .asciz "elements" ; .long array - unit ; .byte 16
    .byte 0
array:
    .uleb128 6 ; .long number - unit
    .uleb128 7 ; .long wide - unit, length - unit
    .byte 0
length:
    .uleb128 8 ; .asciz "length" ; .long wide - unit
    .uleb128 3 ; .asciz "Shape" ; .byte 12
    .uleb128 9 ; .long discriminant - unit
discriminant:
    .uleb128 10 ; .long number - unit ; .byte 0
    .uleb128 11 ; .sleb128 0
    .uleb128 5 ; .asciz "Circle" ; .long number - unit ; .byte 4
    .byte 0
    .uleb128 11 ; .sleb128 -1
    .uleb128 5 ; .asciz "Rect" ; .long number - unit ; .byte 8
    .byte 0
    .uleb128 12
    .uleb128 5 ; .asciz "Rest" ; .long number - unit ; .byte 4
    .byte 0, 0, 0, 0
end:
`;

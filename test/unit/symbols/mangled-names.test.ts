/** Functions by their names, as C++ and Rust give them to linkers, and where several have the same. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { isNamed, mangledPath } from '../../../src/symbols/mangled-names';
import { Program } from '../../../src/symbols/program';
import { fileSource, run, scratchDirectory } from '../../support/compiled';
import { needs, tool } from '../../support/requirements';

describe('names as linkers have them', () => {
    const cases: readonly (readonly [symbol: string, name: string | undefined])[] = [
        // As GCC 12, Clang 14 and rustc 1.95 have written them.
        ['main', undefined],
        ['_Z4workI3FooEvi', 'work'],
        ['_ZL8internali', 'internal'],
        ['_ZN2ns8overloadEPKc', 'ns::overload'],
        ['_ZNK2ns4deep7Diamond1fEi', 'ns::deep::Diamond::f'],
        ['_ZNK2ns3BoxIiLi4EE3sumEv', 'ns::Box::sum'],
        ['_ZN2ns5outerISt6vectorIiSaIiEEE4moveERKS3_', 'ns::outer::move'],
        ['_ZN12_GLOBAL__N_16hiddenEv', '_GLOBAL__N_1::hidden'],
        ['_ZNSt6vectorIiSaIiEE9push_backEOi', 'std::vector::push_back'],
        ['_ZN4feat7recurse17h7a34fe2e0ca82daeE', 'feat::recurse'],
        ['_RNvNtCs1234_7mycrate3foo3bar', 'mycrate::foo::bar'],
        ['_RNvCsfoo_5crate4main', 'crate::main'],
        ['_ZN2ns3FooC1Ev', undefined],
        ['_ZN99999', undefined],
        ['_Z', undefined],
        ['_R', undefined],
        [`_ZN${'I'.repeat(3000)}`, undefined],
        [`_ZN1a${'S_'.repeat(1500)}`, 'a'],
    ];
    for (const [symbol, name] of cases) {
        it(`${symbol.slice(0, 60)} is ${name ?? 'no path'}`, () => assert.equal(mangledPath(symbol)?.join('::'), name));
    }

    it('are met by the end of their paths', () => {
        const parts = ['ns', 'deep', 'f'];
        assert.ok(isNamed(parts, ['f']) && isNamed(parts, ['deep', 'f']) && isNamed(parts, parts));
        assert.ok(!isNamed(parts, ['ns', 'f']) && !isNamed(parts, ['more', ...parts]));
    });

    it('lead to all functions of a name, wherever their sources are', function () {
        needs(this, tool('gcc'));
        const folder = scratchDirectory();
        const unit = (number: number): string => `
            volatile int sink${number};
            static __attribute__((noinline)) void same(void) { sink${number}++; }
            void call${number}(void) { same(); }
            ${number === 1 ? 'void _start(void) { for (;;) call1(); }' : 'int same_too;'}
            void over${number}(void) __asm__("_ZN2ns4overE${number === 1 ? 'i' : 'd'}");
            void over${number}(void) { sink${number}--; }
            void rest${number}(void) __asm__("_ZN2ns4overEi.${['cold', 'part.0'][number - 1]}");
            void rest${number}(void) { sink${number} = 0; }
            void last${number}(void) __asm__("_ZN2ns4overEd.cold.${number}");
            void last${number}(void) { sink${number} = 1; }
        `;
        for (const number of [1, 2]) writeFileSync(path.join(folder, `${number}.c`), unit(number));
        run(folder, 'gcc', ...'-g -O1 -ffreestanding -nostdlib -static -no-pie 1.c 2.c -o same'.split(' '));
        const program = new Program(fileSource(path.join(folder, 'same')), { open: () => undefined });
        const names = (name: string): (string | undefined)[] =>
            program.functionsNamed(name).map(address => program.symbols.at(address)?.symbol.name);
        assert.deepEqual(names('same'), ['same', 'same']);
        assert.equal(new Set(program.functionsNamed('same')).size, 2);
        // A part is a function of its own, what is cold of one is not.
        assert.deepEqual(names('ns::over').sort(), ['_ZN2ns4overEd', '_ZN2ns4overEi', '_ZN2ns4overEi.part.0']);
        assert.deepEqual(names('over').length, 3);
        assert.deepEqual(names('call2'), ['call2']);
        assert.deepEqual(names('same_too'), [], 'a variable');
    });
});

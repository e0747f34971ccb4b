import assert from 'node:assert/strict';
import { existsSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { SourceOpener } from '../../../src/symbols/byte-source';
import { fromAddress } from '../../../src/symbols/cursor';
import { Program } from '../../../src/symbols/program';
import { AMD64, type FrameState, type UnwindMemory } from '../../../src/symbols/unwind';
import { compileProgram, fileSource, lineOf, run, scratchDirectory } from '../../support/compiled';
import { needs, tool } from '../../support/requirements';

const TEXT = 0xffffffffc0123000n;
const DATA = 0xffffffffc0456000n;
const PLACEMENT = new Map([
    ['.text', TEXT],
    ['.data', DATA],
]);
const opener: SourceOpener = { open: name => (existsSync(name) ? fileSource(name) : undefined) };

describe('programs that were not linked', () => {
    before(function () {
        needs(this, tool('gcc'), tool('objcopy'));
    });

    for (const options of [
        ['-gdwarf-5', '-O2', '-mcmodel=kernel'],
        ['-gdwarf-4', '-gz=zlib'],
    ]) {
        it(`have symbols, lines and variables where a loader has put their sections: ${options.join(' ')}`, () => {
            const file = compileProgram('-c', '-fno-pic', ...options);
            const program = new Program(fileSource(file), opener, PLACEMENT);
            const linked = new Program(fileSource(file), opener);
            const [sum] = program.symbols.named('sum');
            assert.equal(sum.address, TEXT + linked.symbols.named('sum')[0].address);
            assert.equal(program.symbols.at(sum.address + 1n)?.symbol.name, 'sum');
            assert.ok(program.hasCode(sum.address));
            assert.ok(!program.hasCode(1n), 'the sections that are not loaded are nowhere');

            const line = lineOf('program.c', 'return n * factorial');
            const [place] = program.info.locate('program.c', line);
            assert.equal(place.line, line);
            const [factorial] = program.symbols.named('factorial');
            const address = program.linear(place.addresses[0]);
            assert.ok(address >= factorial.address && address < factorial.address + factorial.size);
            const chain = program.info.blocksAt(fromAddress(address));
            assert.equal(program.info.nameOf(chain[0]), 'factorial');

            const counter = program.findGlobal('counter', undefined);
            assert.ok(counter?.kind === 'object');
            assert.equal(counter.address, program.symbols.named('counter')[0].address);
            assert.equal(counter.address! & ~0xfffn, DATA);
        });
    }

    it('remember where copies of an inlined function are until sections are gone', () => {
        const program = new Program(
            fileSource(compileProgram('-c', '-fno-pic', '-gdwarf-5', '-O2')),
            opener,
            PLACEMENT,
        );
        let searches = 0;
        const { info } = program;
        const search = info.inlinedCopies.bind(info);
        info.inlinedCopies = die => {
            searches++;
            return search(die);
        };
        const copies = program.inlinedCopies('twice');
        assert.ok(copies.length > 0);
        assert.ok(copies.every(copy => program.hasCode(copy)));
        assert.deepEqual(program.inlinedCopies('twice'), copies);
        assert.equal(searches, 1, 'found once');
        assert.deepEqual(program.inlinedCopies('nosuch'), []);
        program.unload(section => section === '.text');
        assert.deepEqual(program.inlinedCopies('twice'), []);
        assert.equal(searches, 2, 'looked for anew');
    });

    it('lack what a loader has left out', () => {
        const file = compileProgram('-c', '-fno-pic', '-gdwarf-5');
        const program = new Program(fileSource(file), opener, new Map([['.text', TEXT]]));
        assert.equal(program.symbols.named('sum').length, 1);
        assert.deepEqual(program.symbols.named('counter'), []);
        assert.equal(program.symbols.at(0x10n), undefined);
    });

    it('unwind by frame information that was placed along', () => {
        const file = compileProgram('-c', '-fno-pic', '-gdwarf-5', '-O2');
        const placement = new Map([...PLACEMENT, ['.eh_frame', 0xffffffffc0789000n]]);
        const program = new Program(fileSource(file), opener, placement);
        const [{ address }] = program.symbols.named('sum');
        assert.equal(callerAt(program, address, 'eh_frame'), RETURN);
    });

    it("unwind by a module's ORC tables, which are sorted when they are loaded", () => {
        const folder = scratchDirectory();
        writeFileSync(path.join(folder, 'module.s'), ORC_SOURCE);
        run(folder, 'gcc', '-c', 'module.s', '-o', 'module.o');
        const placement = new Map([
            ['.text', TEXT],
            ['.init.text', 0xffffffffc0100000n],
            ['.orc_unwind_ip', 0xffffffffc0200000n],
            ['.orc_unwind', 0xffffffffc0300000n],
        ]);
        const program = new Program(fileSource(path.join(folder, 'module.o')), opener, placement);
        for (const name of ['plain', 'pushed', 'beginning']) {
            const [{ address }] = program.symbols.named(name);
            assert.equal(callerAt(program, address, name), RETURN, name);
        }
    });

    it('have their debugging information in a folder of build-ids', () => {
        const folder = scratchDirectory();
        const object = compileProgram('-c', '-fno-pic', '-gdwarf-5');
        const id = '0123456789abcdef0123456789abcdef01234567';
        writeFileSync(path.join(folder, 'note.s'), noteSource(id));
        run(folder, 'gcc', '-c', 'note.s', '-o', 'note.o');
        run(folder, 'ld', '-r', object, 'note.o', '-o', 'module.ko');
        run(folder, 'mkdir', '-p', `debug/.build-id/${id.slice(0, 2)}`);
        run(
            folder,
            'objcopy',
            '--only-keep-debug',
            'module.ko',
            `debug/.build-id/${id.slice(0, 2)}/${id.slice(2)}.debug`,
        );
        run(folder, 'objcopy', '--strip-debug', 'module.ko');
        const source = fileSource(path.join(folder, 'module.ko'));
        const directories = [path.join(folder, 'debug')];
        const program = new Program(source, { ...opener, directories }, PLACEMENT);
        assert.equal(program.elf.buildId, id);
        const line = lineOf('program.c', 'return n * factorial');
        const [place] = program.info.locate('program.c', line);
        assert.ok(program.linear(place.addresses[0]) > TEXT);
        assert.equal(new Program(source, opener, PLACEMENT).info.isPresent, false);
    });
});

const RETURN = 0xffffffff81001234n;
const STACK = 0xffffc90000010000n;

/** Where the function that stops at its first instruction returns to: the memory holds that one address alone. */
function callerAt(program: Program, pc: bigint, name: string): bigint | undefined {
    const registers: (bigint | undefined)[] = AMD64.names.map(() => 0n);
    // One function of the tables is said to have pushed a word already.
    const depth = name === 'pushed' ? 8n : 0n;
    registers[7] = STACK - depth;
    registers[16] = pc;
    const frame: FrameState = { pc, registers, isReturn: false };
    const memory: UnwindMemory = {
        readMemory(address, size) {
            if (address !== STACK || size !== 8) return undefined;
            const bytes = new Uint8Array(8);
            new DataView(bytes.buffer).setBigUint64(0, RETURN, true);
            return bytes;
        },
    };
    for (const unwinder of program.unwinders) {
        const step = unwinder.step(frame, memory);
        if (step?.kind === 'caller') return step.frame.pc;
    }
    return undefined;
}

/** Three functions; the tables name them in the order of their sections, which is not that of their addresses. */
const ORC_SOURCE = `
    .text
    .globl plain, pushed
plain:  nop
        ret
pushed: nop
        ret
    .section .init.text, "ax"
    .globl beginning
beginning: ret
    .section .orc_unwind_ip, "a"
    .long plain - .
    .long pushed - .
    .long beginning - .
    .section .orc_unwind, "a"
    # sp_offset, bp_offset, sp_reg 5 (rsp), type: call
    .short 8, 0 ; .byte 5, 0
    .short 16, 0 ; .byte 5, 0
    .short 8, 0 ; .byte 5, 0
`;

function noteSource(id: string): string {
    const bytes = id.match(/../g)!.map(byte => `0x${byte}`);
    return `
    .section .note.gnu.build-id, "a", @note
    .long 4, ${bytes.length}, 3
    .asciz "GNU"
    .byte ${bytes.join(', ')}
`;
}

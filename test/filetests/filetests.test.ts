/**
 * Instructions and the IR that they are lifted to, as text files in `test/filetests/ir`.
 *
 * A file says in `key: value` lines what to lift: `context` (handler: one instruction; region: a block), `code` (16, 32 or
 * 64 bits), `mode` (words of {@link MODES}, optional) and `bytes`. After a line of dashes comes what is expected: the
 * disassembly and the IR. HYPERSCOPE_BLESS=1 rewrites that part; the diff is to be reviewed.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { type CodeSize, decode, formatInstruction, type Instruction } from '../../src/isa/x86';
import { ModeKey } from '../../src/machine/state';
import { semantics } from '../../src/translator';
import { semanticOf } from '../../src/translator/engine/handlers';
import { type IrFunction } from '../../src/translator/ir/function';
import { parseIr, printIr } from '../../src/translator/ir/text';
import { verifyIr } from '../../src/translator/ir/verify';
import { HandlerContext } from '../../src/translator/lift/handler-context';
import { liftBlock } from '../../src/translator/region/translate';
import { projectRoot } from '../support/project';

const FOLDER = path.join(projectRoot, 'test', 'filetests', 'ir');
const SEPARATOR = '---\n';
/** Where regions begin in their page. */
const OFFSET = 0x100;

const MODES: Readonly<Record<string, number>> = {
    flat: ModeKey.Flat | ModeKey.FlatCode,
    user: 3 << ModeKey.CplShift,
    'alignment-check': ModeKey.AlignmentCheck,
};

interface Description {
    readonly context: string;
    readonly code: CodeSize;
    readonly mode: number;
    readonly bytes: Uint8Array;
}

function parse(header: string): Description {
    const fields = new Map(
        header
            .split('\n')
            .filter(line => line !== '' && !line.startsWith(';'))
            .map(line => line.split(/:\s*/, 2) as [string, string]),
    );
    const field = (name: string): string => {
        const value = fields.get(name);
        assert.ok(value !== undefined, `there is no line '${name}: …'`);
        return value;
    };
    const code = Number(field('code')) as CodeSize;
    const size = [16, 32, 64].indexOf(code);
    let mode =
        size |
        (size << ModeKey.StackSizeShift) |
        ModeKey.Protected |
        ModeKey.X87Usable |
        ModeKey.SseUsable |
        (code === 64 ? ModeKey.Long | MODES.flat : 0);
    for (const word of (fields.get('mode') ?? '').split(' ').filter(Boolean)) {
        assert.ok(word in MODES, `unknown mode '${word}'`);
        mode |= MODES[word];
    }
    return { context: field('context'), code, mode, bytes: Buffer.from(field('bytes').replaceAll(' ', ''), 'hex') };
}

function decodeAll({ bytes, code }: Description): Instruction[] {
    const padded = new Uint8Array(64);
    padded.set(bytes);
    const instructions: Instruction[] = [];
    for (let position = 0; position < bytes.length;) {
        const instruction = decode(padded, position, padded.length, code);
        assert.ok(typeof instruction !== 'number', `no instruction at byte ${position}`);
        instructions.push(instruction);
        position += instruction.length;
    }
    return instructions;
}

function lift(description: Description, instructions: readonly Instruction[]): IrFunction {
    const { context, mode } = description;
    if (context === 'region') {
        return liftBlock({ mode, instructions }, OFFSET, semantics);
    }
    assert.equal(context, 'handler', 'context must be handler or region');
    const [instruction] = instructions;
    const handler = new HandlerContext(mode);
    handler.begin(instruction);
    semanticOf(instruction, mode, semantics)!(handler);
    handler.finish();
    return handler.ir.ir;
}

function run(header: string): string {
    const description = parse(header);
    const instructions = decodeAll(description);
    const ir = lift(description, instructions);
    assert.deepEqual(verifyIr(ir), []);
    const text = printIr(ir);
    assert.equal(printIr(parseIr(text)), text, 'the text form does not survive parsing');
    let rip = OFFSET;
    const listing = instructions.map(instruction => {
        const line = `; ${formatInstruction(instruction, BigInt(rip))}\n`;
        rip += instruction.length;
        return line;
    });
    return listing.join('') + text;
}

describe('filetests: instructions and their IR', () => {
    for (const name of readdirSync(FOLDER).sort()) {
        it(name.replace(/\.txt$/, ''), () => {
            const file = path.join(FOLDER, name);
            const [header, expected] = readFileSync(file, 'utf8').split(SEPARATOR, 2);
            const actual = run(header);
            if (process.env.HYPERSCOPE_BLESS === '1') {
                writeFileSync(file, header + SEPARATOR + actual);
            } else {
                assert.equal(actual, expected, 'HYPERSCOPE_BLESS=1 accepts the change');
            }
        });
    }
});

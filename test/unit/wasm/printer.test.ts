import assert from 'node:assert/strict';
import { PURE_OPERATIONS } from '../../../src/translator/ir/opcodes';
import { MEMORY_NAMES, PLAIN_NAMES, SATURATING_NAMES, VECTOR_NAMES } from '../../../src/wasm/opcode-names';
import { printFunction } from '../../../src/wasm/printer';

const hex = (text: string): Uint8Array => Uint8Array.from(text.split(' '), byte => parseInt(byte, 16));

describe('WebAssembly printer', () => {
    it('knows every operation of the IR by its name', () => {
        for (const { name, wasm } of PURE_OPERATIONS) {
            const names = wasm > 0xff ? (wasm >> 8 === 0xfc ? SATURATING_NAMES : VECTOR_NAMES) : PLAIN_NAMES;
            assert.equal(names.get(wasm > 0xff ? wasm & 0xff : wasm), name);
        }
        assert.deepEqual(
            [PLAIN_NAMES.get(0xc4), MEMORY_NAMES.get(0x3e), SATURATING_NAMES.get(7), VECTOR_NAMES.get(247)],
            ['i64.extend32_s', 'i64.store32', 'i64.trunc_sat_f64_u', 'f64x2.pmax'],
        );
        assert.equal(new Set(VECTOR_NAMES.values()).size, VECTOR_NAMES.size, 'no name twice');
    });

    it('prints structure, immediates and names', () => {
        const body = hex(
            '02 02 7f 01 7e 02 40 03 7f 20 00 28 02 88 01 41 7f 6a 22 02 42 80 80 04 1a 04 40 0c 01 05 10 03 0b 0b 1a 0b ' +
                'fd 0c 01 00 00 00 02 00 00 00 03 00 00 00 04 00 00 00 fd 15 0f 1a fc 02 13 02 00 0b',
        );
        const { lines, offsets } = printFunction(body, {
            locals: new Map([[0, 'cpu']]),
            functions: new Map([[3, 'loadMiss']]),
        });
        assert.deepEqual(lines, [
            ';; locals: i32 × 2, i64',
            'block',
            '  loop (result i32)',
            '    local.get $cpu',
            '    i32.load offset=0x88',
            '    i32.const -1',
            '    i32.add',
            '    local.tee 2',
            '    i64.const 0x10000',
            '    drop',
            '    if',
            '      br 1',
            '    else',
            '      call $loadMiss',
            '    end',
            '  end',
            '  drop',
            'end',
            'v128.const i32x4 0x00000001 0x00000002 0x00000003 0x00000004',
            'i8x16.extract_lane_s 15',
            'drop',
            'i32.trunc_sat_f64_s',
            'return_call_indirect (type 2)',
        ]);
        assert.equal(body[offsets[1]], 0x02);
        assert.equal(body[offsets[18]], 0xfd);
    });

    it('says where it cannot read on', () => {
        assert.deepEqual(printFunction(hex('00 20')).lines, [';; the body ends in the middle of an instruction']);
        assert.deepEqual(printFunction(hex('00 01 f7 00')).lines, ['nop', ';; opcode 0xf7 is not known']);
        assert.match(printFunction(hex('00 fd 0c 00')).lines[0], /middle of a constant/);
        assert.match(printFunction(hex('00 20 ff ff ff ff ff ff')).lines[0], /too many digits/);
        for (let byte = 0; byte < 256; byte++) printFunction(Uint8Array.of(1, byte, byte, byte, byte, byte));
    });
});

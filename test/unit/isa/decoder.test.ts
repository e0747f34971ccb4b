import assert from 'node:assert/strict';
import {
    Attribute,
    type CodeSize,
    decode,
    DecodeFailure,
    NO_REGISTER,
    RepeatPrefix,
    Segment,
} from '../../../src/isa/x86';
import { decodeBytes, list } from './listing';

/** Bytes and what they are in a code size. */
type Golden = readonly [bytes: string, codeSize: CodeSize, text: string];

function check(cases: readonly Golden[]): void {
    for (const [bytes, codeSize, text] of cases) {
        assert.equal(list(bytes, codeSize), text, `${bytes} in ${codeSize}-bit code`);
    }
}

describe('decoder: prefixes', () => {
    it('accepts legacy prefixes in any order', () =>
        check([
            ['66 f3 ab', 32, 'rep stosw'],
            ['f3 66 ab', 32, 'rep stosw'],
            ['64 67 66 8b 07', 64, 'mov ax, fs:[edi]'],
            ['66 67 64 8b 07', 64, 'mov ax, fs:[edi]'],
        ]));

    it('lets REX count only directly before the opcode', () =>
        check([
            ['48 89 c8', 64, 'mov rax, rcx'],
            ['48 66 89 c8', 64, 'mov ax, cx'],
            ['66 48 89 c8', 64, 'mov rax, rcx'],
            ['48 41 89 c8', 64, 'mov r8d, ecx'],
            ['48 89 c8', 32, 'dec eax +2'],
        ]));

    it('lets the last of F2 and F3 select, before 66', () =>
        check([
            ['f2 f3 0f 10 c1', 64, 'movss xmm0, xmm1'],
            ['f3 f2 0f 10 c1', 64, 'movsd xmm0, xmm1'],
            ['66 f3 0f 10 c1', 64, 'movss xmm0, xmm1'],
            ['f3 66 0f 10 c1', 64, 'movss xmm0, xmm1'],
            ['66 0f 10 c1', 64, 'movupd xmm0, xmm1'],
        ]));

    it('keeps 66 as operand size beside a mandatory F2 or F3', () =>
        check([
            ['f2 0f 38 f1 c1', 64, 'crc32 eax, ecx'],
            ['66 f2 0f 38 f1 c1', 64, 'crc32 eax, cx'],
            ['f2 48 0f 38 f1 c1', 64, 'crc32 rax, rcx'],
            ['66 f3 0f b8 c1', 64, 'popcnt ax, cx'],
            ['66 0f 38 f1 01', 64, 'movbe [rcx], ax'],
        ]));

    it('rejects prefixes that no row of the opcode allows', () =>
        check([
            ['f3 0f 54 c1', 64, 'undefined'],
            ['66 0f 77', 64, 'undefined'],
            ['f3 0f 01 d0', 64, 'undefined'],
            ['66 0f c7 0f', 64, 'cmpxchg8b qword ptr [rdi]'],
        ]));

    it('ignores ES, CS, SS and DS overrides in 64-bit mode, even after FS', () =>
        check([
            ['2e 8b 03', 32, 'mov eax, cs:[ebx]'],
            ['2e 8b 03', 64, 'mov eax, [rbx]'],
            ['64 2e 8b 03', 64, 'mov eax, fs:[rbx]'],
            ['64 2e 8b 03', 32, 'mov eax, cs:[ebx]'],
            ['64 65 8b 03', 64, 'mov eax, gs:[rbx]'],
        ]));

    it('allows LOCK only on rows that say so, with a memory destination', () =>
        check([
            ['f0 01 03', 64, 'lock add [rbx], eax'],
            ['f0 01 c3', 64, 'undefined'],
            ['f0 03 03', 64, 'undefined'],
            ['f0 89 03', 64, 'undefined'],
            ['f0 87 03', 64, 'lock xchg [rbx], eax'],
            ['f0 0f ba 23 01', 64, 'undefined'],
            ['f0 0f ba 2b 01', 64, 'lock bts dword ptr [rbx], 0x1'],
            ['f0 0f 20 c0', 32, 'undefined'],
        ]));

    it('reports a repeat prefix only where it repeats', () => {
        assert.equal(decodeBytes('f3 a4', 64).repeat, RepeatPrefix.Repe);
        assert.equal(decodeBytes('f2 ae', 64).repeat, RepeatPrefix.Repne);
        assert.equal(decodeBytes('f3 c3', 64).repeat, RepeatPrefix.None);
        assert.equal(decodeBytes('f3 0f 10 c1', 64).repeat, RepeatPrefix.None);
    });

    it('takes at most 15 bytes', () => {
        const prefixes = '66 '.repeat(14);
        assert.equal(list(`${prefixes}90`, 64), 'nop');
        assert.equal(list(`${prefixes}66 90`, 64), 'too long');
        assert.equal(list(`${'66 '.repeat(13)}b8 01 00`, 64), 'too long');
        assert.equal(list('66 '.repeat(14).trim(), 64), 'truncated');
        assert.equal(list('66 '.repeat(15).trim(), 64), 'too long');
    });

    it('never looks at or past the end', () => {
        const bytes = Uint8Array.of(0x90, 0xb8, 1, 2, 3, 4);
        assert.equal(decode(bytes, 1, 5, 32), DecodeFailure.Truncated);
        assert.equal(decode(bytes, 6, 6, 32), DecodeFailure.Truncated);
        const whole = decode(bytes, 1, 6, 32);
        assert.ok(typeof whole !== 'number' && whole.length === 5 && whole.immediate === 0x04030201);
    });
});

describe('decoder: modes and operand sizes', () => {
    it('knows which opcodes exist in 64-bit mode', () =>
        check([
            ['06', 32, 'push es'],
            ['06', 64, 'undefined'],
            ['27', 64, 'undefined'],
            ['82 c0 01', 32, 'add al, 0x1'],
            ['82 c0 01', 64, 'undefined'],
            ['d6', 32, 'salc'],
            ['9a 78 56 34 12 08 00', 32, 'call far 0x8:0x12345678'],
            ['9a 78 56 34 12 08 00', 64, 'undefined'],
            ['63 c1', 32, 'arpl cx, ax'],
            ['63 c1', 64, 'movsxd eax, ecx'],
            ['48 63 c1', 64, 'movsxd rax, ecx'],
            ['0f 01 f8', 64, 'swapgs'],
            ['0f 01 f8', 32, 'undefined'],
        ]));

    it('defaults the stack to 64 bits in 64-bit mode', () =>
        check([
            ['50', 64, 'push rax'],
            ['66 50', 64, 'push ax'],
            ['41 54', 64, 'push r12'],
            ['50', 16, 'push ax'],
            ['66 50', 16, 'push eax'],
            ['6a ff', 64, 'push 0xffffffffffffffff'],
            ['66 6a ff', 64, 'pushw 0xffff'],
            ['66 68 34 12', 64, 'pushw 0x1234'],
            ['ff 30', 64, 'push qword ptr [rax]'],
            ['9c', 64, 'pushfq'],
            ['66 9c', 64, 'pushf'],
            ['9c', 32, 'pushfd'],
            ['c8 10 00 01', 64, 'enter 0x10, 0x1'],
        ]));

    it('ignores 66 on near branches in 64-bit mode, as Intel does', () =>
        check([
            ['66 e9 02 00 00 00', 64, 'jmp 0x1008'],
            ['66 e9 02 00', 32, 'jmp 0x1006'],
            ['66 74 fe', 64, 'je 0x1001'],
            ['66 c3', 64, 'ret'],
            ['66 c3', 32, 'retw'],
            ['ff d0', 64, 'call rax'],
            ['66 ff d0', 64, 'call rax'],
        ]));

    it('wraps branch targets at the operand size', () => {
        assert.equal(list('eb fe', 16, 0xfffen), 'jmp 0xfffe');
        assert.equal(list('eb 10', 16, 0xfffen), 'jmp 0x10');
        assert.equal(list('e9 00 00 00 80', 32, 0x8000_0000n), 'jmp 0x5');
        assert.equal(list('e8 0b 00 00 00', 64, 0xffff_ffff_8100_0000n), 'call 0xffffffff81000010');
    });

    it('selects mnemonics by operand size and address size', () =>
        check([
            ['98', 16, 'cbw'],
            ['98', 64, 'cwde'],
            ['48 98', 64, 'cdqe'],
            ['66 99', 64, 'cwd'],
            ['48 99', 64, 'cqo'],
            ['cf', 16, 'iret'],
            ['cf', 64, 'iretd'],
            ['48 cf', 64, 'iretq'],
            ['e3 fe', 64, 'jrcxz 0x1000'],
            ['67 e3 fd', 64, 'jecxz 0x1000'],
            ['67 e3 fd', 32, 'jcxz 0x1000'],
            ['0f c7 0f', 64, 'cmpxchg8b qword ptr [rdi]'],
            ['48 0f c7 0f', 64, 'cmpxchg16b xmmword ptr [rdi]'],
            ['66 0f 6e c0', 64, 'movd xmm0, eax'],
            ['66 48 0f 6e c0', 64, 'movq xmm0, rax'],
            ['48 0f ae 00', 64, 'fxsave64 [rax]'],
        ]));

    it('extends immediates as the manual says', () => {
        check([
            ['48 05 ff ff ff ff', 64, 'add rax, 0xffffffffffffffff'],
            ['83 c0 ff', 32, 'add eax, 0xffffffff'],
            ['80 c0 ff', 32, 'add al, 0xff'],
            ['48 b8 88 77 66 55 44 33 22 11', 64, 'mov rax, 0x1122334455667788'],
            ['66 b8 34 12', 64, 'mov ax, 0x1234'],
            ['48 c7 c0 00 00 00 80', 64, 'mov rax, 0xffffffff80000000'],
        ]);
        const wide = decodeBytes('48 b8 88 77 66 f5 44 33 22 11', 64);
        assert.equal(wide.immediate, 0xf5667788 | 0);
        assert.equal(wide.immediateHigh, 0x11223344);
    });
});

describe('decoder: ModRM and SIB', () => {
    it('follows the 16-bit addressing table', () =>
        check([
            ['8b 00', 16, 'mov ax, [bx+si]'],
            ['8b 01', 16, 'mov ax, [bx+di]'],
            ['8b 42 fe', 16, 'mov ax, [bp+si-0x2]'],
            ['8b 83 34 12', 16, 'mov ax, [bp+di+0x1234]'],
            ['8b 04', 16, 'mov ax, [si]'],
            ['8b 05', 16, 'mov ax, [di]'],
            ['8b 06 00 80', 16, 'mov ax, [0x8000]'],
            ['8b 46 00', 16, 'mov ax, [bp]'],
            ['8b 07', 16, 'mov ax, [bx]'],
            ['67 8b 07', 32, 'mov eax, [bx]'],
        ]));

    it('knows the special bases and indices', () =>
        check([
            ['8b 04 24', 64, 'mov eax, [rsp]'],
            ['8b 04 65 00 00 00 00', 64, 'mov eax, [0x0]'],
            ['42 8b 04 65 00 00 00 80', 64, 'mov eax, [r12*2-0x80000000]'],
            ['8b 45 00', 64, 'mov eax, [rbp]'],
            ['41 8b 45 00', 64, 'mov eax, [r13]'],
            ['41 8b 04 24', 64, 'mov eax, [r12]'],
            ['8b 44 85 08', 64, 'mov eax, [rbp+rax*4+0x8]'],
            ['8b 04 85 78 56 34 12', 64, 'mov eax, [rax*4+0x12345678]'],
        ]));

    it('resolves RIP-relative addresses, which 67 truncates', () => {
        check([
            ['8b 05 10 00 00 00', 64, 'mov eax, [rip+0x10]  # 0x1016'],
            ['c7 05 10 00 00 00 01 00 00 00', 64, 'mov dword ptr [rip+0x10], 0x1  # 0x101a'],
            ['41 8b 05 f0 ff ff ff', 64, 'mov eax, [rip-0x10]  # 0xff7'],
            ['8b 05 10 00 00 00', 32, 'mov eax, [0x10]'],
        ]);
        assert.equal(
            list('67 8b 05 00 00 00 80', 64, 0xffff_ffff_9000_0000n),
            'mov eax, [eip-0x80000000]  # 0x10000007',
        );
    });

    it('defaults to SS with rSP and rBP as base only', () => {
        for (const [bytes, codeSize, segment] of [
            ['8b 04 24', 64, Segment.Ss],
            ['8b 45 00', 32, Segment.Ss],
            ['8b 46 00', 16, Segment.Ss],
            ['8b 02', 16, Segment.Ss],
            ['8b 06 00 00', 16, Segment.Ds],
            ['41 8b 04 24', 64, Segment.Ds],
            ['41 8b 45 00', 64, Segment.Ds],
            ['8b 05 00 00 00 00', 64, Segment.Ds],
            ['8b 04 2d 00 00 00 00', 32, Segment.Ds],
            ['3e 8b 45 00', 32, Segment.Ds],
            ['65 8b 45 00', 64, Segment.Gs],
            ['d7', 32, Segment.Ds],
            ['64 d7', 32, Segment.Fs],
            ['36 a4', 32, Segment.Ss],
        ] as const) {
            assert.equal(decodeBytes(bytes, codeSize).segment, segment, bytes);
        }
    });

    it('addresses high bytes only without REX', () =>
        check([
            ['88 e0', 64, 'mov al, ah'],
            ['40 88 e0', 64, 'mov al, spl'],
            ['44 88 e0', 64, 'mov al, r12b'],
            ['b4 01', 64, 'mov ah, 0x1'],
            ['40 b4 01', 64, 'mov spl, 0x1'],
            ['0f b6 c4', 64, 'movzx eax, ah'],
        ]));

    it('reads offsets of the address size without ModRM', () => {
        check([
            ['a1 44 33 22 11', 32, 'mov eax, [0x11223344]'],
            ['67 a1 22 11', 32, 'mov eax, [0x1122]'],
            ['67 a1 44 33 22 81', 64, 'mov eax, [0x81223344]'],
            ['48 a1 88 77 66 55 44 33 22 11', 64, 'mov rax, [0x1122334455667788]'],
            ['a2 ff ff', 16, 'mov [0xffff], al'],
        ]);
        assert.equal(decodeBytes('a1 44 33 22 11', 32).base, NO_REGISTER);
    });

    it('ignores mod in moves to and from control and debug registers', () =>
        check([
            ['0f 20 c0', 64, 'mov rax, cr0'],
            ['0f 20 00', 64, 'mov rax, cr0'],
            ['0f 22 5d', 32, 'mov cr3, ebp'],
            ['44 0f 20 c0', 64, 'mov rax, cr8'],
            ['0f 20 c8', 64, 'undefined'],
            ['0f 23 f8', 64, 'mov dr7, rax'],
            ['44 0f 23 f8', 64, 'undefined'],
        ]));

    it('checks segment registers, and ignores REX.R there', () =>
        check([
            ['8e d8', 64, 'mov ds, ax'],
            ['44 8e d8', 64, 'mov ds, ax'],
            ['8e c8', 64, 'undefined'],
            ['8c c8', 64, 'mov eax, cs'],
            ['8e f0', 64, 'undefined'],
        ]));

    it('needs memory where the row says M', () =>
        check([
            ['8d c0', 64, 'undefined'],
            ['8d 00', 64, 'lea eax, [rax]'],
            ['0f 01 38', 64, 'invlpg [rax]'],
            ['0f c7 c8', 64, 'undefined'],
            ['ff d8', 64, 'undefined'],
        ]));
});

describe('decoder: what shares an opcode', () => {
    it('tells VEX from LES, LDS and EVEX from BOUND', () =>
        check([
            ['c5 00', 32, 'lds eax, fword ptr [eax]'],
            ['c4 e2 78 f2 c1', 32, 'andn eax, eax, ecx'],
            ['c4 e2 f8 f2 c1', 64, 'andn rax, rax, rcx'],
            ['c4 e2 f8 f2 c1', 32, 'andn eax, eax, ecx'],
            ['c4 62 78 f2 c1', 64, 'andn r8d, eax, ecx'],
            ['c4 e2 7c f2 c1', 64, 'undefined'],
            ['c4 e2 70 f3 c9', 64, 'blsr ecx, ecx'],
            ['66 c4 e2 78 f2 c1', 64, 'undefined'],
            ['48 c4 e2 78 f2 c1', 64, 'undefined'],
            ['f0 c4 e2 78 f2 00', 64, 'undefined'],
            ['c4 e3 7b f0 c1 07', 64, 'rorx eax, ecx, 0x7'],
            ['c4 e3 73 f0 c1 07', 64, 'undefined'],
            ['c5 f8 77', 64, 'undefined'],
            ['62 00', 32, 'bound eax, qword ptr [eax]'],
            ['62 f1 7c 48 58 c0', 64, 'undefined'],
        ]));

    it('tells NOP, PAUSE and XCHG', () =>
        check([
            ['90', 64, 'nop'],
            ['f3 90', 64, 'pause'],
            ['41 90', 64, 'xchg r8d, eax'],
            ['f3 41 90', 64, 'xchg r8d, eax'],
            ['48 90', 64, 'nop'],
            ['91', 64, 'xchg ecx, eax'],
        ]));

    it('tells fences and cache operations from state saving', () =>
        check([
            ['0f ae e8', 64, 'lfence'],
            ['0f ae ef', 64, 'lfence'],
            ['0f ae f0', 64, 'mfence'],
            ['0f ae f8', 64, 'sfence'],
            ['0f ae 28', 64, 'xrstor [rax]'],
            ['0f ae 38', 64, 'clflush [rax]'],
            ['66 0f ae 38', 64, 'clflushopt [rax]'],
            ['66 0f ae 30', 64, 'clwb [rax]'],
            ['f3 0f ae c0', 64, 'rdfsbase eax'],
            ['f3 0f ae e8', 64, 'undefined'],
        ]));

    it('keeps obsolete and reserved encodings that CPUs execute', () =>
        check([
            ['f1', 64, 'int1'],
            ['f6 c8 01', 64, 'test al, 0x1'],
            ['d1 f0', 64, 'sal eax, 1'],
            ['0f 1f 44 00 00', 64, 'nop dword ptr [rax+rax*1]'],
            ['0f 1e c0', 64, 'nop eax'],
            ['f3 0f 1e fa', 64, 'endbr64'],
            ['f3 0f 1e fb', 32, 'endbr32'],
            ['f3 48 0f 1e c8', 64, 'rdssp rax'],
            ['0f 0d 08', 64, 'prefetchw [rax]'],
            ['0f 18 10', 64, 'prefetcht1 [rax]'],
            ['0f b9 c1', 64, 'ud1 eax, ecx'],
            ['0f ff c1', 64, 'ud0 eax, ecx'],
            ['dc d1', 64, 'fcom st(1)'],
            ['df c1', 64, 'ffreep st(1)'],
            ['df e0', 64, 'fnstsw ax'],
        ]));

    it('leaves BSF and BSR what TZCNT and LZCNT do not take', () =>
        check([
            ['0f bc c1', 64, 'bsf eax, ecx'],
            ['f2 0f bc c1', 64, 'bsf eax, ecx'],
            ['f3 0f bc c1', 64, 'tzcnt eax, ecx'],
            ['f3 0f bd c1', 64, 'lzcnt eax, ecx'],
        ]));
});

describe('decoder: the record', () => {
    it('shares equal operands and fills every field', () => {
        const first = decodeBytes('f0 64 48 01 8c cb 78 56 34 f2', 64);
        assert.deepEqual(
            { ...first, row: first.row.mnemonic, operands: first.operands.length },
            {
                row: 'ADD',
                length: 10,
                codeSize: 64,
                operandSize: 64,
                addressSize: 64,
                lock: true,
                repeat: RepeatPrefix.None,
                operands: 2,
                segment: Segment.Fs,
                segmentOverride: Segment.Fs,
                base: 3,
                index: 1,
                scale: 3,
                displacement: 0xf2345678 | 0,
                displacementHigh: -1,
                immediate: 0,
                immediateHigh: 0,
                immediate2: 0,
                modrm: 0x8c,
            },
        );
        assert.equal(first.operands[1], decodeBytes('48 89 c9', 64).operands[0]);
        assert.ok(first.row.attributes & Attribute.Lock);
    });
});

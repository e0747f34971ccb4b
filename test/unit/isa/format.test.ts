import assert from 'node:assert/strict';
import { type CodeSize } from '../../../src/isa/x86';
import { list } from './listing';

function check(cases: ReadonlyArray<readonly [bytes: string, codeSize: CodeSize, text: string]>): void {
    for (const [bytes, codeSize, text] of cases) {
        assert.equal(list(bytes, codeSize), text, bytes);
    }
}

describe('disassembler text', () => {
    it('names a memory size only where no register tells it', () =>
        check([
            ['8b 03', 64, 'mov eax, [rbx]'],
            ['c6 03 01', 64, 'mov byte ptr [rbx], 0x1'],
            ['0f b6 03', 64, 'movzx eax, byte ptr [rbx]'],
            ['d2 23', 64, 'shl byte ptr [rbx], cl'],
            ['d3 23', 64, 'shl dword ptr [rbx], cl'],
            ['0f 28 03', 64, 'movaps xmm0, [rbx]'],
            ['f3 0f 58 03', 64, 'addss xmm0, dword ptr [rbx]'],
            ['0f 6f 03', 64, 'movq mm0, [rbx]'],
            ['db 2b', 64, 'fld tbyte ptr [rbx]'],
            ['0f 02 03', 64, 'lar eax, word ptr [rbx]'],
            ['0f 01 13', 64, 'lgdt tbyte ptr [rbx]'],
            ['dd 23', 64, 'frstor [rbx]'],
        ]));

    it('marks far branches', () =>
        check([
            ['ea 00 80 00 f0', 16, 'jmp far 0xf000:0x8000'],
            ['ff 2b', 32, 'jmp far fword ptr [ebx]'],
            ['48 ff 2b', 64, 'jmp far tbyte ptr [rbx]'],
            ['ff 23', 64, 'jmp qword ptr [rbx]'],
            ['48 cb', 64, 'retfq'],
            ['cb', 64, 'retf'],
        ]));

    it('gives string instructions their suffix, and operands only if they are unusual', () =>
        check([
            ['f3 48 a5', 64, 'rep movsq'],
            ['a5', 32, 'movsd'],
            ['a4', 64, 'movsb'],
            ['f3 a6', 64, 'repe cmpsb'],
            ['f2 ae', 64, 'repne scasb'],
            ['f3 6c', 32, 'rep insb'],
            ['64 a4', 64, 'movsb es:[rdi], fs:[rsi]'],
            ['67 ab', 64, 'stosd es:[edi], eax'],
        ]));

    it('tells SSE2 MOVSD and CMPSD from the string instructions', () =>
        check([
            ['f2 0f 10 c1', 64, 'movsd xmm0, xmm1'],
            ['f2 0f c2 c1 01', 64, 'cmpltsd xmm0, xmm1'],
            ['0f c2 c1 08', 64, 'cmpps xmm0, xmm1, 0x8'],
            ['a7', 32, 'cmpsd'],
        ]));

    it('writes x87 stack registers as the manuals do', () =>
        check([
            ['d8 c1', 64, 'fadd st, st(1)'],
            ['dc c0', 64, 'fadd st(0), st'],
            ['d9 c9', 64, 'fxch st(1)'],
            ['d9 c0', 64, 'fld st(0)'],
            ['de d9', 64, 'fcompp'],
            ['df f1', 64, 'fcomip st, st(1)'],
        ]));

    it('shows implicit XMM0', () => check([['66 0f 38 14 c1', 64, 'blendvps xmm0, xmm1, xmm0']]));

    it('adds symbols to branch targets, memory and immediates', () => {
        const symbol = (address: bigint): string | undefined =>
            address === 0x2000n ? 'main' : address === 0xffff_ffff_8200_0000n ? 'table+0x10' : undefined;
        assert.equal(list('e8 fb 0f 00 00', 64, 0x1000n, { symbol }), 'call 0x2000 <main>');
        assert.equal(list('e8 fc 0f 00 00', 64, 0x1000n, { symbol }), 'call 0x2001');
        assert.equal(list('8b 05 fa 0f 00 00', 64, 0x1000n, { symbol }), 'mov eax, [rip+0xffa]  # 0x2000 <main>');
        assert.equal(
            list('48 8b 04 fd 00 00 00 82', 64, 0x1000n, { symbol }),
            'mov rax, [rdi*8-0x7e000000]  # <table+0x10>',
        );
        assert.equal(
            list('48 c7 c7 00 00 00 82', 64, 0x1000n, { symbol }),
            'mov rdi, 0xffffffff82000000  # <table+0x10>',
        );
        assert.equal(list('64 8b 04 25 00 20 00 00', 64, 0x1000n, { symbol }), 'mov eax, fs:[0x2000]');
    });
});

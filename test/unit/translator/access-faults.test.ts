/** Faults of accesses and branches, in both tiers: which one, where, and with nothing half done. */
import assert from 'node:assert/strict';
import { Gpr } from '../../../src/isa/x86';
import {
    CaseOffset,
    CODE_PAGE,
    CodeKind,
    DATA,
    ENTRY_OFFSET,
    FxsaveOffset,
    InstructionCase,
    ResultOffset,
} from '../../differential/instructions/layout';
import { TestMachine } from '../../differential/instructions/machine';
import { instructionsOf } from '../../differential/instructions/session';

const NOT_CANONICAL = 0x1234_5678_9abc_def0n;
const STACK = BigInt(DATA + 0x1000);
const UNMAPPED = BigInt(DATA + 0x2000);
const ENTRY = CODE_PAGE + ENTRY_OFFSET;

const enum Vector {
    BP = 3,
    SS = 12,
    GP = 13,
    PF = 14,
    AC = 17,
}

interface Setup {
    readonly code: string;
    readonly kind?: CodeKind;
    readonly gpr?: Readonly<Partial<Record<Gpr, bigint>>>;
    readonly flags?: number;
    readonly fcw?: number;
    /** x87 registers that are in use, one bit each from ST(0). */
    readonly tags?: number;
}

interface Outcome {
    readonly vector: number;
    readonly errorCode: number;
    readonly rip: number;
    readonly address: bigint;
    readonly rsp: bigint;
    readonly rax: bigint;
    /** The last 64 bytes before the unmapped page. */
    readonly end: string;
    /** 64 bytes around the boundary of the data pages. */
    readonly middle: string;
}

function caseOf({ code, kind, gpr, flags, fcw, tags }: Setup): InstructionCase {
    const test = new InstructionCase();
    const bytes = Buffer.from(code.replaceAll(' ', ''), 'hex');
    test.bytes.set(bytes, CaseOffset.code);
    test.codeLength = bytes.length;
    test.kind = kind ?? CodeKind.Code64;
    test.setGpr(Gpr.Rsp, STACK);
    for (const [register, value] of Object.entries(gpr ?? {})) {
        test.setGpr(Number(register), value);
    }
    test.view.setUint32(CaseOffset.rflags, 0x202 | (flags ?? 0), true);
    test.view.setUint16(CaseOffset.fxsave + FxsaveOffset.fcw, fcw ?? 0x37f, true);
    test.view.setUint8(CaseOffset.fxsave + FxsaveOffset.ftw, tags ?? 0);
    test.view.setUint32(CaseOffset.fxsave + FxsaveOffset.mxcsr, 0x1f80, true);
    for (let i = 0; i < 640; i++) {
        test.bytes[CaseOffset.data + i] = i;
    }
    return test;
}

/** What becomes of the case, having checked that both tiers agree on everything. */
function run(setup: Setup): Outcome {
    const test = caseOf(setup);
    const [interpreted, translated] = (['interpreter', 'region'] as const).map(tier => {
        let outcome: DataView | undefined;
        new TestMachine(tier).runAll([{ test, instructions: instructionsOf(test) }], result => {
            assert.ok(result instanceof DataView, String(result));
            outcome = result;
        });
        return outcome!;
    });
    const hex = (view: DataView, from: number, size: number): string =>
        Buffer.from(view.buffer, view.byteOffset + from, size).toString('hex');
    assert.equal(hex(translated, 0, ResultOffset.size), hex(interpreted, 0, ResultOffset.size), 'the tiers differ');
    return {
        vector: interpreted.getUint32(ResultOffset.fault, true) - 1,
        errorCode: interpreted.getUint32(ResultOffset.errorCode, true),
        rip: interpreted.getUint32(ResultOffset.rip, true),
        address: interpreted.getBigUint64(ResultOffset.cr2, true),
        rsp: interpreted.getBigUint64(ResultOffset.gpr + 8 * Gpr.Rsp, true),
        rax: interpreted.getBigUint64(ResultOffset.gpr, true),
        end: hex(interpreted, ResultOffset.data + 576, 64),
        middle: hex(interpreted, ResultOffset.data + 64 + 224, 64),
    };
}

const UNTOUCHED_END = Buffer.from(Array.from({ length: 64 }, (_, i) => (576 + i) & 0xff)).toString('hex');
const UNTOUCHED_MIDDLE = Buffer.from(Array.from({ length: 64 }, (_, i) => (288 + i) & 0xff)).toString('hex');

function assertFault(outcome: Outcome, vector: Vector, errorCode = 0): void {
    assert.deepEqual({ vector: outcome.vector, errorCode: outcome.errorCode }, { vector, errorCode });
}

describe('faults of accesses', () => {
    it('raises #SS(0) through SS and #GP(0) through others for addresses that are not canonical', () => {
        assertFault(run({ code: '8b 03', gpr: { [Gpr.Rbx]: NOT_CANONICAL } }), Vector.GP);
        assertFault(run({ code: '8b 45 00', gpr: { [Gpr.Rbp]: NOT_CANONICAL } }), Vector.SS);
        assertFault(run({ code: '50', gpr: { [Gpr.Rsp]: NOT_CANONICAL } }), Vector.SS);
        assertFault(run({ code: '58', gpr: { [Gpr.Rsp]: NOT_CANONICAL } }), Vector.SS);
        assertFault(run({ code: 'c9', gpr: { [Gpr.Rbp]: NOT_CANONICAL } }), Vector.SS);
    });

    it('tells the operand from the stack where an instruction accesses both', () => {
        assertFault(run({ code: 'ff 33', gpr: { [Gpr.Rbx]: NOT_CANONICAL } }), Vector.GP);
        assertFault(run({ code: 'ff 33', gpr: { [Gpr.Rbx]: STACK, [Gpr.Rsp]: NOT_CANONICAL } }), Vector.SS);
        assertFault(run({ code: '8f 03', gpr: { [Gpr.Rbx]: NOT_CANONICAL } }), Vector.GP);
    });

    it('raises them too for accesses whose last byte alone is not canonical', () => {
        assertFault(run({ code: '48 8b 03', gpr: { [Gpr.Rbx]: 0x7fff_ffff_fffcn } }), Vector.GP);
    });

    it('refuses accesses beyond 4 GiB through flat segments', () => {
        const kind = CodeKind.Code32;
        assertFault(run({ kind, code: '8b 03', gpr: { [Gpr.Rbx]: 0xffff_fffdn } }), Vector.GP);
        assertFault(run({ kind, code: '58', gpr: { [Gpr.Rsp]: 0xffff_fffen } }), Vector.SS);
    });

    it('reads the lower bound of BOUND before it checks where the upper one is', () => {
        const outcome = run({ kind: CodeKind.Code32, code: '62 03', gpr: { [Gpr.Rbx]: 0xffff_fffcn } });
        assertFault(outcome, Vector.PF, 4);
        assert.equal(outcome.address, 0xffff_fffcn);
    });

    it('reads the operand of CMPS at ES:rDI first, as processors do', () => {
        for (const code of ['a6', '48 a7', 'f3 a6']) {
            const gpr = { [Gpr.Rsi]: UNMAPPED + 0x10n, [Gpr.Rdi]: UNMAPPED + 0x20n, [Gpr.Rcx]: 1n };
            const outcome = run({ code, gpr });
            assertFault(outcome, Vector.PF, 4);
            assert.equal(outcome.address, UNMAPPED + 0x20n, code);
        }
    });

    it('checks the alignment of vectors before the segment', () => {
        const kind = CodeKind.Code32Segmented;
        assertFault(run({ kind, code: '0f 28 45 00', gpr: { [Gpr.Rbp]: 0x9001n } }), Vector.GP);
        assertFault(run({ kind, code: '0f 28 45 00', gpr: { [Gpr.Rbp]: 0x9000n } }), Vector.SS);
    });

    it('raises #AC(0) for misaligned operands once RFLAGS.AC is set, after #GP(0) and before #PF', () => {
        const flags = 1 << 18;
        assertFault(run({ code: '8b 03', flags, gpr: { [Gpr.Rbx]: STACK + 2n } }), Vector.AC);
        assertFault(run({ code: '8b 03', flags, gpr: { [Gpr.Rbx]: STACK + 4n } }), Vector.BP);
        assertFault(run({ code: '8b 03', flags, gpr: { [Gpr.Rbx]: UNMAPPED + 2n } }), Vector.AC);
        assertFault(run({ code: '8b 03', flags, gpr: { [Gpr.Rbx]: NOT_CANONICAL + 1n } }), Vector.GP);
        assertFault(run({ code: '8b 03', gpr: { [Gpr.Rbx]: STACK + 2n } }), Vector.BP);
    });

    it('leaves memory alone when the second half of an 80-bit store faults', () => {
        const outcome = run({ code: 'db 3b', tags: 1, gpr: { [Gpr.Rbx]: UNMAPPED - 8n } });
        assertFault(outcome, Vector.PF, 6);
        assert.equal(outcome.address, UNMAPPED);
        assert.equal(outcome.end, UNTOUCHED_END);
    });

    it('checks the operand of an x87 store that an unmasked exception suppresses', () => {
        const outcome = run({ code: 'd9 1b', fcw: 0x37e, gpr: { [Gpr.Rbx]: UNMAPPED } });
        assertFault(outcome, Vector.PF, 6);
    });

    it('runs nested ENTER over its own display once only', () => {
        const outcome = run({ code: 'c8 00 f0 1f', gpr: { [Gpr.Rsp]: STACK + 32n, [Gpr.Rbp]: STACK + 16n } });
        assertFault(outcome, Vector.PF, 6);
    });
});

describe('faults of branches', () => {
    for (const [name, code] of [
        ['JMP', 'ff e0'],
        ['CALL', 'ff d0'],
    ] as const) {
        it(`blames ${name} for a target that is not canonical`, () => {
            const outcome = run({ code, gpr: { [Gpr.Rax]: NOT_CANONICAL } });
            assertFault(outcome, Vector.GP);
            assert.equal(outcome.rip, ENTRY);
            assert.equal(outcome.rsp, STACK);
            assert.equal(outcome.middle, UNTOUCHED_MIDDLE);
        });
    }

    it('blames RET for a return address that is not canonical', () => {
        // The bytes of the stack are one.
        const outcome = run({ code: 'c3' });
        assertFault(outcome, Vector.GP);
        assert.equal(outcome.rip, ENTRY);
        assert.equal(outcome.rsp, STACK);
    });

    it('has the push of a CALL fault before its target', () => {
        assertFault(run({ code: 'ff d0', gpr: { [Gpr.Rax]: NOT_CANONICAL, [Gpr.Rsp]: NOT_CANONICAL } }), Vector.SS);
    });

    it('blames the branch whose target lies beyond the limit of the code segment', () => {
        // In a segment of 64 KiB: jmp eax; jmp rel32.
        const kind = CodeKind.Code16;
        for (const code of ['66 ff e0', '66 e9 00 00 02 00']) {
            const outcome = run({ kind, code, gpr: { [Gpr.Rax]: 0x10000n } });
            assertFault(outcome, Vector.GP);
            assert.equal(outcome.rip, ENTRY_OFFSET);
        }
    });
});

describe('leaving a region', () => {
    it('goes on after what the region has done', () => {
        const outcome = run({ code: 'ff c0 ff c0 fa ff c0', gpr: { [Gpr.Rax]: 5n } });
        assertFault(outcome, Vector.GP); // CLI
        assert.equal(outcome.rax, 7n);
        assert.equal(outcome.rip, ENTRY + 4);
    });
});

/**
 * Every way in which the decoder is meant to differ from iced-x86, and why. The differential test counts how often each
 * applies, and fails if one never does.
 */

import * as iced from 'iced-x86';
import { type CodeSize, DecodeFailure, type Instruction } from '../../../src/isa/x86';
import { type Aspect, referenceMnemonic } from './reference';

/** A documented difference. */
export interface DecoderException {
    readonly reason: string;
    /** What need not agree; `validity` is for bytes that are an instruction to the reference alone. */
    readonly excuses: readonly (Aspect | 'validity')[];
    readonly applies: (ours: Instruction | DecodeFailure, theirs: iced.Instruction, codeSize: CodeSize) => boolean;
}

/** CPUID features that the machine does not advertise and the table has no rows for. */
const ABSENT_FEATURES = new Set(
    `AVX AVX2 AVX512F AVX512VL AVX512BW AVX512DQ AVX512CD AVX512_BF16 AVX512_FP16 AVX512_IFMA AVX512_VBMI AVX512_VBMI2
     AVX512_BITALG AVX512_VNNI AVX512_VPOPCNTDQ AVX512_VP2INTERSECT AVX512ER AVX512PF AVX512_4FMAPS AVX512_4VNNIW
     AVX_VNNI AVX_VNNI_INT8 AVX_VNNI_INT16 AVX_IFMA AVX_NE_CONVERT VAES VPCLMULQDQ GFNI SHA512 SM3 SM4
     AMX_TILE AMX_INT8 AMX_BF16 AMX_FP16 AMX_COMPLEX F16C FMA FMA4 XOP TBM LWP SSE4A D3NOW D3NOWEXT
     VMX INVEPT INVVPID SVM SKINIT SKINIT_or_SVM SEV_ES SEV_SNP SMX SGX1 TDX TSE PCONFIG OSS RMPQUERY
     RTM HLE_or_RTM TSXLDTRK CET_SS UINTR FRED LKGS KL AESKLE WIDE_KL PKU PTWRITE WAITPKG ENQCMD MOVDIRI MOVDIR64B
     SERIALIZE HRESET CMPCCXADD RAO_INT MSRLIST WRMSRNS INVLPGB MCOMMIT MONITORX CLZERO RDPRU
     PADLOCK_ACE PADLOCK_PHE PADLOCK_PMM PADLOCK_RNG PADLOCK_GMI PADLOCK_UNDOC`.split(/\s+/),
);

/** Hints in encodings that were no-ops before, and must go on being such where the hint is not supported. */
const HINT_ENCODINGS: Readonly<Record<string, string>> = {
    CLDEMOTE: 'NOP',
    PREFETCHIT0: 'NOP',
    PREFETCHIT1: 'NOP',
    PREFETCH: 'NOP',
    PREFETCHW: 'NOP',
    WBNOINVD: 'WBINVD',
};

const WORD_OPERANDS = new Set(['LLDT', 'LTR', 'LMSW', 'VERR', 'VERW', 'LAR', 'LSL', 'MOV', 'ARPL']);

export const EXCEPTIONS: readonly DecoderException[] = [
    {
        reason: 'the reference knows extensions that the machine does not advertise: undefined here, as on a CPU without',
        excuses: ['validity'],
        applies: (ours, theirs) =>
            ours === DecodeFailure.Undefined &&
            theirs.cpuidFeatures().some(feature => ABSENT_FEATURES.has(iced.CpuidFeature[feature])),
    },
    {
        reason: 'newer hints (CLDEMOTE, PREFETCHITn, WBNOINVD, AMD’s reserved PREFETCH) run as the no-op they extend',
        excuses: ['mnemonic', 'operands'],
        applies: (ours, theirs) =>
            typeof ours !== 'number' && HINT_ENCODINGS[referenceMnemonic(theirs)] === ours.row.mnemonic,
    },
    {
        reason: 'reserved no-ops are NOP Ev in the manual’s opcode map; the reference adds ModRM.reg as an operand',
        excuses: ['operands'],
        applies: (ours, theirs) =>
            typeof ours !== 'number' &&
            ours.row.mnemonic === 'NOP' &&
            theirs.opCount === 2 &&
            iced.Code[theirs.code].startsWith('Reservednop'),
    },
    {
        reason: 'XLAT has no operands in the table; the reference lists DS:[rBX+AL]',
        excuses: ['operands'],
        applies: ours => typeof ours !== 'number' && ours.row.mnemonic === 'XLAT',
    },
    {
        reason: 'F3 REX.B 90: CPUs exchange R8 with rAX (tried on AMD Zen); the reference says PAUSE',
        excuses: ['mnemonic', 'operands'],
        applies: (ours, theirs) =>
            typeof ours !== 'number' && ours.row.opcode === 'REX.B 90' && theirs.mnemonic === iced.Mnemonic.Pause,
    },
    {
        reason: 'operands that the manual calls Ew are words here; the reference names the register by operand size',
        excuses: ['register size'],
        applies: ours =>
            typeof ours !== 'number' && WORD_OPERANDS.has(ours.row.mnemonic) && ours.row.operands.includes('Ew'),
    },
    {
        reason: 'ES, CS, SS, DS overrides in 64-bit mode are ignored here; the reference reports them as the segment',
        excuses: ['segment'],
        applies: (_, theirs, codeSize) =>
            codeSize === 64 && theirs.segmentPrefix >= iced.Register.ES && theirs.segmentPrefix <= iced.Register.DS,
    },
];

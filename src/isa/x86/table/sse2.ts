import { type RowGroup } from './notation';

/** SSE2 instructions on XMM registers (SDM Vol. 1, 5.6). */
export const SSE2: RowGroup = {
    feature: 'sse2',
    attributes: 'sse aligned',
    rows: `
# Moves
66 0F 10 /r            MOVUPD Vpd,Wpd               unaligned
66 0F 11 /r            MOVUPD Wpd,Vpd               unaligned
F2 0F 10 /r            MOVSD Vsd,Wsd
F2 0F 11 /r            MOVSD Wsd,Vsd
66 0F 12 /r            MOVLPD Vq,Mq
66 0F 13 /r            MOVLPD Mq,Vq
66 0F 16 /r            MOVHPD Vq,Mq
66 0F 17 /r            MOVHPD Mq,Vq
66 0F 28 /r            MOVAPD Vpd,Wpd
66 0F 29 /r            MOVAPD Wpd,Vpd
66 0F 2B /r            MOVNTPD Mpd,Vpd
66 0F 50 /r            MOVMSKPD Gy,Upd
66 0F 6E /r            MOVD Vd,Ed
66 REX.W 0F 6E /r      MOVQ Vq,Eq
66 0F 7E /r            MOVD Ed,Vd
66 REX.W 0F 7E /r      MOVQ Eq,Vq
66 0F 6F /r            MOVDQA Vdq,Wdq
66 0F 7F /r            MOVDQA Wdq,Vdq
F3 0F 6F /r            MOVDQU Vdq,Wdq               unaligned
F3 0F 7F /r            MOVDQU Wdq,Vdq               unaligned
F3 0F 7E /r            MOVQ Vq,Wq
66 0F D6 /r            MOVQ Wq,Vq
66 0F E7 /r            MOVNTDQ Mdq,Vdq
66 0F F7 /r            MASKMOVDQU Vdq,Udq
F3 0F D6 /r            MOVQ2DQ Vdq,Nq               mmx
F2 0F D6 /r            MOVDQ2Q Pq,Uq                mmx

# Double-precision arithmetic
66 0F 51 /r            SQRTPD Vpd,Wpd
F2 0F 51 /r            SQRTSD Vsd,Wsd
66 0F 58 /r            ADDPD Vpd,Wpd
F2 0F 58 /r            ADDSD Vsd,Wsd
66 0F 59 /r            MULPD Vpd,Wpd
F2 0F 59 /r            MULSD Vsd,Wsd
66 0F 5C /r            SUBPD Vpd,Wpd
F2 0F 5C /r            SUBSD Vsd,Wsd
66 0F 5D /r            MINPD Vpd,Wpd
F2 0F 5D /r            MINSD Vsd,Wsd
66 0F 5E /r            DIVPD Vpd,Wpd
F2 0F 5E /r            DIVSD Vsd,Wsd
66 0F 5F /r            MAXPD Vpd,Wpd
F2 0F 5F /r            MAXSD Vsd,Wsd

# Logic, shuffles, compares
66 0F 54 /r            ANDPD Vpd,Wpd
66 0F 55 /r            ANDNPD Vpd,Wpd
66 0F 56 /r            ORPD Vpd,Wpd
66 0F 57 /r            XORPD Vpd,Wpd
66 0F 14 /r            UNPCKLPD Vpd,Wpd
66 0F 15 /r            UNPCKHPD Vpd,Wpd
66 0F C6 /r            SHUFPD Vpd,Wpd,Ib
66 0F C2 /r            CMPPD Vpd,Wpd,Ib
F2 0F C2 /r            CMPSD Vsd,Wsd,Ib
66 0F 2E /r            UCOMISD Vsd,Wsd              w:oszapc
66 0F 2F /r            COMISD Vsd,Wsd               w:oszapc

# Conversions
66 0F 2A /r            CVTPI2PD Vpd,Qq              mmx
66 0F 2C /r            CVTTPD2PI Pq,Wpd             mmx
66 0F 2D /r            CVTPD2PI Pq,Wpd              mmx
F2 0F 2A /r            CVTSI2SD Vsd,Ey
F2 0F 2C /r            CVTTSD2SI Gy,Wsd
F2 0F 2D /r            CVTSD2SI Gy,Wsd
NP 0F 5A /r            CVTPS2PD Vpd,Wq
66 0F 5A /r            CVTPD2PS Vps,Wpd
F3 0F 5A /r            CVTSS2SD Vsd,Wss
F2 0F 5A /r            CVTSD2SS Vss,Wsd
NP 0F 5B /r            CVTDQ2PS Vps,Wdq
66 0F 5B /r            CVTPS2DQ Vdq,Wps
F3 0F 5B /r            CVTTPS2DQ Vdq,Wps
F3 0F E6 /r            CVTDQ2PD Vpd,Wq
66 0F E6 /r            CVTTPD2DQ Vdq,Wpd
F2 0F E6 /r            CVTPD2DQ Vdq,Wpd

# Packed integers, as in MMX
66 0F 60 /r            PUNPCKLBW Vdq,Wdq
66 0F 61 /r            PUNPCKLWD Vdq,Wdq
66 0F 62 /r            PUNPCKLDQ Vdq,Wdq
66 0F 63 /r            PACKSSWB Vdq,Wdq
66 0F 64 /r            PCMPGTB Vdq,Wdq
66 0F 65 /r            PCMPGTW Vdq,Wdq
66 0F 66 /r            PCMPGTD Vdq,Wdq
66 0F 67 /r            PACKUSWB Vdq,Wdq
66 0F 68 /r            PUNPCKHBW Vdq,Wdq
66 0F 69 /r            PUNPCKHWD Vdq,Wdq
66 0F 6A /r            PUNPCKHDQ Vdq,Wdq
66 0F 6B /r            PACKSSDW Vdq,Wdq
66 0F 74 /r            PCMPEQB Vdq,Wdq
66 0F 75 /r            PCMPEQW Vdq,Wdq
66 0F 76 /r            PCMPEQD Vdq,Wdq
66 0F D1 /r            PSRLW Vdq,Wdq
66 0F D2 /r            PSRLD Vdq,Wdq
66 0F D3 /r            PSRLQ Vdq,Wdq
66 0F D5 /r            PMULLW Vdq,Wdq
66 0F D8 /r            PSUBUSB Vdq,Wdq
66 0F D9 /r            PSUBUSW Vdq,Wdq
66 0F DB /r            PAND Vdq,Wdq
66 0F DC /r            PADDUSB Vdq,Wdq
66 0F DD /r            PADDUSW Vdq,Wdq
66 0F DF /r            PANDN Vdq,Wdq
66 0F E1 /r            PSRAW Vdq,Wdq
66 0F E2 /r            PSRAD Vdq,Wdq
66 0F E5 /r            PMULHW Vdq,Wdq
66 0F E8 /r            PSUBSB Vdq,Wdq
66 0F E9 /r            PSUBSW Vdq,Wdq
66 0F EB /r            POR Vdq,Wdq
66 0F EC /r            PADDSB Vdq,Wdq
66 0F ED /r            PADDSW Vdq,Wdq
66 0F EF /r            PXOR Vdq,Wdq
66 0F F1 /r            PSLLW Vdq,Wdq
66 0F F2 /r            PSLLD Vdq,Wdq
66 0F F3 /r            PSLLQ Vdq,Wdq
66 0F F5 /r            PMADDWD Vdq,Wdq
66 0F F8 /r            PSUBB Vdq,Wdq
66 0F F9 /r            PSUBW Vdq,Wdq
66 0F FA /r            PSUBD Vdq,Wdq
66 0F FC /r            PADDB Vdq,Wdq
66 0F FD /r            PADDW Vdq,Wdq
66 0F FE /r            PADDD Vdq,Wdq
66 0F DA /r            PMINUB Vdq,Wdq
66 0F DE /r            PMAXUB Vdq,Wdq
66 0F E0 /r            PAVGB Vdq,Wdq
66 0F E3 /r            PAVGW Vdq,Wdq
66 0F E4 /r            PMULHUW Vdq,Wdq
66 0F EA /r            PMINSW Vdq,Wdq
66 0F EE /r            PMAXSW Vdq,Wdq
66 0F F6 /r            PSADBW Vdq,Wdq
66 0F C4 /r            PINSRW Vdq,Ry/Mw,Ib
66 0F C5 /r            PEXTRW Gy,Udq,Ib
66 0F D7 /r            PMOVMSKB Gy,Udq

# Packed integers, new
66 0F 6C /r            PUNPCKLQDQ Vdq,Wdq
66 0F 6D /r            PUNPCKHQDQ Vdq,Wdq
66 0F D4 /r            PADDQ Vdq,Wdq
66 0F FB /r            PSUBQ Vdq,Wdq
66 0F F4 /r            PMULUDQ Vdq,Wdq
66 0F 70 /r            PSHUFD Vdq,Wdq,Ib
F3 0F 70 /r            PSHUFHW Vdq,Wdq,Ib
F2 0F 70 /r            PSHUFLW Vdq,Wdq,Ib

# Shifts by an immediate
66 0F 71 /2            PSRLW Udq,Ib
66 0F 71 /4            PSRAW Udq,Ib
66 0F 71 /6            PSLLW Udq,Ib
66 0F 72 /2            PSRLD Udq,Ib
66 0F 72 /4            PSRAD Udq,Ib
66 0F 72 /6            PSLLD Udq,Ib
66 0F 73 /2            PSRLQ Udq,Ib
66 0F 73 /6            PSLLQ Udq,Ib
66 0F 73 /3            PSRLDQ Udq,Ib
66 0F 73 /7            PSLLDQ Udq,Ib
`,
};

/** What SSE2 added to MMX (SDM Vol. 1, 5.6.3). */
export const SSE2_MMX: RowGroup = {
    feature: 'sse2',
    attributes: 'mmx',
    rows: `
# Additions to MMX
NP 0F D4 /r            PADDQ Pq,Qq
NP 0F FB /r            PSUBQ Pq,Qq
NP 0F F4 /r            PMULUDQ Pq,Qq
`,
};

/** What SSE2 added outside its registers; CLFLUSH, MOVNTI and PAUSE stand elsewhere. */
export const SSE2_ORDERING: RowGroup = {
    feature: 'sse2',
    attributes: '',
    rows: `
# Ordering; the CPU ignores ModRM.rm here
NP 0F AE /5 reg        LFENCE
NP 0F AE /6 reg        MFENCE
`,
};

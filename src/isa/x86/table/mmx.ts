import { type RowGroup } from './notation';

/** MMX instructions (SDM Vol. 1, 5.4). Those that SSE and later extensions added stand with their extension. */
export const MMX: RowGroup = {
    feature: 'mmx',
    attributes: 'mmx',
    rows: `
# Moves
NP 0F 6E /r            MOVD Pd,Ed
NP REX.W 0F 6E /r      MOVQ Pq,Eq
NP 0F 7E /r            MOVD Ed,Pd
NP REX.W 0F 7E /r      MOVQ Eq,Pq
NP 0F 6F /r            MOVQ Pq,Qq
NP 0F 7F /r            MOVQ Qq,Pq

# Packed integers
NP 0F 60 /r            PUNPCKLBW Pq,Qd
NP 0F 61 /r            PUNPCKLWD Pq,Qd
NP 0F 62 /r            PUNPCKLDQ Pq,Qd
NP 0F 63 /r            PACKSSWB Pq,Qq
NP 0F 64 /r            PCMPGTB Pq,Qq
NP 0F 65 /r            PCMPGTW Pq,Qq
NP 0F 66 /r            PCMPGTD Pq,Qq
NP 0F 67 /r            PACKUSWB Pq,Qq
NP 0F 68 /r            PUNPCKHBW Pq,Qq
NP 0F 69 /r            PUNPCKHWD Pq,Qq
NP 0F 6A /r            PUNPCKHDQ Pq,Qq
NP 0F 6B /r            PACKSSDW Pq,Qq
NP 0F 74 /r            PCMPEQB Pq,Qq
NP 0F 75 /r            PCMPEQW Pq,Qq
NP 0F 76 /r            PCMPEQD Pq,Qq
NP 0F D1 /r            PSRLW Pq,Qq
NP 0F D2 /r            PSRLD Pq,Qq
NP 0F D3 /r            PSRLQ Pq,Qq
NP 0F D5 /r            PMULLW Pq,Qq
NP 0F D8 /r            PSUBUSB Pq,Qq
NP 0F D9 /r            PSUBUSW Pq,Qq
NP 0F DB /r            PAND Pq,Qq
NP 0F DC /r            PADDUSB Pq,Qq
NP 0F DD /r            PADDUSW Pq,Qq
NP 0F DF /r            PANDN Pq,Qq
NP 0F E1 /r            PSRAW Pq,Qq
NP 0F E2 /r            PSRAD Pq,Qq
NP 0F E5 /r            PMULHW Pq,Qq
NP 0F E8 /r            PSUBSB Pq,Qq
NP 0F E9 /r            PSUBSW Pq,Qq
NP 0F EB /r            POR Pq,Qq
NP 0F EC /r            PADDSB Pq,Qq
NP 0F ED /r            PADDSW Pq,Qq
NP 0F EF /r            PXOR Pq,Qq
NP 0F F1 /r            PSLLW Pq,Qq
NP 0F F2 /r            PSLLD Pq,Qq
NP 0F F3 /r            PSLLQ Pq,Qq
NP 0F F5 /r            PMADDWD Pq,Qq
NP 0F F8 /r            PSUBB Pq,Qq
NP 0F F9 /r            PSUBW Pq,Qq
NP 0F FA /r            PSUBD Pq,Qq
NP 0F FC /r            PADDB Pq,Qq
NP 0F FD /r            PADDW Pq,Qq
NP 0F FE /r            PADDD Pq,Qq

# Shifts by an immediate
NP 0F 71 /2            PSRLW Nq,Ib
NP 0F 71 /4            PSRAW Nq,Ib
NP 0F 71 /6            PSLLW Nq,Ib
NP 0F 72 /2            PSRLD Nq,Ib
NP 0F 72 /4            PSRAD Nq,Ib
NP 0F 72 /6            PSLLD Nq,Ib
NP 0F 73 /2            PSRLQ Nq,Ib
NP 0F 73 /6            PSLLQ Nq,Ib

# State
NP 0F 77               EMMS
`,
};

import { type RowGroup } from './notation';

/** SSE3 instructions (SDM Vol. 1, 5.7); FISTTP stands with x87, MONITOR and MWAIT with the system instructions. */
export const SSE3: RowGroup = {
    feature: 'sse3',
    attributes: 'sse aligned',
    rows: `
F3 0F 12 /r            MOVSLDUP Vps,Wps
F3 0F 16 /r            MOVSHDUP Vps,Wps
F2 0F 12 /r            MOVDDUP Vpd,Wq
F2 0F F0 /r            LDDQU Vdq,Mdq                unaligned
66 0F D0 /r            ADDSUBPD Vpd,Wpd
F2 0F D0 /r            ADDSUBPS Vps,Wps
66 0F 7C /r            HADDPD Vpd,Wpd
F2 0F 7C /r            HADDPS Vps,Wps
66 0F 7D /r            HSUBPD Vpd,Wpd
F2 0F 7D /r            HSUBPS Vps,Wps
`,
};

/** SSSE3 instructions on XMM registers (SDM Vol. 1, 5.8). */
export const SSSE3: RowGroup = {
    feature: 'ssse3',
    attributes: 'sse aligned',
    rows: `
66 0F 38 00 /r         PSHUFB Vdq,Wdq
66 0F 38 01 /r         PHADDW Vdq,Wdq
66 0F 38 02 /r         PHADDD Vdq,Wdq
66 0F 38 03 /r         PHADDSW Vdq,Wdq
66 0F 38 04 /r         PMADDUBSW Vdq,Wdq
66 0F 38 05 /r         PHSUBW Vdq,Wdq
66 0F 38 06 /r         PHSUBD Vdq,Wdq
66 0F 38 07 /r         PHSUBSW Vdq,Wdq
66 0F 38 08 /r         PSIGNB Vdq,Wdq
66 0F 38 09 /r         PSIGNW Vdq,Wdq
66 0F 38 0A /r         PSIGND Vdq,Wdq
66 0F 38 0B /r         PMULHRSW Vdq,Wdq
66 0F 38 1C /r         PABSB Vdq,Wdq
66 0F 38 1D /r         PABSW Vdq,Wdq
66 0F 38 1E /r         PABSD Vdq,Wdq
66 0F 3A 0F /r         PALIGNR Vdq,Wdq,Ib
`,
};

/** SSSE3 instructions on MMX registers. */
export const SSSE3_MMX: RowGroup = {
    feature: 'ssse3',
    attributes: 'mmx',
    rows: `
NP 0F 38 00 /r         PSHUFB Pq,Qq
NP 0F 38 01 /r         PHADDW Pq,Qq
NP 0F 38 02 /r         PHADDD Pq,Qq
NP 0F 38 03 /r         PHADDSW Pq,Qq
NP 0F 38 04 /r         PMADDUBSW Pq,Qq
NP 0F 38 05 /r         PHSUBW Pq,Qq
NP 0F 38 06 /r         PHSUBD Pq,Qq
NP 0F 38 07 /r         PHSUBSW Pq,Qq
NP 0F 38 08 /r         PSIGNB Pq,Qq
NP 0F 38 09 /r         PSIGNW Pq,Qq
NP 0F 38 0A /r         PSIGND Pq,Qq
NP 0F 38 0B /r         PMULHRSW Pq,Qq
NP 0F 38 1C /r         PABSB Pq,Qq
NP 0F 38 1D /r         PABSW Pq,Qq
NP 0F 38 1E /r         PABSD Pq,Qq
NP 0F 3A 0F /r         PALIGNR Pq,Qq,Ib
`,
};

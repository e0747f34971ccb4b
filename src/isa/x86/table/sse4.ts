import { type RowGroup } from './notation';

/** SSE4.1 instructions (SDM Vol. 1, 5.10). */
export const SSE4_1: RowGroup = {
    feature: 'sse4.1',
    attributes: 'sse aligned',
    rows: `
# Blends, dot products, rounding
66 0F 38 10 /r         PBLENDVB Vdq,Wdq,XMM0
66 0F 38 14 /r         BLENDVPS Vps,Wps,XMM0
66 0F 38 15 /r         BLENDVPD Vpd,Wpd,XMM0
66 0F 3A 0C /r         BLENDPS Vps,Wps,Ib
66 0F 3A 0D /r         BLENDPD Vpd,Wpd,Ib
66 0F 3A 0E /r         PBLENDW Vdq,Wdq,Ib
66 0F 3A 40 /r         DPPS Vps,Wps,Ib
66 0F 3A 41 /r         DPPD Vpd,Wpd,Ib
66 0F 3A 08 /r         ROUNDPS Vps,Wps,Ib
66 0F 3A 09 /r         ROUNDPD Vpd,Wpd,Ib
66 0F 3A 0A /r         ROUNDSS Vss,Wss,Ib
66 0F 3A 0B /r         ROUNDSD Vsd,Wsd,Ib

# Test, extension
66 0F 38 17 /r         PTEST Vdq,Wdq                w:oszapc
66 0F 38 20 /r         PMOVSXBW Vdq,Udq/Mq
66 0F 38 21 /r         PMOVSXBD Vdq,Udq/Md
66 0F 38 22 /r         PMOVSXBQ Vdq,Udq/Mw
66 0F 38 23 /r         PMOVSXWD Vdq,Udq/Mq
66 0F 38 24 /r         PMOVSXWQ Vdq,Udq/Md
66 0F 38 25 /r         PMOVSXDQ Vdq,Udq/Mq
66 0F 38 30 /r         PMOVZXBW Vdq,Udq/Mq
66 0F 38 31 /r         PMOVZXBD Vdq,Udq/Md
66 0F 38 32 /r         PMOVZXBQ Vdq,Udq/Mw
66 0F 38 33 /r         PMOVZXWD Vdq,Udq/Mq
66 0F 38 34 /r         PMOVZXWQ Vdq,Udq/Md
66 0F 38 35 /r         PMOVZXDQ Vdq,Udq/Mq

# Packed integers
66 0F 38 28 /r         PMULDQ Vdq,Wdq
66 0F 38 29 /r         PCMPEQQ Vdq,Wdq
66 0F 38 2B /r         PACKUSDW Vdq,Wdq
66 0F 38 38 /r         PMINSB Vdq,Wdq
66 0F 38 39 /r         PMINSD Vdq,Wdq
66 0F 38 3A /r         PMINUW Vdq,Wdq
66 0F 38 3B /r         PMINUD Vdq,Wdq
66 0F 38 3C /r         PMAXSB Vdq,Wdq
66 0F 38 3D /r         PMAXSD Vdq,Wdq
66 0F 38 3E /r         PMAXUW Vdq,Wdq
66 0F 38 3F /r         PMAXUD Vdq,Wdq
66 0F 38 40 /r         PMULLD Vdq,Wdq
66 0F 38 41 /r         PHMINPOSUW Vdq,Wdq
66 0F 38 2A /r         MOVNTDQA Vdq,Mdq
66 0F 3A 42 /r         MPSADBW Vdq,Wdq,Ib

# Insertion and extraction
66 0F 3A 14 /r         PEXTRB Ry/Mb,Vdq,Ib
66 0F 3A 15 /r         PEXTRW Ry/Mw,Vdq,Ib
66 0F 3A 16 /r         PEXTRD Ed,Vdq,Ib
66 REX.W 0F 3A 16 /r   PEXTRQ Eq,Vdq,Ib
66 0F 3A 17 /r         EXTRACTPS Ry/Md,Vdq,Ib
66 0F 3A 20 /r         PINSRB Vdq,Ry/Mb,Ib
66 0F 3A 21 /r         INSERTPS Vdq,Udq/Md,Ib
66 0F 3A 22 /r         PINSRD Vdq,Ed,Ib
66 REX.W 0F 3A 22 /r   PINSRQ Vdq,Eq,Ib
`,
};

/** SSE4.2 instructions (SDM Vol. 1, 5.11); CRC32 and POPCNT stand with the integer instructions. The string compares, unlike
 * the rest of SSE, take unaligned memory. */
export const SSE4_2: RowGroup = {
    feature: 'sse4.2',
    attributes: 'sse aligned',
    rows: `
66 0F 38 37 /r         PCMPGTQ Vdq,Wdq
66 0F 3A 60 /r         PCMPESTRM Vdq,Wdq,Ib         unaligned w:oszapc
66 0F 3A 61 /r         PCMPESTRI Vdq,Wdq,Ib         unaligned w:oszapc
66 0F 3A 62 /r         PCMPISTRM Vdq,Wdq,Ib         unaligned w:oszapc
66 0F 3A 63 /r         PCMPISTRI Vdq,Wdq,Ib         unaligned w:oszapc
`,
};

import { type RowGroup } from './notation';

/** AES and carry-less multiplication (SDM Vol. 1, 5.12). */
export const AES: RowGroup = {
    feature: 'aes',
    attributes: 'sse aligned',
    rows: `
66 0F 38 DB /r         AESIMC Vdq,Wdq
66 0F 38 DC /r         AESENC Vdq,Wdq
66 0F 38 DD /r         AESENCLAST Vdq,Wdq
66 0F 38 DE /r         AESDEC Vdq,Wdq
66 0F 38 DF /r         AESDECLAST Vdq,Wdq
66 0F 3A DF /r         AESKEYGENASSIST Vdq,Wdq,Ib
66 0F 3A 44 /r         PCLMULQDQ Vdq,Wdq,Ib         @pclmulqdq
`,
};

/** SHA extensions (SDM Vol. 1, 5.18). */
export const SHA: RowGroup = {
    feature: 'sha',
    attributes: 'sse aligned',
    rows: `
NP 0F 38 C8 /r         SHA1NEXTE Vdq,Wdq
NP 0F 38 C9 /r         SHA1MSG1 Vdq,Wdq
NP 0F 38 CA /r         SHA1MSG2 Vdq,Wdq
NP 0F 38 CB /r         SHA256RNDS2 Vdq,Wdq,XMM0
NP 0F 38 CC /r         SHA256MSG1 Vdq,Wdq
NP 0F 38 CD /r         SHA256MSG2 Vdq,Wdq
NP 0F 3A CC /r         SHA1RNDS4 Vdq,Wdq,Ib
`,
};

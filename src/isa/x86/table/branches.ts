import { type RowGroup } from './notation';

/** Control transfer, interrupts, undefined opcodes and hints (SDM Vol. 1, 5.1.7, 5.1.13). */
export const BRANCHES: RowGroup = {
    feature: '',
    attributes: '',
    rows: `
# Near branches: operand size is 64 in 64-bit mode, Intel ignores 66 there
70                 JO Jb                    cond f64 r:o
71                 JNO Jb                   cond f64 r:o
72                 JB Jb                    cond f64 r:c
73                 JAE Jb                   cond f64 r:c
74                 JE Jb                    cond f64 r:z
75                 JNE Jb                   cond f64 r:z
76                 JBE Jb                   cond f64 r:zc
77                 JA Jb                    cond f64 r:zc
78                 JS Jb                    cond f64 r:s
79                 JNS Jb                   cond f64 r:s
7A                 JP Jb                    cond f64 r:p
7B                 JNP Jb                   cond f64 r:p
7C                 JL Jb                    cond f64 r:so
7D                 JGE Jb                   cond f64 r:so
7E                 JLE Jb                   cond f64 r:zso
7F                 JG Jb                    cond f64 r:zso
0F 80              JO Jz                    cond f64 r:o
0F 81              JNO Jz                   cond f64 r:o
0F 82              JB Jz                    cond f64 r:c
0F 83              JAE Jz                   cond f64 r:c
0F 84              JE Jz                    cond f64 r:z
0F 85              JNE Jz                   cond f64 r:z
0F 86              JBE Jz                   cond f64 r:zc
0F 87              JA Jz                    cond f64 r:zc
0F 88              JS Jz                    cond f64 r:s
0F 89              JNS Jz                   cond f64 r:s
0F 8A              JP Jz                    cond f64 r:p
0F 8B              JNP Jz                   cond f64 r:p
0F 8C              JL Jz                    cond f64 r:so
0F 8D              JGE Jz                   cond f64 r:so
0F 8E              JLE Jz                   cond f64 r:zso
0F 8F              JG Jz                    cond f64 r:zso
E0                 LOOPNE Jb                cond f64 r:z
E1                 LOOPE Jb                 cond f64 r:z
E2                 LOOP Jb                  cond f64
a16 E3             JCXZ Jb                  cond f64
a32 E3             JECXZ Jb                 cond f64
a64 E3             JRCXZ Jb                 cond f64
E8                 CALL Jz                  branch f64
E9                 JMP Jz                   branch f64
EB                 JMP Jb                   branch f64
FF /2              CALL Ev                  branch f64
FF /4              JMP Ev                   branch f64
C2                 RET Iw                   branch f64
C3                 RET                      branch f64

# Far branches
9A                 CALL Ap                  branch i64 sys
EA                 JMP Ap                   branch i64 sys
FF /3              CALL Mp                  branch sys
FF /5              JMP Mp                   branch sys
CA                 RETF Iw                  branch sys
CB                 RETF                     branch sys

# Interrupts
CC                 INT3                     branch sys r:oszapctidlnkve
CD                 INT Ib                   branch sys r:oszapctidlnkve
CE                 INTO                     cond i64 sys r:oszapctidlnkve
F1                 INT1                     branch sys r:oszapctidlnkve
o16 CF             IRET                     branch sys r:nml w:oszapctidlnfmkve
o32 CF             IRETD                    branch sys r:nml w:oszapctidlnfmkve
o64 CF             IRETQ                    branch sys r:nml w:oszapctidlnfmkve
62 /r              BOUND Gv,Ma              i64
0F 0B              UD2                      sys
0F B9 /r           UD1 Gv,Ev                sys
0F FF /r           UD0 Gv,Ev                sys

# Hints
0F 1F /r           NOP Ev
0F 18 /r           NOP Ev
0F 18 /0           PREFETCHNTA M            @sse
0F 18 /1           PREFETCHT0 M             @sse
0F 18 /2           PREFETCHT1 M             @sse
0F 18 /3           PREFETCHT2 M             @sse
0F 19 /r           NOP Ev
0F 1A /r           NOP Ev
0F 1B /r           NOP Ev
0F 1C /r           NOP Ev
0F 1D /r           NOP Ev
0F 1E /r           NOP Ev
F3 0F 1E FA        ENDBR64                  @cet
F3 0F 1E FB        ENDBR32                  @cet
F3 0F 1E /1        RDSSP Ry                 @cet
0F 0D /r           NOP Ev
0F 0D /0           PREFETCH M               @prefetchw
0F 0D /1           PREFETCHW M              @prefetchw
0F 0D /2           PREFETCHWT1 M            @prefetchw
`,
};

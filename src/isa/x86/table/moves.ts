import { type RowGroup } from './notation';

/** Data transfer, stack, flag control and strings (SDM Vol. 1, 5.1.1, 5.1.8, 5.1.11). */
export const MOVES: RowGroup = {
    feature: '',
    attributes: '',
    rows: `
# MOV and its relatives
88 /r              MOV Eb,Gb
89 /r              MOV Ev,Gv
8A /r              MOV Gb,Eb
8B /r              MOV Gv,Ev
8C /r              MOV Rv/Mw,Sw
8E /r              MOV Sw,Ew                sys
A0                 MOV AL,Ob
A1                 MOV rAX,Ov
A2                 MOV Ob,AL
A3                 MOV Ov,rAX
B0+r               MOV Zb,Ib
B8+r               MOV Zv,Iv
C6 /0              MOV Eb,Ib
C7 /0              MOV Ev,Iz
8D /r              LEA Gv,M
63 /r              MOVSXD Gv,Ez             o64
0F B6 /r           MOVZX Gv,Eb
0F B7 /r           MOVZX Gv,Ew
0F BE /r           MOVSX Gv,Eb
0F BF /r           MOVSX Gv,Ew
NP 0F C3 /r        MOVNTI My,Gy             @sse2
REX.B 90           XCHG Zv,rAX
90+r               XCHG Zv,rAX
90                 NOP
F3 90              PAUSE
0F 40 /r           CMOVO Gv,Ev              r:o @cmov
0F 41 /r           CMOVNO Gv,Ev             r:o @cmov
0F 42 /r           CMOVB Gv,Ev              r:c @cmov
0F 43 /r           CMOVAE Gv,Ev             r:c @cmov
0F 44 /r           CMOVE Gv,Ev              r:z @cmov
0F 45 /r           CMOVNE Gv,Ev             r:z @cmov
0F 46 /r           CMOVBE Gv,Ev             r:zc @cmov
0F 47 /r           CMOVA Gv,Ev              r:zc @cmov
0F 48 /r           CMOVS Gv,Ev              r:s @cmov
0F 49 /r           CMOVNS Gv,Ev             r:s @cmov
0F 4A /r           CMOVP Gv,Ev              r:p @cmov
0F 4B /r           CMOVNP Gv,Ev             r:p @cmov
0F 4C /r           CMOVL Gv,Ev              r:so @cmov
0F 4D /r           CMOVGE Gv,Ev             r:so @cmov
0F 4E /r           CMOVLE Gv,Ev             r:zso @cmov
0F 4F /r           CMOVG Gv,Ev              r:zso @cmov
0F 90 /r           SETO Eb                  r:o
0F 91 /r           SETNO Eb                 r:o
0F 92 /r           SETB Eb                  r:c
0F 93 /r           SETAE Eb                 r:c
0F 94 /r           SETE Eb                  r:z
0F 95 /r           SETNE Eb                 r:z
0F 96 /r           SETBE Eb                 r:zc
0F 97 /r           SETA Eb                  r:zc
0F 98 /r           SETS Eb                  r:s
0F 99 /r           SETNS Eb                 r:s
0F 9A /r           SETP Eb                  r:p
0F 9B /r           SETNP Eb                 r:p
0F 9C /r           SETL Eb                  r:so
0F 9D /r           SETGE Eb                 r:so
0F 9E /r           SETLE Eb                 r:zso
0F 9F /r           SETG Eb                  r:zso
o16 98             CBW
o32 98             CWDE
o64 98             CDQE
o16 99             CWD
o32 99             CDQ
o64 99             CQO
D7                 XLAT
D6                 SALC                     i64 r:c
C4 /r              LES Gz,Mp                i64 sys
C5 /r              LDS Gz,Mp                i64 sys
0F B2 /r           LSS Gv,Mp                sys
0F B4 /r           LFS Gv,Mp                sys
0F B5 /r           LGS Gv,Mp                sys

# Stack
50+r               PUSH Zv                  d64
58+r               POP Zv                   d64
68                 PUSH Iz                  d64
6A                 PUSH sIb                 d64
FF /6              PUSH Ev                  d64
8F /0              POP Ev                   d64
06                 PUSH ES                  i64
0E                 PUSH CS                  i64
16                 PUSH SS                  i64
1E                 PUSH DS                  i64
07                 POP ES                   i64 sys
17                 POP SS                   i64 sys
1F                 POP DS                   i64 sys
0F A0              PUSH FS                  d64
0F A8              PUSH GS                  d64
0F A1              POP FS                   d64 sys
0F A9              POP GS                   d64 sys
o16 60             PUSHA                    i64
o32 60             PUSHAD                   i64
o16 61             POPA                     i64
o32 61             POPAD                    i64
o16 9C             PUSHF                    d64 r:oszapctidlnkve
o32 9C             PUSHFD                   i64 r:oszapctidlnkve
o64 9C             PUSHFQ                   d64 r:oszapctidlnkve
o16 9D             POPF                     d64 sys r:lv w:oszapctidlnfkve
o32 9D             POPFD                    i64 sys r:lv w:oszapctidlnfkve
o64 9D             POPFQ                    d64 sys r:lv w:oszapctidlnfkve
C8                 ENTER Iw,Ib              d64
C9                 LEAVE                    d64

# Flags
9F                 LAHF                     r:szapc
9E                 SAHF                     w:szapc
F5                 CMC                      r:c w:c
F8                 CLC                      w:c
F9                 STC                      w:c
FC                 CLD                      w:d
FD                 STD                      w:d
FA                 CLI                      sys w:iv
FB                 STI                      sys w:iv

# Strings
A4                 MOVS Yb,Xb               rep r:d
A5                 MOVS Yv,Xv               rep r:d
A6                 CMPS Xb,Yb               rep r:doszapc w:oszapc
A7                 CMPS Xv,Yv               rep r:doszapc w:oszapc
AA                 STOS Yb,AL               rep r:d
AB                 STOS Yv,rAX              rep r:d
AC                 LODS AL,Xb               rep r:d
AD                 LODS rAX,Xv              rep r:d
AE                 SCAS AL,Yb               rep r:doszapc w:oszapc
AF                 SCAS rAX,Yv              rep r:doszapc w:oszapc
6C                 INS Yb,DX                rep sys r:d
6D                 INS Yz,DX                rep sys r:d
6E                 OUTS DX,Xb               rep sys r:d
6F                 OUTS DX,Xz               rep sys r:d
`,
};

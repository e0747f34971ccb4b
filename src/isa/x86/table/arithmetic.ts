import { type RowGroup } from './notation';

/** Integer arithmetic, logic, shifts, bits and atomic exchange (SDM Vol. 1, 5.1.2–5.1.6). */
export const ARITHMETIC: RowGroup = {
    feature: '',
    attributes: '',
    rows: `
# Arithmetic and logic, 00–3F
00 /r              ADD Eb,Gb                lock w:oszapc
01 /r              ADD Ev,Gv                lock w:oszapc
02 /r              ADD Gb,Eb                w:oszapc
03 /r              ADD Gv,Ev                w:oszapc
04                 ADD AL,Ib                w:oszapc
05                 ADD rAX,Iz               w:oszapc
08 /r              OR Eb,Gb                 lock w:oszpc u:a
09 /r              OR Ev,Gv                 lock w:oszpc u:a
0A /r              OR Gb,Eb                 w:oszpc u:a
0B /r              OR Gv,Ev                 w:oszpc u:a
0C                 OR AL,Ib                 w:oszpc u:a
0D                 OR rAX,Iz                w:oszpc u:a
10 /r              ADC Eb,Gb                lock r:c w:oszapc
11 /r              ADC Ev,Gv                lock r:c w:oszapc
12 /r              ADC Gb,Eb                r:c w:oszapc
13 /r              ADC Gv,Ev                r:c w:oszapc
14                 ADC AL,Ib                r:c w:oszapc
15                 ADC rAX,Iz               r:c w:oszapc
18 /r              SBB Eb,Gb                lock r:c w:oszapc
19 /r              SBB Ev,Gv                lock r:c w:oszapc
1A /r              SBB Gb,Eb                r:c w:oszapc
1B /r              SBB Gv,Ev                r:c w:oszapc
1C                 SBB AL,Ib                r:c w:oszapc
1D                 SBB rAX,Iz               r:c w:oszapc
20 /r              AND Eb,Gb                lock w:oszpc u:a
21 /r              AND Ev,Gv                lock w:oszpc u:a
22 /r              AND Gb,Eb                w:oszpc u:a
23 /r              AND Gv,Ev                w:oszpc u:a
24                 AND AL,Ib                w:oszpc u:a
25                 AND rAX,Iz               w:oszpc u:a
28 /r              SUB Eb,Gb                lock w:oszapc
29 /r              SUB Ev,Gv                lock w:oszapc
2A /r              SUB Gb,Eb                w:oszapc
2B /r              SUB Gv,Ev                w:oszapc
2C                 SUB AL,Ib                w:oszapc
2D                 SUB rAX,Iz               w:oszapc
30 /r              XOR Eb,Gb                lock w:oszpc u:a
31 /r              XOR Ev,Gv                lock w:oszpc u:a
32 /r              XOR Gb,Eb                w:oszpc u:a
33 /r              XOR Gv,Ev                w:oszpc u:a
34                 XOR AL,Ib                w:oszpc u:a
35                 XOR rAX,Iz               w:oszpc u:a
38 /r              CMP Eb,Gb                w:oszapc
39 /r              CMP Ev,Gv                w:oszapc
3A /r              CMP Gb,Eb                w:oszapc
3B /r              CMP Gv,Ev                w:oszapc
3C                 CMP AL,Ib                w:oszapc
3D                 CMP rAX,Iz               w:oszapc

# Immediate group 1
80 /0              ADD Eb,Ib                lock w:oszapc
80 /1              OR Eb,Ib                 lock w:oszpc u:a
80 /2              ADC Eb,Ib                lock r:c w:oszapc
80 /3              SBB Eb,Ib                lock r:c w:oszapc
80 /4              AND Eb,Ib                lock w:oszpc u:a
80 /5              SUB Eb,Ib                lock w:oszapc
80 /6              XOR Eb,Ib                lock w:oszpc u:a
80 /7              CMP Eb,Ib                w:oszapc
81 /0              ADD Ev,Iz                lock w:oszapc
81 /1              OR Ev,Iz                 lock w:oszpc u:a
81 /2              ADC Ev,Iz                lock r:c w:oszapc
81 /3              SBB Ev,Iz                lock r:c w:oszapc
81 /4              AND Ev,Iz                lock w:oszpc u:a
81 /5              SUB Ev,Iz                lock w:oszapc
81 /6              XOR Ev,Iz                lock w:oszpc u:a
81 /7              CMP Ev,Iz                w:oszapc
82 /0              ADD Eb,Ib                lock i64 w:oszapc
82 /1              OR Eb,Ib                 lock i64 w:oszpc u:a
82 /2              ADC Eb,Ib                lock i64 r:c w:oszapc
82 /3              SBB Eb,Ib                lock i64 r:c w:oszapc
82 /4              AND Eb,Ib                lock i64 w:oszpc u:a
82 /5              SUB Eb,Ib                lock i64 w:oszapc
82 /6              XOR Eb,Ib                lock i64 w:oszpc u:a
82 /7              CMP Eb,Ib                i64 w:oszapc
83 /0              ADD Ev,sIb               lock w:oszapc
83 /1              OR Ev,sIb                lock w:oszpc u:a
83 /2              ADC Ev,sIb               lock r:c w:oszapc
83 /3              SBB Ev,sIb               lock r:c w:oszapc
83 /4              AND Ev,sIb               lock w:oszpc u:a
83 /5              SUB Ev,sIb               lock w:oszapc
83 /6              XOR Ev,sIb               lock w:oszpc u:a
83 /7              CMP Ev,sIb               w:oszapc

# INC, DEC, NOT, NEG, TEST, multiplication and division
40+r               INC Zv                   i64 w:oszap
48+r               DEC Zv                   i64 w:oszap
FE /0              INC Eb                   lock w:oszap
FE /1              DEC Eb                   lock w:oszap
FF /0              INC Ev                   lock w:oszap
FF /1              DEC Ev                   lock w:oszap
84 /r              TEST Eb,Gb               w:oszpc u:a
85 /r              TEST Ev,Gv               w:oszpc u:a
A8                 TEST AL,Ib               w:oszpc u:a
A9                 TEST rAX,Iz              w:oszpc u:a
F6 /0              TEST Eb,Ib               w:oszpc u:a
F6 /1              TEST Eb,Ib               w:oszpc u:a
F6 /2              NOT Eb                   lock
F6 /3              NEG Eb                   lock w:oszapc
F6 /4              MUL Eb                   w:oc u:szap
F6 /5              IMUL Eb                  w:oc u:szap
F6 /6              DIV Eb                   u:oszapc
F6 /7              IDIV Eb                  u:oszapc
F7 /0              TEST Ev,Iz               w:oszpc u:a
F7 /1              TEST Ev,Iz               w:oszpc u:a
F7 /2              NOT Ev                   lock
F7 /3              NEG Ev                   lock w:oszapc
F7 /4              MUL Ev                   w:oc u:szap
F7 /5              IMUL Ev                  w:oc u:szap
F7 /6              DIV Ev                   u:oszapc
F7 /7              IDIV Ev                  u:oszapc
69 /r              IMUL Gv,Ev,Iz            w:oc u:szap
6B /r              IMUL Gv,Ev,sIb           w:oc u:szap
0F AF /r           IMUL Gv,Ev               w:oc u:szap

# Decimal adjustment
27                 DAA                      i64 r:ac w:szapc u:o
2F                 DAS                      i64 r:ac w:szapc u:o
37                 AAA                      i64 r:a w:ac u:oszp
3F                 AAS                      i64 r:a w:ac u:oszp
D4                 AAM Ib                   i64 w:szp u:oac
D5                 AAD Ib                   i64 w:szp u:oac

# Shifts and rotates, group 2
C0 /0              ROL Eb,Ib                r:oc w:c u:o
C0 /1              ROR Eb,Ib                r:oc w:c u:o
C0 /2              RCL Eb,Ib                r:oc w:c u:o
C0 /3              RCR Eb,Ib                r:oc w:c u:o
C0 /4              SHL Eb,Ib                r:oszapc w:szpc u:oa
C0 /5              SHR Eb,Ib                r:oszapc w:szpc u:oa
C0 /6              SAL Eb,Ib                r:oszapc w:szpc u:oa
C0 /7              SAR Eb,Ib                r:oszapc w:szpc u:oa
C1 /0              ROL Ev,Ib                r:oc w:c u:o
C1 /1              ROR Ev,Ib                r:oc w:c u:o
C1 /2              RCL Ev,Ib                r:oc w:c u:o
C1 /3              RCR Ev,Ib                r:oc w:c u:o
C1 /4              SHL Ev,Ib                r:oszapc w:szpc u:oa
C1 /5              SHR Ev,Ib                r:oszapc w:szpc u:oa
C1 /6              SAL Ev,Ib                r:oszapc w:szpc u:oa
C1 /7              SAR Ev,Ib                r:oszapc w:szpc u:oa
D0 /0              ROL Eb,1                 w:oc
D0 /1              ROR Eb,1                 w:oc
D0 /2              RCL Eb,1                 r:c w:oc
D0 /3              RCR Eb,1                 r:c w:oc
D0 /4              SHL Eb,1                 w:oszpc u:a
D0 /5              SHR Eb,1                 w:oszpc u:a
D0 /6              SAL Eb,1                 w:oszpc u:a
D0 /7              SAR Eb,1                 w:oszpc u:a
D1 /0              ROL Ev,1                 w:oc
D1 /1              ROR Ev,1                 w:oc
D1 /2              RCL Ev,1                 r:c w:oc
D1 /3              RCR Ev,1                 r:c w:oc
D1 /4              SHL Ev,1                 w:oszpc u:a
D1 /5              SHR Ev,1                 w:oszpc u:a
D1 /6              SAL Ev,1                 w:oszpc u:a
D1 /7              SAR Ev,1                 w:oszpc u:a
D2 /0              ROL Eb,CL                r:oc w:c u:o
D2 /1              ROR Eb,CL                r:oc w:c u:o
D2 /2              RCL Eb,CL                r:oc w:c u:o
D2 /3              RCR Eb,CL                r:oc w:c u:o
D2 /4              SHL Eb,CL                r:oszapc w:szpc u:oa
D2 /5              SHR Eb,CL                r:oszapc w:szpc u:oa
D2 /6              SAL Eb,CL                r:oszapc w:szpc u:oa
D2 /7              SAR Eb,CL                r:oszapc w:szpc u:oa
D3 /0              ROL Ev,CL                r:oc w:c u:o
D3 /1              ROR Ev,CL                r:oc w:c u:o
D3 /2              RCL Ev,CL                r:oc w:c u:o
D3 /3              RCR Ev,CL                r:oc w:c u:o
D3 /4              SHL Ev,CL                r:oszapc w:szpc u:oa
D3 /5              SHR Ev,CL                r:oszapc w:szpc u:oa
D3 /6              SAL Ev,CL                r:oszapc w:szpc u:oa
D3 /7              SAR Ev,CL                r:oszapc w:szpc u:oa
0F A4 /r           SHLD Ev,Gv,Ib            r:oszapc w:szpc u:oa
0F A5 /r           SHLD Ev,Gv,CL            r:oszapc w:szpc u:oa
0F AC /r           SHRD Ev,Gv,Ib            r:oszapc w:szpc u:oa
0F AD /r           SHRD Ev,Gv,CL            r:oszapc w:szpc u:oa

# Bits
0F A3 /r           BT Ev,Gv                 w:c u:ospa
0F AB /r           BTS Ev,Gv                lock w:c u:ospa
0F B3 /r           BTR Ev,Gv                lock w:c u:ospa
0F BB /r           BTC Ev,Gv                lock w:c u:ospa
0F BA /4           BT Ev,Ib                 w:c u:ospa
0F BA /5           BTS Ev,Ib                lock w:c u:ospa
0F BA /6           BTR Ev,Ib                lock w:c u:ospa
0F BA /7           BTC Ev,Ib                lock w:c u:ospa
0F BC /r           BSF Gv,Ev                w:z u:ospac
0F BD /r           BSR Gv,Ev                w:z u:ospac
F3 0F B8 /r        POPCNT Gv,Ev             @popcnt w:oszapc
F3 0F BC /r        TZCNT Gv,Ev              @bmi1 w:zc u:ospa
F3 0F BD /r        LZCNT Gv,Ev              @lzcnt w:zc u:ospa
0F C8+r            BSWAP Zv                 @i486
NFx 0F 38 F0 /r    MOVBE Gv,Mv              @movbe
NFx 0F 38 F1 /r    MOVBE Mv,Gv              @movbe
F2 0F 38 F0 /r     CRC32 Gy,Eb              @sse4.2
F2 0F 38 F1 /r     CRC32 Gy,Ev              @sse4.2
66 0F 38 F6 /r     ADCX Gy,Ey               @adx r:c w:c
F3 0F 38 F6 /r     ADOX Gy,Ey               @adx r:o w:o

# Atomic exchange
86 /r              XCHG Eb,Gb               lock
87 /r              XCHG Ev,Gv               lock
0F B0 /r           CMPXCHG Eb,Gb            lock @i486 w:oszapc
0F B1 /r           CMPXCHG Ev,Gv            lock @i486 w:oszapc
0F C0 /r           XADD Eb,Gb               lock @i486 w:oszapc
0F C1 /r           XADD Ev,Gv               lock @i486 w:oszapc
0F C7 /1           CMPXCHG8B Mq             lock @cx8 w:z
REX.W 0F C7 /1     CMPXCHG16B Mdq           lock aligned @cx16 w:z
`,
};

import { type RowGroup } from './notation';

/**
 * System instructions (SDM Vol. 1, 5.20–5.22 and 5.18), and those whose effect depends on CPL, IOPL or a control
 * register. VMCALL and VMMCALL decode, as they do on every CPU; the remaining VMX and SVM opcodes have no row.
 */
export const SYSTEM: RowGroup = {
    feature: '',
    attributes: 'sys',
    rows: `
# Descriptor tables and segments
0F 00 /0           SLDT Rv/Mw               prot
0F 00 /1           STR Rv/Mw                prot
0F 00 /2           LLDT Ew                  prot
0F 00 /3           LTR Ew                   prot
0F 00 /4           VERR Ew                  prot w:z
0F 00 /5           VERW Ew                  prot w:z
0F 01 /0           SGDT Ms                  f64
0F 01 /1           SIDT Ms                  f64
0F 01 /2           LGDT Ms                  f64
0F 01 /3           LIDT Ms                  f64
0F 02 /r           LAR Gv,Ew                prot r:z w:z
0F 03 /r           LSL Gv,Ew                prot r:z w:z
63 /r              ARPL Ew,Gw               i64 prot w:z

# Control and debug registers
0F 20 /r           MOV Rd,Cd                f64
0F 21 /r           MOV Rd,Dd                f64
0F 22 /r           MOV Cd,Rd                f64
0F 23 /r           MOV Dd,Rd                f64
0F 01 /4           SMSW Rv/Mw
0F 01 /6           LMSW Ew
0F 06              CLTS

# Caches and translations
0F 08              INVD                     @i486
0F 09              WBINVD                   @i486
0F 01 /7           INVLPG M                 @i486
66 0F 38 82 /r     INVPCID Gy,Mdq           f64 prot @invpcid
NP 0F AE /7        CLFLUSH M                @clflush
66 0F AE /7        CLFLUSHOPT M             @clflushopt
66 0F AE /6        CLWB M                   @clwb

# Model-specific registers, counters, identification
0F 30              WRMSR                    @msr
0F 31              RDTSC                    @tsc
0F 32              RDMSR                    @msr
0F 33              RDPMC
0F 01 F9           RDTSCP                   @rdtscp
F3 0F C7 /7        RDPID Ry                 f64 @rdpid
0F A2              CPUID                    @cpuid
NFx 0F C7 /6       RDRAND Rv                @rdrand w:oszapc
NFx 0F C7 /7       RDSEED Rv                @rdseed w:oszapc

# Fast system calls
0F 05              SYSCALL                  branch @syscall r:oszapctidlnkve w:oszapctidlnfmkve
0F 07              SYSRET                   branch @syscall w:oszapctidlnkve
0F 34              SYSENTER                 branch @sep w:ifm
0F 35              SYSEXIT                  branch prot @sep
0F 01 F8           SWAPGS                   o64
F3 0F AE /0        RDFSBASE Ry              o64 @fsgsbase
F3 0F AE /1        RDGSBASE Ry              o64 @fsgsbase
F3 0F AE /2        WRFSBASE Ry              o64 @fsgsbase
F3 0F AE /3        WRGSBASE Ry              o64 @fsgsbase
NP 0F 01 CA        CLAC                     @smap w:k
NP 0F 01 CB        STAC                     @smap w:k

# Ports
E4                 IN AL,Ib
E5                 IN eAX,Ib
E6                 OUT Ib,AL
E7                 OUT Ib,eAX
EC                 IN AL,DX
ED                 IN eAX,DX
EE                 OUT DX,AL
EF                 OUT DX,eAX

# Waiting, management mode, virtualization
F4                 HLT
NP 0F 01 C8        MONITOR                  @monitor
NP 0F 01 C9        MWAIT                    @monitor
0F AA              RSM                      branch w:oszapctidlnfmkve
NP 0F 01 C1        VMCALL                   @vmx
NP 0F 01 D9        VMMCALL                  @svm

# Extended state
NP 0F 01 D0        XGETBV                   @xsave
NP 0F 01 D1        XSETBV                   @xsave
NP 0F AE /0        FXSAVE M                 @fxsr
NP REX.W 0F AE /0  FXSAVE64 M               @fxsr
NP 0F AE /1        FXRSTOR M                @fxsr
NP REX.W 0F AE /1  FXRSTOR64 M              @fxsr
NP 0F AE /4        XSAVE M                  @xsave
NP REX.W 0F AE /4  XSAVE64 M                @xsave
NP 0F AE /5        XRSTOR M                 @xsave
NP REX.W 0F AE /5  XRSTOR64 M               @xsave
NP 0F AE /6        XSAVEOPT M               @xsaveopt
NP REX.W 0F AE /6  XSAVEOPT64 M             @xsaveopt
NP 0F C7 /3        XRSTORS M                @xsaves
NP REX.W 0F C7 /3  XRSTORS64 M              @xsaves
NP 0F C7 /4        XSAVEC M                 @xsavec
NP REX.W 0F C7 /4  XSAVEC64 M               @xsavec
NP 0F C7 /5        XSAVES M                 @xsaves
NP REX.W 0F C7 /5  XSAVES64 M               @xsaves
`,
};

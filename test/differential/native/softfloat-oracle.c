/*
 * Executes single floating-point instructions on the host CPU, so that tests can compare results and flags.
 *
 * With the argument "list" it prints the names of the operations that this CPU has, one a line; an operation's number
 * is its line's, from 0. Otherwise it reads records from stdin until the end and writes one result for each.
 */
#include <cpuid.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <ucontext.h>

/* Operands lie in the low bytes of a, b and c, little-endian. */
struct record {
    uint16_t operation;
    uint16_t control_word;
    uint32_t mxcsr;
    uint8_t a[16], b[16], c[16];
};

/* `status` is the x87 status word, MXCSR, or either one with `trapped` set if SSE raised #XM. */
struct result {
    uint8_t first[16], second[16];
    uint32_t status;
    uint32_t trapped;
};

typedef void function(const struct record *in, struct result *out);

static const uint16_t default_control_word = 0x037f;
static const uint32_t default_mxcsr = 0x1f80;

#define X87_BEFORE "fninit\n\tfldt %[b]\n\tfldt %[a]\n\tfldcw %[cw]\n\t"
#define X87_AFTER "\n\tfnstsw %[sw]\n\tfnclex\n\tfldcw %[dcw]\n\tfstpt %[r1]\n\tfstpt %[r2]\n\tfninit"
#define X87_STORE_AFTER "\n\tfnstsw %[sw]\n\tfnclex\n\tfninit"
#define X87_OPERANDS                                                                                                   \
    [a] "m"(in->a), [b] "m"(in->b), [c] "m"(in->c), [cw] "m"(in->control_word), [dcw] "m"(default_control_word)

/* ST(0) = a, ST(1) = b, memory operand = c; results are ST(0) and ST(1) afterwards. */
#define X87(name, instruction)                                                                                         \
    static void x87_##name(const struct record *in, struct result *out) {                                              \
        uint16_t status;                                                                                               \
        __asm__ volatile(X87_BEFORE instruction X87_AFTER                                                              \
                         : [sw] "=m"(status), [r1] "=m"(out->first), [r2] "=m"(out->second)                            \
                         : X87_OPERANDS                                                                                \
                         : "memory");                                                                                  \
        out->status = status;                                                                                          \
    }

/* The result is what the instruction stores, over bytes of 0xcc. */
#define X87_STORE(name, instruction)                                                                                   \
    static void x87_##name(const struct record *in, struct result *out) {                                              \
        uint16_t status;                                                                                               \
        memset(out->first, 0xcc, sizeof out->first);                                                                   \
        __asm__ volatile(X87_BEFORE instruction X87_STORE_AFTER                                                        \
                         : [sw] "=m"(status), [r1] "+m"(out->first)                                                    \
                         : X87_OPERANDS                                                                                \
                         : "memory");                                                                                  \
        out->status = status;                                                                                          \
    }

static sigjmp_buf trap;
static volatile uint32_t trapped_mxcsr;

static void on_trap(int number, siginfo_t *information, void *context) {
    (void)number;
    (void)information;
    trapped_mxcsr = ((ucontext_t *)context)->uc_mcontext.fpregs->mxcsr;
    siglongjmp(trap, 1);
}

#define SSE_BODY(text, outputs, ...)                                                                                   \
    uint32_t status = 0;                                                                                               \
    if (sigsetjmp(trap, 0)) {                                                                                          \
        __asm__ volatile("ldmxcsr %0" ::"m"(default_mxcsr));                                                           \
        memset(out->first, 0, sizeof out->first);                                                                      \
        out->status = trapped_mxcsr;                                                                                   \
        out->trapped = 1;                                                                                              \
        return;                                                                                                        \
    }                                                                                                                  \
    __asm__ volatile("movups %[a], %%xmm0\n\tmovups %[b], %%xmm1\n\tmovups %[c], %%xmm2\n\tldmxcsr %[mxcsr]\n\t" text    \
                     "\n\tstmxcsr %[status]\n\tldmxcsr %[dmxcsr]\n\t"                                                  \
                     : [status] "=m"(status), outputs                                                                  \
                     : [a] "m"(in->a), [b] "m"(in->b), [c] "m"(in->c), [mxcsr] "m"(in->mxcsr),                         \
                       [dmxcsr] "m"(default_mxcsr)                                                                     \
                     : "xmm0", "xmm1", "xmm2", "memory", "cc", ##__VA_ARGS__);                                         \
    out->status = status;                                                                                              \
    out->trapped = 0;

/* xmm0 = a, xmm1 = b, xmm2 = c; the result is xmm0 afterwards. */
#define SSE(name, instruction)                                                                                         \
    static void sse_##name(const struct record *in, struct result *out) {                                              \
        SSE_BODY(instruction "\n\tmovups %%xmm0, %[r]", [r] "=m"(out->first))                                          \
    }

/* The same, the result being rax. */
#define SSE_INTEGER(name, instruction)                                                                                 \
    static void sse_##name(const struct record *in, struct result *out) {                                              \
        SSE_BODY("xorl %%eax, %%eax\n\t" instruction "\n\tmovq %%rax, %[r]", [r] "=m"(*(uint64_t *)out->first), "rax") \
    }

#define X87_OPERATIONS(ONE, STORE)                                                                                     \
    ONE(fadd, "fadd %%st(1), %%st")                                                                                    \
    ONE(fsub, "fsub %%st(1), %%st")                                                                                    \
    ONE(fsubr, "fsubr %%st(1), %%st")                                                                                  \
    ONE(fmul, "fmul %%st(1), %%st")                                                                                    \
    ONE(fdiv, "fdiv %%st(1), %%st")                                                                                    \
    ONE(fdivr, "fdivr %%st(1), %%st")                                                                                  \
    ONE(fadd_m32, "fadds %[c]")                                                                                        \
    ONE(fmul_m64, "fmull %[c]")                                                                                        \
    ONE(fdiv_m32, "fdivs %[c]")                                                                                        \
    ONE(fisub_m16, "fisubs %[c]")                                                                                      \
    ONE(fidiv_m32, "fidivl %[c]")                                                                                      \
    ONE(fsqrt, "fsqrt")                                                                                                \
    ONE(fcom, "fcom %%st(1)")                                                                                          \
    ONE(fucom, "fucom %%st(1)")                                                                                        \
    ONE(fcom_m64, "fcoml %[c]")                                                                                        \
    ONE(fxam, "fxam")                                                                                                  \
    ONE(fld_m32, "flds %[c]")                                                                                          \
    ONE(fld_m64, "fldl %[c]")                                                                                          \
    ONE(fild_m16, "filds %[c]")                                                                                        \
    ONE(fild_m32, "fildl %[c]")                                                                                        \
    ONE(fild_m64, "fildll %[c]")                                                                                       \
    ONE(fbld, "fbld %[c]")                                                                                             \
    ONE(frndint, "frndint")                                                                                            \
    ONE(fscale, "fscale")                                                                                              \
    ONE(fxtract, "fxtract")                                                                                            \
    ONE(fprem, "fprem")                                                                                                \
    ONE(fprem1, "fprem1")                                                                                              \
    ONE(f2xm1, "f2xm1")                                                                                                \
    ONE(fyl2x, "fyl2x")                                                                                                \
    ONE(fyl2xp1, "fyl2xp1")                                                                                            \
    ONE(fptan, "fptan")                                                                                                \
    ONE(fpatan, "fpatan")                                                                                              \
    ONE(fsin, "fsin")                                                                                                  \
    ONE(fcos, "fcos")                                                                                                  \
    ONE(fsincos, "fsincos")                                                                                            \
    ONE(fld1, "fld1")                                                                                                  \
    ONE(fldz, "fldz")                                                                                                  \
    ONE(fldpi, "fldpi")                                                                                                \
    ONE(fldl2e, "fldl2e")                                                                                              \
    ONE(fldlg2, "fldlg2")                                                                                              \
    ONE(fldln2, "fldln2")                                                                                              \
    ONE(fldl2t, "fldl2t")                                                                                              \
    STORE(fst_m32, "fsts %[r1]")                                                                                       \
    STORE(fst_m64, "fstl %[r1]")                                                                                       \
    STORE(fist_m16, "fists %[r1]")                                                                                     \
    STORE(fist_m32, "fistl %[r1]")                                                                                     \
    STORE(fistp_m64, "fistpll %[r1]")                                                                                  \
    STORE(fisttp_m16, "fisttps %[r1]")                                                                                 \
    STORE(fisttp_m32, "fisttpl %[r1]")                                                                                 \
    STORE(fisttp_m64, "fisttpll %[r1]")                                                                                \
    STORE(fbstp, "fbstp %[r1]")

#define BOTH_WIDTHS(ONE, name) ONE(name##ss, #name "ss %%xmm1, %%xmm0") ONE(name##sd, #name "sd %%xmm1, %%xmm0")
#define ROUNDINGS(ONE, immediate)                                                                                      \
    ONE(roundss_##immediate, "roundss $" #immediate ", %%xmm1, %%xmm0")                                                \
    ONE(roundsd_##immediate, "roundsd $" #immediate ", %%xmm1, %%xmm0")

/* %xmm1 is the source so that a scalar result and what it replaces can be told apart. */
#define SSE_OPERATIONS(ONE, INTEGER)                                                                                   \
    BOTH_WIDTHS(ONE, add)                                                                                              \
    BOTH_WIDTHS(ONE, sub)                                                                                              \
    BOTH_WIDTHS(ONE, mul)                                                                                              \
    BOTH_WIDTHS(ONE, div)                                                                                              \
    BOTH_WIDTHS(ONE, min)                                                                                              \
    BOTH_WIDTHS(ONE, max)                                                                                              \
    ONE(sqrtss, "sqrtss %%xmm0, %%xmm0")                                                                               \
    ONE(sqrtsd, "sqrtsd %%xmm0, %%xmm0")                                                                               \
    ONE(addps, "addps %%xmm1, %%xmm0")                                                                                 \
    ONE(divpd, "divpd %%xmm1, %%xmm0")                                                                                 \
    ONE(rcpss, "rcpss %%xmm0, %%xmm0")                                                                                 \
    ONE(rsqrtss, "rsqrtss %%xmm0, %%xmm0")                                                                             \
    ONE(cvtss2sd, "cvtss2sd %%xmm0, %%xmm0")                                                                           \
    ONE(cvtsd2ss, "cvtsd2ss %%xmm0, %%xmm0")                                                                           \
    ONE(cvtsi2ss_32, "cvtsi2ssl %[a], %%xmm0")                                                                         \
    ONE(cvtsi2ss_64, "cvtsi2ssq %[a], %%xmm0")                                                                         \
    ONE(cvtsi2sd_32, "cvtsi2sdl %[a], %%xmm0")                                                                         \
    ONE(cvtsi2sd_64, "cvtsi2sdq %[a], %%xmm0")                                                                         \
    INTEGER(cvtss2si_32, "cvtss2si %%xmm0, %%eax")                                                                     \
    INTEGER(cvtss2si_64, "cvtss2si %%xmm0, %%rax")                                                                     \
    INTEGER(cvtsd2si_32, "cvtsd2si %%xmm0, %%eax")                                                                     \
    INTEGER(cvtsd2si_64, "cvtsd2si %%xmm0, %%rax")                                                                     \
    INTEGER(cvttss2si_32, "cvttss2si %%xmm0, %%eax")                                                                   \
    INTEGER(cvttss2si_64, "cvttss2si %%xmm0, %%rax")                                                                   \
    INTEGER(cvttsd2si_32, "cvttsd2si %%xmm0, %%eax")                                                                   \
    INTEGER(cvttsd2si_64, "cvttsd2si %%xmm0, %%rax")                                                                   \
    INTEGER(ucomiss, "ucomiss %%xmm1, %%xmm0\n\tpushfq\n\tpopq %%rax")                                                 \
    INTEGER(ucomisd, "ucomisd %%xmm1, %%xmm0\n\tpushfq\n\tpopq %%rax")                                                 \
    INTEGER(comiss, "comiss %%xmm1, %%xmm0\n\tpushfq\n\tpopq %%rax")                                                   \
    INTEGER(comisd, "comisd %%xmm1, %%xmm0\n\tpushfq\n\tpopq %%rax")

#define SSE41_OPERATIONS(ONE)                                                                                          \
    ROUNDINGS(ONE, 0)                                                                                                  \
    ROUNDINGS(ONE, 1)                                                                                                  \
    ROUNDINGS(ONE, 2)                                                                                                  \
    ROUNDINGS(ONE, 3)                                                                                                  \
    ROUNDINGS(ONE, 4)                                                                                                  \
    ROUNDINGS(ONE, 8)                                                                                                  \
    ROUNDINGS(ONE, 12)

/* Multiplicands a and b as the mnemonic numbers them, addend c: the forms differ in the choice among NaNs. */
#define FMA_FORMS(ONE, name)                                                                                           \
    ONE(name##132ss, "v" #name "132ss %%xmm1, %%xmm2, %%xmm0")                                                         \
    ONE(name##213ss, "v" #name "213ss %%xmm2, %%xmm0, %%xmm1\n\tmovaps %%xmm1, %%xmm0")                                \
    ONE(name##231ss, "v" #name "231ss %%xmm1, %%xmm0, %%xmm2\n\tmovaps %%xmm2, %%xmm0")                                \
    ONE(name##132sd, "v" #name "132sd %%xmm1, %%xmm2, %%xmm0")                                                         \
    ONE(name##213sd, "v" #name "213sd %%xmm2, %%xmm0, %%xmm1\n\tmovaps %%xmm1, %%xmm0")                                \
    ONE(name##231sd, "v" #name "231sd %%xmm1, %%xmm0, %%xmm2\n\tmovaps %%xmm2, %%xmm0")

#define FMA_OPERATIONS(ONE) FMA_FORMS(ONE, fmadd) FMA_FORMS(ONE, fmsub) FMA_FORMS(ONE, fnmadd) FMA_FORMS(ONE, fnmsub)

#define F16C_OPERATIONS(ONE)                                                                                           \
    ONE(vcvtph2ps, "vcvtph2ps %%xmm0, %%xmm0")                                                                         \
    ONE(vcvtps2ph, "vcvtps2ph $4, %%xmm0, %%xmm0")

#define AVX512_OPERATIONS(ONE, INTEGER)                                                                                \
    ONE(vcvtusi2ss_32, "vcvtusi2ssl %[a], %%xmm0, %%xmm0")                                                             \
    ONE(vcvtusi2sd_64, "vcvtusi2sdq %[a], %%xmm0, %%xmm0")                                                             \
    INTEGER(vcvtss2usi_32, "vcvtss2usi %%xmm0, %%eax")                                                                 \
    INTEGER(vcvtsd2usi_64, "vcvtsd2usi %%xmm0, %%rax")                                                                 \
    INTEGER(vcvttsd2usi_32, "vcvttsd2usi %%xmm0, %%eax")                                                               \
    INTEGER(vcvttss2usi_64, "vcvttss2usi %%xmm0, %%rax")

X87_OPERATIONS(X87, X87_STORE)
SSE_OPERATIONS(SSE, SSE_INTEGER)
SSE41_OPERATIONS(SSE)
FMA_OPERATIONS(SSE)
F16C_OPERATIONS(SSE)
AVX512_OPERATIONS(SSE, SSE_INTEGER)

#define X87_ENTRY(name, instruction) {#name, x87_##name, 1},
#define SSE_ENTRY(name, instruction) {#name, sse_##name, 1},
#define SSE41_ENTRY(name, instruction) {#name, sse_##name, __builtin_cpu_supports("sse4.1")},
#define FMA_ENTRY(name, instruction) {#name, sse_##name, __builtin_cpu_supports("fma")},
#define F16C_ENTRY(name, instruction) {#name, sse_##name, f16c},
#define AVX512_ENTRY(name, instruction) {#name, sse_##name, __builtin_cpu_supports("avx512f")},

int main(int count, char **arguments) {
    unsigned eax, ebx, ecx = 0, edx;
    __get_cpuid(1, &eax, &ebx, &ecx, &edx);
    /* Without AVX enabled by the system, none of the VEX-coded instructions run. */
    int f16c = __builtin_cpu_supports("avx") && (ecx & bit_F16C);
    const struct {
        const char *name;
        function *execute;
        int present;
    } operations[] = {X87_OPERATIONS(X87_ENTRY, X87_ENTRY) SSE_OPERATIONS(SSE_ENTRY, SSE_ENTRY)
                          SSE41_OPERATIONS(SSE41_ENTRY) FMA_OPERATIONS(FMA_ENTRY) F16C_OPERATIONS(F16C_ENTRY)
                              AVX512_OPERATIONS(AVX512_ENTRY, AVX512_ENTRY)};
    const size_t total = sizeof operations / sizeof *operations;
    if (count > 1 && strcmp(arguments[1], "list") == 0) {
        for (size_t index = 0; index < total; index++) {
            puts(operations[index].present ? operations[index].name : "-");
        }
        return 0;
    }
    struct sigaction action = {.sa_sigaction = on_trap, .sa_flags = SA_SIGINFO | SA_NODEFER};
    sigaction(SIGFPE, &action, NULL);
    struct record in;
    while (fread(&in, sizeof in, 1, stdin) == 1) {
        struct result out = {0};
        if (in.operation >= total || !operations[in.operation].present) {
            return 1;
        }
        operations[in.operation].execute(&in, &out);
        fwrite(&out, sizeof out, 1, stdout);
    }
    return 0;
}

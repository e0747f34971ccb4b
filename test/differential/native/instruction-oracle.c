/*
 * Executes short instruction sequences on the host CPU from given states: the oracle of the instruction tests.
 *
 * Reads fixed-size cases from standard input and writes fixed-size results to standard output (the structs below, which
 * test/differential/instructions/oracle.ts mirrors). A case's code lies in the middle of a page of INT3, so that it ends
 * in a trap wherever it goes; the state is taken from that trap, or from the fault that came before it.
 *
 * What the code can reach: two data pages (the pages around them are not mapped) and the code page itself. 64-bit and
 * 32-bit code run in the kernel's own segments; LDT descriptors give 32-bit code segmented data, and 16-bit code. The
 * process gives up every system call but those it needs itself, whatever the code under test may do.
 */
#define _GNU_SOURCE
#include <asm/ldt.h>
#include <asm/prctl.h>
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/ucontext.h>
#include <unistd.h>

#define CODE 0x10000000ul
#define ENTRY (CODE + 0x800)
#define PAGE 0x1000
#define DATA 0x20000000ul
#define DATA_SIZE (2 * PAGE)
#define CONTEXT 0x30000000ul
/* GS base in 64-bit code; in 32-bit and 16-bit code GS is a null selector. */
#define GS_BASE (DATA + PAGE)

/* Parts of the data pages that a case sets and gets: their start, around their boundary, their end. The rest is zero. */
#define START_SIZE 64
#define MIDDLE_SIZE 512
#define END_SIZE 64
#define WINDOW (START_SIZE + MIDDLE_SIZE + END_SIZE)
#define MIDDLE (DATA + PAGE - MIDDLE_SIZE / 2)
#define END (DATA + DATA_SIZE - END_SIZE)

/* Values of Case.code_kind. */
enum { CODE64, CODE32, CODE32_SEGMENTED, CODE16, KINDS };

typedef struct {
    uint8_t code[32];
    uint32_t code_length;
    uint32_t code_kind;
    uint64_t gpr[16];
    uint64_t rflags;
    uint8_t fxsave[512];
    uint8_t data[WINDOW];
} Case;

#define TIMEOUT 0x100

typedef struct {
    uint32_t fault; /* trap number + 1 (a case that ends as it should: 4, for INT3), or TIMEOUT */
    uint32_t error_code;
    uint64_t rip; /* of the faulting instruction, or after the INT3 */
    uint64_t gpr[16];
    uint64_t rflags;
    uint64_t cr2;
    uint8_t fxsave[512];
    uint8_t data[WINDOW];
    uint32_t rest; /* sum of the words of the data pages outside of the parts above */
    uint32_t pad;
} Result;

/* Shared with the assembly below, at the fixed address CONTEXT. */
typedef struct {
    uint64_t gpr[16];     /* 0x00 */
    uint64_t rflags;      /* 0x80 */
    uint64_t host_rsp;    /* 0x88 */
    uint32_t far_entry[2]; /* 0x90: offset, selector */
    uint32_t data_selector; /* 0x98: DS, ES */
    uint32_t stack_selector; /* 0x9c */
    uint8_t fxsave[512] __attribute__((aligned(16))); /* 0xa0 */
    uint64_t entry64; /* 0x2a0 */
} Context;
_Static_assert(offsetof(Context, fxsave) == 0xa0 && offsetof(Context, entry64) == 0x2a0, "as the assembly has it");

static Context *const context = (Context *)CONTEXT;
static Result result;
static volatile uint32_t running; /* number of the case under way, or 0 */
static uint32_t seen_by_timer;

extern void run64(void), run_far(void), signal_entry(void);

__asm__(
    ".text\n"
    ".macro enter\n"
    "  push %rbx\n  push %rbp\n  push %r12\n  push %r13\n  push %r14\n  push %r15\n"
    "  mov %rsp, 0x30000088\n"
    "  fxrstor64 0x300000a0\n"
    "  pushq 0x30000080\n"
    "  mov 0x30000098, %eax\n  mov %eax, %ds\n  mov %eax, %es\n"
    "  popfq\n"
    "  mov 0x30000008, %rcx\n  mov 0x30000010, %rdx\n  mov 0x30000018, %rbx\n"
    "  mov 0x30000028, %rbp\n  mov 0x30000030, %rsi\n  mov 0x30000038, %rdi\n"
    "  mov 0x30000040, %r8\n  mov 0x30000048, %r9\n  mov 0x30000050, %r10\n  mov 0x30000058, %r11\n"
    "  mov 0x30000060, %r12\n  mov 0x30000068, %r13\n  mov 0x30000070, %r14\n  mov 0x30000078, %r15\n"
    ".endm\n"
    ".globl run64, run_far, abandoned, signal_entry\n"
    "run64:\n"
    "  enter\n"
    "  mov 0x3000009c, %eax\n  mov %eax, %ss\n"
    "  mov 0x30000000, %rax\n  mov 0x30000020, %rsp\n"
    "  jmp *0x300002a0\n"
    "run_far:\n"
    "  enter\n"
    "  mov 0x3000009c, %eax\n  mov %eax, %ss\n"
    "  mov 0x30000020, %rsp\n  mov 0x30000000, %rax\n"
    "  ljmp *0x30000090\n"
    "signal_entry:\n"
    /* RFLAGS.AC and DF as C expects them. */
    "  pushq $2\n  popfq\n"
    "  jmp on_signal\n"
    "abandoned:\n"
    "  mov 0x30000088, %rsp\n"
    "  fninit\n  pushq $0x1f80\n  ldmxcsr (%rsp)\n  pop %rax\n"
    "  pop %r15\n  pop %r14\n  pop %r13\n  pop %r12\n  pop %rbp\n  pop %rbx\n"
    "  ret\n");

/* Not static: called from assembly. Does not return from the signal when it ends a case, but abandons it. */
void on_signal(int number, siginfo_t *info, void *raw) {
    ucontext_t *uc = raw;
    greg_t *regs = uc->uc_mcontext.gregs;
    static const int order[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                                  REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};
    (void)info;
    if (number == SIGALRM) {
        if (running == 0 || running != seen_by_timer || regs[REG_RIP] >= (greg_t)(CODE + 0x10000)) {
            seen_by_timer = running;
            return;
        }
        result.fault = TIMEOUT;
    } else if (running == 0) {
        static const char message[] = "instruction-oracle: crashed outside of a case\n";
        (void)!write(2, message, sizeof message - 1);
        _exit(2);
    } else {
        result.fault = (uint32_t)regs[REG_TRAPNO] + 1;
    }
    result.error_code = (uint32_t)regs[REG_ERR];
    result.rip = (uint64_t)regs[REG_RIP];
    result.cr2 = (uint64_t)regs[REG_CR2];
    for (int i = 0; i < 16; i++) result.gpr[i] = (uint64_t)regs[order[i]];
    result.rflags = (uint64_t)regs[REG_EFL];
    memcpy(result.fxsave, uc->uc_mcontext.fpregs, 512);
    running = 0;
    __asm__ volatile("jmp abandoned");
}

static void die(const char *what) {
    fprintf(stderr, "instruction-oracle: %s: %s\n", what, strerror(errno));
    exit(2);
}

static void map_at(unsigned long address, size_t size, int protection) {
    void *got = mmap((void *)address, size, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    if (got != (void *)address) die("cannot map memory");
}

static void set_ldt(unsigned entry, unsigned long base, unsigned limit, unsigned big, unsigned contents) {
    struct user_desc d = {.entry_number = entry, .base_addr = (unsigned)base, .limit = limit, .seg_32bit = big};
    d.contents = contents;
    if (syscall(SYS_modify_ldt, 0x11, &d, sizeof d) != 0) die("cannot set an LDT descriptor");
}

#define LDT(entry) ((entry) << 3 | 7)
enum { LDT_CODE16, LDT_DATA, LDT_STACK16, LDT_STACK32 };
#define USER32_CS 0x23
#define USER_DS 0x2b

static void set_segments(void) {
    const unsigned data = 0, code = 2;
    set_ldt(LDT_CODE16, CODE, 0xffff, 0, code);
    set_ldt(LDT_DATA, DATA, DATA_SIZE - 1, 1, data);
    set_ldt(LDT_STACK16, DATA, DATA_SIZE - 1, 0, data);
    set_ldt(LDT_STACK32, DATA, DATA_SIZE - 1, 1, data);
    if (syscall(SYS_arch_prctl, ARCH_SET_GS, GS_BASE) != 0) die("cannot set the base of GS");
}

/* Code under test that reaches a system call must not do anything. */
static void give_up_system_calls(void) {
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 0, 7),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_read, 4, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_write, 3, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_rt_sigreturn, 2, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit_group, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
    };
    struct sock_fprog program = {sizeof filter / sizeof *filter, filter};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) {
        die("cannot give up system calls");
    }
}

static void set_signals(void) {
    static uint8_t stack[1 << 16];
    stack_t alternate = {.ss_sp = stack, .ss_size = sizeof stack};
    if (sigaltstack(&alternate, NULL) != 0) die("cannot set the signal stack");
    struct sigaction action = {.sa_sigaction = (void (*)(int, siginfo_t *, void *))signal_entry,
                               .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER | SA_RESTART};
    const int signals[] = {SIGSEGV, SIGILL, SIGFPE, SIGTRAP, SIGBUS, SIGSYS, SIGALRM};
    for (unsigned i = 0; i < sizeof signals / sizeof *signals; i++) sigaction(signals[i], &action, NULL);
    struct itimerval tick = {{0, 30000}, {0, 30000}};
    setitimer(ITIMER_REAL, &tick, NULL);
}

static int read_all(void *to, size_t size) {
    for (size_t done = 0; done < size;) {
        ssize_t got = read(0, (uint8_t *)to + done, size - done);
        if (got <= 0) return 0;
        done += (size_t)got;
    }
    return 1;
}

static int write_all(const void *from, size_t size) {
    for (size_t done = 0; done < size;) {
        ssize_t put = write(1, (const uint8_t *)from + done, size - done);
        if (put <= 0) return 0;
        done += (size_t)put;
    }
    return 1;
}

static uint32_t sum(unsigned long from, unsigned long to) {
    uint32_t total = 0;
    for (const uint32_t *word = (uint32_t *)from; word < (uint32_t *)to; word++) total += *word;
    return total;
}

static void run(const Case *c, uint32_t number) {
    memset(&result, 0, sizeof result);
    memcpy(context->gpr, c->gpr, sizeof c->gpr);
    context->rflags = c->rflags;
    memcpy(context->fxsave, c->fxsave, 512);
    memset((void *)DATA, 0, DATA_SIZE);
    memcpy((void *)DATA, c->data, START_SIZE);
    memcpy((void *)MIDDLE, c->data + START_SIZE, MIDDLE_SIZE);
    memcpy((void *)END, c->data + START_SIZE + MIDDLE_SIZE, END_SIZE);
    memset((void *)CODE, 0xcc, PAGE);
    memcpy((void *)ENTRY, c->code, c->code_length);
    context->data_selector = c->code_kind < CODE32_SEGMENTED ? USER_DS : LDT(LDT_DATA);
    context->stack_selector = c->code_kind == CODE16             ? LDT(LDT_STACK16)
                              : c->code_kind == CODE32_SEGMENTED ? LDT(LDT_STACK32)
                                                                 : USER_DS;
    context->entry64 = ENTRY;
    context->far_entry[0] = c->code_kind == CODE16 ? ENTRY - CODE : ENTRY;
    context->far_entry[1] = c->code_kind == CODE16 ? LDT(LDT_CODE16) : USER32_CS;
    running = number;
    if (c->code_kind == CODE64) {
        run64();
    } else {
        run_far();
    }
    memcpy(result.data, (void *)DATA, START_SIZE);
    memcpy(result.data + START_SIZE, (void *)MIDDLE, MIDDLE_SIZE);
    memcpy(result.data + START_SIZE + MIDDLE_SIZE, (void *)END, END_SIZE);
    result.rest = sum(DATA + START_SIZE, MIDDLE) + sum(MIDDLE + MIDDLE_SIZE, END);
}

int main(void) {
    enum { BATCH = 64 };
    static Case cases[BATCH];
    static Result results[BATCH];
    uint32_t count, number = 0;
    map_at(CODE, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC);
    map_at(DATA, DATA_SIZE, PROT_READ | PROT_WRITE);
    map_at(CONTEXT, PAGE, PROT_READ | PROT_WRITE);
    set_segments();
    set_signals();
    give_up_system_calls();
    while (read_all(&count, sizeof count) && count > 0 && count <= BATCH && read_all(cases, count * sizeof(Case))) {
        for (uint32_t i = 0; i < count; i++) {
            number = number % 0x7fffffff + 1;
            run(&cases[i], number);
            results[i] = result;
        }
        if (!write_all(results, count * sizeof(Result))) return 1;
    }
    return 0;
}

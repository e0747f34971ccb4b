/*
 * Executes single instructions on the host CPU from given states: the oracle of the instruction tests.
 *
 * Reads fixed-size cases from standard input and writes fixed-size results to standard output (struct layouts below; the
 * TypeScript side mirrors them). Each case's code bytes are placed at CODE in the code size asked for; a jump back to us
 * follows them. Two data pages at DATA are the only other memory the code can reach; the page after them is not mapped.
 *
 * 32-bit code runs in the kernel's compatibility-mode code segment, 64-bit code as it is. Everything lives below 4 GiB.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ucontext.h>
#include <unistd.h>

#define CODE 0x10000000ul
#define DATA 0x20000000ul
#define DATA_SIZE 0x2000
#define CONTEXT 0x30000000ul
#define WINDOW 256 /* bytes of each data page's boundary that a case sets and gets */

typedef struct {
    uint8_t code[32];
    uint32_t code_length;
    uint32_t code_size; /* 32 or 64 */
    uint64_t gpr[16];
    uint64_t rflags;
    uint8_t fxsave[512];
    /* The middle of the data: WINDOW bytes around the boundary between the two pages. */
    uint8_t data[WINDOW];
} Case;

typedef struct {
    uint32_t fault; /* trap number + 1, or 0 */
    uint32_t error_code;
    uint64_t rip;
    uint64_t gpr[16];
    uint64_t rflags;
    uint8_t fxsave[512];
    uint8_t data[WINDOW];
    uint64_t cr2;
} Result;

/* Shared with the assembly below, at the fixed address CONTEXT. */
typedef struct {
    uint64_t gpr[16];      /* 0x00 */
    uint64_t rflags;       /* 0x80 */
    uint64_t host_rsp;     /* 0x88 */
    uint64_t entry;        /* 0x90 */
    uint64_t out_gpr[16];  /* 0x98 */
    uint64_t out_rflags;   /* 0x118 */
    uint32_t far_entry[2]; /* 0x120: offset, selector of 32-bit code */
    uint64_t pad;          /* 0x128 */
    uint8_t fxsave[512] __attribute__((aligned(16)));     /* 0x130 */
    uint8_t out_fxsave[512] __attribute__((aligned(16))); /* 0x330 */
    uint64_t host_fpu_pad;
    uint8_t host_fxsave[512] __attribute__((aligned(16)));
} Context;

static Context *const context = (Context *)CONTEXT;
static Result result;
static volatile sig_atomic_t faulted;

extern void run_case(void);
extern char landing64[], landing32[], abandoned[];

__asm__(
    ".text\n"
    ".globl run_case, landing64, landing32, abandoned\n"
    "run_case:\n"
    "  push %rbx\n  push %rbp\n  push %r12\n  push %r13\n  push %r14\n  push %r15\n"
    "  mov %rsp, 0x30000088\n"
    "  fxrstor64 0x30000130\n"
    "  pushq 0x30000080\n  popfq\n"
    "  mov 0x30000000, %rax\n  mov 0x30000008, %rcx\n  mov 0x30000010, %rdx\n  mov 0x30000018, %rbx\n"
    "  mov 0x30000028, %rbp\n  mov 0x30000030, %rsi\n  mov 0x30000038, %rdi\n"
    "  mov 0x30000040, %r8\n  mov 0x30000048, %r9\n  mov 0x30000050, %r10\n  mov 0x30000058, %r11\n"
    "  mov 0x30000060, %r12\n  mov 0x30000068, %r13\n  mov 0x30000070, %r14\n  mov 0x30000078, %r15\n"
    "  mov 0x30000020, %rsp\n"
    "  jmp *0x30000090\n"
    "landing64:\n"
    "  mov %rax, 0x30000098\n  mov %rcx, 0x300000a0\n  mov %rdx, 0x300000a8\n  mov %rbx, 0x300000b0\n"
    "  mov %rsp, 0x300000b8\n  mov %rbp, 0x300000c0\n  mov %rsi, 0x300000c8\n  mov %rdi, 0x300000d0\n"
    "  mov %r8, 0x300000d8\n  mov %r9, 0x300000e0\n  mov %r10, 0x300000e8\n  mov %r11, 0x300000f0\n"
    "  mov %r12, 0x300000f8\n  mov %r13, 0x30000100\n  mov %r14, 0x30000108\n  mov %r15, 0x30000110\n"
    "  mov 0x30000088, %rsp\n"
    "  pushfq\n  popq 0x30000118\n"
    "  fxsave64 0x30000330\n"
    "abandoned:\n"
    "  mov 0x30000088, %rsp\n"
    "  pushq $2\n  popfq\n"
    "  cld\n"
    "  pop %r15\n  pop %r14\n  pop %r13\n  pop %r12\n  pop %rbp\n  pop %rbx\n"
    "  fninit\n"
    "  ret\n");

static void on_signal(int number, siginfo_t *info, void *raw) {
    ucontext_t *uc = raw;
    greg_t *regs = uc->uc_mcontext.gregs;
    static const int order[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                                  REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};
    (void)number;
    (void)info;
    faulted = 1;
    result.fault = (uint32_t)regs[REG_TRAPNO] + 1;
    result.error_code = (uint32_t)regs[REG_ERR];
    result.rip = (uint64_t)regs[REG_RIP];
    result.cr2 = (uint64_t)regs[REG_CR2];
    for (int i = 0; i < 16; i++) result.gpr[i] = (uint64_t)regs[order[i]];
    result.rflags = (uint64_t)regs[REG_EFL];
    memcpy(result.fxsave, uc->uc_mcontext.fpregs, 512);
    regs[REG_RIP] = (greg_t)abandoned;
    regs[REG_RSP] = (greg_t)context->host_rsp;
    regs[REG_EFL] = 2;
    /* Back to the 64-bit code segment, whatever was running. */
    regs[REG_CSGSFS] = (regs[REG_CSGSFS] & ~0xffffll) | 0x33;
}

static void *map_at(unsigned long address, size_t size, int protection) {
    void *got = mmap((void *)address, size, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    if (got != (void *)address) {
        fprintf(stderr, "instruction-oracle: cannot map %#lx: %s\n", address, strerror(errno));
        exit(2);
    }
    return got;
}

static int read_all(void *to, size_t size) {
    return fread(to, 1, size, stdin) == size;
}

static void place_code(const Case *c) {
    uint8_t *code = (uint8_t *)CODE;
    memset(code, 0xcc, 128);
    memcpy(code, c->code, c->code_length);
    uint8_t *after = code + c->code_length;
    if (c->code_size == 64) {
        /* jmp [rip+0]; address */
        const uint8_t jump[] = {0xff, 0x25, 0, 0, 0, 0};
        memcpy(after, jump, sizeof jump);
        uint64_t target = (uint64_t)landing64;
        memcpy(after + sizeof jump, &target, 8);
        context->entry = CODE;
    } else {
        /* ljmp 0x33:stub, where 64-bit code jumps on to the landing. */
        uint8_t *stub = code + 0x100;
        after[0] = 0xea;
        uint32_t offset = (uint32_t)(uintptr_t)stub;
        memcpy(after + 1, &offset, 4);
        after[5] = 0x33;
        after[6] = 0;
        const uint8_t jump[] = {0xff, 0x25, 0, 0, 0, 0};
        memcpy(stub, jump, sizeof jump);
        uint64_t target = (uint64_t)landing64;
        memcpy(stub + sizeof jump, &target, 8);
        /* The entry in 64-bit code: ljmp *far_entry. */
        uint8_t *entry = code + 0x200;
        const uint8_t far[] = {0xff, 0x2c, 0x25, 0x20, 0x01, 0x00, 0x30};
        memcpy(entry, far, sizeof far);
        context->far_entry[0] = (uint32_t)CODE;
        context->far_entry[1] = 0x23;
        context->entry = (uint64_t)(uintptr_t)entry;
    }
}

int main(void) {
    map_at(CODE, 0x1000, PROT_READ | PROT_WRITE | PROT_EXEC);
    map_at(DATA, DATA_SIZE, PROT_READ | PROT_WRITE);
    map_at(CONTEXT, 0x2000, PROT_READ | PROT_WRITE);
    stack_t alternate = {.ss_sp = malloc(1 << 16), .ss_size = 1 << 16};
    sigaltstack(&alternate, NULL);
    struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER};
    const int signals[] = {SIGSEGV, SIGILL, SIGFPE, SIGTRAP, SIGBUS};
    for (unsigned i = 0; i < sizeof signals / sizeof *signals; i++) sigaction(signals[i], &action, NULL);
    uint8_t *window = (uint8_t *)(DATA + 0x1000 - WINDOW / 2);
    static Case c;
    while (read_all(&c, sizeof c)) {
        memset(&result, 0, sizeof result);
        memcpy(context->gpr, c.gpr, sizeof c.gpr);
        context->rflags = c.rflags;
        memcpy(context->fxsave, c.fxsave, 512);
        memset((void *)DATA, 0, DATA_SIZE);
        memcpy(window, c.data, WINDOW);
        place_code(&c);
        faulted = 0;
        run_case();
        if (!faulted) {
            result.rip = CODE + c.code_length;
            memcpy(result.gpr, context->out_gpr, sizeof result.gpr);
            result.rflags = context->out_rflags;
            memcpy(result.fxsave, context->out_fxsave, 512);
        }
        memcpy(result.data, window, WINDOW);
        if (fwrite(&result, sizeof result, 1, stdout) != 1) return 1;
    }
    fflush(stdout);
    return 0;
}

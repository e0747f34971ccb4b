/*
 * Executes single x87 instructions on the host CPU with a whole x87 state before and after, so that tests can compare
 * stack, tags, status, pointers and memory. Reads records from stdin until the end and writes one result for each.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

/* `state` is what 32-bit FRSTOR takes; the instruction addresses `memory` as [rsi]. */
struct record {
    uint8_t state[112];
    uint8_t memory[128];
    uint8_t code[15], code_length;
    uint64_t rax, rflags;
};

/* `vector` is that of the exception which the instruction raised, 0 for none. `rip` is where the instruction
 * was, `rsi` its operand; low halves. */
struct result {
    uint8_t state[112];
    uint8_t memory[128];
    uint64_t rax, rflags;
    uint32_t rip, rsi;
    uint64_t vector;
};

struct record in;
struct result out __attribute__((aligned(64)));
uint64_t saved_stack;
static uint8_t alternate_stack[65536];

void execute(void *code);
void after(void);

__asm__(".text\n"
        "execute:\n"
        "  push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15\n"
        "  mov %rsp, saved_stack(%rip)\n"
        "  mov %rdi, %rcx\n"
        "  lea out+112(%rip), %rsi\n"
        "  mov in+256(%rip), %rax\n"
        "  frstor in(%rip)\n"
        "  push in+264(%rip)\n"
        "  popfq\n"
        "  jmp *%rcx\n"
        "after:\n"
        "  pushfq\n"
        "  pop out+248(%rip)\n"
        "  mov %rax, out+240(%rip)\n"
        "  fnsave out(%rip)\n"
        "  mov saved_stack(%rip), %rsp\n"
        "  pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx\n"
        "  ret\n");

static void on_trap(int number, siginfo_t *information, void *context) {
    ucontext_t *interrupted = context;
    (void)number;
    (void)information;
    out.vector = interrupted->uc_mcontext.gregs[REG_TRAPNO];
    interrupted->uc_mcontext.gregs[REG_RIP] = (greg_t)(uintptr_t)after;
}

int main(void) {
    uint8_t *code = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (code == MAP_FAILED) {
        return 1;
    }
    stack_t stack = {.ss_sp = alternate_stack, .ss_size = sizeof alternate_stack};
    sigaltstack(&stack, NULL);
    struct sigaction action = {.sa_sigaction = on_trap, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    const int signals[] = {SIGFPE, SIGILL, SIGSEGV, SIGTRAP, SIGBUS};
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
        sigaction(signals[i], &action, NULL);
    }
    /* jmp [rip + 0], and the address it jumps to */
    static const uint8_t jump[] = {0xff, 0x25, 0, 0, 0, 0};
    while (fread(&in, sizeof in, 1, stdin) == 1) {
        void (*target)(void) = after;
        memset(&out, 0, sizeof out);
        memcpy(out.memory, in.memory, sizeof out.memory);
        out.rip = (uint32_t)(uintptr_t)code;
        out.rsi = (uint32_t)(uintptr_t)out.memory;
        memcpy(code, in.code, in.code_length);
        memcpy(code + in.code_length, jump, sizeof jump);
        memcpy(code + in.code_length + sizeof jump, &target, sizeof target);
        execute(code);
        if (fwrite(&out, sizeof out, 1, stdout) != 1) {
            return 1;
        }
    }
    return 0;
}

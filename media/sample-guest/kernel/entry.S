/* Ways into the kernel, and between its tasks. */
#include "layout.h"

        .set    PROCESSOR_KERNEL_STACK, 8
        .set    PROCESSOR_USER_STACK, 16

        .section .note.GNU-stack, "", @progbits
        .text
        .cfi_sections .debug_frame

        /*
         * An entry every 16 bytes. The CPU pushes an error code for some exceptions (SDM Vol. 3, table 6-1); the
         * others get a 0 for one.
         */
        .balign 16
        .globl  trap_entries
        .type   trap_entries, @function
trap_entries:
        .set    vector, 0
        .rept   256
        .balign 16
        .if     vector != 8 && !(vector >= 10 && vector <= 14) && vector != 17 && vector != 21
        push    $0
        .endif
        push    $vector
        jmp     trap_common
        .set    vector, vector + 1
        .endr
        .size   trap_entries, . - trap_entries

        .type   trap_common, @function
trap_common:
        .cfi_startproc simple
        .cfi_signal_frame
        .cfi_def_cfa rsp, 7 * 8
        .cfi_offset rip, -5 * 8
        .cfi_offset rsp, -2 * 8
        testb   $3, 3 * 8(%rsp)
        jz      1f
        swapgs
1:
        .irp    register, rax, rbx, rcx, rdx, rsi, rdi, rbp, r8, r9, r10, r11, r12, r13, r14, r15
        push    %\register
        .cfi_adjust_cfa_offset 8
        .cfi_rel_offset \register, 0
        .endr
        cld
        mov     %rsp, %rdi
        /* A frame of the interrupted code's address and frame pointer, for those who walk the stack. */
        push    17 * 8(%rsp)
        .cfi_adjust_cfa_offset 8
        push    %rbp
        .cfi_adjust_cfa_offset 8
        mov     %rsp, %rbp
        call    trap
        add     $2 * 8, %rsp
        .cfi_adjust_cfa_offset -16
        .irp    register, r15, r14, r13, r12, r11, r10, r9, r8, rbp, rdi, rsi, rdx, rcx, rbx, rax
        pop     %\register
        .cfi_adjust_cfa_offset -8
        .cfi_restore \register
        .endr
        testb   $3, 3 * 8(%rsp)
        jz      1f
        swapgs
1:      add     $2 * 8, %rsp
        .cfi_adjust_cfa_offset -16
        iretq
        .cfi_endproc
        .size   trap_common, . - trap_common

        /* SYSCALL: number in RAX, arguments in RDI and RSI; RIP is in RCX, RFLAGS in R11. */
        .globl  syscall_entry
        .type   syscall_entry, @function
syscall_entry:
        .cfi_startproc simple
        .cfi_signal_frame
        .cfi_def_cfa rsp, 0
        .cfi_register rip, rcx
        swapgs
        mov     %rsp, %gs:PROCESSOR_USER_STACK
        mov     %gs:PROCESSOR_KERNEL_STACK, %rsp
        push    %gs:PROCESSOR_USER_STACK
        push    %rcx
        push    %r11
        push    %rbp
        .cfi_def_cfa rsp, 4 * 8
        .cfi_offset rip, -2 * 8
        .cfi_offset rsp, -1 * 8
        .cfi_offset rbp, -4 * 8
        mov     %rsp, %rbp
        sti
        mov     %rsi, %rdx
        mov     %rdi, %rsi
        mov     %rax, %rdi
        call    system_call
        cli
        pop     %rbp
        pop     %r11
        pop     %rcx
        pop     %rsp
        xor     %edx, %edx
        xor     %esi, %esi
        xor     %edi, %edi
        xor     %r8d, %r8d
        xor     %r9d, %r9d
        xor     %r10d, %r10d
        swapgs
        sysretq
        .cfi_endproc
        .size   syscall_entry, . - syscall_entry

        /* void switch_stacks(uint64_t **save, uint64_t *load) */
        .globl  switch_stacks
        .type   switch_stacks, @function
switch_stacks:
        .cfi_startproc
        push    %rbp
        push    %rbx
        push    %r12
        push    %r13
        push    %r14
        push    %r15
        mov     %rsp, (%rdi)
        mov     %rsi, %rsp
        pop     %r15
        pop     %r14
        pop     %r13
        pop     %r12
        pop     %rbx
        pop     %rbp
        ret
        .cfi_endproc
        .size   switch_stacks, . - switch_stacks

        /* The first thing of a new task, on its own stack. */
        .globl  task_trampoline
        .type   task_trampoline, @function
task_trampoline:
        .cfi_startproc
        .cfi_undefined rip
        xor     %ebp, %ebp
        call    task_first
        ud2
        .cfi_endproc
        .size   task_trampoline, . - task_trampoline

        /* void enter_user_mode(uint64_t entry, uint64_t stack, uint64_t first, uint64_t second) */
        .globl  enter_user_mode
        .type   enter_user_mode, @function
enter_user_mode:
        .cfi_startproc
        .cfi_undefined rip
        cli
        mov     $USER_DATA, %eax
        mov     %eax, %ds
        mov     %eax, %es
        push    %rax
        push    %rsi
        push    $0x202
        push    $USER_CODE
        push    %rdi
        mov     %rdx, %rdi
        mov     %rcx, %rsi
        xor     %eax, %eax
        xor     %ebx, %ebx
        xor     %ecx, %ecx
        xor     %edx, %edx
        xor     %ebp, %ebp
        swapgs
        iretq
        .cfi_endproc
        .size   enter_user_mode, . - enter_user_mode

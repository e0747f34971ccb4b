# A Multiboot kernel for tests of watchpoints: goes to long mode and accesses memory in every way there is. Labels name
# the instructions. Ends by the debug exit port with 21.

        .set    PML4, 0x310000
        .set    PDPT, 0x311000
        .set    DIRECTORY, 0x312000
        .set    ALIAS_DIRECTORY, 0x313000
        .set    ALIAS_TABLE, 0x314000
        .set    ALIAS, 0x40000000       # linear address of DATA once more
        .set    DATA, 0x200000
        .set    WORD, DATA + 0x100      # what is watched most
        .set    EDGE, DATA + 0xffe      # four bytes in two pages
        .set    FIELD, DATA + 0x10000   # for long strings
        .set    HOLE, 0x600000          # not mapped until its page fault
        .set    OWN, DATA + 0x3200      # for the guest's debug registers
        .set    ROUNDS, 5000

        .include "multiboot.inc"
start:  mov     $stack, %esp
        cld
        lgdt    gdtr
        movl    $PDPT + 3, PML4
        movl    $DIRECTORY + 3, PDPT
        movl    $ALIAS_DIRECTORY + 3, PDPT + 8
        movl    $0x83, DIRECTORY
        movl    $0x200083, DIRECTORY + 8
        movl    $ALIAS_TABLE + 3, ALIAS_DIRECTORY
        movl    $DATA + 3, ALIAS_TABLE
        mov     $0x620, %eax            # PAE, OSFXSR, OSXMMEXCPT
        mov     %eax, %cr4
        mov     $PML4, %eax
        mov     %eax, %cr3
        mov     $0xc0000080, %ecx
        rdmsr
        or      $0x100, %eax
        wrmsr
        mov     $0x80000033, %eax
        mov     %eax, %cr0
        ljmp    $0x18, $long
        .code64
long:   mov     $0x10, %eax
        mov     %eax, %ds
        mov     %eax, %es
        mov     %eax, %ss
        mov     $page_fault, %eax
        mov     $idt + 14 * 16, %ebx
        mov     %ax, (%rbx)
        movw    $0x18, 2(%rbx)
        movw    $0x8e00, 4(%rbx)
        shr     $16, %eax
        mov     %ax, 6(%rbx)
        mov     $idtr, %eax
        lidt    (%rax)
        mov     $WORD, %ebx

write:  movl    $1, (%rbx)
read:   mov     (%rbx), %eax
modify: incl    (%rbx)
locked: lock addl $2, (%rbx)
        mov     $9, %eax
swap:   xchg    %eax, (%rbx)
        mov     $EDGE, %esi
edge:   movl    $0x11223344, (%rsi)
        movaps  (%rbx), %xmm0
sse:    movups  %xmm0, -8(%rbx)
        fninit
        fldpi
x87:    fstpl   (%rbx)
beside: movl    $5, 4(%rbx)
below:  movb    $6, -1(%rbx)
        mov     $ALIAS + 0x100, %edi
alias:  movl    $7, (%rdi)
        mov     %rsp, %rbp
        lea     4(%rbx), %rsp
push:   push    %rax
        mov     %rbp, %rsp

# In the middle of a block: what comes after must not have happened yet.
        xor     %ecx, %ecx
middle: movl    $8, (%rbx)
        inc     %ecx
        inc     %ecx
        inc     %ecx

# Strings: the watched bytes are in the middle, and one string is longer than what is done at once.
        mov     $FIELD, %esi
        lea     -16(%rbx), %rdi
        mov     $32, %ecx
string: rep movsb
        mov     $FIELD, %edi
        mov     $ROUNDS, %ecx
        mov     $0x5a5a1234, %eax
fill:   rep stosl

# A page fault after a watched read: the instruction is done again.
        mov     %rbx, %rsi
        mov     $HOLE, %edi
faulty: movsl

# Hot code that stores elsewhere, and now and then to what is watched.
        xor     %ecx, %ecx
        mov     $FIELD, %edi
again:  mov     %ecx, (%rdi, %rcx, 4)
        test    $1023, %ecx
        jne     1f
hot:    mov     %ecx, (%rbx)
1:      inc     %ecx
        cmp     $ROUNDS, %ecx
        jne     again

# The guest's own data breakpoint: writes of four bytes at OWN.
        mov     $debug_trap, %eax
        mov     $idt + 1 * 16, %esi
        mov     %ax, (%rsi)
        movw    $0x18, 2(%rsi)
        movw    $0x8e00, 4(%rsi)
        shr     $16, %eax
        mov     %ax, 6(%rsi)
        mov     $OWN, %esi
        mov     %rsi, %dr0
        mov     $0xd0401, %eax
        mov     %rax, %dr7
        mov     $notes, %ebp
        xor     %ecx, %ecx
        movl    $1, (%rsi)
trapped:
        inc     %ecx
        inc     %ecx
        mov     (%rsi), %eax
        mov     $ROUNDS, %ecx
1:      mov     %ecx, 8(%rsi)           # the same page, often
        mov     %ecx, 4096(%rsi)        # and another one
        loop    1b
        lea     -4(%rsi), %rdi
        mov     $4, %ecx
        rep stosl
        xor     %eax, %eax
        mov     %rax, %dr7
        movl    $1, (%rsi)
        nop
finish: mov     $21, %al
        out     %al, $0xf4

# Counts, and notes where it first was and with which RCX.
debug_trap:
        push    %rax
        incl    (%rbp)
        cmpl    $1, (%rbp)
        jne     1f
        mov     8(%rsp), %rax
        mov     %rax, 8(%rbp)
        mov     %rcx, 16(%rbp)
1:      xor     %eax, %eax
        mov     %rax, %dr6
        pop     %rax
        iretq

# Maps HOLE.
page_fault:
        push    %rax
        mov     $DIRECTORY + 3 * 8, %eax
        movl    $0x600083, (%rax)
        pop     %rax
        add     $8, %rsp
        iretq

        .balign 8
gdt:    .quad   0
        .quad   0x00cf9b000000ffff      # 0x08: 32-bit code
        .quad   0x00cf93000000ffff      # 0x10: data
        .quad   0x00af9b000000ffff      # 0x18: 64-bit code
gdtr:   .word   gdtr - gdt - 1
        .long   gdt
idtr:   .word   15 * 16 - 1
        .long   idt, 0
        .bss
        .balign 4096
idt:    .skip   256 * 16
notes:  .skip   24
        .balign 4096
        .skip   4096
stack:

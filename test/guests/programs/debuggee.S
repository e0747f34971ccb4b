# A Multiboot kernel for tests of the debugger: code that is called often, copied, patched and mapped late, in 32-bit
# code, with paging, in long mode and in real mode. Ends by the debug exit port with 21.

        .set    ROUNDS, 20000
        .set    COPY, 0x200000          # where code is copied to
        .set    PAGE_DIRECTORY, 0x300000
        .set    PAGE_TABLE, 0x301000
        .set    MAPPED, 0x40000000      # linear address of COPY once there is paging
        .set    PML4, 0x310000
        .set    LOW_PDPT, 0x311000
        .set    LOW_DIRECTORY, 0x312000
        .set    HIGH_PDPT, 0x313000
        .set    HIGH_DIRECTORY, 0x314000
        .set    REAL, 0x8000            # where real-mode code is copied to

        .include "start.inc"

# Often enough to be translated.
        xor     %ecx, %ecx
again:  call    count
        inc     %ecx
        cmp     $ROUNDS, %ecx
        jne     again

# Code that was not there when the breakpoint was set.
        copy    body, COPY
        mov     $COPY, %eax
        call    *%eax

# Code that changes after it has run: INC EDX becomes DEC EDX.
        call    patched
        movb    $0x4a, patched
        call    patched

# Paging: identity for the first 4 MiB, and COPY once more at MAPPED.
        movl    $0x83, PAGE_DIRECTORY
        movl    $PAGE_TABLE + 3, PAGE_DIRECTORY + (MAPPED >> 22) * 4
        movl    $COPY + 3, PAGE_TABLE
        mov     $PAGE_DIRECTORY, %eax
        mov     %eax, %cr3
        mov     %cr4, %eax
        or      $0x10, %eax
        mov     %eax, %cr4
        mov     %cr0, %eax
        or      $0x80000000, %eax
        mov     %eax, %cr0
paged:  mov     $MAPPED, %eax
        call    *%eax

# Long mode: 2 MiB pages, the first two identical, and the first at the top of the address space too.
        mov     %cr0, %eax
        and     $0x7fffffff, %eax
        mov     %eax, %cr0
        movl    $LOW_PDPT + 3, PML4
        movl    $HIGH_PDPT + 3, PML4 + 511 * 8
        movl    $LOW_DIRECTORY + 3, LOW_PDPT
        movl    $0x83, LOW_DIRECTORY
        movl    $0x200083, LOW_DIRECTORY + 8
        movl    $HIGH_DIRECTORY + 3, HIGH_PDPT + 510 * 8
        movl    $0x83, HIGH_DIRECTORY
        mov     %cr4, %eax
        or      $0x20, %eax
        mov     %eax, %cr4
        mov     $PML4, %eax
        mov     %eax, %cr3
        mov     $0xc0000080, %ecx
        rdmsr
        or      $0x100, %eax
        wrmsr
        mov     %cr0, %eax
        or      $0x80000000, %eax
        mov     %eax, %cr0
        ljmp    $0x18, $long
        .code64
long:   mov     $0xffffffff80000000, %rax
        mov     $high, %ebx
        add     %rbx, %rax
        call    *%rax
        mov     $back, %ebx
        ljmp    *(%rbx)

# Called at its address 0xffffffff80000000 further up.
high:   mov     $counter, %ebx
        incl    (%rbx)
        ret
        .balign 8
back:   .long   compat, 0x08

        .code32
compat: mov     %cr0, %eax
        and     $0x7fffffff, %eax
        mov     %eax, %cr0

# Real mode, with CS.base = REAL.
        copy    real, REAL
        ljmp    $0x20, $0
        .code16
real:   mov     %cr0, %eax
        and     $0xfe, %al
        mov     %eax, %cr0
        ljmp    $REAL >> 4, $1f - real
1:      xor     %bx, %bx
        inc     %bx
real_inc:
        inc     %bx
        mov     $21, %al
        out     %al, $0xf4
real_end:

        .code32
count:  incl    counter
        mov     counter, %eax
        ret

# Copied before it is called.
body:   mov     $0x1234, %edx
body_inc:
        inc     %edx
        ret
body_end:

patched:
        inc     %edx
        ret

        .balign 8
gdt:    .quad   0
        .quad   0x00cf9b000000ffff      # 0x08: 32-bit code
        .quad   0x00cf93000000ffff      # 0x10: data
        .quad   0x00af9b000000ffff      # 0x18: 64-bit code
        .quad   0x00009b008000ffff      # 0x20: 16-bit code at REAL
gdtr:   .word   gdtr - gdt - 1
        .long   gdt

        .balign 4096
        .globl  counter
counter:
        .long   0
        .bss
        .skip   4096
stack:

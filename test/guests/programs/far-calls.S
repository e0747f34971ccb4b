# A Multiboot kernel whose functions lie in pages of their own, and are mapped, patched and returned from in ways that code
# translated for several pages has to notice. Each part leaves its sum in `results`. Ends by the debug exit port with 21.

        .set    ROUNDS, 200000          # enough for several batches of translation
        .set    ONE, 0x200000           # physical pages with functions
        .set    OTHER, 0x201000
        .set    PAGE_DIRECTORY, 0x300000
        .set    IDENTITY, 0x301000      # page table of the first 4 MiB
        .set    HIGH, 0x302000          # page table at FUNCTION
        .set    SECOND_DIRECTORY, 0x303000
        .set    SECOND_HIGH, 0x304000
        .set    FUNCTION, 0x40000000    # linear address of ONE or OTHER

        .include "start.inc"

# Two functions of the same length: one adds 1 to EBX, the other 0x100.
        copy    add_one, ONE
        copy    add_other, OTHER

# Paging: the first 4 MiB identical; FUNCTION is ONE, in the second address space OTHER.
        xor     %ecx, %ecx
1:      mov     %ecx, %eax
        shl     $12, %eax
        or      $3, %eax
        mov     %eax, IDENTITY(, %ecx, 4)
        inc     %ecx
        cmp     $1024, %ecx
        jne     1b
        movl    $IDENTITY + 3, PAGE_DIRECTORY
        movl    $HIGH + 3, PAGE_DIRECTORY + (FUNCTION >> 22) * 4
        movl    $IDENTITY + 3, SECOND_DIRECTORY
        movl    $SECOND_HIGH + 3, SECOND_DIRECTORY + (FUNCTION >> 22) * 4
        movl    $ONE + 3, HIGH
        movl    $OTHER + 3, SECOND_HIGH
        mov     $PAGE_DIRECTORY, %eax
        mov     %eax, %cr3
        mov     %cr0, %eax
        or      $0x80010000, %eax
        mov     %eax, %cr0
        mov     $results, %edi

# As it is mapped first.
        call    rounds
# The other page, after INVLPG.
        movl    $OTHER + 3, HIGH
        invlpg  FUNCTION
        call    rounds
# Back, with all translations flushed.
        movl    $ONE + 3, HIGH
        mov     %cr3, %eax
        mov     %eax, %cr3
        call    rounds
# Another address space, and back.
        mov     $SECOND_DIRECTORY, %eax
        mov     %eax, %cr3
        call    rounds
        mov     $PAGE_DIRECTORY, %eax
        mov     %eax, %cr3
        call    rounds
# The function changes, through another address: it adds 3.
        movb    $3, ONE + add_one_value - add_one
        call    rounds
# It changes now and then in a loop, by the loop, to the rounds that are left, divided by 0x4000.
        call    changing
# A function that returns two bytes further on every other call.
        call    skipping
# One function called from two places, by one that calls another.
        call    nested
        mov     $21, %al
        out     %al, $0xf4
1:      hlt
        jmp     1b

        .balign 4096
rounds: xor     %ebx, %ebx
        mov     $ROUNDS, %ecx
1:      call    FUNCTION
        dec     %ecx
        jnz     1b
store:  mov     %ebx, %eax
        stosl
        ret

changing:
        xor     %ebx, %ebx
        mov     $ROUNDS, %ecx
1:      test    $0x3fff, %ecx
        jnz     2f
        mov     %ecx, %eax
        shr     $14, %eax
        mov     %al, ONE + add_one_value - add_one
2:      call    FUNCTION
        dec     %ecx
        jnz     1b
        movb    $1, ONE + add_one_value - add_one
        jmp     store

skipping:
        xor     %ebx, %ebx
        mov     $ROUNDS, %ecx
1:      call    skip
        inc     %ebx                    # two bytes in 32-bit code: INC r/m32
        .byte   0x90
        dec     %ecx
        jnz     1b
        jmp     store

nested: xor     %ebx, %ebx
        mov     $ROUNDS, %ecx
1:      call    middle
        test    $1, %cl
        jz      2f
        call    FUNCTION
2:      call    middle
        dec     %ecx
        jnz     1b
        jmp     store

        .balign 4096
# Returns to the instruction after INC EBX and NOP on every other call.
skip:   mov     %ecx, %eax
        and     $1, %eax
        shl     $1, %eax
        add     %eax, (%esp)
        ret

        .balign 4096
middle: call    FUNCTION
        add     $0x10, %ebx
        call    FUNCTION
        ret

add_one:
        add     $1, %ebx
add_one_value = . - 1
        ret
add_one_end:
add_other:
        add     $0x100, %ebx
        ret
add_other_end:

        .balign 8
gdt:    .quad   0
        .quad   0x00cf9b000000ffff      # 0x08: 32-bit code
        .quad   0x00cf93000000ffff      # 0x10: data
gdtr:   .word   gdtr - gdt - 1
        .long   gdt

        .balign 4
        .globl  results
results:
        .skip   64
        .bss
        .skip   4096
stack:

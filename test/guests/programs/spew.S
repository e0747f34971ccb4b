# A guest that prints for ever.

        .include "start.inc"
again:  mov     $text, %esi
        call    print
        jmp     again

        .include "print.inc"

text:   .asciz  "the same line again and again\n"

gdt:    .quad   0, 0x00cf9b000000ffff, 0x00cf93000000ffff
gdtr:   .word   . - gdt - 1
        .long   gdt

        .bss
        .skip   4096
stack:

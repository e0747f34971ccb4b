# A Multiboot kernel without an IDT that executes an undefined instruction.

        .include "multiboot.inc"
start:  lidt    nothing
        mov     $0x12345678, %ecx
        ud2

nothing:
        .word   0
        .long   0

# A Multiboot kernel without an IDT that executes an undefined instruction.

        .set    MAGIC, 0x1badb002

        .text
        .balign 4
        .long   MAGIC, 0, -MAGIC

        .globl  start
start:  lidt    nothing
        mov     $0x12345678, %ecx
        ud2

nothing:
        .word   0
        .long   0

# A Multiboot kernel that never ends.

        .set    MAGIC, 0x1badb002

        .text
        .balign 4
        .long   MAGIC, 0, -MAGIC

        .globl  start
start:  jmp     start

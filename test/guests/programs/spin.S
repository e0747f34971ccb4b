# A Multiboot kernel that never ends.

        .include "multiboot.inc"
start:  jmp     start

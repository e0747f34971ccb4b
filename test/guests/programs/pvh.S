# An ELF kernel with a PVH note: prints its command line and the size of its first module, and ends by the debug exit
# port with 0.

        .set    START_MAGIC, 0x336ec578
        .set    MODULE_COUNT, 12
        .set    MODULES, 16
        .set    COMMAND_LINE, 24
        .set    MODULE_LENGTH, 8

        .section .note.pvh, "a", @note
        .balign 4
        .long   4, 4, 18                # XEN_ELFNOTE_PHYS32_ENTRY
        .asciz  "Xen"
        .long   start

        .text
        .globl  start
start:  mov     $stack, %esp
        cld
        cmpl    $START_MAGIC, (%ebx)
        jne     fail
        mov     COMMAND_LINE(%ebx), %esi
        call    print
        cmpl    $1, MODULE_COUNT(%ebx)
        jne     fail
        mov     MODULES(%ebx), %edi
        mov     MODULE_LENGTH(%edi), %al
        add     $'0', %al
        mov     $SERIAL, %edx
        out     %al, %dx
        mov     $0, %al
        out     %al, $0xf4
fail:   mov     $1, %al
        out     %al, $0xf4

        .include "print.inc"

        .bss
        .skip   4096
stack:

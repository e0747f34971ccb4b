# A Multiboot 1 kernel: prints its command line and its modules' strings, and ends by the debug exit port with 21.

        .set    MAGIC, 0x1badb002
        .set    FLAGS, 0
        .set    LOADED_BY, 0x2badb002
        .set    COMMAND_LINE, 16
        .set    MODULE_COUNT, 20
        .set    MODULES, 24
        .set    MODULE_STRING, 8
        .set    MODULE_SIZE, 16

        .text
        .balign 4
        .long   MAGIC, FLAGS, -(MAGIC + FLAGS)

        .globl  start
start:  mov     $stack, %esp
        cld
        cmp     $LOADED_BY, %eax
        jne     fail
        mov     COMMAND_LINE(%ebx), %esi
        call    line
        mov     MODULE_COUNT(%ebx), %ecx
        mov     MODULES(%ebx), %edi
next:   jecxz   done
        mov     MODULE_STRING(%edi), %esi
        call    line
        mov     (%edi), %esi            # the module itself, which is text here
        call    line
        add     $MODULE_SIZE, %edi
        dec     %ecx
        jmp     next
done:   mov     $21, %al
        out     %al, $0xf4
fail:   mov     $1, %al
        out     %al, $0xf4

# Prints the text at ESI between brackets, on a line of its own.
line:   push    %esi
        mov     $open, %esi
        call    print
        pop     %esi
        call    print
        mov     $close, %esi
        jmp     print

        .include "print.inc"

open:   .asciz  "["
close:  .asciz  "]\n"

        .bss
        .skip   4096
stack:

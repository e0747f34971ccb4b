# A Multiboot kernel for tests of stepping: a timer that is always due, calls without frame pointers, repeated strings,
# HLT with and without interrupts. 32-bit code.

        .set    BUFFER, 0x200000

        .include "start.inc"
        mov     $timer, %eax
        mov     %ax, idt + 0x20 * 8
        movw    $0x08, idt + 0x20 * 8 + 2
        movw    $0x8e00, idt + 0x20 * 8 + 4
        shr     $16, %eax
        mov     %ax, idt + 0x20 * 8 + 6
        lidt    idtr
# IRQ 0 alone, as vector 0x20.
        mov     $0x11, %al
        out     %al, $0x20
        mov     $0x20, %al
        out     %al, $0x21
        mov     $0x04, %al
        out     %al, $0x21
        mov     $0x01, %al
        out     %al, $0x21
        mov     $0xfe, %al
        out     %al, $0x21
# A tick every 16 periods of the PIT, some 13,000 instructions.
        mov     $0x34, %al
        out     %al, $0x43
        mov     $16, %al
        out     %al, $0x40
        xor     %al, %al
        out     %al, $0x40
        mov     $50000, %ecx
        loop    .
# An interrupt waits, from here on.
due:    sti
        nop
first:  inc     %ebx
second: inc     %ebx
        call    outer
called: mov     $BUFFER, %edi
        mov     $300, %ecx
repeat: rep stosb
filled: nop
sleep:  hlt
awake:  nop
        cli
dead:   hlt
beyond: jmp     .

# Long enough for some ticks, and no frame pointer in sight.
outer:  push    %ecx
        mov     $100, %ecx
1:      call    inner
        dec     %ecx
        jnz     1b
        pop     %ecx
        ret

inner:  push    %ecx
middle: mov     $1000, %ecx
        loop    .
        pop     %ecx
        ret

timer:  push    %eax
        incl    ticks
        mov     $0x20, %al
        out     %al, $0x20
        pop     %eax
        iret

        .balign 8
gdt:    .quad   0
        .quad   0x00cf9b000000ffff
        .quad   0x00cf93000000ffff
gdtr:   .word   gdtr - gdt - 1
        .long   gdt
idtr:   .word   0x21 * 8 - 1
        .long   idt

        .balign 8
ticks:  .long   0
        .long   0
idt:    .fill   0x21 * 8, 1, 0
        .fill   4096, 1, 0
stack:

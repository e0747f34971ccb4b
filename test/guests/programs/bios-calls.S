# A Multiboot kernel that goes back to real mode and calls the BIOS, where there is none: INT 15h is refused, INT 12h
# answered, an interrupt acknowledged. It ends by the debug exit: 1 for success, else the step that went wrong.

        .set    REAL, 0x7000                    # where the real-mode code runs

        .include "multiboot.inc"
start:  cli
        cld
        copy    real, REAL
        lidt    real_idt
        lgdt    gdt_pointer
        ljmp    $8, $REAL

        .balign 8
gdt:    .quad   0
        .quad   0x00009b000000ffff              # 16-bit code and data at base 0
        .quad   0x000093000000ffff
gdt_pointer:
        .word   . - gdt - 1
        .long   gdt
real_idt:
        .word   0x3ff
        .long   0

        .code16
real:   mov     $16, %ax
        mov     %ax, %ds
        mov     %ax, %es
        mov     %ax, %ss
        mov     %cr0, %eax
        and     $0xfffffffe, %eax
        mov     %eax, %cr0
        ljmp    $0, $REAL + (1f - real)
1:      xor     %ax, %ax
        mov     %ax, %ds
        mov     %ax, %ss
        mov     $REAL, %sp

        mov     $2, %bl                         # a function that nobody has: CF and AH = 86h
        mov     $0xec00, %ax
        clc
        int     $0x15
        jnc     end
        cmp     $0x86, %ah
        jne     end

        mov     $3, %bl                         # memory in KiB, and CF as it was
        stc
        int     $0x12
        jnc     end
        cmp     $639, %ax
        jne     end

        mov     $4, %bl                         # a timer tick; the stack stays as it was
        mov     $0x11, %al                      # interrupt controller to the BIOS's vectors, all but IRQ 0 masked
        out     %al, $0x20
        mov     $8, %al
        out     %al, $0x21
        mov     $4, %al
        out     %al, $0x21
        mov     $1, %al
        out     %al, $0x21
        mov     $0xfe, %al
        out     %al, $0x21
        mov     $0x30, %al                      # counter 0, mode 0: one interrupt
        out     %al, $0x43
        mov     $0, %al
        out     %al, $0x40
        mov     $1, %al
        out     %al, $0x40
        sti
        hlt
        cli
        mov     $0x0b, %al                      # nothing is left in service
        out     %al, $0x20
        in      $0x20, %al
        test    %al, %al
        jnz     end
        cmp     $REAL, %sp
        jne     end
        mov     $1, %bl
end:    mov     %bl, %al
        out     %al, $0xf4
real_end:

# The setup code and the system of a zImage by boot protocol 2.01, as Linux 1.3 and old memory testers have them. Prints its
# command line by the serial port and ends by the debug exit: 1 for success, else the step that went wrong.

        .set    SETUP, 0x9000                   # segment where setup has to be
        .set    SYSTEM, 0x1000                  # segment where the system is
        .set    SERIAL, 0x3f8

        .code16
        .globl  start
start:  .org    0x1f1                           # the boot sector, which nobody executes
        .byte   1                               # setup sectors
        .word   0, 32, 0, 0, 0, 0               # flags, size of the system in paragraphs, memory disk, mode, root device
        .org    0x1fe
        .word   0xaa55
        jmp     setup                           # the header ends where this leads
        .ascii  "HdrS"
        .word   0x201
        .long   0                               # real-mode hook
        .word   0, 0                            # start of the system, version text
        .byte   0, 0                            # loader, flags: loaded low
        .word   0x8000                          # size to move
        .long   0x1000                          # 32-bit entry
        .long   0, 0                            # initial RAM disk
        .long   0                               # boot sector hook
        .word   0, 0                            # end of the heap
setup:  mov     $2, %bl
        mov     %cs, %ax
        cmp     $SETUP + 0x20, %ax
        jne     end
        mov     %ds, %ax
        cmp     $SETUP, %ax
        jne     end
        mov     $3, %bl                         # a loader, a heap, a command line
        cmpb    $0, 0x210
        je      end
        testb   $0x80, 0x211
        jz      end
        cmpw    $0x9600, 0x224
        jne     end
        cmpw    $0xa33f, 0x20
        jne     end
        mov     0x22, %si
        mov     $SERIAL, %dx
1:      lodsb
        test    %al, %al
        jz      2f
        out     %al, %dx
        jmp     1b
2:      mov     $4, %bl                         # the whole system
        mov     $SYSTEM, %ax
        mov     %ax, %ds
        cmpl    $0x12345678, 0
        jne     end
        cmpl    $0x9abcdef0, 508
        jne     end
        mov     $1, %bl
end:    mov     %bl, %al
        out     %al, $0xf4
        hlt

        .org    0x400
        .long   0x12345678
        .org    0x5fc
        .long   0x9abcdef0

# The boot sector of a floppy disk: prints by INT 10h what INT 13h has read from the second sector, and ends by the debug
# exit port with 0.

        .set    SECTOR, 0x8000

        .code16
        .globl  start
start:  ljmp    $0, $1f
1:      xor     %ax, %ax
        mov     %ax, %ds
        mov     %ax, %es
        mov     %ax, %ss
        mov     $start, %sp
        mov     $0x0201, %ax                    # read one sector: cylinder 0, head 0, sector 2 of the drive in DL
        mov     $0x0002, %cx
        mov     $0, %dh
        mov     $SECTOR, %bx
        int     $0x13
        jc      fail
        mov     $SECTOR, %si
2:      lodsb
        test    %al, %al
        jz      3f
        mov     $0x0e, %ah                      # teletype output
        mov     $7, %bx
        int     $0x10
        jmp     2b
3:      sti                                     # the BIOS sends the last of it with the next ticks of its clock
        hlt
        hlt
        mov     $0, %al
        out     %al, $0xf4
fail:   mov     %ah, %al
        out     %al, $0xf4

        .org    510
        .word   0xaa55
        .asciz  "read from the second sector\r\n"
        .org    1440 * 1024

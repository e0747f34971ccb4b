# A Multiboot kernel that greets, then answers each character from the first serial port with how many there were
# ('1', '2', …) and the character; it ends by the debug exit port after a 'q'.

        .set    LINE_STATUS, 5
        .set    DATA_READY, 1

        .include "multiboot.inc"
start:  mov     $stack, %esp
        cld
        mov     $ready, %esi
        call    print
        mov     $'0', %bl
again:  mov     $SERIAL + LINE_STATUS, %edx
1:      in      %dx, %al
        test    $DATA_READY, %al
        jz      1b
        mov     $SERIAL, %edx
        in      %dx, %al
        mov     %al, %cl
        inc     %bl
        mov     %bl, %al
        out     %al, %dx
        mov     %cl, %al
        out     %al, %dx
        cmp     $'q', %cl
        jne     again
        mov     $7, %al
        out     %al, $0xf4

        .include "print.inc"

ready:  .asciz  "ready\n"

        .bss
        .skip   4096
stack:

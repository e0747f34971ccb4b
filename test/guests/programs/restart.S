# A Multiboot kernel that restarts its processors: the first by INIT and by the keyboard controller, with the BIOS's shutdown
# status saying where to go on; the second by INIT and start-up IPIs. It ends by the debug exit: 1 for success, else the step
# that went wrong.

        .set    SHUTDOWN_STATUS, 0x8f           # CMOS index, with NMI masked
        .set    JUMP, 0x0a                      # shutdown status: jump to where 40:67 leads
        .set    JUMP_AFTER_EOI, 0x05
        .set    WARM_RESET_VECTOR, 0x467
        .set    REAL, 0x7000                    # where the real-mode code runs
        .set    OTHER, 0x8000                   # where that of the other processor runs
        .set    ICR, 0xfee00300

        .set    COUNTER, 0x500                  # increased by the other processor for as long as it runs
        .set    REGISTERS, 0x504                # what it found: EAX, EDX, EFLAGS
        .set    STARTED, 0x510                  # how often it has started
        .set    PATIENCE, 1000000000

        .include "multiboot.inc"
start:  cli
        cld
        mov     $stack, %esp
        copy    real, REAL
        copy    other, OTHER

        mov     $2, %bl                         # started by INIT and SIPI
        movl    $0, STARTED
        mov     $0x4500, %eax
        call    send
        mov     $0x4600 + (OTHER >> 12), %eax
        call    send
        call    running
        jz      fail

        mov     $3, %bl                         # another SIPI is ignored
        mov     $0x4600 + (OTHER >> 12), %eax
        call    send
        call    running
        jz      fail
        cmpl    $1, STARTED
        jne     fail

        mov     $4, %bl                         # an NMI waits for nobody who is to be stopped
        mov     $0x4500, %eax
        call    send
        mov     $0x4400, %eax
        call    send
        call    standing
        jnz     fail

        mov     $5, %bl                         # the first of two SIPIs counts
        mov     $0x4600 + (OTHER >> 12), %eax
        call    send
        mov     $0x4601 + (OTHER >> 12), %eax
        call    send
        call    running
        jz      fail
        cmpl    $2, STARTED
        jne     fail

        mov     $6, %bl                         # registers are those after INIT
        mov     REGISTERS, %eax
        test    %eax, %eax
        jnz     fail
        mov     REGISTERS + 4, %eax
        shr     $8, %eax
        and     $0x0f, %al
        cmp     $6, %al
        jb      fail
        cmpl    $2, REGISTERS + 8
        jne     fail

        mov     $7, %bl                         # INIT of this processor
        movl    $(REAL + after_init - real), WARM_RESET_VECTOR
        mov     $SHUTDOWN_STATUS, %al
        out     %al, $0x70
        mov     $JUMP, %al
        out     %al, $0x71
        movl    $0x00000000, ICR + 0x10
        movl    $0x4500, ICR
1:      hlt
        jmp     1b

fail:   mov     %bl, %al
        out     %al, $0xf4

# Sends what EAX says to the other processor.
send:   movl    $0x01000000, ICR + 0x10
        mov     %eax, ICR
        ret

# Whether the other processor runs: ZF is clear then. Takes as long as it needs to if it does, and a while if not.
running:
        mov     COUNTER, %edx
        mov     $PATIENCE, %ecx
1:      pause
        cmp     COUNTER, %edx
        loope   1b
        ret

# The same for one that should stand still.
standing:
        mov     COUNTER, %edx
        mov     $50000, %ecx
1:      pause
        loop    1b
        cmp     COUNTER, %edx
        ret

        .balign 16
        .skip   256
stack:

        .code16
other:  pushfl                                  # SS:SP is 0:0 after INIT: the top of the first 64 KiB
        xor     %bx, %bx
        mov     %bx, %ds
        mov     %eax, REGISTERS
        mov     %edx, REGISTERS + 4
        pop     %eax
        mov     %eax, REGISTERS + 8
        incl    STARTED
1:      incl    COUNTER
        jmp     1b
other_end:

real:
after_init:
        mov     $8, %bl                         # real mode, memory as it was, status cleared
        mov     %cr0, %eax
        and     $0x1fffffff, %eax
        cmp     $0x10, %eax
        jne     end
        xor     %ax, %ax
        mov     %ax, %ds
        cmpl    $2, STARTED
        jne     end
        mov     $SHUTDOWN_STATUS, %al
        out     %al, $0x70
        in      $0x71, %al
        test    %al, %al
        jnz     end

        mov     $9, %bl                         # the way of the AT: by the keyboard controller
        movl    $(REAL + after_reset - real), WARM_RESET_VECTOR
        mov     $SHUTDOWN_STATUS, %al
        out     %al, $0x70
        mov     $JUMP_AFTER_EOI, %al
        out     %al, $0x71
        mov     $0xfe, %al
        out     %al, $0x64
1:      hlt
        jmp     1b

after_reset:
        mov     $10, %bl
        xor     %ax, %ax
        mov     %ax, %ds
        cmpl    $2, STARTED
        jne     end
        mov     $1, %bl
end:    mov     %bl, %al
        out     %al, $0xf4
real_end:

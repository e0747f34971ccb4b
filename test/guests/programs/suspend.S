# A Multiboot kernel that suspends to RAM (ACPI S3), wakes by the alarm of the real-time clock, and goes on in real mode. It
# ends by the debug exit: 1 for success, else the step that went wrong.

        .set    REAL, 0x7000                    # where the real-mode code runs
        .set    RSDP, 0xf0000
        .set    PM_STATUS, 0x600
        .set    PM_ENABLE, 0x602
        .set    PM_CONTROL, 0x604
        .set    RTC_EVENT, 1 << 10
        .set    WAKE_STATUS, 1 << 15
        .set    S3, 1 << 10                     # SLP_TYP of \_S3
        .set    SLEEP, 1 << 13

        .macro  cmos index, value
        mov     $\index, %al
        out     %al, $0x70
        mov     $\value, %al
        out     %al, $0x71
        .endm

        .include "multiboot.inc"
start:  cli
        cld
        copy    real, REAL

        mov     $2, %bl                         # the FADT is among the tables that the RSDT names
        mov     RSDP + 16, %esi
        lea     36(%esi), %edi
        add     4(%esi), %esi
1:      cmp     %esi, %edi
        jae     fail
        mov     (%edi), %ebp
        add     $4, %edi
        cmpl    $0x50434146, (%ebp)             # FACP
        jne     1b
        mov     36(%ebp), %ebp
        mov     $3, %bl
        cmpl    $0x53434146, (%ebp)             # FACS
        jne     fail
        movl    $REAL, 12(%ebp)
        movl    $0, 24(%ebp)
        movl    $0, 28(%ebp)

        mov     $4, %bl
        mov     $0xf1, %al                      # ACPI mode
        out     %al, $0xb2
        cmos    0x01, 0xff                      # an alarm every second
        cmos    0x03, 0xff
        cmos    0x05, 0xff
        cmos    0x0b, 0x22
        mov     $PM_ENABLE, %dx
        mov     $RTC_EVENT, %ax
        out     %ax, %dx
        movl    $0x12345678, 0x5000
        mov     $PM_CONTROL, %dx
        mov     $S3 | SLEEP | 1, %ax
        out     %ax, %dx
        mov     $5, %bl                         # nothing runs from here on
fail:   mov     %bl, %al
        out     %al, $0xf4

        .code16
real:   mov     $6, %bl
        mov     %cs, %ax
        cmp     $REAL >> 4, %ax
        jne     end
        mov     %cr0, %eax
        test    $1, %al
        jnz     end
        mov     $7, %bl
        xor     %ax, %ax
        mov     %ax, %ds
        cmpl    $0x12345678, 0x5000
        jne     end
        mov     $8, %bl
        mov     $PM_STATUS, %dx
        in      %dx, %ax
        and     $WAKE_STATUS | RTC_EVENT, %ax
        cmp     $WAKE_STATUS | RTC_EVENT, %ax
        jne     end
        mov     $9, %bl
        mov     $PM_CONTROL, %dx
        in      %dx, %ax
        test    $1, %al
        jz      end
        mov     $1, %bl
end:    mov     %bl, %al
        out     %al, $0xf4
real_end:

/*
 * From real mode through protected mode to long mode. All of it lies at 0x8000, below 1 MiB, where real mode can run
 * it, where it can copy the kernel from, and where the other processors start: their start-up message names page 8.
 */
#include "layout.h"

        .set    BOOT_CODE_32, 0x08
        .set    BOOT_DATA, 0x10
        .set    BOOT_CODE_16, 0x18
        .set    BOOT_DATA_16, 0x20
        .set    BOOT_CODE_64, 0x28

        .set    CR0_PE, 1 << 0
        .set    CR0_WP, 1 << 16
        .set    CR0_PG, 1 << 31
        .set    CR4_PAE, 1 << 5
        .set    MSR_EFER, 0xc0000080
        .set    EFER_SCE, 1 << 0
        .set    EFER_LME, 1 << 8
        .set    EFER_NXE, 1 << 11

        .set    PRESENT_WRITABLE, 3
        .set    LARGE, 1 << 7

        .section .real, "awx"

        .code16
        /* The other processors begin here, at 0800:0000. */
        .globl  ap_start
        .type   ap_start, @function
ap_start:
        cli
        xor     %ax, %ax
        mov     %ax, %ds
        lgdtl   boot_gdt_pointer
        mov     %cr0, %eax
        or      $CR0_PE, %eax
        mov     %eax, %cr0
        ljmpl   $BOOT_CODE_32, $ap_protected
        .size   ap_start, . - ap_start

        /* From PVH: a 16-bit code segment, still in protected mode. */
        .type   leave_protected_mode, @function
        .globl  leave_protected_mode
leave_protected_mode:
        mov     $BOOT_DATA_16, %ax
        mov     %ax, %ds
        mov     %ax, %es
        mov     %ax, %ss
        mov     %ax, %fs
        mov     %ax, %gs
        mov     %cr0, %eax
        and     $~CR0_PE, %eax
        mov     %eax, %cr0
        mov     $BOOT_PVH, %al
        ljmp    $0, $real_main
        .size   leave_protected_mode, . - leave_protected_mode

        /* AL: BOOT_RESET or BOOT_PVH. */
        .globl  real_main
        .type   real_main, @function
real_main:
        xor     %bx, %bx
        mov     %bx, %ds
        mov     %bx, %es
        mov     %bx, %ss
        mov     $REAL_STACK, %sp
        mov     %al, boot_source
        call    serial_init
        mov     $greeting, %si
        call    real_print
        mov     $by_reset, %si
        cmpb    $BOOT_RESET, boot_source
        je      1f
        mov     $by_pvh, %si
1:      call    real_print
        call    real_memory_size
        call    real_open_a20
        lgdtl   boot_gdt_pointer
        mov     %cr0, %eax
        or      $CR0_PE, %eax
        mov     %eax, %cr0
        ljmpl   $BOOT_CODE_32, $protected_main
        .size   real_main, . - real_main

        /* 115200 baud, 8N1, FIFOs on. */
        .type   serial_init, @function
serial_init:
        mov     $serial_settings, %si
1:      lodsw
        mov     %al, %dl
        mov     $SERIAL >> 8, %dh
        mov     %ah, %al
        out     %al, %dx
        cmp     $serial_settings_end, %si
        jb      1b
        ret
        .size   serial_init, . - serial_init

        /* SI: a string that ends with 0. */
        .type   real_print, @function
real_print:
        lodsb
        test    %al, %al
        jz      3f
        mov     %al, %ah
        mov     $SERIAL + 5, %dx
2:      in      %dx, %al
        test    $0x20, %al              /* transmitter holding register empty */
        jz      2b
        mov     $SERIAL, %dx
        mov     %ah, %al
        out     %al, %dx
        jmp     real_print
3:      ret
        .size   real_print, . - real_print

        /* The CMOS RAM holds the memory above 16 MiB in units of 64 KiB, and the one from 1 MiB to 16 MiB in KiB. */
        .type   real_memory_size, @function
real_memory_size:
        mov     $0x35, %al
        call    cmos_read
        mov     %al, %bh
        mov     $0x34, %al
        call    cmos_read
        mov     %al, %bl
        movzwl  %bx, %ebx
        shl     $16, %ebx
        add     $16 << 20, %ebx
        cmp     $16 << 20, %ebx
        ja      1f
        mov     $0x31, %al
        call    cmos_read
        mov     %al, %bh
        mov     $0x30, %al
        call    cmos_read
        mov     %al, %bl
        movzwl  %bx, %ebx
        shl     $10, %ebx
        add     $1 << 20, %ebx
1:      mov     %ebx, boot_memory
        ret
        .size   real_memory_size, . - real_memory_size

        .type   cmos_read, @function
cmos_read:
        out     %al, $0x70
        in      $0x71, %al
        ret
        .size   cmos_read, . - cmos_read

        .type   real_open_a20, @function
real_open_a20:
        in      $0x92, %al
        or      $2, %al
        and     $~1, %al                /* that would be a reset */
        out     %al, $0x92
        ret
        .size   real_open_a20, . - real_open_a20

        .code32
        .globl  protected_main
        .type   protected_main, @function
protected_main:
        mov     $BOOT_DATA, %ax
        mov     %ax, %ds
        mov     %ax, %es
        mov     %ax, %ss
        mov     $REAL_STACK, %esp
        cld
        cmpb    $BOOT_RESET, boot_source
        jne     1f
        call    copy_kernel
1:      call    clear_bss
        call    build_boot_tables
        mov     $message_protected, %esi
        call    protected_print
        mov     $boot_stack_top_physical, %esp
        jmp     enter_long_mode
        .size   protected_main, . - protected_main

        .type   copy_kernel, @function
copy_kernel:
        mov     $ROM_BASE, %esi
        mov     $IMAGE_BASE, %edi
        mov     $image_size_dwords, %ecx
        rep movsl
        ret
        .size   copy_kernel, . - copy_kernel

        .type   clear_bss, @function
clear_bss:
        mov     $kernel_bss_physical, %edi
        mov     $kernel_bss_dwords, %ecx
        xor     %eax, %eax
        rep stosl
        ret
        .size   clear_bss, . - clear_bss

        /* The first 8 MiB, in 2 MiB pages: at 0, and again at the kernel's addresses. The kernel builds better ones. */
        .type   build_boot_tables, @function
build_boot_tables:
        mov     $boot_pml4_physical, %edi
        movl    $boot_pdpt_physical + PRESENT_WRITABLE, (%edi)
        movl    $boot_pdpt_physical + PRESENT_WRITABLE, 511 * 8(%edi)
        mov     $boot_pdpt_physical, %edi
        movl    $boot_directory_physical + PRESENT_WRITABLE, (%edi)
        movl    $boot_directory_physical + PRESENT_WRITABLE, 510 * 8(%edi)
        mov     $boot_directory_physical, %edi
        mov     $PRESENT_WRITABLE + LARGE, %eax
        mov     $4, %ecx
1:      mov     %eax, (%edi)
        add     $8, %edi
        add     $2 << 20, %eax
        loop    1b
        ret
        .size   build_boot_tables, . - build_boot_tables

        /* ESI: a string that ends with 0. */
        .type   protected_print, @function
protected_print:
        lodsb
        test    %al, %al
        jz      3f
        mov     %al, %ah
        mov     $SERIAL + 5, %edx
2:      in      %dx, %al
        test    $0x20, %al
        jz      2b
        mov     $SERIAL, %edx
        mov     %ah, %al
        out     %al, %dx
        jmp     protected_print
3:      ret
        .size   protected_print, . - protected_print

        .type   ap_protected, @function
ap_protected:
        mov     $BOOT_DATA, %ax
        mov     %ax, %ds
        mov     %ax, %es
        mov     %ax, %ss
        mov     ap_stack_physical, %esp
        .size   ap_protected, . - ap_protected

        /* Long mode is entered by switching paging on (SDM Vol. 3, 10.8.5). */
        .globl  enter_long_mode
        .type   enter_long_mode, @function
enter_long_mode:
        mov     %cr4, %eax
        or      $CR4_PAE, %eax
        mov     %eax, %cr4
        mov     $boot_pml4_physical, %eax
        mov     %eax, %cr3
        mov     $MSR_EFER, %ecx
        rdmsr
        or      $EFER_LME | EFER_SCE | EFER_NXE, %eax
        wrmsr
        mov     %cr0, %eax
        or      $CR0_PG | CR0_WP, %eax
        mov     %eax, %cr0
        ljmp    $BOOT_CODE_64, $long_main
        .size   enter_long_mode, . - enter_long_mode

        .code64
        .globl  long_main
        .type   long_main, @function
long_main:
        mov     $KERNEL_DATA, %eax
        mov     %eax, %ds
        mov     %eax, %es
        mov     %eax, %ss
        movabs  $KERNEL_OFFSET, %rax
        add     %rax, %rsp
        xor     %ebp, %ebp
        mov     $boot_information, %edi
        mov     ap_entry, %rax
        test    %rax, %rax
        jnz     1f
        mov     $kernel_main, %rax
1:      call    *%rax
2:      hlt
        jmp     2b
        .size   long_main, . - long_main

        .balign 8
        .globl  boot_gdt
boot_gdt:
        .quad   0
        .quad   0x00cf9b000000ffff      /* 0x08 32-bit code */
        .quad   0x00cf93000000ffff      /* 0x10 data */
        .quad   0x00009b000000ffff      /* 0x18 16-bit code, limit 64 KiB */
        .quad   0x000093000000ffff      /* 0x20 16-bit data, limit 64 KiB */
        .quad   0x00af9b000000ffff      /* 0x28 64-bit code */
boot_gdt_pointer:
        .word   boot_gdt_pointer - boot_gdt - 1
        .long   boot_gdt
        .globl  boot_gdt_pointer

        /* struct boot_information in kernel/kernel.h */
        .balign 8
        .globl  boot_information, pvh_start_info
boot_information:
boot_source:
        .long   0
boot_memory:
        .long   0
pvh_start_info:
        .quad   0
        /* For the other processors: a stack, and where to go. */
        .globl  ap_stack_physical, ap_entry
ap_stack_physical:
        .quad   0
ap_entry:
        .quad   0

serial_settings:
        .byte   (SERIAL + 3) & 0xff, 0x80       /* divisor latch */
        .byte   (SERIAL + 0) & 0xff, 1
        .byte   (SERIAL + 1) & 0xff, 0
        .byte   (SERIAL + 3) & 0xff, 0x03       /* 8 bits, no parity, 1 stop bit */
        .byte   (SERIAL + 2) & 0xff, 0x07       /* FIFOs on and empty */
        .byte   (SERIAL + 4) & 0xff, 0x0b       /* DTR, RTS, interrupt output */
serial_settings_end:

greeting:
        .asciz  "Hyperscope sample guest\r\n"
by_reset:
        .asciz  "real mode: started at the reset vector\r\n"
by_pvh:
        .asciz  "real mode: started as a PVH kernel\r\n"
message_protected:
        .asciz  "protected mode: going on to long mode\r\n"

        /* What lies in the kernel's part of the image, as physical addresses. */
        .set    kernel_bss_physical, kernel_bss_start - KERNEL_OFFSET
        .set    boot_pml4_physical, boot_pml4 - KERNEL_OFFSET
        .set    boot_pdpt_physical, boot_pdpt - KERNEL_OFFSET
        .set    boot_directory_physical, boot_directory - KERNEL_OFFSET
        .set    boot_stack_top_physical, boot_stack_top - KERNEL_OFFSET

        .section .bss
        .balign 0x1000
        .globl  boot_pml4, boot_stack, boot_stack_top
boot_pml4:
        .skip   0x1000
boot_pdpt:
        .skip   0x1000
boot_directory:
        .skip   0x1000
boot_stack:
        .skip   0x4000
boot_stack_top:

/*
 * The ELF file's entry point by the PVH boot protocol: 32-bit protected mode without paging, EBX points to
 * hvm_start_info (Xen public/arch-x86/hvm/start_info.h). The guest shall see real mode all the same: back there first.
 */
#include "layout.h"

        .section .note.pvh, "a", @note
        .balign 4
        .long   4, 4, 18                /* XEN_ELFNOTE_PHYS32_ENTRY */
        .asciz  "Xen"
        .long   pvh_start

        .section .start, "ax"
        .code32
        .globl  pvh_start
        .type   pvh_start, @function
pvh_start:
        cli
        cld
        mov     $real_image, %esi
        mov     $REAL_BASE, %edi
        mov     $real_size, %ecx
        rep movsb
        mov     %ebx, pvh_start_info
        lgdt    boot_gdt_pointer
        ljmp    $BOOT_CODE_16, $leave_protected_mode
        .size   pvh_start, . - pvh_start

        .set    BOOT_CODE_16, 0x18

/*
 * The ROM: what the CPU runs first after RESET#, in real mode at f000:fff0, linear 0xfffffff0 (SDM Vol. 3, 10.1.4).
 * It copies the code for low memory out of the ROM and goes there.
 */
#include "layout.h"

        .code16

        .section .reset, "ax"
        .globl  reset_vector
        .type   reset_vector, @function
reset_vector:
        ljmp    $ROM_SEGMENT, $ROM_OFFSET + rom_start - rom_base
        .size   reset_vector, . - reset_vector
        .balign 16, 0

        .section .rom, "ax"
rom_base:
        .globl  rom_start
        .type   rom_start, @function
rom_start:
        cli
        cld
        xor     %ax, %ax
        mov     %ax, %ss
        mov     $REAL_STACK, %sp
        mov     %ax, %es
        mov     $REAL_BASE, %di
        mov     $ROM_SEGMENT, %ax
        mov     %ax, %ds
        mov     $rom_real_image, %si
        mov     $rom_real_size, %cx
        rep movsb
        mov     $BOOT_RESET, %al
        ljmp    $0, $real_main
        .size   rom_start, . - rom_start

        /* Where the image has the code for low memory: the ROM begins with the image. */
        .set    rom_real_image, real_image - IMAGE_BASE
        .set    rom_real_size, real_size

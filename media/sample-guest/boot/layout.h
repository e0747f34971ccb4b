/* Numbers that assembler sources and C share. */
#pragma once

#define ROM_SEGMENT 0xf000
#define ROM_OFFSET 0xfc00
/* Where the whole ROM is mapped. */
#define ROM_BASE 0xffff0000

#define IMAGE_BASE 0x100000
#define KERNEL_OFFSET 0xffffffff80000000

#define REAL_BASE 0x8000
#define REAL_STACK 0x7c00

/* How the guest was started. */
#define BOOT_RESET 1
#define BOOT_PVH 2

#define SERIAL 0x3f8

/* Selectors. SYSCALL and SYSRET fix the order (SDM Vol. 3, 5.8.8). */
#define KERNEL_CODE 0x08
#define KERNEL_DATA 0x10
#define USER_DATA 0x23
#define USER_CODE 0x2b
#define TASK_STATE 0x30

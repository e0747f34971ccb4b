/* Instructions that C has no words for. */
#pragma once

#include "kernel.h"

#define MSR_APIC_BASE 0x1b
#define MSR_STAR 0xc0000081
#define MSR_LSTAR 0xc0000082
#define MSR_SFMASK 0xc0000084
#define MSR_GS_BASE 0xc0000101
#define MSR_KERNEL_GS_BASE 0xc0000102

#define RFLAGS_IF (1ul << 9)

INLINE void port_write8(uint16_t port, uint8_t value)
{
    asm volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

INLINE uint8_t port_read8(uint16_t port)
{
    uint8_t value;
    asm volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

INLINE void port_write16(uint16_t port, uint16_t value)
{
    asm volatile("outw %0, %1" : : "a"(value), "Nd"(port));
}

INLINE uint16_t port_read16(uint16_t port)
{
    uint16_t value;
    asm volatile("inw %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

INLINE void port_write32(uint16_t port, uint32_t value)
{
    asm volatile("outl %0, %1" : : "a"(value), "Nd"(port));
}

INLINE uint32_t port_read32(uint16_t port)
{
    uint32_t value;
    asm volatile("inl %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

INLINE uint64_t msr_read(uint32_t msr)
{
    uint32_t low, high;
    asm volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr));
    return (uint64_t)high << 32 | low;
}

INLINE void msr_write(uint32_t msr, uint64_t value)
{
    asm volatile("wrmsr" : : "a"((uint32_t)value), "d"((uint32_t)(value >> 32)), "c"(msr) : "memory");
}

INLINE uint64_t cr2_read(void)
{
    uint64_t value;
    asm volatile("mov %%cr2, %0" : "=r"(value));
    return value;
}

INLINE uint64_t cr3_read(void)
{
    uint64_t value;
    asm volatile("mov %%cr3, %0" : "=r"(value));
    return value;
}

INLINE void cr3_write(uint64_t value)
{
    asm volatile("mov %0, %%cr3" : : "r"(value) : "memory");
}

INLINE void page_invalidate(uint64_t address)
{
    asm volatile("invlpg (%0)" : : "r"(address) : "memory");
}

INLINE void interrupts_enable(void)
{
    asm volatile("sti" : : : "memory");
}

INLINE void interrupts_disable(void)
{
    asm volatile("cli" : : : "memory");
}

/* The flags as they were. */
INLINE uint64_t interrupts_save(void)
{
    uint64_t flags;
    asm volatile("pushfq\n\tpop %0\n\tcli" : "=r"(flags) : : "memory");
    return flags;
}

INLINE void interrupts_restore(uint64_t flags)
{
    if (flags & RFLAGS_IF)
        interrupts_enable();
}

/* Sleeps until the next interrupt, which cannot come in between: STI works one instruction late. */
INLINE void halt_until_interrupt(void)
{
    asm volatile("sti\n\thlt" : : : "memory");
}

INLINE struct processor *this_processor(void)
{
    struct processor *processor;
    asm volatile("movq %%gs:0, %0" : "=r"(processor));
    return processor;
}

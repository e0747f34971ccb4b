/* The local APICs and the IOAPIC (SDM Vol. 3, chapter 10; Intel 82093AA). The older PICs are switched off. */
#include "cpu.h"

#define LOCAL_APIC_VIRTUAL 0xffffffffc0000000ul
#define IO_APIC_VIRTUAL 0xffffffffc0001000ul
#define IO_APIC_PHYSICAL 0xfec00000ul

enum local_apic_register {
    APIC_ID = 0x20,
    APIC_EOI = 0xb0,
    APIC_SPURIOUS = 0xf0,
    APIC_COMMAND_LOW = 0x300,
    APIC_COMMAND_HIGH = 0x310,
};

enum command {
    COMMAND_INIT = 0x4500,
    COMMAND_STARTUP = 0x4600,
};

enum io_apic_register {
    IO_APIC_SELECT = 0x00,
    IO_APIC_WINDOW = 0x10,
    IO_APIC_REDIRECTIONS = 0x10,
};

INLINE volatile uint32_t *local_apic(enum local_apic_register at)
{
    return (volatile uint32_t *)(LOCAL_APIC_VIRTUAL + at);
}

static void io_apic_write(unsigned at, uint32_t value)
{
    *(volatile uint32_t *)(IO_APIC_VIRTUAL + IO_APIC_SELECT) = at;
    *(volatile uint32_t *)(IO_APIC_VIRTUAL + IO_APIC_WINDOW) = value;
}

static void pic_disable(void)
{
    /* Both are initialized, so that what they may send has vectors of its own, and then masked. */
    static const uint8_t words[][2] = {{0x11, 0x11}, {0x30, 0x38}, {0x04, 0x02}, {0x01, 0x01}, {0xff, 0xff}};
    for (unsigned i = 0; i < sizeof words / sizeof words[0]; i++) {
        uint16_t port = i == 0 ? 0x20 : 0x21;
        port_write8(port, words[i][0]);
        port_write8(port + 0x80, words[i][1]);
    }
}

void apic_start(void)
{
    pic_disable();
    physical_address base = msr_read(MSR_APIC_BASE) & ~(PAGE_SIZE - 1);
    map_page(&kernel_space, LOCAL_APIC_VIRTUAL, base, PAGE_WRITE | PAGE_DEVICE);
    map_page(&kernel_space, IO_APIC_VIRTUAL, IO_APIC_PHYSICAL, PAGE_WRITE | PAGE_DEVICE);
    apic_start_this_processor();
}

void apic_start_this_processor(void)
{
    *local_apic(APIC_SPURIOUS) = 1 << 8 | VECTOR_SPURIOUS;
}

void apic_acknowledge(void)
{
    *local_apic(APIC_EOI) = 0;
}

unsigned apic_id(void)
{
    return *local_apic(APIC_ID) >> 24;
}

/* Edge triggered, active high, to this processor. */
void apic_route(unsigned pin, enum vector vector)
{
    io_apic_write(IO_APIC_REDIRECTIONS + 2 * pin + 1, apic_id() << 24);
    io_apic_write(IO_APIC_REDIRECTIONS + 2 * pin, vector);
}

static void apic_send(unsigned target, uint32_t command)
{
    *local_apic(APIC_COMMAND_HIGH) = target << 24;
    *local_apic(APIC_COMMAND_LOW) = command;
}

void apic_send_init(unsigned target)
{
    apic_send(target, COMMAND_INIT);
}

void apic_send_startup(unsigned target, unsigned page)
{
    apic_send(target, COMMAND_STARTUP | page);
}

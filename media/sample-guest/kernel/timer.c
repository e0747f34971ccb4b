/* The 8254's channel 0, a tick a millisecond, by the IOAPIC's pin 2. */
#include "cpu.h"

#define PIT_FREQUENCY 1193182
#define PIT_CHANNEL0 0x40
#define PIT_COMMAND 0x43
/* Channel 0, both bytes, mode 2: rate generator. */
#define PIT_RATE_GENERATOR 0x34

volatile uint64_t ticks;

void timer_start(void)
{
    unsigned divisor = PIT_FREQUENCY / TICKS_PER_SECOND;
    port_write8(PIT_COMMAND, PIT_RATE_GENERATOR);
    port_write8(PIT_CHANNEL0, divisor & 0xff);
    port_write8(PIT_CHANNEL0, divisor >> 8);
    apic_route(2, VECTOR_TIMER);
}

void timer_interrupt(void)
{
    ticks++;
    task_tick();
}

void sleep_ticks(uint64_t count)
{
    sleep_until(ticks + count);
}

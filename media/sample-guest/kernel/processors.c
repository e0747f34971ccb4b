/* The machine's processors. The first one runs the tasks; the others add up a part of an array each and rest. */
#include "cpu.h"

#define NUMBERS 512
#define STARTUP_PAGE (REAL_BASE / 0x1000)
/* QEMU's firmware configuration device knows how many processors there are. */
#define FW_CFG_SELECT 0x510
#define FW_CFG_DATA 0x511
#define FW_CFG_PROCESSORS 5

struct processor processors[MOST_PROCESSORS];
unsigned processor_count = 1;

static uint8_t ap_stacks[MOST_PROCESSORS][PAGE_SIZE] __attribute__((aligned(16)));
static uint32_t numbers[NUMBERS];
static uint32_t shared_sum;

void processor_start(unsigned index)
{
    struct processor *processor = &processors[index];
    load_descriptor_tables(index);
    processor->self = processor;
    processor->index = index;
    msr_write(MSR_GS_BASE, (uint64_t)processor);
    msr_write(MSR_KERNEL_GS_BASE, 0);
}

static unsigned machine_processors(void)
{
    port_write16(FW_CFG_SELECT, FW_CFG_PROCESSORS);
    unsigned count = port_read8(FW_CFG_DATA);
    count |= port_read8(FW_CFG_DATA) << 8;
    return count == 0 || count > MOST_PROCESSORS ? 1 : count;
}

static void add_part(unsigned part, unsigned parts)
{
    uint32_t sum = 0;
    for (unsigned i = part; i < NUMBERS; i += parts)
        sum += numbers[i];
    asm volatile("lock addl %1, %0" : "+m"(shared_sum) : "r"(sum));
}

/* Which of them this is, the first processor has left in the list: one starts at a time. */
static void ap_main(void)
{
    unsigned index = processor_count;
    cr3_write(kernel_space.root);
    processor_start(index);
    apic_start_this_processor();
    processors[index].apic_id = apic_id();
    add_part(index, MOST_PROCESSORS);
    processors[index].started = true;
    for (;;)
        asm volatile("cli\n\thlt");
}

void start_other_processors(void)
{
    unsigned count = machine_processors();
    for (unsigned i = 0; i < NUMBERS; i++)
        numbers[i] = i * i;
    processors[0].apic_id = apic_id();
    processors[0].started = true;

    struct boot_information *information = physical_to_virtual((physical_address)&boot_information);
    information->ap_entry = ap_main;
    for (unsigned index = 1; index < count; index++) {
        information->ap_stack = (uint64_t)(ap_stacks[index] + PAGE_SIZE) - KERNEL_OFFSET;
        apic_send_init(index);
        sleep_ticks(10);
        apic_send_startup(index, STARTUP_PAGE);
        for (unsigned wait = 0; wait < 100 && !processors[index].started; wait++)
            sleep_ticks(1);
        if (!processors[index].started)
            panic("processor %u does not start", index);
        processor_count++;
    }
    for (unsigned part = 0; part < MOST_PROCESSORS; part++) {
        if (part == 0 || !processors[part].started)
            add_part(part, MOST_PROCESSORS);
    }
    print("processors: %u, together they found %u\n", processor_count, shared_sum);
}

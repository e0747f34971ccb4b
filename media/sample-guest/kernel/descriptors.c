/* GDT, TSS and IDT (SDM Vol. 3, chapters 3, 6 and 8). */
#include "cpu.h"

struct segment_descriptor {
    uint64_t limit_low : 16;
    uint64_t base_low : 24;
    uint64_t type : 4;
    uint64_t not_system : 1;
    uint64_t privilege : 2;
    uint64_t present : 1;
    uint64_t limit_high : 4;
    uint64_t available : 1;
    uint64_t long_mode : 1;
    uint64_t big : 1;
    uint64_t granular : 1;
    uint64_t base_high : 8;
};

struct task_state_segment {
    uint32_t reserved0;
    uint64_t stacks[3];
    uint64_t reserved1;
    uint64_t interrupt_stacks[7];
    uint64_t reserved2;
    uint16_t reserved3;
    uint16_t io_map;
} __attribute__((packed));

struct gate_descriptor {
    uint64_t offset_low : 16;
    uint64_t selector : 16;
    uint64_t stack : 3;
    uint64_t zero : 5;
    uint64_t type : 4;
    uint64_t system : 1;
    uint64_t privilege : 2;
    uint64_t present : 1;
    uint64_t offset_middle : 16;
    uint64_t offset_high : 32;
    uint64_t reserved : 32;
};

struct table_pointer {
    uint16_t limit;
    uint64_t base;
} __attribute__((packed));

enum descriptor_type {
    TYPE_DATA = 3,
    TYPE_CODE = 11,
    TYPE_TASK_STATE = 9,
    TYPE_INTERRUPT_GATE = 14,
};

enum gdt_slot {
    SLOT_KERNEL_CODE = KERNEL_CODE / 8,
    SLOT_KERNEL_DATA = KERNEL_DATA / 8,
    SLOT_USER_DATA = USER_DATA / 8,
    SLOT_USER_CODE = USER_CODE / 8,
    SLOT_TASK_STATE = TASK_STATE / 8,
    GDT_SLOTS = SLOT_TASK_STATE + 2,
};

static struct segment_descriptor gdt[MOST_PROCESSORS][GDT_SLOTS];
static struct task_state_segment task_states[MOST_PROCESSORS];
static struct gate_descriptor idt[256];
static uint8_t double_fault_stack[PAGE_SIZE] __attribute__((aligned(16)));

/* entry.S: one entry every 16 bytes. */
extern uint8_t trap_entries[];

static struct segment_descriptor flat_segment(enum descriptor_type type, unsigned privilege)
{
    return (struct segment_descriptor){
        .limit_low = 0xffff,
        .limit_high = 0xf,
        .type = type,
        .not_system = 1,
        .privilege = privilege,
        .present = 1,
        .long_mode = type == TYPE_CODE,
        .big = type == TYPE_DATA,
        .granular = 1,
    };
}

static void set_gate(unsigned vector, unsigned privilege, unsigned stack)
{
    uint64_t offset = (uint64_t)trap_entries + vector * 16;
    idt[vector] = (struct gate_descriptor){
        .offset_low = offset,
        .offset_middle = offset >> 16,
        .offset_high = offset >> 32,
        .selector = KERNEL_CODE,
        .stack = stack,
        .type = TYPE_INTERRUPT_GATE,
        .privilege = privilege,
        .present = 1,
    };
}

static void fill_interrupt_table(void)
{
    for (unsigned vector = 0; vector < 256; vector++)
        set_gate(vector, vector == VECTOR_SYSCALL ? 3 : 0, vector == VECTOR_DOUBLE_FAULT ? 1 : 0);
}

void load_descriptor_tables(unsigned processor)
{
    struct segment_descriptor *table = gdt[processor];
    struct task_state_segment *state = &task_states[processor];
    uint64_t base = (uint64_t)state;

    table[SLOT_KERNEL_CODE] = flat_segment(TYPE_CODE, 0);
    table[SLOT_KERNEL_DATA] = flat_segment(TYPE_DATA, 0);
    table[SLOT_USER_DATA] = flat_segment(TYPE_DATA, 3);
    table[SLOT_USER_CODE] = flat_segment(TYPE_CODE, 3);
    table[SLOT_TASK_STATE] = (struct segment_descriptor){
        .limit_low = sizeof *state - 1,
        .base_low = base,
        .base_high = base >> 24,
        .type = TYPE_TASK_STATE,
        .present = 1,
    };
    *(uint64_t *)&table[SLOT_TASK_STATE + 1] = base >> 32;
    state->io_map = sizeof *state;
    state->interrupt_stacks[0] = (uint64_t)(double_fault_stack + sizeof double_fault_stack);
    if (processor == 0)
        fill_interrupt_table();

    struct table_pointer gdtr = {sizeof gdt[0] - 1, (uint64_t)table};
    struct table_pointer idtr = {sizeof idt - 1, (uint64_t)idt};
    asm volatile("lgdt %0" : : "m"(gdtr));
    asm volatile("lidt %0" : : "m"(idtr));
    asm volatile("pushq %0\n\t"
                 "leaq 1f(%%rip), %%rax\n\t"
                 "pushq %%rax\n\t"
                 "lretq\n"
                 "1:\n\t"
                 "movl %1, %%ds\n\t"
                 "movl %1, %%es\n\t"
                 "movl %1, %%ss\n\t"
                 "movl %2, %%fs\n\t"
                 "movl %2, %%gs\n\t"
                 "ltr %w3"
                 :
                 : "i"(KERNEL_CODE), "r"(KERNEL_DATA), "r"(0), "r"(TASK_STATE)
                 : "rax", "memory");
}

void set_kernel_stack(uint64_t top)
{
    struct processor *processor = this_processor();
    task_states[processor->index].stacks[0] = top;
    processor->kernel_stack_top = top;
}

/* Exceptions and interrupts, from whatever was running. */
#include "cpu.h"

uint64_t interrupt_counts[256];

static const char *const exception_names[32] = {
    "divide error", "debug", "NMI", "breakpoint", "overflow", "bound range", "invalid opcode", "no FPU",
    "double fault", 0, "invalid TSS", "segment not present", "stack fault", "general protection", "page fault", 0,
    "x87 error", "alignment check", "machine check", "SIMD error", "virtualization", "control protection",
};

enum page_fault_error {
    FAULT_PROTECTION = 1 << 0,
    FAULT_WRITE = 1 << 1,
    FAULT_USER = 1 << 2,
};

INLINE bool from_user(const struct trap_frame *frame)
{
    return (frame->cs & 3) == 3;
}

static void describe_page_fault(const struct trap_frame *frame, uint64_t address)
{
    print("%s of %lx, which is %s", frame->error_code & FAULT_WRITE ? "write" : "read", address,
          frame->error_code & FAULT_PROTECTION ? "protected" : "not mapped");
}

static void kill_task(struct trap_frame *frame, uint64_t address)
{
    struct task *task = current_task();
    print("task %s killed: ", task->name);
    if (frame->vector == VECTOR_PAGE_FAULT)
        describe_page_fault(frame, address);
    else
        print("%s", exception_names[frame->vector]);
    print("\n");
    task->flags.killed = 1;
    interrupts_enable();
    task_exit(-(int)frame->vector);
}

static void page_fault(struct trap_frame *frame)
{
    uint64_t address = cr2_read();
    if (handle_page_fault(current_task()->space, address, frame->error_code))
        return;
    if (from_user(frame))
        kill_task(frame, address);
    panic("page fault at %lx, address %lx, error code %lx", frame->rip, address, frame->error_code);
}

static void slow_system_call(struct trap_frame *frame)
{
    interrupts_enable();
    frame->rax = system_call(frame->rax, frame->rdi, frame->rsi);
    interrupts_disable();
}

/* A hypervisor that emulates its guests may not know INT in user mode, and give this exception for it. */
static bool is_refused_system_call(const struct trap_frame *frame)
{
    static const uint8_t int_0x80[] = {0xcd, VECTOR_SYSCALL};
    const uint8_t *code = (const uint8_t *)frame->rip;
    return frame->vector == VECTOR_INVALID_OPCODE && code[0] == int_0x80[0] && code[1] == int_0x80[1];
}

static void exception(struct trap_frame *frame)
{
    if (from_user(frame) && is_refused_system_call(frame)) {
        frame->rip += 2;
        slow_system_call(frame);
        return;
    }
    if (from_user(frame))
        kill_task(frame, 0);
    panic("%s at %lx, error code %lx", exception_names[frame->vector], frame->rip, frame->error_code);
}

void trap(struct trap_frame *frame)
{
    interrupt_counts[frame->vector]++;
    switch (frame->vector) {
    case VECTOR_PAGE_FAULT:
        page_fault(frame);
        break;
    case VECTOR_TIMER:
        timer_interrupt();
        apic_acknowledge();
        break;
    case VECTOR_SERIAL:
        console_interrupt();
        apic_acknowledge();
        break;
    case VECTOR_SYSCALL:
        slow_system_call(frame);
        break;
    case VECTOR_SPURIOUS:
        break;
    default:
        if (frame->vector >= 32)
            panic("unexpected interrupt %lx", frame->vector);
        exception(frame);
    }
    if (this_processor()->reschedule)
        schedule();
}

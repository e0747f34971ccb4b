/* System calls: by SYSCALL, and by INT 0x80 with the same registers. */
#include "cpu.h"
#include "../user/system.h"

typedef uint64_t (*handler)(uint64_t first, uint64_t second);

extern uint8_t syscall_entry[];

/* User memory is below the kernel's half; pages that lack come by page faults. */
static bool is_user_memory(uint64_t address, uint64_t size)
{
    return size < 1ul << 20 && address < 1ul << 47 && address + size <= 1ul << 47;
}

static uint64_t call_exit(uint64_t status, uint64_t unused)
{
    (void)unused;
    task_exit(status);
}

static uint64_t call_write(uint64_t text, uint64_t length)
{
    if (!is_user_memory(text, length))
        return -1;
    console_write((const char *)text, length);
    return length;
}

static uint64_t call_sleep(uint64_t count, uint64_t unused)
{
    (void)unused;
    sleep_ticks(count);
    return 0;
}

static uint64_t call_task_id(uint64_t first, uint64_t second)
{
    (void)first;
    (void)second;
    return current_task()->id;
}

static const handler handlers[] = {
    [CALL_EXIT] = call_exit,
    [CALL_WRITE] = call_write,
    [CALL_SLEEP] = call_sleep,
    [CALL_TASK_ID] = call_task_id,
};

bool fast_system_calls = true;

uint64_t system_call(uint64_t number, uint64_t first, uint64_t second)
{
    current_task()->system_calls++;
    if (number >= sizeof handlers / sizeof handlers[0])
        return -1;
    return handlers[number](first, second);
}

void system_calls_start(void)
{
    msr_write(MSR_STAR, (uint64_t)(USER_DATA - 8) << 48 | (uint64_t)KERNEL_CODE << 32);
    msr_write(MSR_LSTAR, (uint64_t)syscall_entry);
    msr_write(MSR_SFMASK, RFLAGS_IF | 1 << 8 | 1 << 10);
}

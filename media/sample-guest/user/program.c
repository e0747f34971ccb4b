/* Two small programs for user mode, linked to 0x400000. They have no variables of their own, only constants. */
#include <stdbool.h>
#include <stdint.h>

#include "system.h"

#define HEAP ((volatile uint32_t *)0x10000000)
#define HEAP_STEP (0x1000 / sizeof(uint32_t))

struct point {
    int32_t x, y;
};

struct shape {
    const char *name;
    unsigned corners;
    struct point points[4];
};

static const char greeting[] = "hello from ring 3\n";

static uint64_t fast_call(enum system_call_number number, uint64_t first, uint64_t second)
{
    uint64_t result;
    asm volatile("syscall"
                 : "=a"(result), "+D"(first), "+S"(second)
                 : "a"((uint64_t)number)
                 : "rcx", "rdx", "r8", "r9", "r10", "r11", "memory");
    return result;
}

static uint64_t slow_call(enum system_call_number number, uint64_t first, uint64_t second)
{
    uint64_t result;
    asm volatile("int $0x80" : "=a"(result) : "a"((uint64_t)number), "D"(first), "S"(second) : "memory");
    return result;
}

static uint64_t system_call(bool fast, enum system_call_number number, uint64_t first, uint64_t second)
{
    return fast ? fast_call(number, first, second) : slow_call(number, first, second);
}

static int area_twice(const struct shape *shape)
{
    int sum = 0;
    for (unsigned i = 0; i < shape->corners; i++) {
        const struct point *one = &shape->points[i];
        const struct point *other = &shape->points[(i + 1) % shape->corners];
        sum += one->x * other->y - other->x * one->y;
    }
    return sum;
}

/* Touches as many pages of the heap as `pages` says. */
static uint32_t fill_heap(unsigned pages)
{
    uint32_t sum = 0;
    for (unsigned page = 0; page < pages; page++) {
        HEAP[page * HEAP_STEP] = page * page;
        sum += HEAP[page * HEAP_STEP];
    }
    return sum;
}

/* `fast`: whether SYSCALL may be used. */
void user_hello(unsigned pages, bool fast)
{
    struct shape square = {
        .name = "square",
        .corners = 4,
        .points = {{0, 0}, {3, 0}, {3, 3}, {0, 3}},
    };
    system_call(fast, CALL_WRITE, (uint64_t)greeting, sizeof greeting - 1);
    slow_call(CALL_WRITE, (uint64_t)greeting, sizeof greeting - 1);
    uint64_t id = system_call(fast, CALL_TASK_ID, 0, 0);
    int status = area_twice(&square) + fill_heap(pages);
    if (slow_call(CALL_TASK_ID, 0, 0) != id)
        status = -1;
    system_call(fast, CALL_SLEEP, 3, 0);
    system_call(fast, CALL_EXIT, status, 0);
}

/* Follows a pointer that leads nowhere. */
void user_crash(unsigned corners, bool fast)
{
    volatile struct shape *nothing = (volatile struct shape *)0;
    nothing->points[1].x = corners;
    system_call(fast, CALL_EXIT, 0, 0);
}

/* What the guest does: something of everything, always the same. */
#include "cpu.h"

#define SLOTS 4
#define ITEMS 12

struct item {
    unsigned start;
    unsigned steps;
    uint64_t highest;
};

struct queue {
    struct item items[SLOTS];
    unsigned written, read;
    struct semaphore free, filled;
};

struct move {
    uint8_t from : 2;
    uint8_t to : 2;
    uint8_t disk : 4;
};

extern uint8_t user_hello[], user_crash[];

static struct queue queue = {
    .free = {"free", SLOTS},
    .filled = {"filled", 0},
};
static struct move last_move;
static unsigned moves;

INLINE uint64_t collatz_next(uint64_t value)
{
    return value % 2 ? 3 * value + 1 : value / 2;
}

static struct item collatz(unsigned start)
{
    struct item item = {.start = start, .highest = start};
    for (uint64_t value = start; value != 1; item.steps++) {
        value = collatz_next(value);
        if (value > item.highest)
            item.highest = value;
    }
    return item;
}

static void producer(void *argument)
{
    unsigned count = *(unsigned *)argument;
    for (unsigned i = 0; i < count; i++) {
        struct item item = collatz(3 + 8 * i);
        semaphore_wait(&queue.free);
        queue.items[queue.written++ % SLOTS] = item;
        semaphore_signal(&queue.filled);
    }
}

static void consumer(void *argument)
{
    struct item *longest = argument;
    for (unsigned i = 0; i < ITEMS; i++) {
        semaphore_wait(&queue.filled);
        struct item item = queue.items[queue.read++ % SLOTS];
        semaphore_signal(&queue.free);
        if (item.steps > longest->steps)
            *longest = item;
    }
}

static void run_threads(void)
{
    unsigned count = ITEMS;
    struct item longest = {0};
    struct task *tasks[2];

    tasks[0] = task_create("producer", producer, &count);
    tasks[1] = task_create("consumer", consumer, &longest);
    for (unsigned i = 0; i < 2; i++)
        task_join(tasks[i]);
    print("threads: of %u numbers %u takes most steps, %u, and reaches %lu\n", count, longest.start, longest.steps,
          longest.highest);
}

/* Moves a tower of `disks` from one place to another. */
static void hanoi(unsigned disks, unsigned from, unsigned to)
{
    unsigned other = 3 - from - to;
    if (disks == 0)
        return;
    hanoi(disks - 1, from, other);
    last_move = (struct move){.from = from, .to = to, .disk = disks};
    moves++;
    hanoi(disks - 1, other, to);
}

static void run_recursion(void)
{
    hanoi(7, 0, 2);
    print("recursion: %u moves, the last one of disk %u from %u to %u\n", moves, last_move.disk, last_move.from,
          last_move.to);
}

/* Every third page is written, all are read: those that were not written are zeros. */
static void touch_lazy_memory(void)
{
    volatile uint64_t *memory = (volatile uint64_t *)LAZY_START;
    unsigned before = memory_statistics.faults_handled;
    uint64_t sum = 0;

    for (unsigned page = 0; page < LAZY_SIZE / PAGE_SIZE; page += 3)
        memory[page * (PAGE_SIZE / 8)] = page + 1;
    for (unsigned page = 0; page < LAZY_SIZE / PAGE_SIZE; page++)
        sum += memory[page * (PAGE_SIZE / 8)];
    print("lazy memory: %u page faults, sum %lu\n", memory_statistics.faults_handled - before, sum);
}

static void wait_for_ticks(void)
{
    uint64_t start = ticks;
    sleep_ticks(20);
    uint64_t passed = ticks - start;
    print("timer: %s\n", passed >= 20 ? "20 ticks have passed" : "too early");
}

static void run_user_tasks(void)
{
    struct task *hello = task_create_user("hello", (uint64_t)user_hello, 5);
    int status = task_join(hello);
    print("user mode: hello made %u system calls and ended with %d\n", hello->system_calls, status);

    struct task *crash = task_create_user("crash", (uint64_t)user_crash, 3);
    status = task_join(crash);
    print("user mode: crash ended with %d\n", status);
}

void run_workload(void)
{
    wait_for_ticks();
    run_recursion();
    touch_lazy_memory();
    run_threads();
    run_user_tasks();
    print("pages: %u allocated, %u released, %u page faults handled\n", memory_statistics.allocated,
          memory_statistics.released, memory_statistics.faults_handled);
}

/* Tasks: a list, a round-robin scheduler, and semaphores. Only the first processor runs them. */
#include "cpu.h"

#define STACK_SIZE (2 * PAGE_SIZE)
#define MOST_TASKS 12
#define TICKS_PER_SLICE 2

#define USER_STACK_TOP 0x00007ffffffff000ul
#define USER_STACK_SIZE (16 * PAGE_SIZE)
#define USER_HEAP 0x10000000ul
#define USER_HEAP_SIZE (64 * PAGE_SIZE)

/* Everything that a user task has beside its entry in the list. */
struct user_image {
    struct address_space space;
    struct memory_region stack, heap;
    uint64_t entry, argument;
};

struct task *task_list;

static struct task task_slots[MOST_TASKS];
static uint8_t stacks[MOST_TASKS][STACK_SIZE] __attribute__((aligned(16)));
static struct user_image user_images[MOST_TASKS];
static struct task boot_task = {.name = "main", .state = TASK_RUNNING, .space = &kernel_space};
static unsigned next_id = 1;
static unsigned slice;
static struct task *idle_task;

extern uint8_t user_start[], user_end[], user_image[];

void switch_stacks(uint64_t **save, uint64_t *load);
void task_trampoline(void);
void enter_user_mode(uint64_t entry, uint64_t stack, uint64_t first, uint64_t second) __attribute__((noreturn));

struct task *current_task(void)
{
    return this_processor()->current;
}

static struct task *find_slot(void)
{
    for (unsigned i = 0; i < MOST_TASKS; i++) {
        if (task_slots[i].name == NULL)
            return &task_slots[i];
    }
    panic("too many tasks");
}

static void append_to_list(struct task *task)
{
    struct task **link = &task_list;
    while (*link)
        link = &(*link)->next;
    *link = task;
}

static void remove_from_list(struct task *task)
{
    for (struct task **link = &task_list; *link; link = &(*link)->next) {
        if (*link == task) {
            *link = task->next;
            return;
        }
    }
}

struct task *task_create(const char *name, void (*entry)(void *argument), void *argument)
{
    uint64_t flags = interrupts_save();
    struct task *task = find_slot();
    unsigned slot = task - task_slots;
    uint64_t *stack = (uint64_t *)(stacks[slot] + STACK_SIZE);

    *--stack = 0;
    *--stack = (uint64_t)task_trampoline;
    for (unsigned i = 0; i < 6; i++)
        *--stack = 0; /* what switch_stacks takes off */
    *task = (struct task){
        .name = name,
        .id = next_id++,
        .state = TASK_READY,
        .stack_pointer = stack,
        .stack = stacks[slot],
        .space = &kernel_space,
        .entry = entry,
        .argument = argument,
    };
    append_to_list(task);
    interrupts_restore(flags);
    return task;
}

static void user_task_entry(void *argument)
{
    struct user_image *image = argument;
    enter_user_mode(image->entry, USER_STACK_TOP, image->argument, fast_system_calls);
}

static void map_user_program(struct address_space *space)
{
    for (uint64_t offset = 0; offset < (uint64_t)(user_end - user_start); offset += PAGE_SIZE)
        map_page(space, (uint64_t)user_start + offset, (physical_address)user_image + offset, PAGE_EXECUTE | PAGE_USER);
}

struct task *task_create_user(const char *name, uint64_t entry, uint64_t argument)
{
    uint64_t flags = interrupts_save();
    struct task *task = task_create(name, user_task_entry, NULL);
    struct user_image *image = &user_images[task - task_slots];

    address_space_create(&image->space);
    image->stack = (struct memory_region){
        .name = "stack",
        .start = USER_STACK_TOP - USER_STACK_SIZE,
        .end = USER_STACK_TOP,
        .kind = PAGE_WRITE | PAGE_USER,
    };
    image->heap = (struct memory_region){
        .name = "heap",
        .start = USER_HEAP,
        .end = USER_HEAP + USER_HEAP_SIZE,
        .kind = PAGE_WRITE | PAGE_USER,
    };
    add_region(&image->space, &image->stack);
    add_region(&image->space, &image->heap);
    map_user_program(&image->space);
    image->entry = entry;
    image->argument = argument;
    task->argument = image;
    task->flags.user = 1;
    task->space = &image->space;
    interrupts_restore(flags);
    return task;
}

/* The first C code of a new task: schedule() has switched to it, with interrupts off. */
void task_first(void)
{
    struct task *task = current_task();
    interrupts_enable();
    task->entry(task->argument);
    task_exit(0);
}

static struct task *choose_next(struct task *current)
{
    struct task *candidate = current;
    do {
        candidate = candidate->next ? candidate->next : task_list;
        if (candidate->state == TASK_READY && !candidate->flags.idle)
            return candidate;
    } while (candidate != current);
    return current->state == TASK_RUNNING ? current : idle_task;
}

static void switch_to(struct task *next)
{
    struct processor *processor = this_processor();
    struct task *previous = processor->current;

    next->state = TASK_RUNNING;
    processor->current = next;
    slice = 0;
    if (next->space != previous->space)
        cr3_write(next->space->root);
    if (next->stack)
        set_kernel_stack((uint64_t)(next->stack + STACK_SIZE));
    switch_stacks(&previous->stack_pointer, next->stack_pointer);
}

void schedule(void)
{
    uint64_t flags = interrupts_save();
    struct processor *processor = this_processor();
    struct task *current = processor->current;

    processor->reschedule = false;
    struct task *next = choose_next(current);
    if (next != current) {
        if (current->state == TASK_RUNNING)
            current->state = TASK_READY;
        switch_to(next);
    }
    interrupts_restore(flags);
}

/* Every tick, in the timer's interrupt. */
void task_tick(void)
{
    struct processor *processor = this_processor();
    struct task *current = processor->current;

    current->ticks_used++;
    for (struct task *task = task_list; task; task = task->next) {
        if (task->state == TASK_SLEEPING && task->wake_tick <= ticks) {
            task->state = TASK_READY;
            processor->reschedule |= current->flags.idle;
        }
    }
    if (++slice >= TICKS_PER_SLICE) {
        current->flags.preempted++;
        processor->reschedule = true;
    }
}

void sleep_until(uint64_t tick)
{
    uint64_t flags = interrupts_save();
    struct task *current = current_task();
    current->wake_tick = tick;
    current->state = TASK_SLEEPING;
    schedule();
    interrupts_restore(flags);
}

void semaphore_wait(struct semaphore *semaphore)
{
    uint64_t flags = interrupts_save();
    while (semaphore->count == 0) {
        struct task *current = current_task();
        current->waiting_for = semaphore;
        current->state = TASK_WAITING;
        schedule();
    }
    semaphore->count--;
    interrupts_restore(flags);
}

void semaphore_signal(struct semaphore *semaphore)
{
    uint64_t flags = interrupts_save();
    semaphore->count++;
    for (struct task *task = task_list; task; task = task->next) {
        if (task->state == TASK_WAITING && task->waiting_for == semaphore) {
            task->waiting_for = NULL;
            task->state = TASK_READY;
            this_processor()->reschedule = true;
            break;
        }
    }
    interrupts_restore(flags);
}

void task_exit(int status)
{
    interrupts_disable();
    struct task *current = current_task();
    current->exit_status = status;
    current->state = TASK_DEAD;
    schedule();
    panic("a dead task runs");
}

/* Waits for a task's end and gives its place back. */
int task_join(struct task *task)
{
    while (task->state != TASK_DEAD)
        sleep_ticks(1);
    int status = task->exit_status;
    uint64_t flags = interrupts_save();
    remove_from_list(task);
    if (task->flags.user)
        address_space_destroy(task->space);
    task->name = NULL;
    interrupts_restore(flags);
    return status;
}

static void idle(void *argument)
{
    (void)argument;
    for (;;)
        halt_until_interrupt();
}

void tasks_start(void)
{
    this_processor()->current = &boot_task;
    append_to_list(&boot_task);
    idle_task = task_create("idle", idle, NULL);
    idle_task->flags.idle = 1;
}

/* A command line on the serial port, for guests started with the word "monitor". */
#include "cpu.h"

struct command {
    const char *name, *help;
    void (*run)(void);
};

static const char *const state_names[] = {
    [TASK_READY] = "ready",
    [TASK_RUNNING] = "running",
    [TASK_SLEEPING] = "sleeping",
    [TASK_WAITING] = "waiting",
    [TASK_DEAD] = "dead",
};

static void command_help(void);

static void command_ticks(void)
{
    print("%lu ticks, %lu interrupts of the timer, %lu of the serial port\n", ticks, interrupt_counts[VECTOR_TIMER],
          interrupt_counts[VECTOR_SERIAL]);
}

static void command_tasks(void)
{
    for (const struct task *task = task_list; task; task = task->next)
        print("%3u %8s %s\n", task->id, task->name, state_names[task->state]);
}

static void command_work(void)
{
    run_workload();
}

/* Never comes back: something to be paused. */
static void command_spin(void)
{
    for (volatile uint64_t rounds = 0;; rounds++)
        continue;
}

static void command_panic(void)
{
    *(volatile uint64_t *)0x18 = 1;
}

static bool finished;

static void command_off(void)
{
    finished = true;
}

static const struct command commands[] = {
    {"help", "this list", command_help},
    {"ticks", "what the timer has done", command_ticks},
    {"tasks", "the list of tasks", command_tasks},
    {"work", "run the workload once more", command_work},
    {"spin", "loop until somebody stops the guest", command_spin},
    {"panic", "a page fault in the kernel", command_panic},
    {"off", "power off", command_off},
};

#define COMMANDS (sizeof commands / sizeof commands[0])

static void command_help(void)
{
    for (unsigned i = 0; i < COMMANDS; i++)
        print("%8s %s\n", commands[i].name, commands[i].help);
}

static const struct command *find_command(const char *name)
{
    for (unsigned i = 0; i < COMMANDS; i++) {
        if (string_compare(commands[i].name, name) == 0)
            return &commands[i];
    }
    return NULL;
}

void run_monitor(void)
{
    char line[40];
    console_listen();
    while (!finished) {
        print("> ");
        if (console_read_line(line, sizeof line) == 0)
            continue;
        const struct command *command = find_command(line);
        if (command)
            command->run();
        else
            print("no command '%s'; help lists them\n", line);
    }
}

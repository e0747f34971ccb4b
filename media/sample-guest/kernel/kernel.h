/* What the parts of the kernel know of each other. */
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../boot/layout.h"

#define INLINE static inline __attribute__((always_inline))
#define PAGE_SIZE 0x1000ul

typedef uint64_t physical_address;

/* boot/real.S fills it in. */
enum boot_source {
    STARTED_BY_RESET = BOOT_RESET,
    STARTED_BY_PVH = BOOT_PVH,
};

struct boot_information {
    enum boot_source source;
    uint32_t memory_size;
    uint64_t pvh_start_info;
    uint64_t ap_stack;
    void (*ap_entry)(void);
};

/* At its physical address: in the kernel, see physical_to_virtual. */
extern struct boot_information boot_information;

/* ---- console.c ---- */

void console_write(const char *text, size_t length);
void print(const char *format, ...) __attribute__((format(printf, 1, 2)));
int string_compare(const char *one, const char *other);
size_t string_length(const char *text);
void console_listen(void);
void console_interrupt(void);
/* A line that was typed, without its end; waits for it. */
size_t console_read_line(char *line, size_t size);

/* ---- descriptors.c ---- */

enum vector {
    VECTOR_INVALID_OPCODE = 6,
    VECTOR_DOUBLE_FAULT = 8,
    VECTOR_PAGE_FAULT = 14,
    VECTOR_TIMER = 0x20,
    VECTOR_SERIAL = 0x24,
    VECTOR_SYSCALL = 0x80,
    VECTOR_SPURIOUS = 0xff,
};

void load_descriptor_tables(unsigned processor);
void set_kernel_stack(uint64_t top);

/* ---- traps.c ---- */

/* What the entry code in entry.S leaves on the kernel's stack. */
struct trap_frame {
    uint64_t r15, r14, r13, r12, r11, r10, r9, r8;
    uint64_t rbp, rdi, rsi, rdx, rcx, rbx, rax;
    uint64_t vector, error_code;
    uint64_t rip, cs, rflags, rsp, ss;
};

void trap(struct trap_frame *frame);
extern uint64_t interrupt_counts[256];

/* ---- memory.c ---- */

enum page_kind {
    PAGE_READ = 0,
    PAGE_WRITE = 1 << 0,
    PAGE_EXECUTE = 1 << 1,
    PAGE_USER = 1 << 2,
    PAGE_DEVICE = 1 << 3,
};

/* An entry of any level (SDM Vol. 3, tables 4-15 to 4-20). */
union page_entry {
    uint64_t raw;
    struct {
        uint64_t present : 1;
        uint64_t writable : 1;
        uint64_t user : 1;
        uint64_t write_through : 1;
        uint64_t cache_disabled : 1;
        uint64_t accessed : 1;
        uint64_t dirty : 1;
        uint64_t large : 1;
        uint64_t global : 1;
        uint64_t available : 3;
        uint64_t frame : 40;
        uint64_t available_high : 11;
        uint64_t no_execute : 1;
    };
};

/* Memory that gets its pages when they are first touched. */
struct memory_region {
    const char *name;
    uint64_t start, end;
    enum page_kind kind;
    unsigned faults;
    struct memory_region *next;
};

struct address_space {
    physical_address root;
    unsigned pages;
    struct memory_region *regions;
};

struct memory_statistics {
    unsigned allocated, released, tables;
    unsigned faults_handled, faults_fatal;
};

extern struct address_space kernel_space;
extern struct memory_statistics memory_statistics;

void memory_start(const struct boot_information *information);
physical_address allocate_page(void);
void release_page(physical_address page);
void *physical_to_virtual(physical_address address);
void map_page(struct address_space *space, uint64_t address, physical_address page, enum page_kind kind);
union page_entry *find_page_entry(struct address_space *space, uint64_t address);
void address_space_create(struct address_space *space);
void address_space_destroy(struct address_space *space);
void add_region(struct address_space *space, struct memory_region *region);
/* True if the access is in order now. */
bool handle_page_fault(struct address_space *space, uint64_t address, uint64_t error_code);

#define LAZY_START 0xffffc90000000000ul
#define LAZY_SIZE (16 * PAGE_SIZE)

/* ---- timer.c ---- */

#define TICKS_PER_SECOND 1000

extern volatile uint64_t ticks;

void timer_start(void);
void timer_interrupt(void);
void sleep_ticks(uint64_t count);

/* ---- apic.c ---- */

void apic_start(void);
void apic_start_this_processor(void);
void apic_acknowledge(void);
void apic_route(unsigned pin, enum vector vector);
void apic_send_init(unsigned apic_id);
void apic_send_startup(unsigned apic_id, unsigned page);
unsigned apic_id(void);

/* ---- processors.c ---- */

#define MOST_PROCESSORS 8

struct processor {
    /* entry.S knows the first three. */
    struct processor *self;
    uint64_t kernel_stack_top;
    uint64_t user_stack;
    struct task *current;
    unsigned index, apic_id;
    bool reschedule;
    volatile bool started;
};

extern struct processor processors[MOST_PROCESSORS];
extern unsigned processor_count;

void processor_start(unsigned index);
void start_other_processors(void);

/* ---- task.c ---- */

enum task_state {
    TASK_READY,
    TASK_RUNNING,
    TASK_SLEEPING,
    TASK_WAITING,
    TASK_DEAD,
};

struct task_flags {
    unsigned user : 1;
    unsigned idle : 1;
    unsigned killed : 1;
    unsigned preempted : 12;
};

struct task {
    const char *name;
    unsigned id;
    enum task_state state;
    struct task_flags flags;
    uint64_t *stack_pointer;
    uint8_t *stack;
    struct address_space *space;
    struct semaphore *waiting_for;
    uint64_t wake_tick;
    uint64_t ticks_used;
    unsigned system_calls;
    int exit_status;
    void (*entry)(void *argument);
    void *argument;
    struct task *next;
};

struct semaphore {
    const char *name;
    int count;
};

extern struct task *task_list;

void tasks_start(void);
struct task *current_task(void);
struct task *task_create(const char *name, void (*entry)(void *argument), void *argument);
struct task *task_create_user(const char *name, uint64_t entry, uint64_t argument);
void task_exit(int status) __attribute__((noreturn));
int task_join(struct task *task);
void schedule(void);
void task_tick(void);
void sleep_until(uint64_t tick);
void semaphore_wait(struct semaphore *semaphore);
void semaphore_signal(struct semaphore *semaphore);

/* ---- syscall.c ---- */

/* False where SYSCALL shall not be used: not every hypervisor knows it well. */
extern bool fast_system_calls;

void system_calls_start(void);
uint64_t system_call(uint64_t number, uint64_t first, uint64_t second);

/* ---- workload.c, monitor.c ---- */

void run_workload(void);
void run_monitor(void);

/* ---- power.c ---- */

void power_off(void) __attribute__((noreturn));
void panic(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

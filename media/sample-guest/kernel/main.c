/* The kernel's beginning in long mode. */
#include "cpu.h"

extern uint8_t kernel_text_start[];

/* hvm_start_info: where the command line is. */
struct pvh_start_info {
    uint32_t magic, version, flags, modules;
    uint64_t module_list, command_line;
};

static bool has_word(const char *text, const char *word)
{
    size_t length = string_length(word);
    while (*text) {
        size_t matched = 0;
        while (matched < length && text[matched] == word[matched])
            matched++;
        if (matched == length && (text[matched] == ' ' || text[matched] == 0))
            return true;
        while (*text && *text != ' ')
            text++;
        while (*text == ' ')
            text++;
    }
    return false;
}

static const char *command_line(const struct boot_information *information)
{
    if (information->source != STARTED_BY_PVH)
        return "";
    const struct pvh_start_info *start = physical_to_virtual(information->pvh_start_info);
    return start->command_line ? physical_to_virtual(start->command_line) : "";
}

void kernel_main(const struct boot_information *information)
{
    struct boot_information boot = *information;

    print("long mode: %u MiB of memory\n", boot.memory_size >> 20);
    processor_start(0);
    memory_start(&boot);
    print("paging: %u tables, kernel at %lx\n", memory_statistics.tables, (uint64_t)kernel_text_start);
    tasks_start();
    apic_start();
    timer_start();
    system_calls_start();
    fast_system_calls = !has_word(command_line(&boot), "nosyscall");
    interrupts_enable();
    start_other_processors();

    run_workload();
    if (has_word(command_line(&boot), "monitor"))
        run_monitor();
    print("power off\n");
    power_off();
}

/* Physical pages, 4-level page tables, and pages that come when they are touched. */
#include "cpu.h"

/* All of memory, as far as this kernel uses it, is mapped here. */
#define DIRECT_MAP 0xffff888000000000ul
#define MOST_MEMORY (64ul << 20)
/* Pages are handed out from here on. */
#define FIRST_FREE 0x200000ul
#define LARGE_PAGE 0x200000ul
#define ENTRIES 512

enum page_fault_error {
    FAULT_PROTECTION = 1 << 0,
    FAULT_WRITE = 1 << 1,
    FAULT_USER = 1 << 2,
};

struct free_page {
    struct free_page *next;
};

struct address_space kernel_space;
struct memory_statistics memory_statistics;

static struct free_page *free_pages;
static physical_address next_unused = FIRST_FREE;
static physical_address memory_end;
static struct memory_region lazy_region = {
    .name = "lazy",
    .start = LAZY_START,
    .end = LAZY_START + LAZY_SIZE,
    .kind = PAGE_WRITE,
};

extern uint8_t kernel_text_start[], kernel_rodata_start[], kernel_data_start[], kernel_end[];
extern union page_entry boot_pml4[];

/* Until the kernel's own tables are in force, those of boot/real.S map the first 8 MiB. */
static bool direct_map_exists;

void *physical_to_virtual(physical_address address)
{
    return (void *)(address + (direct_map_exists ? DIRECT_MAP : KERNEL_OFFSET));
}

static void clear_page(void *page)
{
    uint64_t count = PAGE_SIZE / 8;
    asm volatile("rep stosq" : "+D"(page), "+c"(count) : "a"(0ul) : "memory");
}

physical_address allocate_page(void)
{
    physical_address page;
    if (free_pages) {
        page = (uint64_t)free_pages - DIRECT_MAP;
        free_pages = free_pages->next;
    } else {
        page = next_unused;
        next_unused += PAGE_SIZE;
        if (next_unused > memory_end)
            panic("out of memory");
    }
    memory_statistics.allocated++;
    clear_page(physical_to_virtual(page));
    return page;
}

void release_page(physical_address page)
{
    struct free_page *header = physical_to_virtual(page);
    header->next = free_pages;
    free_pages = header;
    memory_statistics.released++;
}

INLINE union page_entry *entry_at(physical_address table, unsigned index)
{
    return (union page_entry *)physical_to_virtual(table) + index;
}

INLINE unsigned index_at(uint64_t address, unsigned level)
{
    return address >> (12 + 9 * level) & (ENTRIES - 1);
}

/* The entry of `level` (0 is the page table) for an address; tables that lack are made if `make`. */
static union page_entry *walk(struct address_space *space, uint64_t address, unsigned level, bool make)
{
    physical_address table = space->root;
    for (unsigned at = 3; at > level; at--) {
        union page_entry *entry = entry_at(table, index_at(address, at));
        if (!entry->present) {
            if (!make)
                return NULL;
            *entry = (union page_entry){.present = 1, .writable = 1, .frame = allocate_page() / PAGE_SIZE};
            memory_statistics.tables++;
        }
        if (address < DIRECT_MAP)
            entry->user = 1;
        table = entry->frame * PAGE_SIZE;
    }
    return entry_at(table, index_at(address, level));
}

static union page_entry leaf(physical_address page, enum page_kind kind)
{
    return (union page_entry){
        .present = 1,
        .writable = (kind & PAGE_WRITE) != 0,
        .user = (kind & PAGE_USER) != 0,
        .cache_disabled = (kind & PAGE_DEVICE) != 0,
        .write_through = (kind & PAGE_DEVICE) != 0,
        .frame = page / PAGE_SIZE,
        .no_execute = (kind & PAGE_EXECUTE) == 0,
    };
}

void map_page(struct address_space *space, uint64_t address, physical_address page, enum page_kind kind)
{
    *walk(space, address, 0, true) = leaf(page, kind);
    space->pages++;
    page_invalidate(address);
}

static void map_large_page(struct address_space *space, uint64_t address, physical_address page, enum page_kind kind)
{
    union page_entry *entry = walk(space, address, 1, true);
    *entry = leaf(page, kind);
    entry->large = 1;
}

union page_entry *find_page_entry(struct address_space *space, uint64_t address)
{
    return walk(space, address, 0, false);
}

static void map_kernel_section(const uint8_t *start, const uint8_t *end, enum page_kind kind)
{
    for (uint64_t address = (uint64_t)start; address < (uint64_t)end; address += PAGE_SIZE)
        map_page(&kernel_space, address, address - KERNEL_OFFSET, kind);
}

void memory_start(const struct boot_information *information)
{
    memory_end = information->memory_size;
    if (memory_end > MOST_MEMORY)
        memory_end = MOST_MEMORY;
    kernel_space.root = allocate_page();

    for (physical_address page = 0; page < memory_end; page += LARGE_PAGE)
        map_large_page(&kernel_space, DIRECT_MAP + page, page, PAGE_WRITE);
    map_kernel_section(kernel_text_start, kernel_rodata_start, PAGE_EXECUTE);
    map_kernel_section(kernel_rodata_start, kernel_data_start, PAGE_READ);
    map_kernel_section(kernel_data_start, kernel_end, PAGE_WRITE);
    /* Tables for these addresses exist before other address spaces copy the root. */
    add_region(&kernel_space, &lazy_region);
    walk(&kernel_space, LAZY_START, 0, true);

    cr3_write(kernel_space.root);
    direct_map_exists = true;
}

void add_region(struct address_space *space, struct memory_region *region)
{
    region->next = space->regions;
    space->regions = region;
}

static struct memory_region *find_region(const struct address_space *space, uint64_t address)
{
    for (struct memory_region *region = space->regions; region; region = region->next) {
        if (address >= region->start && address < region->end)
            return region;
    }
    return NULL;
}

bool handle_page_fault(struct address_space *space, uint64_t address, uint64_t error_code)
{
    struct memory_region *region = find_region(space, address);
    if (!region && !(error_code & FAULT_USER)) {
        space = &kernel_space;
        region = find_region(space, address);
    }
    bool allowed = region && !(error_code & FAULT_PROTECTION) &&
                   (!(error_code & FAULT_WRITE) || region->kind & PAGE_WRITE) &&
                   (!(error_code & FAULT_USER) || region->kind & PAGE_USER);
    if (!allowed) {
        memory_statistics.faults_fatal++;
        return false;
    }
    map_page(space, address & ~(PAGE_SIZE - 1), allocate_page(), region->kind);
    region->faults++;
    memory_statistics.faults_handled++;
    return true;
}

/* The upper half is the kernel's, the same in all of them. */
void address_space_create(struct address_space *space)
{
    space->root = allocate_page();
    space->pages = 0;
    space->regions = NULL;
    for (unsigned index = ENTRIES / 2; index < ENTRIES; index++)
        *entry_at(space->root, index) = *entry_at(kernel_space.root, index);
}

static void release_tables(physical_address table, unsigned level)
{
    unsigned count = level == 3 ? ENTRIES / 2 : ENTRIES;
    for (unsigned index = 0; index < count; index++) {
        union page_entry entry = *entry_at(table, index);
        if (!entry.present)
            continue;
        /* The user program's own pages belong to the kernel's image. */
        if (level > 0)
            release_tables(entry.frame * PAGE_SIZE, level - 1);
        else if (entry.frame * PAGE_SIZE >= FIRST_FREE)
            release_page(entry.frame * PAGE_SIZE);
    }
    release_page(table);
}

void address_space_destroy(struct address_space *space)
{
    release_tables(space->root, 3);
    space->root = 0;
}

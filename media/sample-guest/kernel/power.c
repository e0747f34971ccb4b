/* Power off by ACPI, as a 440FX board does it (Intel 82371AB, chapter 7). */
#include "cpu.h"

#define PCI_ADDRESS 0xcf8
#define PCI_DATA 0xcfc
/* Device 1, function 3: power management. */
#define POWER_MANAGEMENT (1u << 31 | 1 << 11 | 3 << 8)
#define POWER_MANAGEMENT_ID 0x71138086
#define REGISTER_BASE 0x40
#define REGISTER_MISCELLANEOUS 0x80

#define PM_BASE 0x600
#define PM_CONTROL 4
#define SLEEP_ENABLE (1 << 13)

static uint32_t pci_read(uint32_t address)
{
    port_write32(PCI_ADDRESS, address);
    return port_read32(PCI_DATA);
}

static void pci_write(uint32_t address, uint32_t value)
{
    port_write32(PCI_ADDRESS, address);
    port_write32(PCI_DATA, value);
}

void power_off(void)
{
    interrupts_disable();
    if (pci_read(POWER_MANAGEMENT) != POWER_MANAGEMENT_ID)
        panic("this board has no power management");
    /* Without a firmware nobody has placed the registers yet. */
    if (!(pci_read(POWER_MANAGEMENT + REGISTER_MISCELLANEOUS) & 1)) {
        pci_write(POWER_MANAGEMENT + REGISTER_BASE, PM_BASE | 1);
        pci_write(POWER_MANAGEMENT + REGISTER_MISCELLANEOUS, 1);
    }
    uint16_t base = pci_read(POWER_MANAGEMENT + REGISTER_BASE) & 0xffc0;
    port_write16(base + PM_CONTROL, SLEEP_ENABLE);
    /* It may take a while. */
    for (;;)
        asm volatile("cli\n\thlt");
}

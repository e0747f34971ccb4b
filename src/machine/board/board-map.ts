/** Where the board's devices are: physical addresses, I/O ports, ISA interrupts. The one place that knows. */
export const BoardMap = {
    localApic: 0xfee0_0000,
    ioApic: 0xfec0_0000,
    hpet: 0xfed0_0000,
    hpetSize: 0x400,
    /** 32-bit PCI memory ends below the IOAPIC. */
    pciMemoryEnd: 0xfec0_0000,
    /** PCI memory starts here even where RAM ends earlier (as QEMU's `pc`). */
    pciMemoryMinimum: 0xc000_0000,

    isaBridgeSlot: 1,
    /** Slot 2 is where PCs have their display. */
    firstFreeSlot: 3,
    /** I/O ports that PCI devices get where no firmware assigns them. */
    pciPorts: 0xc000,

    /** ACPI power management registers, as SeaBIOS places those of a PIIX4. */
    powerManagement: 0x600,
    powerManagementSize: 0x40,
    /** APM control and status: what ACPI calls SMI_CMD. */
    apmControl: 0xb2,
    resetControl: 0xcf9,

    rtc: 0x70,
    fwCfg: 0x510,
    /** Edge/level control registers of the PIC. */
    elcr: 0x4d0,
    serial: [
        { port: 0x3f8, irq: 4 },
        { port: 0x2f8, irq: 3 },
    ],

    /** What test suites look for, where QEMU's `pc-testdev` is. */
    testDevice: { latch: 0xe0, flush: 0xe4, interrupts: 0x2000, mmio: 0xff00_0000 },

    /** ACPI's system control interrupt. */
    sci: 9,
    /** ISA IRQs that PCI interrupts are routed to: level triggered. */
    pciIrqs: [10, 10, 11, 11],
    /** IOAPIC input of the PIT, whose ISA IRQ 0 is the PIC's. */
    timerPin: 2,
} as const;

/** Names of PCI classes (PCI Code and ID Assignment Specification, 1.11, chapter 1) and of the parts that PCs of our kind have. */

const CLASSES: Readonly<Record<number, string>> = {
    0x00: 'unclassified device',
    0x01: 'mass storage controller',
    0x02: 'network controller',
    0x03: 'display controller',
    0x04: 'multimedia device',
    0x05: 'memory controller',
    0x06: 'bridge',
    0x07: 'communication controller',
    0x08: 'system peripheral',
    0x09: 'input device controller',
    0x0a: 'docking station',
    0x0b: 'processor',
    0x0c: 'serial bus controller',
    0x0d: 'wireless controller',
    0x0f: 'satellite communication controller',
    0x10: 'encryption controller',
    0x11: 'signal processing controller',
    0xff: 'device of no class',
};

const SUBCLASSES: Readonly<Record<number, string>> = {
    0x0100: 'SCSI controller',
    0x0101: 'IDE controller',
    0x0106: 'SATA controller',
    0x0108: 'NVM controller',
    0x0200: 'Ethernet controller',
    0x0300: 'VGA-compatible controller',
    0x0380: 'display controller',
    0x0401: 'audio device',
    0x0500: 'RAM',
    0x0600: 'host bridge',
    0x0601: 'ISA bridge',
    0x0604: 'PCI-to-PCI bridge',
    0x0680: 'bridge (other)',
    0x0700: 'serial controller',
    0x0703: 'modem',
    0x0800: 'interrupt controller',
    0x0801: 'DMA controller',
    0x0802: 'timer',
    0x0803: 'real-time clock',
    0x0c03: 'USB controller',
    0x0c05: 'SMBus controller',
};

export function className(classCode: number): string {
    return SUBCLASSES[classCode >>> 8] ?? CLASSES[classCode >>> 16] ?? `class 0x${(classCode >>> 16).toString(16)}`;
}

const VENDORS: Readonly<Record<number, string>> = {
    0x8086: 'Intel',
    0x1af4: 'Red Hat',
    0x1b36: 'Red Hat',
    0x1234: 'QEMU',
};

const DEVICES: Readonly<Record<number, string>> = {
    0x8086_1237: '82441FX PCI and memory controller',
    0x8086_7000: '82371SB (PIIX3) ISA bridge',
    0x8086_7010: '82371SB (PIIX3) IDE controller',
    0x8086_7113: '82371AB (PIIX4) power management',
    0x8086_100e: '82540EM gigabit Ethernet controller',
    0x1234_1111: 'standard VGA',
    0x1af4_1000: 'Virtio network card',
    0x1af4_1001: 'Virtio block device',
    0x1af4_1002: 'Virtio memory balloon',
    0x1af4_1003: 'Virtio console',
    0x1af4_1004: 'Virtio SCSI',
    0x1af4_1005: 'Virtio entropy source',
};

/** Device ids 1040h and up are those of Virtio 1.x: 1040h plus the device type (Virtio 1.2, 4.1.2). */
const VIRTIO_TYPES: Readonly<Record<number, string>> = {
    1: 'network card',
    2: 'block device',
    3: 'console',
    4: 'entropy source',
    5: 'memory balloon',
    8: 'SCSI host',
    9: '9P transport',
    16: 'GPU',
    18: 'input device',
    19: 'socket',
    25: 'sound card',
    26: 'file system',
};

export function deviceName(vendorId: number, deviceId: number): string {
    const vendor = VENDORS[vendorId] ?? `vendor 0x${vendorId.toString(16).padStart(4, '0')}`;
    const type = vendorId === 0x1af4 && deviceId >= 0x1040 ? VIRTIO_TYPES[deviceId - 0x1040] : undefined;
    const name = type === undefined ? DEVICES[vendorId * 0x10000 + deviceId] : `Virtio ${type}`;
    return `${vendor} ${name ?? `device 0x${deviceId.toString(16).padStart(4, '0')}`}`;
}

/** Capability ids (PCI Code and ID Assignment Specification, 1.11, chapter 2). */
const CAPABILITIES: Readonly<Record<number, string>> = {
    0x01: 'power management',
    0x02: 'AGP',
    0x03: 'vital product data',
    0x04: 'slot identification',
    0x05: 'MSI',
    0x06: 'CompactPCI hot swap',
    0x07: 'PCI-X',
    0x08: 'HyperTransport',
    0x09: 'vendor specific',
    0x0a: 'debug port',
    0x0d: 'bridge subsystem',
    0x10: 'PCI Express',
    0x11: 'MSI-X',
    0x12: 'SATA',
    0x13: 'advanced features',
};

export function capabilityName(id: number): string {
    return CAPABILITIES[id] ?? `capability 0x${id.toString(16)}`;
}

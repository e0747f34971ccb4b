/**
 * What can be observed of a running machine, named as a hypervisor names its exits. Most kinds occur on every engine;
 * the last group only where hardware runs the guest.
 */
export const enum MachineEventKind {
    /** IN and INS; cause: port. */
    PortIn,
    /** OUT and OUTS; cause: port. */
    PortOut,
    /** A load from device registers; cause: physical address. */
    MmioRead,
    MmioWrite,
    /** Cause: index. */
    MsrRead,
    MsrWrite,
    /** MOV to CR, LMSW, CLTS, a task switch; cause: number of the register. */
    CrWrite,
    /** Cause: leaf. */
    Cpuid,
    Hlt,
    Mwait,
    /** An exception on its way to its handler; cause: vector. */
    Exception,
    /** INT n, INT3, INTO, INT1; cause: vector. */
    SoftwareInterrupt,
    /** A maskable interrupt that is delivered; cause: vector. */
    ExternalInterrupt,
    Nmi,
    /** A local APIC sends an interprocessor interrupt; cause: delivery mode × 100h + vector. */
    Ipi,
    /** Cause: mode before × 100h + mode after; see {@link OperatingMode}. */
    ModeSwitch,
    /** The guest resets the machine. */
    Reset,
    /** A vCPU shuts down. */
    TripleFault,
    PowerOff,

    /** KVM_EXIT_DEBUG. */
    Debug,
    /** KVM_EXIT_INTERNAL_ERROR; cause: sub-error. */
    InternalError,
    /** KVM_EXIT_FAIL_ENTRY; cause: the hardware's reason. */
    FailEntry,
    /** KVM_RUN came back because it was asked to. */
    Interrupted,
    /** Any other exit; cause: its number. */
    Other,
}

/** The names that leave this process. */
export const MACHINE_EVENTS = [
    'portIn',
    'portOut',
    'mmioRead',
    'mmioWrite',
    'msrRead',
    'msrWrite',
    'crWrite',
    'cpuid',
    'hlt',
    'mwait',
    'exception',
    'softwareInterrupt',
    'externalInterrupt',
    'nmi',
    'ipi',
    'modeSwitch',
    'reset',
    'tripleFault',
    'powerOff',
    'debug',
    'internalError',
    'failEntry',
    'interrupted',
    'other',
] as const;

export type MachineEventName = (typeof MACHINE_EVENTS)[number];

/** {@link MachineEventKind} by name. */
export const MACHINE_EVENT_BY_NAME: ReadonlyMap<string, MachineEventKind> = new Map(
    MACHINE_EVENTS.map((name, kind): [string, MachineEventKind] => [name, kind]),
);

/** How a vCPU executes code (SDM Vol. 3, 2.2), with {@link OperatingMode.Paging} added where translation is on. */
export const enum OperatingMode {
    Real = 0,
    Virtual8086 = 1,
    Protected = 2,
    /** 16- and 32-bit code under a 64-bit kernel. */
    Compatibility = 3,
    Long = 4,
    Paging = 8,
}

const MODE_NAMES = ['real mode', 'virtual-8086 mode', 'protected mode', 'compatibility mode', '64-bit mode'];

export function operatingModeName(mode: number): string {
    const name = MODE_NAMES[mode & 7] ?? 'unknown mode';
    const isLong = (mode & 7) >= OperatingMode.Compatibility;
    return mode & OperatingMode.Paging && !isLong ? `${name} with paging` : name;
}

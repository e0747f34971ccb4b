/**
 * Numbers of the KVM interface on x86-64: request codes, capabilities, exit reasons and where the fields of its
 * structures lie (Linux, Documentation/virt/kvm/api.rst and the headers linux/kvm.h, asm/kvm.h). Offsets in bytes.
 */

/** The API version that every KVM since Linux 2.6.22 speaks. */
export const KVM_API_VERSION = 12;

export const enum Ioctl {
    GetApiVersion = 0xae00,
    CreateVm = 0xae01,
    GetMsrIndexList = 0xc004ae02,
    CheckExtension = 0xae03,
    GetVcpuMmapSize = 0xae04,
    GetSupportedCpuid = 0xc008ae05,
    CreateVcpu = 0xae41,
    GetDirtyLog = 0x4010ae42,
    SetUserMemoryRegion = 0x4020ae46,
    SetTssAddr = 0xae47,
    SetIdentityMapAddr = 0x4008ae48,
    Run = 0xae80,
    GetRegs = 0x8090ae81,
    SetRegs = 0x4090ae82,
    GetSregs = 0x8138ae83,
    SetSregs = 0x4138ae84,
    Interrupt = 0x4004ae86,
    GetMsrs = 0xc008ae88,
    SetMsrs = 0x4008ae89,
    SetSignalMask = 0x4004ae8b,
    SetCpuid2 = 0x4008ae90,
    GetMpState = 0x8004ae98,
    SetMpState = 0x4004ae99,
    Nmi = 0xae9a,
    SetGuestDebug = 0x4048ae9b,
    GetVcpuEvents = 0x8040ae9f,
    SetVcpuEvents = 0x4040aea0,
    GetDebugRegs = 0x8080aea1,
    SetDebugRegs = 0x4080aea2,
    SetTscKhz = 0xaea2,
    GetTscKhz = 0xaea3,
    EnableCap = 0x4068aea3,
    GetXsave = 0x9000aea4,
    SetXsave = 0x5000aea5,
    GetXcrs = 0x8188aea6,
    SetXcrs = 0x4188aea7,
    SetMsrFilter = 0x4188aec6,
    GetSregs2 = 0x8140aecc,
    SetSregs2 = 0x4140aecd,
    GetStatsFd = 0xaece,
    SetDeviceAttr = 0x4018aee1,
    GetDeviceAttr = 0x4018aee2,
    HasDeviceAttr = 0x4018aee3,
}

/** What messages call the requests. */
export const IOCTL_NAMES: ReadonlyMap<number, string> = new Map([
    [Ioctl.GetApiVersion, 'KVM_GET_API_VERSION'],
    [Ioctl.CreateVm, 'KVM_CREATE_VM'],
    [Ioctl.GetMsrIndexList, 'KVM_GET_MSR_INDEX_LIST'],
    [Ioctl.CheckExtension, 'KVM_CHECK_EXTENSION'],
    [Ioctl.GetVcpuMmapSize, 'KVM_GET_VCPU_MMAP_SIZE'],
    [Ioctl.GetSupportedCpuid, 'KVM_GET_SUPPORTED_CPUID'],
    [Ioctl.CreateVcpu, 'KVM_CREATE_VCPU'],
    [Ioctl.GetDirtyLog, 'KVM_GET_DIRTY_LOG'],
    [Ioctl.SetUserMemoryRegion, 'KVM_SET_USER_MEMORY_REGION'],
    [Ioctl.SetTssAddr, 'KVM_SET_TSS_ADDR'],
    [Ioctl.SetIdentityMapAddr, 'KVM_SET_IDENTITY_MAP_ADDR'],
    [Ioctl.Run, 'KVM_RUN'],
    [Ioctl.GetRegs, 'KVM_GET_REGS'],
    [Ioctl.SetRegs, 'KVM_SET_REGS'],
    [Ioctl.GetSregs, 'KVM_GET_SREGS'],
    [Ioctl.SetSregs, 'KVM_SET_SREGS'],
    [Ioctl.Interrupt, 'KVM_INTERRUPT'],
    [Ioctl.GetMsrs, 'KVM_GET_MSRS'],
    [Ioctl.SetMsrs, 'KVM_SET_MSRS'],
    [Ioctl.SetSignalMask, 'KVM_SET_SIGNAL_MASK'],
    [Ioctl.SetCpuid2, 'KVM_SET_CPUID2'],
    [Ioctl.GetMpState, 'KVM_GET_MP_STATE'],
    [Ioctl.SetMpState, 'KVM_SET_MP_STATE'],
    [Ioctl.Nmi, 'KVM_NMI'],
    [Ioctl.SetGuestDebug, 'KVM_SET_GUEST_DEBUG'],
    [Ioctl.GetVcpuEvents, 'KVM_GET_VCPU_EVENTS'],
    [Ioctl.SetVcpuEvents, 'KVM_SET_VCPU_EVENTS'],
    [Ioctl.GetDebugRegs, 'KVM_GET_DEBUGREGS'],
    [Ioctl.SetDebugRegs, 'KVM_SET_DEBUGREGS'],
    [Ioctl.SetTscKhz, 'KVM_SET_TSC_KHZ'],
    [Ioctl.GetTscKhz, 'KVM_GET_TSC_KHZ'],
    [Ioctl.EnableCap, 'KVM_ENABLE_CAP'],
    [Ioctl.GetXsave, 'KVM_GET_XSAVE'],
    [Ioctl.SetXsave, 'KVM_SET_XSAVE'],
    [Ioctl.GetXcrs, 'KVM_GET_XCRS'],
    [Ioctl.SetXcrs, 'KVM_SET_XCRS'],
    [Ioctl.SetMsrFilter, 'KVM_X86_SET_MSR_FILTER'],
    [Ioctl.GetSregs2, 'KVM_GET_SREGS2'],
    [Ioctl.SetSregs2, 'KVM_SET_SREGS2'],
    [Ioctl.GetStatsFd, 'KVM_GET_STATS_FD'],
    [Ioctl.SetDeviceAttr, 'KVM_SET_DEVICE_ATTR'],
    [Ioctl.GetDeviceAttr, 'KVM_GET_DEVICE_ATTR'],
    [Ioctl.HasDeviceAttr, 'KVM_HAS_DEVICE_ATTR'],
]);

export const enum Capability {
    UserMemory = 3,
    SetTssAddr = 4,
    MpState = 14,
    SetGuestDebug = 23,
    SetIdentityMapAddr = 37,
    VcpuEvents = 41,
    DebugRegs = 50,
    Xsave = 55,
    Xcrs = 56,
    TscControl = 60,
    GetTscKhz = 61,
    MaxVcpus = 66,
    SyncRegs = 74,
    ReadonlyMem = 81,
    VcpuAttributes = 127,
    ImmediateExit = 136,
    UserSpaceMsr = 188,
    MsrFilter = 189,
    SetGuestDebug2 = 195,
    Sregs2 = 200,
    BinaryStatsFd = 203,
    ExitOnEmulationFailure = 204,
}

/** `kvm_run.exit_reason`. */
export const enum ExitReason {
    Unknown = 0,
    Exception = 1,
    Io = 2,
    Hypercall = 3,
    Debug = 4,
    Hlt = 5,
    Mmio = 6,
    IrqWindowOpen = 7,
    Shutdown = 8,
    FailEntry = 9,
    Intr = 10,
    SetTpr = 11,
    Nmi = 16,
    InternalError = 17,
    SystemEvent = 24,
    X86Rdmsr = 29,
    X86Wrmsr = 30,
    X86BusLock = 33,
    Notify = 37,
    MemoryFault = 39,
}

/** `kvm_run`. */
export const enum RunOffset {
    requestInterruptWindow = 0,
    immediateExit = 1,
    exitReason = 8,
    readyForInterrupt = 12,
    ifFlag = 13,
    cr8 = 16,
    apicBase = 24,
    validRegisters = 288,
    dirtyRegisters = 296,
    /** `kvm_sync_regs`: the three below follow each other. */
    registers = 304,
    systemRegisters = 304 + 144,
    events = 304 + 456,
}

/** `kvm_run.io`; the data lies at `dataOffset` from the start of `kvm_run`. */
export const enum IoExit {
    direction = 32,
    size = 33,
    port = 34,
    count = 36,
    dataOffset = 40,
}

/** `kvm_run.mmio`. */
export const enum MmioExit {
    address = 32,
    data = 40,
    length = 48,
    isWrite = 52,
}

/** `kvm_run.msr`. */
export const enum MsrExit {
    error = 32,
    reason = 40,
    index = 44,
    data = 48,
}

/** `kvm_run.debug.arch`. */
export const enum DebugExit {
    exception = 32,
    pc = 40,
    dr6 = 48,
}

/** `kvm_run.internal`. */
export const enum InternalErrorExit {
    suberror = 32,
    dataCount = 36,
    data = 40,
    /** `kvm_run.emulation_failure`, within the data. */
    instructionSize = 48,
    instructionBytes = 49,
}

/** `kvm_run.hw` and `kvm_run.fail_entry`. */
export const enum HardwareExit {
    reason = 32,
    cpu = 40,
}

/** `kvm_run.ex`. */
export const enum ExceptionExit {
    vector = 32,
    errorCode = 36,
}

/** `kvm_run.system_event`. */
export const enum SystemEventExit {
    type = 32,
}

/** Bits of `kvm_valid_regs` and `kvm_dirty_regs`. */
export const enum SyncRegisters {
    General = 1,
    System = 2,
    Events = 4,
    All = 7,
}

/** Pages of a vCPU: `kvm_run`, port data, coalesced MMIO. */
export const RUN_SIZE = 0x4000;

/** `kvm_regs`: RAX, RBX, RCX, RDX, RSI, RDI, RSP, RBP, R8–R15, RIP, RFLAGS. */
export const enum RegsOffset {
    rbx = 8,
    rip = 128,
    rflags = 136,
    size = 144,
}

/** `kvm_sregs`; the segments first: CS DS ES FS GS SS TR LDT. */
export const enum SregsOffset {
    gdt = 192,
    idt = 208,
    cr0 = 224,
    cr2 = 232,
    cr3 = 240,
    cr4 = 248,
    cr8 = 256,
    efer = 264,
    apicBase = 272,
    interruptBitmap = 280,
    size = 312,
}

/** `kvm_sregs2`: as `kvm_sregs`, with these instead of the bitmap. */
export const enum Sregs2Offset {
    flags = 280,
    pdptrs = 288,
    size = 320,
}

export const SREGS2_PDPTRS_VALID = 1;

/** `kvm_segment`. */
export const enum SegmentField {
    base = 0,
    limit = 8,
    selector = 12,
    type = 14,
    present = 15,
    dpl = 16,
    db = 17,
    s = 18,
    l = 19,
    g = 20,
    avl = 21,
    unusable = 22,
    size = 24,
}

/** `kvm_dtable`. */
export const enum TableField {
    base = 0,
    limit = 8,
    size = 16,
}

/** `kvm_vcpu_events`. */
export const enum EventField {
    exceptionInjected = 0,
    exceptionNumber = 1,
    exceptionHasError = 2,
    exceptionPending = 3,
    exceptionError = 4,
    interruptInjected = 8,
    interruptNumber = 9,
    interruptSoft = 10,
    interruptShadow = 11,
    nmiInjected = 12,
    nmiPending = 13,
    nmiMasked = 14,
    flags = 20,
    size = 64,
}

/** Bits of `kvm_vcpu_events.interrupt.shadow`. */
export const enum Shadow {
    MovSs = 1,
    Sti = 2,
}

/** Bits of `kvm_vcpu_events.flags`. */
export const enum EventFlag {
    NmiPending = 1,
    Shadow = 4,
}

/** `kvm_debugregs`. */
export const enum DebugRegsField {
    dr6 = 32,
    dr7 = 40,
    size = 128,
}

/** `kvm_guest_debug.control`. */
export const enum GuestDebug {
    Enable = 1,
    SingleStep = 2,
    SoftwareBreakpoints = 0x10000,
    HardwareBreakpoints = 0x20000,
    BlockInterrupts = 0x100000,
}

/** `kvm_guest_debug`; DR0–DR7 of 8 bytes each behind control and padding. */
export const enum GuestDebugField {
    dr0 = 8,
    dr7 = 8 + 56,
    size = 72,
}

/** Bits of `kvm_userspace_memory_region.flags`. */
export const enum MemoryFlag {
    LogDirtyPages = 1,
    ReadOnly = 2,
}

/** Why an MSR access came to user space. */
export const enum MsrExitReason {
    Invalid = 1,
    Unknown = 2,
    Filter = 4,
}

export const XSAVE_SIZE = 4096;

/** `kvm_msrs`. */
export const enum MsrField {
    count = 0,
    entries = 8,
}

/** `kvm_msr_entry`. */
export const enum MsrEntry {
    index = 0,
    data = 8,
    size = 16,
}

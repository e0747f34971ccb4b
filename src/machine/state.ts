/**
 * Layout of a vCPU's architectural state inside the shared WebAssembly memory.
 *
 * Every engine and the debugger read the same bytes. Offsets are relative to the vCPU's base address. Translated code
 * addresses them directly, so a change here is a change to the translator's ABI: nothing else holds these numbers.
 *
 * Arithmetic flags are kept as data rather than as bits (see {@link StateOffset.flagResult}):
 *   ZF = flagResult == 0
 *   SF = (flagResult < 0) xor flagAux bit 0
 *   PF = parity of (flagResult xor (flagAux >> 8)) & 0xff
 *   CF = flagAux bit 31,  OF = flagAux bit 31 xor bit 30,  AF = flagAux bit 3
 * flagResult is the result of the last operation sign-extended to 64 bits. Bits 31, 30 and 3 of flagAux are thus the
 * carries out of the top, second and fourth bit of an addition (borrows of a subtraction). Bits 0 and 8–15 are
 * corrections that only POPF-like writes need.
 */
export const enum StateOffset {
    /** 16 × u64, in encoding order. */
    gpr = 0x000,
    /** RIP (offset in CS) of the next instruction; valid whenever no translated code is running. */
    rip = 0x080,
    flagResult = 0x088,
    flagAux = 0x090,
    /** RFLAGS without CF, PF, AF, ZF, SF, OF (u32, bit 1 set). */
    rflags = 0x094,
    /** Always zero: stands in for an absent base or index register. */
    zero = 0x098,
    /** RIP at the first instruction of the block that the interpreter tier is in (u64). */
    blockRip = 0x0a0,
    /** Instructions left before translated code must come back to the dispatcher (i64). */
    remaining = 0x0a8,
    /** Always one (u64). */
    one = 0x0b0,
    /** Address of the record being executed, written before each slow path of the interpreter tier (u32). */
    currentRecord = 0x0b8,
    /** Address of the soft TLB of the current MMU mode (u32). */
    tlb = 0x0bc,
    /** Execution mode key, see `ModeKey` (u32). */
    mode = 0x0c0,
    /** Where the vCPU's time goes at the moment, for samplers, if the engine notes it: {@link Tier} (u32). */
    tier = 0x0c4,
    /** Linear address of a slow-path access (u64). */
    accessAddress = 0x0c8,
    /** STI/MOV SS shadow: interrupts are inhibited for the next instruction (u32: bit 0 STI, bit 1 MOV SS). */
    interruptShadow = 0x0d0,
    /** NMIs are blocked until IRET (u32 0/1). */
    nmiBlocked = 0x0d4,
    /** Halted, waiting for INIT/SIPI, MWAIT…, see `ActivityState` (u32). */
    activity = 0x0d8,
    /** APIC id of this vCPU (u32). */
    apicId = 0x0dc,
    /** Mask of the index bits and address of this vCPU's jump cache (u32). */
    jumpCache = 0x0e0,
    /** Instructions retired, valid when no translated code is running: base of the deterministic clock (u64). */
    instructions = 0x0e8,

    /** 8 × 32 bytes: ES CS SS DS FS GS LDTR TR, see {@link SegmentOffset}. */
    segments = 0x100,
    gdtrBase = 0x200,
    gdtrLimit = 0x208,
    idtrBase = 0x210,
    idtrLimit = 0x218,
    cr0 = 0x220,
    cr2 = 0x228,
    cr3 = 0x230,
    cr4 = 0x238,
    cr8 = 0x240,
    efer = 0x248,
    xcr0 = 0x250,
    /** DR0–DR7, u64 each (4 and 5 unused). */
    dr = 0x260,
    star = 0x2a0,
    lstar = 0x2a8,
    cstar = 0x2b0,
    sfmask = 0x2b8,
    kernelGsBase = 0x2c0,
    sysenterCs = 0x2c8,
    sysenterEsp = 0x2d0,
    sysenterEip = 0x2d8,
    pat = 0x2e0,
    tscAux = 0x2e8,
    /** Added to the virtual TSC (u64); also what IA32_TSC_ADJUST reports. */
    tscOffset = 0x2f0,
    apicBase = 0x2f8,
    miscEnable = 0x300,
    mtrrDefType = 0x308,
    /** 11 fixed-range MTRRs, u64 each. */
    mtrrFixed = 0x310,
    /** 8 variable-range pairs base/mask, u64 each. */
    mtrrVariable = 0x368,
    debugControl = 0x3e8,
    tscDeadline = 0x3f0,

    /** 8 × 16 bytes: physical x87 registers R0–R7: significand (u64), sign and exponent (u16). MMn is Rn's significand. */
    x87 = 0x400,
    /** x87 control word (u32, low 16 bits). */
    fcw = 0x480,
    /** x87 status word with TOP = 0 (u32); TOP is kept in {@link StateOffset.ftop}. */
    fsw = 0x484,
    /** Top of stack, 0–7 (u32). */
    ftop = 0x488,
    /** 8 bytes, one a physical register: 1 when empty. */
    fempty = 0x490,
    /** Last x87 opcode, 11 bits (u32). */
    fop = 0x498,
    fcs = 0x49c,
    fip = 0x4a0,
    fdp = 0x4a8,
    fds = 0x4b0,
    mxcsr = 0x4b8,

    /** 4 × u64: the PDPTE registers of PAE paging, loaded with CR3 (SDM Vol. 3, 4.4.1). */
    pdpte = 0x4c0,
    /** IA32_SPEC_CTRL (u64). */
    specCtrl = 0x4e0,
    /** Debug traps due at the next instruction boundary, as bits of DR6 (u32). */
    pendingDebug = 0x4e8,
    /** {@link MonitorState} (u32). */
    monitor = 0x4ec,
    /** Linear address that MONITOR armed (u64). */
    monitorAddress = 0x4f0,
    /** Instructions retired when RFLAGS.RF was set: it counts for the next instruction only (f64). */
    resumeFlagSet = 0x4f8,
    /** IA32_MCG_STATUS (u64). */
    mcgStatus = 0x500,
    /** TSC at the end of the slice in progress: minus the instructions left, it is the TSC now (u64). */
    tscAtSliceEnd = 0x508,
    /** Something waits to be delivered as soon as the flags allow it: interrupt, NMI, debug trap (u32 0/1). */
    eventPending = 0x510,
    /** A watched access was made: a repeated string instruction has to end after the present element (u32 0/1). */
    repeatStop = 0x514,
    /** What `remaining` was when the breakpoints at blockRip were last checked (i64). */
    checkedAt = 0x518,
    /** PAUSE instructions since the vCPU's turn began or was offered to others, up to {@link PATIENCE} (u32). */
    pauses = 0x520,

    /** 32 × 64 bytes: ZMM0–ZMM31; XMMn is the low 16 bytes (room for AVX and AVX-512). */
    vector = 0x600,
    /** Operands and results of slow-path helpers that do not fit a WebAssembly call (128 bytes). */
    scratch = 0xe00,
    size = 0x1000,
}

/** So many PAUSE instructions are a loop that waits for another vCPU: translated code leaves at the next one. */
export const PATIENCE = 128;

/** Layout of a segment register, relative to `StateOffset.segments + 32 * number`. */
export const enum SegmentOffset {
    /** u64; 32 bits are used outside long mode, except FS, GS, LDTR, TR. */
    base = 0,
    /** Limit in bytes, granularity applied (u32). */
    limit = 8,
    /**
     * Descriptor attributes (u32): bits 0–3 type, 4 S, 5–6 DPL, 7 P, 12 AVL, 13 L, 14 D/B, 15 G — the second descriptor
     * doubleword's bits 8–23 shifted down; bit 16 set when the segment is unusable (null selector).
     */
    attributes = 12,
    /** Selector (u32, low 16 bits). */
    selector = 16,
    size = 32,
}

/** Numbers of the system segments, after ES–GS. */
export const enum SystemSegment {
    Ldtr = 6,
    Tr = 7,
}

export const enum SegmentAttribute {
    Accessed = 1 << 0,
    /** Data: writable. Code: readable. */
    WritableOrReadable = 1 << 1,
    /** Data: expand-down. Code: conforming. */
    ExpandDownOrConforming = 1 << 2,
    Code = 1 << 3,
    NonSystem = 1 << 4,
    DplShift = 5,
    Present = 1 << 7,
    Available = 1 << 12,
    Long = 1 << 13,
    Big = 1 << 14,
    Granularity = 1 << 15,
    Unusable = 1 << 16,
}

export const enum ActivityState {
    Active,
    /** HLT or MWAIT. */
    Halted,
    WaitForSipi,
    /** Shutdown after a triple fault. */
    Shutdown,
}

/** How a vCPU's instructions are executed at the moment. */
export const enum Tier {
    /** Not in translated code. */
    None,
    Interpreter,
    Region,
}

/** MONITOR/MWAIT. */
export const enum MonitorState {
    Idle,
    /** MONITOR has armed an address. */
    Armed,
    /** Halted in MWAIT: besides interrupts, a store by anybody else may end it. */
    Waiting,
}

/**
 * The execution mode that translated code is specialised on. Code is looked up by physical address and this key, so a
 * change of any bit simply selects other code.
 */
export const enum ModeKey {
    /** Bits 0–1: code size: 0 = 16, 1 = 32, 2 = 64. */
    CodeSizeMask = 3,
    /** Bits 2–3: stack pointer size: 0 = 16, 1 = 32, 2 = 64. */
    StackSizeShift = 2,
    /** Bits 4–5: CPL. */
    CplShift = 4,
    /** EFER.LMA. */
    Long = 1 << 6,
    /** CR0.PE set. */
    Protected = 1 << 7,
    /** RFLAGS.VM. */
    Virtual8086 = 1 << 8,
    /** ES, SS and DS all have base 0, limit 4 GiB, are present, writable and not expand-down: no checks needed. */
    Flat = 1 << 9,
    /** x87/MMX usable: CR0.EM = 0 and CR0.TS = 0. */
    X87Usable = 1 << 10,
    /** SSE usable: CR0.EM = 0, CR0.TS = 0, CR4.OSFXSR = 1. */
    SseUsable = 1 << 11,
    /** CS base is 0 and its limit covers the whole 4 GiB (always so in 64-bit code). */
    FlatCode = 1 << 12,
    /** Alignment checks are on: CR0.AM, RFLAGS.AC and CPL 3. */
    AlignmentCheck = 1 << 13,
}

/** Arithmetic flags in RFLAGS. */
export const enum Flag {
    CF = 1 << 0,
    PF = 1 << 2,
    AF = 1 << 4,
    ZF = 1 << 6,
    SF = 1 << 7,
    TF = 1 << 8,
    IF = 1 << 9,
    DF = 1 << 10,
    OF = 1 << 11,
    IOPL = 3 << 12,
    NT = 1 << 14,
    RF = 1 << 16,
    VM = 1 << 17,
    AC = 1 << 18,
    VIF = 1 << 19,
    VIP = 1 << 20,
    ID = 1 << 21,
    Arithmetic = CF | PF | AF | ZF | SF | OF,
}

/** Where the arithmetic flags live in flagAux. */
export const enum FlagAux {
    SignCorrection = 1 << 0,
    AF = 1 << 3,
    ParityShift = 8,
    /** CF xor OF: the carry into the top bit. */
    CarryIn = 1 << 30,
    CF = 1 << 31,
}

/** Soft TLB: per MMU mode a read and a write table of direct-mapped 16-byte entries. */
export const enum Tlb {
    entries = 1024,
    entrySize = 16,
    /** u64: linear page address; low bits non-zero make the fast path miss. All ones: empty. */
    tag = 0,
    /** u32: add to the low 32 bits of the linear address for the address in the shared memory. */
    addend = 8,
    /** Offset of the write table from the read table. */
    writeTable = entries * entrySize,
    /** One MMU mode's tables. */
    modeSize = 2 * writeTable,
    modes = 3,
}

/** MMU modes: which accesses are user accesses, and whether SMAP applies (AC clear). */
export const enum MmuMode {
    Supervisor,
    /** CR4.SMAP set and RFLAGS.AC clear: supervisor accesses to user pages fault. */
    SupervisorSmap,
    User,
}

/** Jump cache: direct-mapped by linear RIP. */
export const enum JumpCache {
    entries = 16384,
    entrySize = 16,
    /** u64 linear RIP; all ones: empty. */
    rip = 0,
    /** u32 address of the block's first record. */
    record = 8,
    /** u32 mode key of the block. */
    mode = 12,
}

/** What the jump cache's writers, TypeScript and translated code, keep about it. */
export const enum JumpRecord {
    /** Entries of pages that are not global, and of those that are, apart: MOV CR3 drops the former only. */
    kinds = 2,
    /** Bits of the hash of a page's or region's address. */
    reachBits = 12,
    /** u32 a kind: slots in its log. */
    logged = 0,
    /** Up to `entries` numbers of filled slots a kind, u16 each. */
    log = 16,
    logSize = 2 * JumpCache.entries,
    /** A byte a slot: bit 0 (1) if it is in the log of kind 0 (1). */
    inLog = log + kinds * logSize,
    /** A byte a slot: the kind of its entry. */
    kind = inLog + JumpCache.entries,
    /** Hash set a kind, a byte each: linear pages with entries. */
    pages = kind + JumpCache.entries,
    /** Hash set a kind, a byte each: 1 GiB regions with entries of pages larger than 4 KiB. */
    regions = pages + kinds * (1 << reachBits),
    size = regions + kinds * (1 << reachBits),
}

/** Translations of the pages that are fetched from: direct-mapped by linear page, as the soft TLB is for data. */
export const enum FetchTlb {
    entries = 1024,
    entrySize = 16,
    /** u64 linear page address; low bits non-zero: empty. */
    tag = 0,
    /** u32: physical address / 4096. */
    page = 8,
    /** u32, see {@link FetchOrigin}. */
    origin = 12,
}

export const enum FetchOrigin {
    Global = 1 << 0,
    /** Piece of a 2 MiB page or larger. */
    Large = 1 << 1,
    /** Fetched with CPL 3. */
    User = 1 << 2,
}

/**
 * What the soft TLB's writers, TypeScript and translated code, keep about it: which slots were filled, so that a flush
 * costs what was filled, and where pieces of large pages are, which INVLPG has to drop together.
 */
export const enum TlbRecord {
    /** Slots of all tables together: a slot's number is its entry's offset in `CpuArea.tlb` / 16. */
    slots = Tlb.modes * 2 * Tlb.entries,
    /** Bits of a hash of a 4 MiB (1 GiB) region's address. */
    regionBits = 12,

    /** u32: number of slots in the log. */
    logged = 0,
    /** u32, see {@link RefillObstacle}: not 0 while only TypeScript may fill the soft TLB. */
    obstacles = 4,
    /** u64: a bit for each watched linear page, at its number modulo 64; those only TypeScript may enter. */
    watchFilter = 8,
    /** Up to `slots` numbers of filled slots, u16 each. */
    log = 16,
    /** A byte each slot: 1 if it is in the log. */
    isLogged = log + 2 * slots,
    /** Hash set, a byte each: 4 MiB regions with entries of 2 or 4 MiB pages. */
    largeRegions = isLogged + slots,
    /** Hash set, a byte each: 1 GiB regions with entries of 1 GiB pages. */
    hugeRegions = largeRegions + (1 << regionBits),
    size = hugeRegions + (1 << regionBits),
}

/** Why page walks in translated code would miss something. */
export const enum RefillObstacle {
    /** Physical addresses do not mean what they usually do: A20 is closed. */
    Map = 1 << 0,
}

/** What the fourth word of a soft TLB entry says about where it came from; the fast path does not look at it. */
export const enum EntryOrigin {
    None = 0,
    /** Global page: survives MOV CR3. */
    Global = 1 << 0,
    /** Piece of a 2 or 4 MiB page. */
    Large = 1 << 1,
    /** Piece of a 1 GiB page. */
    Huge = 1 << 2,
}

/** Sizes and places inside one vCPU's area. */
export const enum CpuArea {
    tlb = StateOffset.size,
    jumpCache = tlb + Tlb.modes * Tlb.modeSize,
    tlbRecord = jumpCache + JumpCache.entries * JumpCache.entrySize,
    jumpRecord = tlbRecord + TlbRecord.size,
    fetchTlb = jumpRecord + JumpRecord.size,
    /** Whole pages. */
    size = (fetchTlb + FetchTlb.entries * FetchTlb.entrySize + 0xfff) & ~0xfff,
}

export function gprOffset(register: number): number {
    return StateOffset.gpr + register * 8;
}

export function segmentOffset(segment: number): number {
    return StateOffset.segments + segment * SegmentOffset.size;
}

export function vectorOffset(register: number): number {
    return StateOffset.vector + register * 64;
}

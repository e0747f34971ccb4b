/**
 * The "VM exits" view: what its requests ask and what the adapter answers.
 *
 * An exit is what a hypervisor would see of the guest: port and MMIO accesses, MSR and control register accesses,
 * HLT, CPUID, exceptions, interrupts. The translator names its own slow operations the way KVM does; on KVM they are the
 * real ones. Every exit is counted from the start of the machine, by kind and cause. Records of single exits are kept
 * only while somebody watches: {@link VmExitsWatchRequest}.
 *
 * Addresses and values are hexadecimal strings `0x…`, since they may have 64 bits; times are numbers.
 */

/** What kind of exit. The last group occurs on KVM only. */
export type VmExitKind =
    | 'portIn'
    | 'portOut'
    | 'mmioRead'
    | 'mmioWrite'
    | 'msrRead'
    | 'msrWrite'
    | 'crWrite'
    | 'cpuid'
    | 'hlt'
    | 'mwait'
    | 'exception'
    | 'softwareInterrupt'
    | 'externalInterrupt'
    | 'nmi'
    | 'ipi'
    | 'modeSwitch'
    | 'reset'
    | 'tripleFault'
    | 'powerOff'
    | 'debug'
    | 'internalError'
    | 'failEntry'
    | 'interrupted'
    | 'other';

/** One kind in words, for lists and filters; the kinds that cannot occur on the present engine are left out. */
export interface VmExitKindInfo {
    readonly kind: VmExitKind;
    /** `I/O out` */
    readonly label: string;
    /** Id of the exception filter (`setExceptionBreakpoints`) that stops at this kind, if one does. */
    readonly filter?: string;
    /** What a condition may say about it: `port == 0x3f8 && value == 0x41`. */
    readonly condition?: string;
}

// ---- hyperscope/vmExits --------------------------------------------------------------------------------------------

/**
 * `hyperscope/vmExits`: counts, single exits, and how they spread over time. Answers at any time, also while the guest
 * runs. Each part is sent only if it is asked for.
 */
export interface VmExitsRequest {
    readonly summary?: VmExitSummaryQuery;
    readonly records?: VmExitRecordQuery;
    readonly timeline?: VmExitTimelineQuery;
    /** Send {@link VmExitsResponse.kinds}. */
    readonly kinds?: boolean;
}

/** What to leave out; everything that is given has to hold. */
export interface VmExitFilter {
    readonly kinds?: readonly VmExitKind[];
    /** Causes (keys of rows), such as `0x3f8`. */
    readonly causes?: readonly string[];
    readonly vcpu?: number;
    /** Occurs in the text, device or cause; case does not matter. */
    readonly text?: string;
    /** Guest time in ns: first included, last excluded. */
    readonly from?: number;
    readonly to?: number;
}

export interface VmExitSummaryQuery {
    /** One row a kind, or one a kind and cause (the default). */
    readonly group?: 'kind' | 'cause';
    /** Only `kinds`, `causes` and `text` apply: the counters know no time and no vCPU. */
    readonly filter?: VmExitFilter;
    readonly sort?: 'count' | 'time' | 'recent' | 'cause';
    /** Rows wanted, 500 unless told otherwise. */
    readonly limit?: number;
}

export interface VmExitRecordQuery {
    readonly filter?: VmExitFilter;
    /** Skips so many of the records that pass the filter. */
    readonly start?: number;
    /** Records wanted, 200 unless told otherwise, at most 5,000. */
    readonly count?: number;
    /** Newest first (the default) or oldest first. */
    readonly order?: 'newest' | 'oldest';
}

export interface VmExitTimelineQuery {
    /** Guest time in ns; the whole run unless told otherwise. */
    readonly from?: number;
    readonly to?: number;
    /** Buckets wanted, 1 to 2,000; 200 unless told otherwise. There may be fewer. */
    readonly buckets?: number;
    readonly kinds?: readonly VmExitKind[];
}

export interface VmExitsResponse {
    /** Exits since the start, of all kinds. */
    readonly total: number;
    /** Guest time now, in ns. */
    readonly now: number;
    /** Instructions retired by all vCPUs. */
    readonly instructions: number;
    /** Single exits are being kept. */
    readonly watching: boolean;
    readonly recording?: VmExitsRecording;
    readonly breaks: readonly VmExitBreak[];
    readonly kinds?: readonly VmExitKindInfo[];
    readonly summary?: VmExitSummary;
    readonly records?: VmExitRecords;
    readonly timeline?: VmExitTimeline;
    /** Set instead of the parts when the target has nothing to tell; says why. */
    readonly unavailable?: string;
}

export interface VmExitSummary {
    readonly rows: readonly VmExitRow[];
    /** Rows that pass the filter, sent or not. */
    readonly totalRows: number;
}

export interface VmExitRow {
    readonly kind: VmExitKind;
    /** `I/O out` */
    readonly label: string;
    /** Key of the cause, stable: port, register's address, MSR, vector… Empty for rows of a whole kind. */
    readonly cause: string;
    /** The cause in words: `fee00380 LAPIC initial count`, `IA32_EFER`, `#PF page fault`. */
    readonly causeText: string;
    readonly device?: string;
    readonly count: number;
    /** Host nanoseconds spent on these exits; estimated from a sample unless `exactTime`. */
    readonly hostTime: number;
    readonly exactTime: boolean;
    /** The last one. */
    readonly last?: VmExitRecord;
    /** Stops at this row. */
    readonly breaks: boolean;
}

/** One exit. */
export interface VmExitRecord {
    /** Number of the exit since the start. */
    readonly sequence: number;
    readonly vcpu: number;
    readonly kind: VmExitKind;
    readonly cause: string;
    /** One line: `0x3f8 ← 0x4c 'L'`, `CR3 0x1a2b000 → 0x1a30000`, `#PF writing 0x18`. */
    readonly text: string;
    readonly device?: string;
    /** Linear address of the instruction that exited. */
    readonly rip: string;
    readonly symbol?: string;
    /** Guest time in ns. */
    readonly time: number;
    /** Instructions that all vCPUs had retired. */
    readonly instructions: number;
    /** Host nanoseconds spent on it, where measured. */
    readonly hostTime?: number;
    /** Bytes that were accessed. */
    readonly size?: number;
    /** What was read or written; the error code of an exception. */
    readonly value?: string;
    /** What a control register or MSR held before. */
    readonly old?: string;
    /** Where: the physical address of MMIO, the linear address of a page fault. */
    readonly address?: string;
}

export interface VmExitRecords {
    readonly records: readonly VmExitRecord[];
    /** Records that pass the filter. */
    readonly matching: number;
    /** Records that are kept. */
    readonly kept: number;
    /** Records that were dropped, since only the last ones are kept. */
    readonly dropped: number;
}

export interface VmExitTimeline {
    /** Guest time in ns where the first bucket begins and the last one ends. */
    readonly from: number;
    readonly to: number;
    /** Guest time of a bucket, in ns. */
    readonly bucket: number;
    /** Exits of each bucket, by kind; kinds without any are left out. */
    readonly counts: { readonly [kind in VmExitKind]?: readonly number[] };
}

// ---- hyperscope/vmExitsWatch ---------------------------------------------------------------------------------------

/** `hyperscope/vmExitsWatch`: keep records of single exits, as while the view is open; or stop that. */
export interface VmExitsWatchRequest {
    readonly watch: boolean;
    /** Records to keep, the last ones: 16 to 1,000,000; 65,536 unless told otherwise. */
    readonly capacity?: number;
    /** Forget counters, records and timeline first. */
    readonly clear?: boolean;
}

export interface VmExitsWatchResponse {
    readonly watching: boolean;
    readonly capacity: number;
}

// ---- hyperscope/vmExitsRecord --------------------------------------------------------------------------------------

/** `hyperscope/vmExitsRecord`: write every exit from now on to a file, or stop that. */
export type VmExitsRecordRequest =
    | {
          readonly action: 'start';
          /** Where to write; an existing file is replaced. */
          readonly path: string;
          /** Lines to be read by people (the default; `dap/exit-recorder.ts` tells them), or {@link VmExitRecord}s as JSON, one a line. */
          readonly format?: 'text' | 'json';
          /** The file grows no further than this many bytes; 256 MiB unless told otherwise. */
          readonly limit?: number;
          readonly kinds?: readonly VmExitKind[];
      }
    | { readonly action: 'stop' };

export interface VmExitsRecording {
    readonly path: string;
    readonly active: boolean;
    readonly records: number;
    readonly bytes: number;
    /** Exits that are missing, since the file reached its limit. */
    readonly dropped: number;
    /** Why it ended by itself. */
    readonly problem?: string;
}

export type VmExitsRecordResponse = VmExitsRecording;

// ---- hyperscope/breakOnExit ----------------------------------------------------------------------------------------

/** `hyperscope/breakOnExit`: stop at exits of a kind, or of a kind and cause; beside the exception filters. */
export interface BreakOnExitRequest {
    readonly kind: VmExitKind;
    /** Key of a row; without it, every exit of the kind. */
    readonly cause?: string;
    /** As for the exception filters: an expression over the exit's fields, or a list such as `0x3f8, 0x60-0x64`. */
    readonly condition?: string;
    /** False takes the break of this kind and cause away. */
    readonly enabled: boolean;
}

/** A break that {@link BreakOnExitRequest} has set. */
export interface VmExitBreak {
    readonly kind: VmExitKind;
    readonly cause?: string;
    readonly condition?: string;
}

export interface BreakOnExitResponse {
    /** All of them, this one included. */
    readonly breaks: readonly VmExitBreak[];
}

/** Linux seen from outside: `hyperscope/linux…`. */
import type { Hex } from './common';

/** A process or a thread. */
export interface LinuxTaskItem {
    /** Address of its `task_struct`: what other requests name it by. */
    readonly task: Hex;
    /** Number of the thread; 0 for idle tasks, -1 for one that cannot be read. */
    readonly pid: number;
    /** Number of its process. */
    readonly tgid: number;
    /** Number of the process above; 0 for none. */
    readonly ppid: number;
    /** As `ps` calls it; workers tell what they work on. */
    readonly name: string;
    /** As `ps` writes it: `S`. */
    readonly state: string;
    /** `sleeping`. */
    readonly stateName: string;
    readonly kernelThread: boolean;
    readonly cpu: number;
    /** Whether its CPU executes it. */
    readonly running: boolean;
    /** Its page tables, as CR3 would name them. */
    readonly cr3?: Hex;
    readonly uid?: number;
    /** What it was called with. */
    readonly command?: string;
    /** What is wrong with it. */
    readonly problem?: string;
}

export interface LinuxProcessItem extends LinuxTaskItem {
    /** Without the first thread, which is the process itself. */
    readonly threads: readonly LinuxTaskItem[];
}

export interface LinuxTasksBody {
    /** `Linux version 6.1.0-…`. */
    readonly banner: string;
    /** Where the kernel's names and types come from. */
    readonly origin: string;
    readonly processes: readonly LinuxProcessItem[];
    readonly idle: readonly LinuxTaskItem[];
    /** Where lists of the kernel end before they should. */
    readonly problems: readonly string[];
}

export interface LinuxTaskArguments {
    /** Address of the `task_struct`, or the decimal number of the thread. */
    readonly task: string;
}

export interface LinuxFrame {
    readonly pc: Hex;
    readonly stackPointer: Hex;
    readonly symbol?: string;
    /** What told of the frame: `cfi`, `orc`, `framePointer`, `return`, `saved` (registers), `guessed`. */
    readonly origin?: string;
    readonly inlined?: boolean;
    /** Its code is in the task's own memory, which may not be the one in use. */
    readonly user?: boolean;
    readonly source?: { readonly path: string; readonly line: number };
}

export interface LinuxRegister {
    readonly name: string;
    readonly value: Hex;
}

export interface LinuxMemoryArea {
    readonly first: Hex;
    /** Inclusive. */
    readonly last: Hex;
    readonly rights: string;
    /** Where in the file it begins. */
    readonly offset: Hex;
    readonly name: string;
}

export interface LinuxOpenFile {
    readonly number: number;
    /** Address of the `struct file`. */
    readonly file: Hex;
    readonly name: string;
    readonly access: string;
    readonly position?: Hex;
}

/** A part of a task; where it could not be read, or not to its end, `problem` says why. */
export interface LinuxPart<T> {
    readonly items: readonly T[];
    readonly problem?: string;
}

export interface LinuxLogArguments {
    /** How many of the last records; all that are left unless given. */
    readonly last?: number;
}

export interface LinuxLogRecord {
    /** Nanoseconds since the kernel has started to count time, decimal. */
    readonly time: string;
    /** 0 (emergency) to 7 (debug). */
    readonly level: number;
    /** `warn`. */
    readonly levelName: string;
    /** As dmesg prints it: `[    0.000000] Linux version …`, a line each. */
    readonly lines: readonly string[];
}

export type LinuxLogBody = LinuxPart<LinuxLogRecord>;

/** What there are tables of. */
export type LinuxTableName = 'modules' | 'mounts' | 'network' | 'interrupts' | 'timers' | 'slabs' | 'vmalloc';

export interface LinuxTableArguments {
    readonly table: LinuxTableName;
}

export interface LinuxTableRow {
    readonly cells: readonly string[];
    /** Linear address of what the row is about. */
    readonly address?: Hex;
}

export interface LinuxTableBody extends LinuxPart<LinuxTableRow> {
    readonly columns: readonly string[];
}

export interface LinuxPageArguments {
    /** An expression: a physical address (`phys:0x1000`), or a linear one that is mapped. */
    readonly address: string;
}

/** What the kernel keeps of a page frame. */
export interface LinuxPageBody {
    /** Number of the frame. */
    readonly frame: Hex;
    /** Address of its `struct page`. */
    readonly page: Hex;
    /** As the kernel calls them: `uptodate`, `lru`. */
    readonly flags: readonly string[];
    readonly references: number;
    /** How often processes map it; absent for pages that are the kernel's own. */
    readonly mappings?: number;
    /** The slab cache that it belongs to. */
    readonly cache?: string;
    readonly mapping?: Hex;
}

export interface LinuxTaskBody {
    readonly item: LinuxTaskItem;
    readonly stack: LinuxPart<LinuxFrame>;
    /** What it gave up its CPU with; of a task that runs, its vCPU has them. */
    readonly registers: LinuxPart<LinuxRegister>;
    /** What user code had when it entered the kernel. */
    readonly userRegisters: LinuxPart<LinuxRegister>;
    readonly memory: LinuxPart<LinuxMemoryArea>;
    readonly files: LinuxPart<LinuxOpenFile>;
}

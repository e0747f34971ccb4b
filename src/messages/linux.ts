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
    /** What told of the frame: `cfi`, `orc`, `framePointer`. */
    readonly origin?: string;
    readonly inlined?: boolean;
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

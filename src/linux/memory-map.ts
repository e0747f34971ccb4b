/** The memory of a process: its areas, as /proc/PID/maps tells them. */
import { hex } from '../inspect/hex';
import { LinuxError, optional } from './errors';
import { mapleEntries } from './maple-tree';
import { fileName } from './paths';
import type { KernelReader, Listed, Structure } from './structure';
import { text } from './structure';
import { pageTableRoot } from './tasks';

/** Bits of `vm_flags` that have not changed since Linux was 64 bits wide. */
const VM_READ = 1n;
const VM_WRITE = 2n;
const VM_EXEC = 4n;
const VM_MAYSHARE = 0x80n;

const LONGEST_ARGUMENTS = 4096;
const PAGE = 4096n;

export interface MemoryArea {
    readonly first: bigint;
    /** Exclusive. */
    readonly end: bigint;
    /** `rw-p`. */
    readonly rights: string;
    /** Bytes from the beginning of the file. */
    readonly offset: bigint;
    /** Of the file, or what else it is for: `[heap]`; empty for memory of no name. */
    readonly name: string;
}

/** @param task address of the `task_struct` */
export function memoryMap(reader: KernelReader, task: bigint): Listed<MemoryArea> {
    const mm = reader.at('task_struct', task).pointer('mm');
    if (mm === undefined) {
        return { items: [] };
    }
    const { items, problem } = areas(mm);
    const map: MemoryArea[] = [];
    for (const area of items) {
        try {
            map.push(readArea(mm, area));
        } catch (error) {
            if (!(error instanceof LinuxError)) throw error;
            return { items: map, problem: `the area at ${hex(area.address)} cannot be read: ${error.message}` };
        }
    }
    return { items: map, problem };
}

/** An area of a process, not named yet. */
export interface PlainArea {
    readonly first: bigint;
    /** Exclusive. */
    readonly end: bigint;
    /** Address of the `struct file`; 0 for memory without. */
    readonly file: bigint;
    /** Where in the file it begins, in pages. */
    readonly page: bigint;
    /** As {@link MemoryArea.name}. */
    name(): string | undefined;
}

/** The areas of a process alone, in their order, as far as they can be read: names take much longer than the rest. */
export function plainAreas(reader: KernelReader, task: bigint): PlainArea[] {
    return (
        optional(() => {
            const mm = reader.at('task_struct', task).pointer('mm');
            return mm && areas(mm).items.flatMap(area => optional(() => plainArea(mm, area)) ?? []);
        }) ?? []
    );
}

function plainArea(mm: Structure, area: Structure): PlainArea {
    return {
        ...{ first: area.big('vm_start'), end: area.big('vm_end') },
        ...{ file: area.big('vm_file'), page: area.big('vm_pgoff') },
        name: () => optional(() => readArea(mm, area).name),
    };
}

/** In a tree since 6.1, on a list before. */
function areas(mm: Structure): Listed<Structure> {
    if (!mm.has('mm_mt')) {
        return mm.reader.linked(mm.big('mmap'), 'vm_area_struct', 'vm_next');
    }
    const { items, problem } = mapleEntries(mm.inner('mm_mt'));
    return { items: items.map(address => mm.reader.at('vm_area_struct', address)), problem };
}

function readArea(mm: Structure, area: Structure): MemoryArea {
    const [first, end, flags] = [area.big('vm_start'), area.big('vm_end'), area.big('vm_flags')];
    const right = (bit: bigint, letter: string): string => ((flags & bit) === 0n ? '-' : letter);
    const rights =
        right(VM_READ, 'r') + right(VM_WRITE, 'w') + right(VM_EXEC, 'x') + ((flags & VM_MAYSHARE) === 0n ? 'p' : 's');
    const file = area.pointer('vm_file');
    return {
        ...{ first, end, rights },
        offset: file === undefined ? 0n : area.big('vm_pgoff') * PAGE,
        name: (file === undefined ? purpose(mm, area, first, end) : optional(() => fileName(file))) ?? '?',
    };
}

/** What memory without a file is for. */
function purpose(mm: Structure, area: Structure, first: bigint, end: bigint): string {
    const named = optional(() => specialMapping(area));
    if (named !== undefined) {
        return named;
    }
    const inside = (address: bigint): boolean => first <= address && end >= address;
    if (area.big('vm_mm') === 0n) {
        return '[vdso]';
    }
    if (first <= mm.big('brk') && end >= mm.big('start_brk')) {
        return '[heap]';
    }
    return inside(mm.big('start_stack')) ? '[stack]' : '';
}

/** `[vdso]` and `[vvar]` are mappings that know their own names. */
function specialMapping(area: Structure): string | undefined {
    const { kernel } = area.reader;
    const operations = area.big('vm_ops');
    const special = ['special_mapping_vmops', 'legacy_special_mapping_vmops'].map(name => kernel.address(name));
    if (operations === 0n || !special.includes(operations)) {
        return undefined;
    }
    return area.pointer('vm_private_data', 'vm_special_mapping')?.string('name', 64);
}

/** The command line of a process; undefined where it has none, or it is not in memory. */
export function commandLine(reader: KernelReader, task: bigint): string | undefined {
    return optional(() => {
        const mm = reader.at('task_struct', task).pointer('mm');
        const root = mm && pageTableRoot(mm);
        if (mm === undefined || root === undefined) return undefined;
        const [start, end] = [mm.big('arg_start'), mm.big('arg_end')];
        const length = Number(end - start);
        if (length <= 0) return undefined;
        const { bytes } = reader.memory.space(root).read(start, Math.min(length, LONGEST_ARGUMENTS));
        const words = text(bytes.map(byte => (byte === 0 ? 0x20 : byte))).trimEnd();
        return words === '' ? undefined : words;
    });
}

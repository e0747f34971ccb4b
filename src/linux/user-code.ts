/** Names for user code that nobody has symbols of: what its process has mapped there. */
import type { UserCodeNaming } from '../debug/guest-programs';
import { optional } from './errors';
import type { RunningKernel } from './kernel-source';
import { type PlainArea, plainAreas } from './memory-map';
import type { KernelReader } from './structure';
import { currentTask } from './tasks';

const PAGE = 4096n;

/** The names of one process, whose memory map is read when the first one is asked for. */
export class UserCode {
    private areas: readonly PlainArea[] | undefined;

    /** @param task address of the `task_struct` */
    constructor(
        private readonly reader: KernelReader,
        private readonly task: bigint,
    ) {}

    /**
     * `busybox+0x4f21c`: the file, and how far the address is from where its mapping begins. For position-independent
     * programs and libraries that is what objdump and addr2line call the place. `[vdso]+0xa10` and such for memory that
     * has a name of its own.
     */
    name(address: bigint): string | undefined {
        const { reader, task } = this;
        this.areas ??= plainAreas(reader, task);
        const area = this.areas.find(({ first, end }) => address >= first && address < end);
        const name = area?.name();
        if (area === undefined || name === undefined || name === '') {
            return undefined;
        }
        const file = name.replace(/^.*\/(?=.)/, '');
        return `${file}+0x${(address - this.startOf(area)).toString(16)}`;
    }

    /** Of the file's areas, the one that begins with its first byte tells where all of it begins. */
    private startOf({ first, file, page }: PlainArea): bigint {
        if (file === 0n) {
            return first;
        }
        const heads = this.areas!.filter(other => other.file === file && other.page === 0n && other.first <= first);
        return heads.at(-1)?.first ?? first - page * PAGE;
    }
}

/** Names what a vCPU's task executes in user mode. */
export function userCodeNaming(kernel: RunningKernel): UserCodeNaming {
    return source =>
        optional(() => {
            // In user code it is not worth to look for a kernel: somebody may debug a program without one.
            const reader = source.system.cpl === 3 ? kernel.known(source) : kernel.reader(source);
            if (reader === undefined) return undefined;
            const names = new UserCode(reader, currentTask(reader, source.vcpu));
            return address => names.name(address);
        });
}

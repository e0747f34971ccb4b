/** Reading Linux from requests: with whichever vCPU can see the kernel. */
import type { InspectionSource } from '../debug/inspection-source';
import { LinuxError } from '../linux/errors';
import type { RunningKernel } from '../linux/kernel-source';
import type { KernelReader } from '../linux/structure';
import type { InspectionContext } from './inspection-context';
import { RequestError } from './request-error';

const LONG_MODE_ACTIVE = 0x400;

/** What is known of Linux in a guest. */
export interface GuestLinux {
    readonly kernel: RunningKernel;
    /** Where a file of the symbol file's source code lies here. */
    readonly toLocal?: (path: string) => string | undefined;
}

export class LinuxContext {
    constructor(readonly inspection: InspectionContext) {}

    get linux(): GuestLinux {
        const { session } = this.inspection;
        // Without a guest this says so.
        void session.target;
        const linux = session.guest?.linux;
        if (linux === undefined) {
            throw new RequestError('nothing is known of an operating system in this guest');
        }
        return linux;
    }

    /**
     * Looks at the kernel's structures.
     * @throws LinuxError if no running kernel is known, or what is asked for cannot be read
     */
    async read<T>(look: (reader: KernelReader, source: InspectionSource) => T): Promise<T> {
        const { kernel } = this.linux;
        // A look is repeated where memory comes over a wire: until then errors may be memory that has not come yet.
        const result = await this.inspection.look(await this.vcpu(), (source): { value: T } | { error: LinuxError } => {
            try {
                return { value: look(kernel.reader(source), source) };
            } catch (error) {
                if (!(error instanceof LinuxError)) throw error;
                return { error };
            }
        });
        if ('error' in result) {
            throw result.error;
        }
        return result.value;
    }

    /** The vCPU in focus, or another one where that has not got to 64-bit mode. */
    private async vcpu(): Promise<number> {
        const { inspection } = this;
        const { focus } = inspection.session;
        const others = Array.from({ length: inspection.target.vcpus }, (_, vcpu) => vcpu).filter(
            vcpu => vcpu !== focus,
        );
        for (const vcpu of [focus, ...others]) {
            if (((await inspection.look(vcpu, ({ system }) => system.efer)) & LONG_MODE_ACTIVE) !== 0) return vcpu;
        }
        return focus;
    }
}

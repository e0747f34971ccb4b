import { LoadError } from '../errors';
import type { BootContext, BootRequest } from './boot-context';
import { detectKernel } from './detect';
import type { InitialCpuState } from './initial-state';
import { chooseEntry, loadLinux } from './linux';
import { type LinuxEntry, readLinuxKernel } from './linux-header';
import { entryOptionRom, type FirmwareAnswers } from './entry-option-rom';
import { linuxOptionRom } from './linux-option-rom';
import { loadMultiboot, MULTIBOOT_ANSWERS } from './multiboot';
import type { OptionRom } from './option-rom';
import { loadPvh, PVH_ANSWERS } from './pvh';

/** How a kernel gets started. */
export type LoadedKernel =
    /** It lies in memory and is entered in this state. */
    | { readonly via: 'entry'; readonly state: InitialCpuState }
    /** The firmware will boot it. */
    | { readonly via: 'firmware'; readonly optionRom: OptionRom };

export interface LoadOptions {
    /** For a Linux kernel: the entry point to use, instead of the best one. */
    readonly entry?: LinuxEntry;
    /** Whether the machine has a firmware. A Linux kernel is then started from its 16-bit entry, as on a real PC. */
    readonly firmware?: boolean;
}

/** RFC 1952, section 2.3.1, with deflate as its only method. */
const GZIP = [0x1f, 0x8b, 0x08];

/**
 * Multiboot and PVH kernels are often installed gzipped, for boot loaders to unpack.
 * @throws LoadError for one that is damaged, or where the host cannot unpack
 */
function unpacked(request: BootRequest): BootRequest {
    const { kernel, decompressors } = request;
    if (!GZIP.every((byte, index) => kernel.data[index] === byte)) {
        return request;
    }
    if (decompressors?.gzip === undefined) {
        throw new LoadError(kernel.name, 'compressed with gzip: unpack it first');
    }
    try {
        return { ...request, kernel: { name: kernel.name, data: decompressors.gzip(kernel.data) } };
    } catch (error) {
        const reason = error instanceof Error ? error.message : String(error);
        throw new LoadError(kernel.name, `truncated or corrupt: its gzip stream cannot be unpacked (${reason})`);
    }
}

/** Whether a kernel is one for {@link loadMultiboot}; false for what cannot be loaded. */
export function isMultiboot(request: BootRequest): boolean {
    try {
        return detectKernel(unpacked(request).kernel) === 'multiboot';
    } catch {
        return false;
    }
}

/**
 * Loads a kernel, gzipped or not, of any kind that {@link detectKernel} knows.
 * @throws LoadError
 */
export function loadKernel(given: BootRequest, context: BootContext, options: LoadOptions = {}): LoadedKernel {
    const request = unpacked(given);
    const kind = detectKernel(request.kernel);
    switch (kind) {
        case 'multiboot':
            return loadAtEntry(request, context, options, MULTIBOOT_ANSWERS, loadMultiboot);
        case 'pvh':
            return loadAtEntry(request, context, options, PVH_ANSWERS, loadPvh);
        case 'linux':
            return loadLinuxKernel(request, context, options);
    }
}

function loadAtEntry(
    request: BootRequest,
    context: BootContext,
    { firmware }: LoadOptions,
    answers: FirmwareAnswers,
    load: (request: BootRequest, context: BootContext) => InitialCpuState,
): LoadedKernel {
    if (firmware !== true) {
        return { via: 'entry', state: load(request, context) };
    }
    const { name } = request.kernel;
    return { via: 'firmware', optionRom: entryOptionRom(name, context, answers, inner => load(request, inner)) };
}

function loadLinuxKernel(request: BootRequest, context: BootContext, options: LoadOptions): LoadedKernel {
    const kernel = readLinuxKernel(request.kernel);
    const entry = chooseEntry(kernel, options.entry ?? (options.firmware === true ? '16-bit' : undefined));
    if (entry !== '16-bit') {
        return { via: 'entry', state: loadLinux(kernel, entry, request, context) };
    }
    if (options.firmware !== true) {
        throw new LoadError(kernel.name, 'starts in real mode and calls the BIOS: give the machine a firmware');
    }
    return { via: 'firmware', optionRom: linuxOptionRom(kernel, request, context) };
}

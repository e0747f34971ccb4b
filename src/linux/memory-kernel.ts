/** A kernel that is known by what it has in its own memory: a stock kernel without any symbol file. */
import type { DiscoveredKernel, DiscoveredName, KernelDiscovery } from '../debug/source/discovered-kernel';
import type { InspectionSource } from '../debug/inspection-source';
import type { CType } from '../symbols/types';
import type { UnwindSource } from '../symbols/unwind';
import { findKallsyms, type Kallsyms } from './kallsyms';
import { KallsymsSymbols } from './kallsyms-symbols';
import type { Kernel, KernelFinder } from './kernel';
import { findImage, type Image, readImage } from './kernel-image';
import { kernelSource } from './kernel-source';

const BANNER = /^Linux version (\S+)/;
const LONGEST_BANNER = 512;

export class MemoryKernel implements Kernel, DiscoveredKernel {
    readonly origin = "the names in the guest's memory";
    readonly description: string;
    readonly symbols: KallsymsSymbols;
    readonly unwinders: readonly UnwindSource[] = [];

    constructor(image: Image, kallsyms: Kallsyms) {
        this.symbols = new KallsymsSymbols(kallsyms);
        const version = BANNER.exec(this.banner(image))?.[1];
        const count = kallsyms.names.length.toLocaleString('en');
        this.description = `Linux${version === undefined ? '' : ` ${version}`}: ${count} names found in its memory`;
    }

    address(name: string): bigint | undefined {
        return this.symbols.named(name).at(0)?.address;
    }

    symbol(address: bigint): string | undefined {
        const found = this.symbols.at(address);
        return (
            found && (found.offset === 0n ? found.symbol.name : `${found.symbol.name}+0x${found.offset.toString(16)}`)
        );
    }

    type(): CType | undefined {
        return undefined;
    }

    findType(): CType | undefined {
        return undefined;
    }

    findGlobal(): DiscoveredName | undefined {
        return undefined;
    }

    private banner(image: Image): string {
        const address = this.address('linux_banner');
        const bytes = address === undefined ? [] : readImage(image, Number(address - image.start), LONGEST_BANNER);
        return String.fromCharCode(...bytes).split('\n', 1)[0];
    }
}

/** Looks for the kernel in the guest's memory; found once, it stays until the guest begins anew. */
export class MemoryKernels implements KernelFinder, KernelDiscovery {
    private known: MemoryKernel | undefined;

    find(source: InspectionSource): Kernel | string {
        return this.discover(source) ?? "the guest's memory holds no names of a kernel";
    }

    discover(source: InspectionSource): MemoryKernel | undefined {
        if (this.known === undefined) {
            const image = findImage(kernelSource(source));
            const kallsyms = image && findKallsyms(image);
            this.known = image && kallsyms && new MemoryKernel(image, kallsyms);
        }
        return this.known;
    }

    restart(): void {
        this.known = undefined;
    }
}

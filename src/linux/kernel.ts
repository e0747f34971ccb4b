/**
 * What is known of the Linux kernel that a guest runs: names and types, wherever they come from. Everything that looks
 * at Linux goes by these alone, so it works with a symbol file and with what a stock kernel carries in its own memory.
 */
import type { InspectionSource } from '../debug/inspection-source';
import type { SourceStack } from '../debug/source/source-stack';
import type { CType } from '../symbols/types';
import type { Btf } from './btf';

export type TypeKeyword = 'struct' | 'union' | 'enum';

export interface Kernel {
    /** Where the names and types come from, for the user: `vmlinux`, `kallsyms and BTF in the guest's memory`. */
    readonly origin: string;

    /**
     * Linear address of a function or variable; undefined if there is none of that name. For a per-CPU variable what
     * the symbol table says: the offset that `__per_cpu_offset[cpu]` is added to.
     */
    address(name: string): bigint | undefined;

    /** The place that a linear address lies in, `name+0x10`; undefined where no symbol reaches. */
    symbol(address: bigint): string | undefined;

    /**
     * A type by its tag, or a typedef without a keyword. Undefined if the kernel has none of that name: kernels of
     * other versions and configurations lack some, and callers try alternatives.
     */
    type(keyword: TypeKeyword | undefined, name: string): CType | undefined;

    /** Its types as BTF, which the types of its modules continue; absent where they come from elsewhere. */
    readonly btf?: Btf;

    /** How to find callers in its code; absent where nobody knows: then stacks are what frame pointers tell. */
    readonly stacks?: SourceStack;
}

/** One way to learn a kernel's names and types. */
export interface KernelFinder {
    /**
     * @param source with the page tables of the kernel in use: see `kernelSource`
     * @returns the kernel, or why there is none (yet), in words for the user
     */
    find(source: InspectionSource): Kernel | string;
    /** The guest begins anew: a kernel that was found may be gone, or elsewhere. */
    restart?(): void;
}

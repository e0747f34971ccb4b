/** A kernel that is known by its symbol file: vmlinux with debug information. */
import { SourceStack } from '../debug/source/source-stack';
import { SymbolFileError } from '../symbols/errors';
import type { Program, ProgramSet } from '../symbols/program';
import { formatSymbolic } from '../symbols/symbol-table';
import type { CType } from '../symbols/types';
import type { Kernel, KernelFinder, TypeKeyword } from './kernel';

/** Finds the kernel among the symbol files that the user has given. */
export class ProgramKernels implements KernelFinder {
    private readonly kernels = new Map<Program, ProgramKernel>();

    constructor(private readonly programs: ProgramSet) {}

    find(): Kernel | string {
        const program = this.programs.programs.find(one => one.isLinux());
        if (program === undefined) {
            return 'no vmlinux was given';
        }
        if (!program.info.isPresent) {
            return `${program.name}: has no debug information`;
        }
        if (program.isIndexing) {
            return `${program.name}: its names are still being read`;
        }
        let kernel = this.kernels.get(program);
        if (kernel === undefined) {
            kernel = new ProgramKernel(program, new SourceStack(this.programs));
            this.kernels.set(program, kernel);
        }
        return kernel;
    }
}

class ProgramKernel implements Kernel {
    readonly origin: string;

    constructor(
        private readonly program: Program,
        readonly stacks: SourceStack,
    ) {
        this.origin = program.name;
    }

    address(name: string): bigint | undefined {
        return this.program.symbols.named(name).at(0)?.address;
    }

    symbol(address: bigint): string | undefined {
        return formatSymbolic(this.program.symbols.at(address));
    }

    type(keyword: TypeKeyword | undefined, name: string): CType | undefined {
        try {
            return this.program.findType(name, keyword, undefined);
        } catch (error) {
            if (!(error instanceof SymbolFileError)) throw error;
            return undefined;
        }
    }
}

import { SEGMENT_NAMES } from '../isa/x86';
import type { Cpu } from '../machine/cpu/cpu';
import type { SymbolTable } from '../symbols/symbol-table';
import { segmentLinear } from './address';
import { EvaluationProblem } from './expression/error';
import type { EvaluationContext } from './expression/context';
import type { AddressSpace } from './expression/value';
import type { MemoryView } from './memory-access';
import { expressionWidth, findRegister, writeRegister } from './registers/register-file';

/** What expressions see of a vCPU. */
export class CpuContext implements EvaluationContext {
    constructor(
        private readonly cpu: Cpu,
        private readonly memory: MemoryView,
        private readonly symbols: SymbolTable,
        /** Registers have changed: the engine has to be told. */
        private readonly changed: () => void,
        /** Why the value of a register is not known, if so. */
        private readonly unknown: (register: string) => string | undefined = () => undefined,
    ) {}

    readRegister(name: string): { value: bigint; width: number } | undefined {
        const register = findRegister(name);
        if (register === undefined) {
            return undefined;
        }
        const problem = this.unknown(name);
        if (problem !== undefined) {
            throw new EvaluationProblem(`${name}: ${problem}`);
        }
        // Expressions have 64 bits: of longer registers they see the low ones.
        return { value: BigInt.asUintN(64, register.read(this.cpu)), width: expressionWidth(register.width) };
    }

    writeRegister(name: string, value: bigint): void {
        writeRegister(this.cpu, name, value);
        this.changed();
    }

    readMemory(space: AddressSpace, offset: bigint, size: number): Uint8Array | undefined {
        const bytes = this.memory.read({ space, offset }, size);
        return bytes.length === size ? bytes : undefined;
    }

    writeMemory(space: AddressSpace, offset: bigint, bytes: Uint8Array): boolean {
        return this.memory.write({ space, offset }, bytes) === bytes.length;
    }

    symbol(name: string): bigint | undefined {
        return this.symbols.named(name)[0]?.address;
    }

    segmentLinear(segment: string, offset: bigint): bigint {
        return segmentLinear(this.cpu, SEGMENT_NAMES.indexOf(segment), offset);
    }
}

import type { CType } from '../../symbols/types';
import type { EvaluationContext } from './context';
import type { AddressSpace, Value } from './value';

/** A number with its width in bits. */
export interface NamedValue {
    readonly value: bigint;
    readonly width: number;
}

/** What a vCPU and its program have, and some names before all of theirs. */
export class NamedValuesContext implements EvaluationContext {
    /** @param named the value of a name, if it is one of those that go first */
    constructor(
        private readonly named: (name: string) => NamedValue | undefined,
        private readonly below: EvaluationContext,
    ) {}

    readRegister(name: string): NamedValue | undefined {
        return this.named(name) ?? this.below.readRegister(name);
    }

    local(name: string, isRead?: boolean): Value | undefined {
        return this.named(name) === undefined ? this.below.local?.(name, isRead) : undefined;
    }

    writeRegister(name: string, value: bigint): void {
        this.below.writeRegister(name, value);
    }

    readMemory(space: AddressSpace, address: bigint, size: number): Uint8Array | undefined {
        return this.below.readMemory(space, address, size);
    }

    writeMemory(space: AddressSpace, address: bigint, bytes: Uint8Array): boolean {
        return this.below.writeMemory(space, address, bytes);
    }

    symbol(name: string): bigint | undefined {
        return this.below.symbol(name);
    }

    segmentLinear(segment: string, offset: bigint): bigint {
        return this.below.segmentLinear(segment, offset);
    }

    global(name: string, isRead?: boolean): Value | undefined {
        return this.below.global?.(name, isRead);
    }

    perCpu(name: string, cpu: number, isRead?: boolean): Value | undefined {
        return this.below.perCpu?.(name, cpu, isRead);
    }

    type(name: string, keyword?: 'struct' | 'union' | 'enum' | 'class'): CType | undefined {
        return this.below.type?.(name, keyword);
    }

    describe(value: Value): string | undefined {
        return this.below.describe?.(value);
    }
}

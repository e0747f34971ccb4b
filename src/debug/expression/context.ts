import type { CType } from '../../symbols/types';
import type { AddressSpace, Value } from './value';

/** What expressions are about. Synchronous, so that a breakpoint's condition can be asked in the middle of a run. */
export interface EvaluationContext {
    /** Value and width in bits, or undefined if there is no such register. */
    readRegister(name: string): { readonly value: bigint; readonly width: number } | undefined;
    /** @throws EvaluationProblem if it cannot take this value */
    writeRegister(name: string, value: bigint): void;
    /** `size` bytes, or undefined if not all of them can be read. */
    readMemory(space: AddressSpace, address: bigint, size: number): Uint8Array | undefined;
    /** False if the memory is not there. */
    writeMemory(space: AddressSpace, address: bigint, bytes: Uint8Array): boolean;
    /** Address of a symbol. */
    symbol(name: string): bigint | undefined;
    /** Linear address of an offset in a segment. */
    segmentLinear(segment: string, offset: bigint): bigint;
    /**
     * A parameter or local variable of the frame: it goes before registers of the same name.
     * @param isRead false where only its type and its place count, as in `sizeof`: then whatever lies there is not read
     */
    local?(name: string, isRead?: boolean): Value | undefined;
    /** A variable, a function or an enumerator of the program, with its type. */
    global?(name: string, isRead?: boolean): Value | undefined;
    /** A per-CPU variable of the guest's kernel, as a CPU has it; undefined if there is none of that name, or no such CPU. */
    perCpu?(name: string, cpu: number, isRead?: boolean): Value | undefined;
    /** How a value reads, for messages. */
    describe?(value: Value): string | undefined;
    /** A type by its name, or by its tag with the keyword before it. */
    type?(name: string, keyword?: 'struct' | 'union' | 'enum' | 'class'): CType | undefined;
}

export interface EvaluationOptions {
    /** Whether `=` may change registers and memory. */
    readonly assignments?: boolean;
}

/** The handler of one interrupt vector, as the IDT (in real mode the vector table) names it. */
import type { InspectionSource } from '../../debug/inspection-source';
import { Efer } from '../../machine/cpu/cpu-state';
import { LinearMemory, littleEndian } from '../linear-memory';
import { decodeDescriptor } from './descriptor';

/** Linear address of the first instruction; undefined where the entry is missing or unusable. */
export function handlerOf(source: InspectionSource, vector: number): bigint | undefined {
    const { idtr, gdtr, cr0, efer } = source.system;
    const memory = new LinearMemory(source);
    if ((cr0 & 1) === 0) {
        const { bytes } = memory.read(idtr.base + BigInt(vector * 4), 4);
        return bytes.length < 4 ? undefined : littleEndian(bytes, 2, 2) * 16n + littleEndian(bytes, 0, 2);
    }
    const longMode = (efer & Efer.LMA) !== 0;
    const size = longMode ? 16 : 8;
    const { bytes } = memory.read(idtr.base + BigInt(vector * size), size);
    if (bytes.length < size || (vector + 1) * size - 1 > idtr.limit) {
        return undefined;
    }
    const word = (offset: number): number => Number(littleEndian(bytes, offset, 4));
    const { gate, present } = decodeDescriptor(word(0), word(4), longMode ? word(8) : 0, longMode, true);
    if (gate === undefined || !present) {
        return undefined;
    }
    if (longMode) {
        return BigInt(gate.offset);
    }
    const { bytes: segment } = memory.read(gdtr.base + (BigInt(gate.selector) & 0xfff8n), 8);
    if (segment.length < 8) {
        return undefined;
    }
    const code = decodeDescriptor(
        Number(littleEndian(segment, 0, 4)),
        Number(littleEndian(segment, 4, 4)),
        0,
        false,
        false,
    );
    return code.segment && BigInt.asUintN(32, BigInt(code.segment.base) + BigInt(gate.offset));
}

export function handlerSymbol(source: InspectionSource, vector: number): string | undefined {
    const handler = handlerOf(source, vector);
    return handler === undefined ? undefined : source.symbol(handler);
}

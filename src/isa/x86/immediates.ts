/**
 * What may follow ModRM: immediates, branch displacements, far pointers and the offset of MOV without ModRM.
 */

import { readSigned16, readSigned32, readSigned8, readUnsigned16 } from './memory-operand';
import { OperandSource } from './table/operand';

/** Operand or address size of 16 and 64 bits, as {@link decodeImmediate} takes them (32 bits is 1). */
const SIZE_16 = 0;
const SIZE_64 = 2;

/** The decoded values; one object serves all calls, and is valid until the next instruction. */
export class DecodedImmediates {
    /** Immediate, branch displacement or a far pointer's offset, as in `Instruction.immediate`. */
    public low = 0;
    public high = 0;
    /** ENTER's second immediate, or a far pointer's selector. */
    public second = 0;
    /** The offset of MOV without ModRM. */
    public offsetLow = 0;
    public offsetHigh = 0;
    /** Position after what was read last. */
    public position = 0;
}

export function clearImmediates(values: DecodedImmediates, position: number): void {
    values.low = 0;
    values.high = 0;
    values.second = 0;
    values.position = position;
}

/** Reads one operand's bytes. Sizes are 0 for 16 bits, 1 for 32, 2 for 64. */
export function decodeImmediate(
    values: DecodedImmediates,
    source: OperandSource,
    bytes: Uint8Array,
    operandSize: number,
    addressSize: number,
): void {
    const { position } = values;
    switch (source) {
        case OperandSource.ImmediateByte:
            values.low = bytes[position];
            values.position += 1;
            return;
        case OperandSource.ImmediateSignedByte:
        case OperandSource.RelativeByte:
            values.low = readSigned8(bytes, position);
            values.high = values.low >> 31;
            values.position += 1;
            return;
        case OperandSource.ImmediateZ:
        case OperandSource.ImmediateV:
        case OperandSource.RelativeZ:
            values.low = operandSize === SIZE_16 ? readSigned16(bytes, position) : readSigned32(bytes, position);
            values.high = values.low >> 31;
            values.position += operandSize === SIZE_16 ? 2 : 4;
            if (source === OperandSource.ImmediateV && operandSize === SIZE_64) {
                values.high = readSigned32(bytes, position + 4);
                values.position += 4;
            }
            return;
        case OperandSource.ImmediateWord:
            values.low = readUnsigned16(bytes, position);
            values.position += 2;
            return;
        case OperandSource.SecondImmediate:
            values.second = bytes[position];
            values.position += 1;
            return;
        case OperandSource.FarPointer: {
            const offsetSize = operandSize === SIZE_16 ? 2 : 4;
            values.low = offsetSize === 2 ? readUnsigned16(bytes, position) : readSigned32(bytes, position);
            values.second = readUnsigned16(bytes, position + offsetSize);
            values.position += offsetSize + 2;
            return;
        }
        case OperandSource.Offset:
            values.offsetLow =
                addressSize === SIZE_16 ? readUnsigned16(bytes, position) : readSigned32(bytes, position);
            values.offsetHigh = addressSize === SIZE_64 ? readSigned32(bytes, position + 4) : 0;
            values.position += 2 << addressSize;
    }
}

import { type IoRegion } from './device';

/**
 * Registers of an 8-bit chip. The ISA bus splits wider accesses into byte accesses at ascending ports; so does this.
 */
export class ByteRegion implements IoRegion {
    constructor(
        private readonly readByte: (offset: number) => number,
        private readonly writeByte: (offset: number, value: number) => void,
    ) {}

    read(offset: number, size: number): number {
        let value = this.readByte(offset);
        for (let i = 1; i < size; i++) {
            value += this.readByte(offset + i) * 2 ** (8 * i);
        }
        return value;
    }

    write(offset: number, size: number, value: number): void {
        for (let i = 0; i < size; i++) {
            this.writeByte(offset + i, (value >>> (8 * i)) & 0xff);
        }
    }
}

import type { Dma } from '../device';

interface Segment {
    readonly address: number;
    readonly length: number;
}

/** Total length that a chain may have (VIRTIO 1.2, section 2.7.5.2). */
const longestTotal = 2 ** 32;

/**
 * The buffers of one request: what the driver wrote for the device, then what the device writes for the driver (VIRTIO
 * 1.2, section 2.7.4.2). Devices see two byte streams and never addresses, so that no length or split of the driver's
 * making concerns them.
 */
export class DescriptorChain {
    /** The descriptor that names the chain. */
    readonly head: number;
    /** Bytes that the device can read and write in all. */
    readableLength = 0;
    writableLength = 0;
    private readonly dma: Dma;
    private readonly readable: Segment[] = [];
    private readonly writable: Segment[] = [];
    private readPosition = 0;
    private writePosition = 0;

    constructor(head: number, dma: Dma) {
        this.head = head;
        this.dma = dma;
    }

    get segmentCount(): number {
        return this.readable.length + this.writable.length;
    }

    /** Bytes written so far: what the used ring reports. */
    get written(): number {
        return this.writePosition;
    }

    /** Appends a buffer; says what is wrong where it breaks the rules. */
    add(address: number, length: number, deviceWrites: boolean): string | undefined {
        if (this.readableLength + this.writableLength + length > longestTotal) {
            return 'chain holds more than 4 GiB';
        }
        if (deviceWrites) {
            this.writable.push({ address, length });
            this.writableLength += length;
        } else if (this.writable.length > 0) {
            return 'chain has a readable buffer after a writable one';
        } else {
            this.readable.push({ address, length });
            this.readableLength += length;
        }
        return undefined;
    }

    /** Reads on from where the last read ended; returns how many bytes there were, at most the target's length. */
    read(target: Uint8Array): number {
        const count = this.transfer(this.readable, this.readPosition, target, (address, part) =>
            this.dma.read(address, part),
        );
        this.readPosition += count;
        return count;
    }

    /** Writes on from where the last write ended; returns how many bytes had room. */
    write(source: Uint8Array): number {
        const count = this.transfer(this.writable, this.writePosition, source, (address, part) =>
            this.dma.write(address, part),
        );
        this.writePosition += count;
        return count;
    }

    private transfer(
        segments: readonly Segment[],
        position: number,
        bytes: Uint8Array,
        move: (address: number, part: Uint8Array) => void,
    ): number {
        let skip = position;
        let done = 0;
        for (const { address, length } of segments) {
            if (done === bytes.length) {
                break;
            }
            if (skip >= length) {
                skip -= length;
                continue;
            }
            const count = Math.min(length - skip, bytes.length - done);
            move(address + skip, bytes.subarray(done, done + count));
            skip = 0;
            done += count;
        }
        return done;
    }
}

/** The kernel's own counters of a VM or vCPU (KVM_GET_STATS_FD; Linux, Documentation/virt/kvm/api.rst, 4.133). */
import { readSync } from 'node:fs';
import { Ioctl } from './abi';
import { closeDescriptor, ioctl } from './libc';

/** `kvm_stats_header`. */
const enum Header {
    nameSize = 4,
    descriptors = 8,
    descriptorsOffset = 16,
    dataOffset = 20,
    size = 24,
}

/** `kvm_stats_desc`; the name follows. */
const enum Descriptor {
    exponent = 4,
    count = 6,
    offset = 8,
    size = 16,
}

/** More than any kernel has: what is read is not trusted. */
const MOST_DESCRIPTORS = 4096;
const LONGEST_NAME = 256;

/**
 * Counters by name; of histograms only the number of entries. Empty where this kernel gives none.
 * @param fd of a VM or a vCPU
 */
export function readKernelStatistics(fd: number): Readonly<Record<string, number>> {
    let file: number;
    try {
        file = ioctl(fd, Ioctl.GetStatsFd);
    } catch {
        return {};
    }
    try {
        return readFile(file);
    } finally {
        closeDescriptor(file);
    }
}

function readFile(file: number): Record<string, number> {
    const header = read(file, 0, Header.size);
    const nameSize = Math.min(LONGEST_NAME, header.getUint32(Header.nameSize, true));
    const count = Math.min(MOST_DESCRIPTORS, header.getUint32(Header.descriptors, true));
    const size = Descriptor.size + nameSize;
    const descriptors = read(file, header.getUint32(Header.descriptorsOffset, true), count * size);
    const dataOffset = header.getUint32(Header.dataOffset, true);
    const statistics: Record<string, number> = {};
    for (let index = 0; index < count; index++) {
        const at = index * size;
        const values = descriptors.getUint16(at + Descriptor.count, true);
        const data = read(file, dataOffset + descriptors.getUint32(at + Descriptor.offset, true), values * 8);
        let sum = 0;
        for (let value = 0; value < values; value++) sum += Number(data.getBigUint64(value * 8, true));
        const name = Buffer.from(descriptors.buffer, at + Descriptor.size, nameSize)
            .toString('latin1')
            .split('\0')[0];
        statistics[name] = sum * (values === 1 ? 10 ** descriptors.getInt16(at + Descriptor.exponent, true) : 1);
    }
    return statistics;
}

function read(file: number, position: number, length: number): DataView {
    const bytes = new Uint8Array(length);
    for (let done = 0; done < length;) {
        const more = readSync(file, bytes, done, length - done, position + done);
        if (more === 0) break;
        done += more;
    }
    return new DataView(bytes.buffer);
}

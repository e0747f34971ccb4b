/** The kernel's log (dmesg), out of its ring buffer: descriptors and text since 5.10, one buffer of records before. */
import { hex } from '../inspect/hex';
import { littleEndian } from '../inspect/linear-memory';
import { LinuxError } from './errors';
import { type KernelReader, type Listed, type Structure, text } from './structure';

export interface LogRecord {
    readonly sequence: bigint;
    /** Nanoseconds since the kernel has started to count time. */
    readonly time: bigint;
    /** 0 (emergency) to 7 (debug). */
    readonly level: number;
    readonly text: string;
}

export const LOG_LEVELS = ['emerg', 'alert', 'crit', 'err', 'warn', 'notice', 'info', 'debug'];

/** Bits of a descriptor's state: the two highest tell the state, the others which record it is for. */
const STATE_SHIFT = 62n;
const ID_MASK = (1n << STATE_SHIFT) - 1n;
const COMMITTED = 1n;
const FINALIZED = 2n;
/** Each block of text begins with the number of its record. */
const BLOCK_HEAD = 8n;
/** Rings have up to 2^25 bytes (CONFIG_LOG_BUF_SHIFT), or what the command line asks for. */
const MOST_BITS = 30;
/** More are not read: of a ring the last ones are. */
export const MOST_RECORDS = 0x20000;

/** All records that are left, the oldest first. @throws LinuxError if this kernel keeps them in another way */
export function readLog(reader: KernelReader): Listed<LogRecord> {
    const ring = reader.kernel.address('prb');
    if (ring !== undefined && reader.layout.record('printk_ringbuffer') !== undefined) {
        return readRing(reader.at('printk_ringbuffer', reader.number(ring, 8)));
    }
    return readRecords(reader);
}

/** `[    1.234567] text`, a line each. */
export function logLines({ time, text: message }: LogRecord): string[] {
    const micros = (time / 1000n).toString().padStart(7, '0');
    const stamp = `[${micros.slice(0, -6).padStart(5)}.${micros.slice(-6)}] `;
    return message.split('\n').map(line => stamp + line);
}

function readRing(ring: Structure): Listed<LogRecord> {
    const descriptors = ring.inner('desc_ring');
    const data = ring.inner('text_data_ring');
    const countBits = descriptors.number('count_bits');
    const sizeBits = data.number('size_bits');
    if (countBits > MOST_BITS || sizeBits > MOST_BITS) {
        throw new LinuxError(`the log's ring buffer at ${hex(ring.address)} has 2^${countBits} records: it is corrupt`);
    }
    const reader = ring.reader;
    const count = 1n << BigInt(countBits);
    const head = descriptors.big('head_id.counter') & ID_MASK;
    const tail = descriptors.big('tail_id.counter') & ID_MASK;
    const records = ((head - tail) & ID_MASK) + 1n;
    if (records > count) {
        throw new LinuxError(`the log has records ${hex(tail)} to ${hex(head)}, more than there is room for`);
    }
    const skipped = records > MOST_RECORDS ? records - BigInt(MOST_RECORDS) : 0n;
    const [descriptor, information] = [reader.layout.required('prb_desc'), reader.layout.required('printk_info')];
    const [descriptorAt, informationAt] = [descriptors.big('descs'), descriptors.big('infos')];
    const block = new TextBlocks(reader, data.big('data'), BigInt(sizeBits));
    const items: LogRecord[] = [];
    for (let number = skipped; number < records; number++) {
        const id = (tail + number) & ID_MASK;
        const index = id & (count - 1n);
        const entry = reader.at(descriptor, descriptorAt + index * BigInt(descriptor.size));
        const state = entry.big('state_var.counter');
        const kind = BigInt.asUintN(64, state) >> STATE_SHIFT;
        // Others are being written, or over already.
        if ((state & ID_MASK) !== id || (kind !== COMMITTED && kind !== FINALIZED)) continue;
        const info = reader.at(information, informationAt + index * BigInt(information.size));
        const [begin, next] = [entry.big('text_blk_lpos.begin'), entry.big('text_blk_lpos.next')];
        const length = info.number('text_len');
        items.push({
            sequence: info.big('seq'),
            time: info.big('ts_nsec'),
            level: info.number('level'),
            text: block.text(begin, next, id, length) ?? '<lost>',
        });
    }
    return { items, problem: skipped === 0n ? undefined : `${skipped} older records are left out` };
}

/** The text of records, in a ring of its own; a block that does not fit before the end stands at the beginning. */
class TextBlocks {
    constructor(
        private readonly reader: KernelReader,
        private readonly data: bigint,
        private readonly bits: bigint,
    ) {}

    text(begin: bigint, next: bigint, id: bigint, length: number): string | undefined {
        if ((begin & 1n) === 1n) {
            // Lines without text, and those whose text found no room.
            return length === 0 ? '' : undefined;
        }
        const mask = (1n << this.bits) - 1n;
        const wraps = begin >> this.bits !== BigInt.asUintN(64, next - 1n) >> this.bits;
        const start = wraps ? 0n : begin & mask;
        const end = wraps ? next & mask : start + (next - begin);
        const room = end - start - BLOCK_HEAD;
        if (room < 0n || end > mask + 1n) {
            return undefined;
        }
        const bytes = this.reader.bytes(this.data + start, Number(BLOCK_HEAD) + Math.min(length, Number(room)));
        return littleEndian(bytes, 0, 8) === id ? text(bytes.subarray(Number(BLOCK_HEAD))) : undefined;
    }
}

/** Records one after the other, each with its length; a length of 0 leads back to the beginning. */
function readRecords(reader: KernelReader): Listed<LogRecord> {
    const type = reader.layout.record('printk_log') ?? reader.layout.required('log');
    const buffer = reader.number(reader.address('log_buf'), 8);
    const size = Number(reader.number(reader.address('log_buf_len'), 4));
    let index = Number(reader.number(reader.address('log_first_idx'), 4));
    const end = Number(reader.number(reader.address('log_next_idx'), 4));
    let sequence = reader.number(reader.address('log_first_seq'), 8);
    const last = reader.number(reader.address('log_next_seq'), 8);
    const items: LogRecord[] = [];
    while (sequence < last && items.length < MOST_RECORDS && (index !== end || items.length === 0)) {
        if (index < 0 || index + type.size > size) {
            return { items, problem: `the log leads to byte ${index} of a buffer of ${size}` };
        }
        const record = reader.at(type, buffer + BigInt(index));
        const length = record.number('len');
        if (length === 0) {
            if (index === 0) return { items, problem: 'the log has an empty record at its beginning' };
            index = 0;
            continue;
        }
        items.push({
            sequence: sequence++,
            time: record.big('ts_nsec'),
            level: record.number('level'),
            text: text(reader.bytes(record.address + BigInt(type.size), Math.min(record.number('text_len'), size))),
        });
        index += length;
    }
    return { items };
}

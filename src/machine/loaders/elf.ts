import type { ImageReader } from './image';

/** ELF header and program header constants (System V ABI, gABI chapters 4 and 5). */
const EI_CLASS = 4;
const EI_DATA = 5;
const ELFCLASS64 = 2;
const ELFDATA2LSB = 1;
const ELF_MAGIC = 0x464c457f;

export const enum ElfMachine {
    I386 = 3,
    X86_64 = 62,
}

export const enum SegmentType {
    Load = 1,
    Note = 4,
}

/** A program header. */
export interface ElfSegment {
    readonly type: number;
    /** Position and size in the file; checked to lie in it for loadable segments and notes. */
    readonly offset: number;
    readonly fileSize: number;
    /** Where a loadable one goes, and how much it covers there: the rest is zeros. */
    readonly physical: number;
    /** Linear, in kernels often in the upper half of the address space. */
    readonly virtual: bigint;
    readonly memorySize: number;
    readonly alignment: number;
}

export interface ElfNote {
    readonly name: string;
    readonly type: number;
    readonly descriptor: Uint8Array;
}

export interface ElfImage {
    readonly is64: boolean;
    readonly machine: number;
    /** As linked: physical or linear. */
    readonly entry: bigint;
    readonly segments: readonly ElfSegment[];
}

/** Whether the file starts like an ELF file at all. */
export function isElf(reader: ImageReader): boolean {
    return reader.size >= 4 && reader.u32(0) === ELF_MAGIC;
}

/**
 * Reads the headers that a boot loader needs: no sections, no symbols.
 * @throws LoadError for a truncated or corrupt file, or one for another machine
 */
export function readElf(reader: ImageReader): ElfImage {
    if (!isElf(reader)) {
        throw reader.error('not an ELF file');
    }
    if (reader.u8(EI_DATA) !== ELFDATA2LSB) {
        throw reader.error('an ELF file for a big-endian machine');
    }
    const is64 = reader.u8(EI_CLASS) === ELFCLASS64;
    const machine = reader.u16(0x12);
    if (machine !== ElfMachine.I386 && machine !== ElfMachine.X86_64) {
        throw reader.error(`an ELF file for machine ${machine}, not for x86`);
    }
    const entry = is64 ? reader.u64(0x18) : BigInt(reader.u32(0x18));
    const table = is64 ? reader.size64(0x20, 'the program header offset') : reader.u32(0x1c);
    const entrySize = reader.u16(is64 ? 0x36 : 0x2a);
    const count = reader.u16(is64 ? 0x38 : 0x2c);
    if (count > 0 && entrySize < (is64 ? 56 : 32)) {
        throw reader.error(`corrupt: program headers of ${entrySize} bytes`);
    }
    const segments: ElfSegment[] = [];
    for (let index = 0; index < count; index++) {
        const at = table + index * entrySize;
        reader.bytes(at, entrySize, 'the program header table');
        segments.push(is64 ? readSegment64(reader, at) : readSegment32(reader, at));
    }
    return { is64, machine, entry, segments };
}

/** All notes of the image's note segments (gABI, "Note Section"). */
export function readNotes(reader: ImageReader, image: ElfImage): ElfNote[] {
    const notes: ElfNote[] = [];
    for (const segment of image.segments) {
        if (segment.type !== SegmentType.Note) {
            continue;
        }
        const alignment = segment.alignment === 8 ? 8 : 4;
        const end = segment.offset + segment.fileSize;
        for (let at = segment.offset; at + 12 <= end;) {
            const nameSize = reader.u32(at);
            const descriptorSize = reader.u32(at + 4);
            const type = reader.u32(at + 8);
            const nameAt = at + 12;
            const descriptorAt = segment.offset + alignUp(nameAt + nameSize - segment.offset, alignment);
            if (descriptorAt + descriptorSize > end) {
                throw reader.error('corrupt: a note is larger than its segment');
            }
            const name = reader.text(nameAt, Math.min(nameSize, 64)).replace(/\0[^]*$/, '');
            notes.push({ name, type, descriptor: reader.bytes(descriptorAt, descriptorSize, 'a note') });
            at = segment.offset + alignUp(descriptorAt + descriptorSize - segment.offset, alignment);
        }
    }
    return notes;
}

function readSegment64(reader: ImageReader, at: number): ElfSegment {
    const type = reader.u32(at);
    // Segments that are not loaded have linear addresses of the upper half where others have physical ones.
    const physical = type === SegmentType.Load ? reader.size64(at + 24, 'a physical address') : 0;
    return checked(reader, {
        type,
        offset: reader.size64(at + 8, 'a segment offset'),
        virtual: reader.u64(at + 16),
        physical,
        fileSize: reader.size64(at + 32, 'a segment size'),
        memorySize: reader.size64(at + 40, 'a segment size'),
        alignment: Number(reader.u64(at + 48)),
    });
}

function readSegment32(reader: ImageReader, at: number): ElfSegment {
    return checked(reader, {
        type: reader.u32(at),
        offset: reader.u32(at + 4),
        virtual: BigInt(reader.u32(at + 8)),
        physical: reader.u32(at + 12),
        fileSize: reader.u32(at + 16),
        memorySize: reader.u32(at + 20),
        alignment: reader.u32(at + 28),
    });
}

function checked(reader: ImageReader, segment: ElfSegment): ElfSegment {
    if (segment.type === SegmentType.Load || segment.type === SegmentType.Note) {
        reader.bytes(segment.offset, segment.fileSize, 'a segment');
        if (segment.type === SegmentType.Load && segment.memorySize < segment.fileSize) {
            throw reader.error('corrupt: a segment is smaller in memory than in the file');
        }
    }
    return segment;
}

function alignUp(value: number, alignment: number): number {
    return Math.ceil(value / alignment) * alignment;
}

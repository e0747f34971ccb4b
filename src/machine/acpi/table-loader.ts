import { concat, littleEndian } from './aml';
import { rawRootPointer, type AcpiTables } from './tables';

/**
 * The script by which a firmware places ACPI tables (QEMU docs/specs/acpi_loader; SeaBIOS and OVMF run it): allocate
 * memory for fw_cfg files, add their addresses to pointers, compute checksums.
 */
export const TABLES_FILE = 'etc/acpi/tables';
export const RSDP_FILE = 'etc/acpi/rsdp';
export const LOADER_FILE = 'etc/table-loader';

const enum Command {
    Allocate = 1,
    AddPointer = 2,
    AddChecksum = 3,
}

const enum Zone {
    High = 1,
    /** The BIOS area below 1 MiB, where operating systems look for the root pointer. */
    BiosSegment = 2,
}

const ENTRY_SIZE = 128;
const FILE_NAME_SIZE = 56;
const FACS_ALIGNMENT = 64;
const RSDP_ALIGNMENT = 16;

/** The three fw_cfg files. */
export interface AcpiFiles {
    readonly tables: Uint8Array;
    readonly rsdp: Uint8Array;
    readonly loader: Uint8Array;
}

export function acpiFiles(tables: AcpiTables): AcpiFiles {
    const { set } = tables;
    const root = rawRootPointer(tables);
    const script = [
        allocate(TABLES_FILE, FACS_ALIGNMENT, Zone.High),
        allocate(RSDP_FILE, RSDP_ALIGNMENT, Zone.BiosSegment),
        ...set.pointers.map(pointer => addPointer(TABLES_FILE, pointer.offset, pointer.size)),
        ...set.checksums.map(sum => addChecksum(TABLES_FILE, sum.offset, sum.start, sum.length)),
        ...root.pointers.map(pointer => addPointer(RSDP_FILE, pointer.offset, pointer.size)),
        ...root.checksums.map(sum => addChecksum(RSDP_FILE, sum.offset, sum.start, sum.length)),
    ];
    return { tables: set.raw(), rsdp: root.bytes, loader: concat(...script) };
}

function entry(command: Command, ...fields: readonly (Uint8Array | readonly number[])[]): Uint8Array {
    const bytes = new Uint8Array(ENTRY_SIZE);
    bytes.set(concat(littleEndian(command, 4), ...fields));
    return bytes;
}

function fileName(file: string): Uint8Array {
    const bytes = new Uint8Array(FILE_NAME_SIZE);
    bytes.set(new TextEncoder().encode(file));
    return bytes;
}

function allocate(file: string, alignment: number, zone: Zone): Uint8Array {
    return entry(Command.Allocate, fileName(file), littleEndian(alignment, 4), [zone]);
}

/** Every pointer of ours leads into the tables. */
function addPointer(file: string, offset: number, size: number): Uint8Array {
    return entry(Command.AddPointer, fileName(file), fileName(TABLES_FILE), littleEndian(offset, 4), [size]);
}

function addChecksum(file: string, offset: number, start: number, length: number): Uint8Array {
    return entry(
        Command.AddChecksum,
        fileName(file),
        littleEndian(offset, 4),
        littleEndian(start, 4),
        littleEndian(length, 4),
    );
}

import { LoadError } from '../errors';
import { MemoryType } from '../e820';
import { type BootContext, KERNEL_MINIMUM, LowMemory } from './boot-context';
import { BOOT_CS, BOOT_DS, Gpr, type InitialCpuState } from './initial-state';
import {
    buildOptionRom,
    DmaControl,
    dword,
    FIRMWARE_RESERVE,
    LOAD_DATA_SEGMENTS,
    type OptionRom,
    type Transfer,
    word,
} from './option-rom';

/** fw_cfg selectors: one for everything that is loaded, and one that nothing uses, which reads as zeros. */
const CONTENT = 0x11;
const ZEROS = 0x3fff;

/** As many ranges as the information structure has room for where the firmware tells them. */
const MAP_ENTRIES = 32;
const MAP_ENTRY_SIZE = 24;
/** What real-mode code reaches from the information structure's segment. */
const SEGMENT_SIZE = 0x10000;

/** 32-bit code that ends the way into the kernel, out of the way of the loaders' own structures. */
const LAST_CODE = LowMemory.gdt;

/** Where a boot protocol's information structure holds what only the firmware knows. */
export interface FirmwareAnswers {
    /** Offset of the memory map's physical address. */
    readonly mapPointer: number;
    /** Bytes of an entry before E820's 20: entries have 24. */
    readonly entryPrefix: number;
    /** Offset of the map's length, and how much an entry adds to that. */
    readonly mapLength: number;
    readonly lengthUnit: number;
    /** Offset of the KiB below and from 1 MiB. */
    readonly memorySizes?: number;
    /** Offset of the ACPI root pointer's address. */
    readonly rootPointer?: number;
}

type Load = (context: BootContext) => InitialCpuState;

/**
 * Has a firmware start a kernel that is entered in 32-bit code: an option ROM loads what `load` would have written,
 * takes the memory map from the firmware and enters the kernel.
 * @param load loads the kernel in the ordinary way
 * @throws LoadError
 */
export function entryOptionRom(kernel: string, context: BootContext, answers: FirmwareAnswers, load: Load): OptionRom {
    const recorded = new RecordedWrites();
    const room = Array.from({ length: MAP_ENTRIES }, () => ({ base: 0, size: 0, type: MemoryType.Reserved }));
    const ramEnd = context.ramEnd - FIRMWARE_RESERVE;
    // Nothing of the kernel may lie where the firmware works, either.
    const free = context.memoryMap.map(range =>
        range.base < context.ramEnd && range.base + range.size > ramEnd
            ? { ...range, size: Math.max(0, ramEnd - range.base) }
            : range,
    );
    const state = load({
        write: (address, bytes) => recorded.add(address, bytes),
        memoryMap: [...free, ...room].slice(0, MAP_ENTRIES),
        ramEnd,
        rsdp: 0,
    });
    const register = (wanted: Gpr): number => state.gprs.find(([number]) => number === wanted)?.[1] ?? 0;
    const information = register(Gpr.Rbx);
    const map = recorded.u32(information + answers.mapPointer) - information;
    if (information >= KERNEL_MINIMUM || map + MAP_ENTRIES * MAP_ENTRY_SIZE > SEGMENT_SIZE) {
        throw new LoadError(
            kernel,
            'it or its modules need the memory below 1 MiB that a firmware works in: leave the firmware out',
        );
    }
    recorded.add(LAST_CODE, Uint8Array.from(enterKernel(LAST_CODE, state.rip, register(Gpr.Rax), information)));

    const { transfers, content } = recorded.transfers();
    const code = (offset: number): number[] => {
        const ask = askFirmware(answers, information, map);
        const gdtr = offset + ask.length + ENTER_PROTECTED_MODE_SIZE;
        return [...ask, ...enterProtectedMode(gdtr), ...word(state.gdt.limit), ...dword(state.gdt.base)];
    };
    return { rom: buildOptionRom(kernel, 'Kernel', transfers, code), items: [[CONTENT, content]] };
}

/** What a loader writes, in its order. */
class RecordedWrites {
    private readonly writes: { readonly address: number; size: number; readonly bytes: Uint8Array | undefined }[] = [];

    /** Zeros are not kept, but counted. */
    add(address: number, bytes: Uint8Array): void {
        if (bytes.length === 0) {
            return;
        }
        const zero = bytes.every(byte => byte === 0);
        const last = this.writes.at(-1);
        if (zero && last !== undefined && last.bytes === undefined && last.address + last.size === address) {
            last.size += bytes.length;
            return;
        }
        this.writes.push({ address, size: bytes.length, bytes: zero ? undefined : bytes });
    }

    /** What has been written to an address at last; 0 where nothing has. */
    u32(address: number): number {
        for (const { address: start, size, bytes } of [...this.writes].reverse()) {
            if (address >= start && address + 4 <= start + size) {
                return bytes === undefined
                    ? 0
                    : new DataView(bytes.buffer, bytes.byteOffset).getUint32(address - start, true);
            }
        }
        return 0;
    }

    /** Transfers that repeat the writes, out of one item's content. */
    transfers(): { readonly transfers: Transfer[]; readonly content: Uint8Array } {
        const content = new Uint8Array(
            this.writes.reduce((sum, { bytes }) => sum + (bytes === undefined ? 0 : bytes.length), 0),
        );
        const transfers: Transfer[] = [];
        let at = 0;
        let position: number | undefined;
        for (const { address, size, bytes } of this.writes) {
            if (bytes === undefined) {
                transfers.push({
                    control: ZEROS * 0x10000 + DmaControl.select + DmaControl.read,
                    length: size,
                    address,
                });
                position = undefined;
                continue;
            }
            if (position !== at) {
                const control = CONTENT * 0x10000 + DmaControl.select + DmaControl.skip;
                transfers.push({ control, length: at, address: 0 });
            }
            transfers.push({ control: DmaControl.read, length: size, address });
            content.set(bytes, at);
            at += size;
            position = at;
        }
        return { transfers, content };
    }
}

const SMAP = 0x534d4150;

/** Real-mode code: fills in what the BIOS tells of memory, and where it has put the ACPI root pointer. */
function askFirmware(answers: FirmwareAnswers, information: number, map: number): number[] {
    const { lengthUnit, mapLength, memorySizes, rootPointer } = answers;
    // prettier-ignore
    const memoryMap = [
        0xb8, ...word(information >> 4),            // mov  ax, information's segment
        0x8e, 0xc0,                                 // mov  es, ax
        0xbf, ...word(map + answers.entryPrefix),   // mov  di, first entry
        0x31, 0xf6,                                 // xor  si, si
        0x66, 0x31, 0xdb,                           // xor  ebx, ebx
        0x66, 0xb8, ...dword(0xe820),               // again: mov eax, 0e820h
        0x66, 0xb9, ...dword(20),                   // mov  ecx, 20
        0x66, 0xba, ...dword(SMAP),                 // mov  edx, 'SMAP'
        0xcd, 0x15,                                 // int  15h
        0x72, 0x19,                                 // jc   done
        0x66, 0x3d, ...dword(SMAP),                 // cmp  eax, 'SMAP'
        0x75, 0x11,                                 // jne  done
        0x83, 0xc7, MAP_ENTRY_SIZE,                 // add  di, MAP_ENTRY_SIZE
        0x83, 0xc6, lengthUnit,                     // add  si, lengthUnit
        0x81, 0xfe, ...word(MAP_ENTRIES * lengthUnit), // cmp  si, MAP_ENTRIES * lengthUnit
        0x73, 0x05,                                 // jae  done
        0x66, 0x85, 0xdb,                           // test ebx, ebx
        0x75, 0xd1,                                 // jnz  again
        0x66, 0x0f, 0xb7, 0xc6,                     // done: movzx eax, si
        0x26, 0x66, 0xa3, ...word(mapLength),       // mov  es:[mapLength], eax
    ];
    // prettier-ignore
    const sizes = memorySizes === undefined ? [] : [
        0xcd, 0x12,                                 // int  12h              ; KiB below 1 MiB
        0x66, 0x0f, 0xb7, 0xc0,                     // movzx eax, ax
        0x26, 0x66, 0xa3, ...word(memorySizes),     // mov  es:[memorySizes], eax
        0xb8, ...word(0xe801),                      // mov  ax, 0e801h
        0xcd, 0x15,                                 // int  15h              ; KiB up to 16 MiB, 64 KiB above
        0x72, 0x14,                                 // jc   done
        0x66, 0x0f, 0xb7, 0xc0,                     // movzx eax, ax
        0x66, 0x0f, 0xb7, 0xdb,                     // movzx ebx, bx
        0x66, 0xc1, 0xe3, 0x06,                     // shl  ebx, 6
        0x66, 0x01, 0xd8,                           // add  eax, ebx
        0x26, 0x66, 0xa3, ...word(memorySizes + 4), // mov  es:[memorySizes + 4], eax
                                                    // done:
    ];
    // prettier-ignore
    const acpi = rootPointer === undefined ? [] : [
        0xb8, ...word(0xe000),                      // mov  ax, 0e000h
        0x8e, 0xd8,                                 // next: mov ds, ax
        0x66, 0x81, 0x3e, 0, 0, ...ascii('RSD '),   // cmp  dword [0], 'RSD '
        0x75, 0x0b,                                 // jne  no
        0x66, 0x81, 0x3e, 4, 0, ...ascii('PTR '),   // cmp  dword [4], 'PTR '
        0x74, 0x03,                                 // je   found
        0x40,                                       // no: inc ax
        0x75, 0xe5,                                 // jnz  next             ; 0 for none
        0x66, 0x0f, 0xb7, 0xc0,                     // found: movzx eax, ax
        0x66, 0xc1, 0xe0, 0x04,                     // shl  eax, 4
        0x26, 0x66, 0xa3, ...word(rootPointer),     // mov  es:[rootPointer], eax
    ];
    return [...memoryMap, ...sizes, ...acpi];
}

const ENTER_PROTECTED_MODE_SIZE = 23;

/** Real-mode code: goes on in 32-bit code, with a GDT by the descriptor at an offset of the ROM. */
function enterProtectedMode(gdtr: number): number[] {
    // prettier-ignore
    return [
        0x2e, 0x66, 0x0f, 0x01, 0x16, ...word(gdtr), // lgdt cs:[gdtr]
        0x0f, 0x20, 0xc0,                           // mov  eax, cr0
        0x0c, 0x01,                                 // or   al, 1
        0x0f, 0x22, 0xc0,                           // mov  cr0, eax
        0x66, 0xea, ...dword(LAST_CODE), ...word(BOOT_CS), // jmp  BOOT_CS:LAST_CODE
    ];
}

/** 32-bit code for an address: loads the registers that boot protocols promise. */
function enterKernel(address: number, entry: number, eax: number, ebx: number): number[] {
    // prettier-ignore
    const registers = [
        0xb8, ...dword(BOOT_DS),                    // mov  eax, BOOT_DS
        ...LOAD_DATA_SEGMENTS,
        0xb8, ...dword(eax),                        // mov  eax, ...
        0xbb, ...dword(ebx),                        // mov  ebx, ...
    ];
    const next = address + registers.length + 5;
    return [...registers, 0xe9, ...dword(entry - next)]; // jmp entry
}

function ascii(text: string): number[] {
    return [...new TextEncoder().encode(text)];
}

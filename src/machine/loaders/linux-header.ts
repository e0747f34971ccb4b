import { hex } from '../format';
import { type ImageFile, ImageReader } from './image';

/** Offsets of the setup header (Linux Documentation/arch/x86/boot.rst, "The Real-Mode Kernel Header"). */
export const enum Setup {
    setupSects = 0x1f1,
    sysSize = 0x1f4,
    vidMode = 0x1fa,
    bootFlag = 0x1fe,
    /** A short jump over the header: its operand tells where the header ends. */
    jump = 0x200,
    magic = 0x202,
    version = 0x206,
    /** Where the version text is, counted from 0x200; 0 if there is none. */
    kernelVersion = 0x20e,
    typeOfLoader = 0x210,
    loadFlags = 0x211,
    code32Start = 0x214,
    ramdiskImage = 0x218,
    ramdiskSize = 0x21c,
    heapEndPtr = 0x224,
    cmdLinePtr = 0x228,
    initrdAddrMax = 0x22c,
    kernelAlignment = 0x230,
    relocatableKernel = 0x234,
    xloadFlags = 0x236,
    cmdlineSize = 0x238,
    payloadOffset = 0x248,
    payloadLength = 0x24c,
    setupData = 0x250,
    prefAddress = 0x258,
    initSize = 0x260,
}

export const LOADED_HIGH = 1 << 0;
export const CAN_USE_HEAP = 1 << 7;
const XLF_KERNEL_64 = 1 << 0;

/** "An unknown or undefined loader" (boot.rst, `type_of_loader`). */
export const TYPE_OF_LOADER = 0xff;
export const VIDEO_MODE_NORMAL = 0xffff;

const HDRS = 0x53726448;
const BOOT_FLAG = 0xaa55;
const SECTOR = 512;
const VERSION_BASE = 0x200;
const LONGEST_VERSION = 256;
/** Linux's begins so: release, then who built it. */
const LINUX_VERSION = /^\d+\.\d+\S* \(/;

/** Defaults of fields that older protocols do not have, as boot.rst gives them. */
const DEFAULT_INITRD_MAX = 0x37ffffff;
const DEFAULT_CMDLINE_SIZE = 255;
const DEFAULT_LOAD_ADDRESS = 0x100000;

/** Which of the kernel's entry points to use. */
export type LinuxEntry = '64-bit' | '32-bit' | '16-bit';

/** What a bzImage says about itself; fields that its protocol version lacks have their documented defaults. */
export interface LinuxKernel {
    readonly name: string;
    /** Boot protocol, e.g. 0x20f. */
    readonly protocol: number;
    /** Boot sector and setup code: what runs in real mode. */
    readonly setup: Uint8Array;
    /** The protected-mode part. */
    readonly system: Uint8Array;
    /** The same with all that follows in the file, of which the header says nothing: UEFI loads it as a program. */
    readonly rest: Uint8Array;
    /** First offset behind the header that goes into boot_params. */
    readonly headerEnd: number;
    readonly loadedHigh: boolean;
    readonly initrdMax: number;
    readonly relocatable: boolean;
    readonly alignment: number;
    readonly commandLineSize: number;
    readonly preferredAddress: number;
    /** Memory that decompression needs from the runtime start on, at least the size of the image. */
    readonly initSize: number;
    /**
     * By its version text it is something else that only starts like Linux, such as MEMDISK or iPXE: what it makes of
     * an initrd nobody here knows.
     */
    readonly foreign: boolean;
    /** Best first. */
    readonly entries: readonly LinuxEntry[];
}

/** Whether the file carries a Linux setup header. */
export function isLinux(reader: ImageReader): boolean {
    return reader.size >= Setup.version && reader.u32(Setup.magic) === HDRS;
}

/**
 * Reads the setup header and checks that the file holds what it promises.
 * @throws LoadError
 */
export function readLinuxKernel(file: ImageFile): LinuxKernel {
    const reader = new ImageReader(file);
    if (!isLinux(reader)) {
        throw reader.error('not a Linux kernel image: no boot protocol header');
    }
    if (reader.u16(Setup.bootFlag) !== BOOT_FLAG) {
        throw reader.error('corrupt: no boot sector signature before the boot protocol header');
    }
    const protocol = reader.u16(Setup.version);
    if (protocol < 0x200 || protocol > 0x2ff) {
        throw reader.error(`corrupt: boot protocol version ${hex(protocol)}`);
    }
    const setupSectors = reader.u8(Setup.setupSects) || 4;
    const setupSize = (setupSectors + 1) * SECTOR;
    const setup = reader.bytes(0, setupSize, 'the setup code');
    const headerEnd = Setup.magic + reader.u8(Setup.jump + 1);
    if (headerEnd < Setup.typeOfLoader || headerEnd > setupSize) {
        throw reader.error(`corrupt: the boot protocol header ends at ${hex(headerEnd)}`);
    }

    const since = <Value>(version: number, read: () => Value, otherwise: Value): Value =>
        protocol >= version ? read() : otherwise;
    const system = systemPart(reader, setupSize, protocol);
    const loadFlags = reader.u8(Setup.loadFlags);
    const loadedHigh = (loadFlags & LOADED_HIGH) !== 0;
    const alignment = since(0x205, () => reader.u32(Setup.kernelAlignment), 1) || 1;
    if ((alignment & (alignment - 1)) !== 0) {
        throw reader.error(`corrupt: kernel alignment ${hex(alignment)} is not a power of two`);
    }
    const preferredAddress = since(0x20a, () => reader.size64(Setup.prefAddress, 'the load address'), 0);
    return {
        name: file.name,
        protocol,
        setup,
        system,
        rest: reader.data.subarray(setupSize),
        headerEnd,
        loadedHigh,
        initrdMax: since(0x203, () => reader.u32(Setup.initrdAddrMax), DEFAULT_INITRD_MAX),
        relocatable: since(0x205, () => reader.u8(Setup.relocatableKernel) !== 0, false),
        alignment,
        commandLineSize: since(0x206, () => reader.u32(Setup.cmdlineSize), DEFAULT_CMDLINE_SIZE),
        preferredAddress: Math.max(preferredAddress, DEFAULT_LOAD_ADDRESS),
        initSize: Math.max(
            since(0x20a, () => reader.u32(Setup.initSize), 0),
            system.length,
        ),
        foreign: isForeign(reader, setup.length),
        entries: entryPoints(reader, protocol, loadedHigh),
    };
}

function isForeign(reader: ImageReader, setupSize: number): boolean {
    const pointer = reader.u16(Setup.kernelVersion);
    const start = VERSION_BASE + pointer;
    if (pointer === 0 || start >= setupSize) {
        return false;
    }
    const [version] = reader.text(start, Math.min(LONGEST_VERSION, setupSize - start)).split('\0');
    return !LINUX_VERSION.test(version);
}

function systemPart(reader: ImageReader, setupSize: number, protocol: number): Uint8Array {
    // Before 2.04 the field has 16 bits and means nothing for a bzImage.
    const declared = protocol >= 0x204 ? reader.u32(Setup.sysSize) * 16 : 0;
    const present = reader.size - setupSize;
    if (present < 16 || present <= declared - 16) {
        throw reader.truncated('the kernel', setupSize + Math.max(declared, 16));
    }
    if (protocol >= 0x208) {
        const payloadEnd = reader.u32(Setup.payloadOffset) + reader.u32(Setup.payloadLength);
        if (payloadEnd > present) {
            throw reader.truncated('the compressed kernel', setupSize + payloadEnd);
        }
    }
    // What follows (a signature, say) is not part of the kernel.
    const size = declared === 0 ? present : Math.min(present, declared);
    return reader.data.subarray(setupSize, setupSize + size);
}

function entryPoints(reader: ImageReader, protocol: number, loadedHigh: boolean): LinuxEntry[] {
    const entries: LinuxEntry[] = [];
    if (protocol >= 0x20c && (reader.u16(Setup.xloadFlags) & XLF_KERNEL_64) !== 0) {
        entries.push('64-bit');
    }
    // Images that only borrow the format (iPXE, say) have no 32-bit entry and leave its address empty.
    if (loadedHigh && reader.u32(Setup.code32Start) !== 0) {
        entries.push('32-bit');
    }
    entries.push('16-bit');
    return entries;
}

/**
 * The ROM of a machine without firmware: what its first processor finds at the reset vector when the guest restarts it, by
 * INIT or by a reset of the machine. As an AT's BIOS does, it looks in CMOS memory for how to go on (IBM PC AT Technical
 * Reference, section 5, "shutdown"; MultiProcessor Specification 1.4, B.4.1 "INIT IPI"), and resets the machine otherwise.
 */
import type { Rtc146818 } from '../../devices/rtc146818';
import { word } from '../loaders/option-rom';
import type { GuestMemory } from '../memory';
import { BoardMap } from './board-map';

const SIZE = 0x1000;
const FOUR_GIB = 0x1_0000_0000;
const ONE_MIB = 0x100000;
/** Where the processor begins, in the ROM. */
const RESET_OFFSET = 0xff0;

const SHUTDOWN_STATUS = 0x0f;
/** The index as programs write it: with NMI masked. */
const SHUTDOWN_STATUS_INDEX = 0x80 | SHUTDOWN_STATUS;
/** Go on where the double word at 40:67 leads; the first says that an interrupt is still in service. */
const JUMP_AFTER_EOI = 0x05;
const JUMP = 0x0a;
const WARM_RESET_VECTOR = 0x467;
const RESUME = 0xfe;

// prettier-ignore
const CODE = [
    0xfa,                               // cli
    0xfc,                               // cld
    0xb0, SHUTDOWN_STATUS_INDEX,        // mov  al, SHUTDOWN_STATUS_INDEX
    0xe6, BoardMap.rtc,                 // out  70h, al
    0xe4, BoardMap.rtc + 1,             // in   al, 71h
    0x88, 0xc4,                         // mov  ah, al
    0xb0, SHUTDOWN_STATUS_INDEX,        // mov  al, SHUTDOWN_STATUS_INDEX
    0xe6, BoardMap.rtc,                 // out  70h, al
    0xb0, 0x00,                         // mov  al, 0       ; it holds for one restart
    0xe6, BoardMap.rtc + 1,             // out  71h, al
    0x80, 0xfc, JUMP,                   // cmp  ah, JUMP
    0x74, 0x14,                         // je   jump
    0x80, 0xfc, JUMP_AFTER_EOI,         // cmp  ah, JUMP_AFTER_EOI
    0x74, 0x09,                         // je   eoi
    0xba, ...word(BoardMap.resetControl), // mov dx, 0cf9h
    0xb0, 0x06,                         // mov  al, 6       ; reset the machine
    0xee,                               // out  dx, al
    0xf4,                               // hlt
    0xeb, 0xfd,                         // jmp  to the hlt
    0xb0, 0x20,                         // eoi: mov al, 20h ; end of interrupt
    0xe6, 0xa0,                         // out  0a0h, al
    0xe6, 0x20,                         // out  20h, al
    0x31, 0xc0,                         // jump: xor ax, ax
    0x8e, 0xd8,                         // mov  ds, ax
    0xff, 0x2e, ...word(WARM_RESET_VECTOR), // jmp far [467h]
];

/** Bytes that {@link mapResetRom} needs of the memory reserved for ROMs. */
export const RESET_ROM_SIZE = SIZE;

/** Shows the ROM at the top of 4 GiB and, where the chipset does not choose RAM, of 1 MiB. */
export function mapResetRom(memory: GuestMemory): void {
    const image = new Uint8Array(SIZE).fill(0xff);
    image.set(CODE);
    // jmp to the beginning
    image.set([0xe9, ...word(-RESET_OFFSET - 3)], RESET_OFFSET);
    const address = memory.addRom(image);
    memory.mapRom('reset ROM', FOUR_GIB - SIZE, SIZE, address);
    memory.mapRom('reset ROM below 1 MiB', ONE_MIB - SIZE, SIZE, address);
}

/** Whether the guest wants to go on by itself after a reset of the machine. */
export function goesOnAfterReset(rtc: Rtc146818): boolean {
    const status = rtc.readCmos(SHUTDOWN_STATUS);
    return status === JUMP || status === JUMP_AFTER_EOI;
}

/** Tells a firmware that the machine leaves S3, as QEMU does. */
export function announceResume(rtc: Rtc146818): void {
    rtc.writeCmos(SHUTDOWN_STATUS, RESUME);
}

/** Has the machine start afresh, whatever the guest wanted. */
export function forgetShutdownStatus(rtc: Rtc146818): void {
    rtc.writeCmos(SHUTDOWN_STATUS, 0);
}

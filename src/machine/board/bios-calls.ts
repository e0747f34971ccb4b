/**
 * What is left of a BIOS on a machine without firmware: kernels that go back to real mode to ask one (Xen, GNU Mach, old
 * boot loaders) are told that the call is not supported, instead of running through empty memory. Vectors are those of the
 * IBM PC AT Technical Reference, section 5.
 */
import { BIOS_AREA_BASE } from '../e820';

const SEGMENT = BIOS_AREA_BASE >> 4;
const VECTORS = 256;
const VECTOR_SIZE = 4;

/** Where the AT's BIOS has its dummy return; the code lies before the last line, which holds the reset vector. */
const CODE_OFFSET = 0xff53;
const RESET_OFFSET = 0xfff0;

/** "No such function", for those who look at AH. */
const NOT_SUPPORTED = 0x86;

/** IRQ 0–7 and 8–15, as a BIOS programs the interrupt controllers. */
const MASTER_VECTORS = { first: 0x08, last: 0x0f };
const SLAVE_VECTORS = { first: 0x70, last: 0x77 };
/** Exceptions of the 8086, and the print-screen key: nothing is to be done. */
const LAST_EXCEPTION = 0x07;
const EQUIPMENT_VECTOR = 0x11;
const MEMORY_SIZE_VECTOR = 0x12;

const RETURN = [0xcf]; // iret
// prettier-ignore
const REFUSE = [
    0x55,                   // push bp
    0x89, 0xe5,             // mov  bp, sp
    0x80, 0x4e, 0x06, 0x01, // or   byte [bp+6], 1  ; the caller's CF
    0x5d,                   // pop  bp
    0xb4, NOT_SUPPORTED,    // mov  ah, NOT_SUPPORTED
    ...RETURN,
];
// prettier-ignore
const END_MASTER_INTERRUPT = [
    0x50,                   // push ax
    0xb0, 0x20,             // mov  al, 20h         ; end of interrupt
    0xe6, 0x20,             // out  20h, al
    0x58,                   // pop  ax
    ...RETURN,
];
// prettier-ignore
const END_SLAVE_INTERRUPT = [
    0x50,                   // push ax
    0xb0, 0x20,             // mov  al, 20h
    0xe6, 0xa0,             // out  0a0h, al
    0xe6, 0x20,             // out  20h, al
    0x58,                   // pop  ax
    ...RETURN,
];

/** Gives AX from the BIOS data area. */
function answerFrom(offset: number): number[] {
    // prettier-ignore
    return [
        0x1e,               // push ds
        0x6a, 0x40,         // push 40h
        0x1f,               // pop  ds
        0xa1, offset, 0x00, // mov  ax, [offset]
        0x1f,               // pop  ds
        ...RETURN,
    ];
}
const EQUIPMENT_OFFSET = 0x10;
const MEMORY_SIZE_OFFSET = 0x13;

/** Resets the machine by the keyboard controller: what a jump to FFFF:0 is for. */
// prettier-ignore
const RESET = [
    0xb0, 0xfe,             // mov  al, 0feh
    0xe6, 0x64,             // out  64h, al
    0xf4,                   // hlt
    0xeb, 0xfd,             // jmp  to the hlt
];

/** Writes the vector table at 0 and the code that it leads to. */
export function writeBiosCalls(write: (address: number, bytes: Uint8Array) => void): void {
    const code: number[] = [];
    const place = (routine: readonly number[]): number => {
        const offset = CODE_OFFSET + code.length;
        code.push(...routine);
        return offset;
    };
    const nothing = place(RETURN);
    const refuse = place(REFUSE);
    const master = place(END_MASTER_INTERRUPT);
    const slave = place(END_SLAVE_INTERRUPT);
    const equipment = place(answerFrom(EQUIPMENT_OFFSET));
    const memorySize = place(answerFrom(MEMORY_SIZE_OFFSET));

    const routineOf = (vector: number): number => {
        if (vector <= LAST_EXCEPTION) return nothing;
        if (vector >= MASTER_VECTORS.first && vector <= MASTER_VECTORS.last) return master;
        if (vector >= SLAVE_VECTORS.first && vector <= SLAVE_VECTORS.last) return slave;
        if (vector === EQUIPMENT_VECTOR) return equipment;
        return vector === MEMORY_SIZE_VECTOR ? memorySize : refuse;
    };
    const table = new DataView(new ArrayBuffer(VECTORS * VECTOR_SIZE));
    for (let vector = 0; vector < VECTORS; vector++) {
        table.setUint16(vector * VECTOR_SIZE, routineOf(vector), true);
        table.setUint16(vector * VECTOR_SIZE + 2, SEGMENT, true);
    }
    write(0, new Uint8Array(table.buffer));
    write(BIOS_AREA_BASE + CODE_OFFSET, Uint8Array.from(code));
    write(BIOS_AREA_BASE + RESET_OFFSET, Uint8Array.from(RESET));
}

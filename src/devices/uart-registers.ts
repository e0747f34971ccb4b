/** Register bits of a PC16550D (datasheet section 8, tables II and IV) and what LCR says about a character. */
export const Ier = { receivedData: 1, transmitterEmpty: 2, lineStatus: 4, modemStatus: 8 } as const;
/** IIR bits 0–3, one code for each source. */
export const Iir = {
    modemStatus: 0,
    none: 1,
    transmitterEmpty: 2,
    receivedData: 4,
    lineStatus: 6,
    timeout: 0xc,
} as const;
export const Lcr = { twoStopBits: 4, parity: 8, break: 0x40, dlab: 0x80 } as const;
export const Lsr = {
    ready: 1,
    overrun: 2,
    parity: 4,
    framing: 8,
    break: 0x10,
    thre: 0x20,
    temt: 0x40,
    fifoError: 0x80,
} as const;
export const lineErrors = Lsr.overrun | Lsr.parity | Lsr.framing | Lsr.break;
/** Characters in the FIFO that raise the interrupt, by FCR bits 6–7. */
export const triggerLevels: readonly number[] = [1, 4, 8, 14];

/** Data bits of a character, by LCR bits 0–1. */
export function wordLength(lcr: number): number {
    return 5 + (lcr & 3);
}

/** Bits that a character occupies on the line: start, data, parity and stop bits (1½ stop bits with 5 data bits). */
export function bitsPerCharacter(lcr: number): number {
    const stopBits = lcr & Lcr.twoStopBits ? (wordLength(lcr) === 5 ? 1.5 : 2) : 1;
    return 1 + wordLength(lcr) + (lcr & Lcr.parity ? 1 : 0) + stopBits;
}

/** The format the way people say it, e.g. `8N1`. */
export function characterFormat(lcr: number): string {
    const parity = lcr & Lcr.parity ? ['O', 'E', 'M', 'S'][(lcr >>> 4) & 3] : 'N';
    return `${wordLength(lcr)}${parity}${lcr & Lcr.twoStopBits ? 2 : 1}`;
}

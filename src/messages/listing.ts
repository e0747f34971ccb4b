/**
 * Listings: guest disassembly as documents in which breakpoints can be set and the current line is shown.
 *
 * Frames without source code have a listing as their DAP `source`: `{ name: 'start_kernel.disasm', sourceReference }`.
 * Above instructions stand the source lines that they were compiled from, as comments, where debugging information tells.
 * Clients fetch its text with the request `source`; `hyperscope/listing` gives the same for any address, with the lines.
 * A listing never changes: where the guest has other code by now, there is another listing with another reference.
 * Breakpoints go to `setBreakpoints` by line, with the listing as their source.
 *
 * VS Code offers breakpoints only in languages that the extension contributes: `contributes.languages` has to have
 * {@link LISTING_LANGUAGE} with {@link LISTING_EXTENSION}, and `contributes.breakpoints` that language.
 */
export const LISTING_LANGUAGE = 'hyperscope-disassembly';
export const LISTING_EXTENSION = '.disasm';

/** `hyperscope/listing` */
export interface ListingArguments {
    /** An expression that gives an address: `0xffff…`, `start_kernel+0x10`, `pc`. */
    readonly address: string;
    /** Whose page tables and code size; without it, the vCPU that stopped last. */
    readonly vcpu?: number;
}

export interface ListingBody {
    /** For the DAP request `source`, and for `setBreakpoints`. */
    readonly sourceReference: number;
    /** `start_kernel.disasm`, `0xfff0.disasm` */
    readonly name: string;
    readonly text: string;
    /** By line of the text, beginning with its first. */
    readonly lines: readonly ListingLine[];
    /** Line (from 1) of the address that was asked for. */
    readonly line: number;
    /** Line (from 1) at which the vCPU is, if it is in this listing. */
    readonly currentLine?: number;
}

export interface ListingLine {
    /** `0x…`, linear; absent for headings and labels. */
    readonly address?: string;
    /** Bytes of the instruction, 0 where there is no instruction. */
    readonly length: number;
}

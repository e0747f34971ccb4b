/**
 * What the messages of all views have in common. Requests are DAP requests of our own, named `hyperscope/<thing>`; the
 * types below are their `arguments` and `body`. Pure data: everything survives JSON.
 */

/** An unsigned number or address of up to 128 bits: `0x` and lower-case digits, without leading zeros. */
export type Hex = string;

/**
 * Which addresses are meant. `virtual`: an offset in a segment, as instructions have them; `linear`: what the page
 * tables translate; `physical`: what is on the bus. In 64-bit code virtual and linear are the same but for FS and GS.
 */
export type MemorySpace = 'virtual' | 'linear' | 'physical';

/** A request about one vCPU; without a number, about the one that stopped last. */
export interface VcpuArguments {
    readonly vcpu?: number;
}

/** What a page allows, all levels of the tables taken together. */
export interface PagePermissions {
    readonly writable: boolean;
    readonly user: boolean;
    readonly executable: boolean;
}

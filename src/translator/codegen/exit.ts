/** Why translated code returned to the dispatcher. */
export const enum ExitReason {
    /** No block known for blockRip: look it up. */
    Miss = 1,
    /** The block at blockRip needs more instructions than remain. */
    Budget,
    /** The block at blockRip has just reached the heat at which it should be translated. */
    Hot,
    /** currentRecord's instruction is a system operation: run it. */
    System,
    /** currentRecord belongs to code that has been written to: decode again from there. */
    Stale,
    /** A breakpoint at blockRip: stops, or has to be asked. */
    Breakpoint,
}

/** The kinds of `Z` and `z` packets, by their numbers (gdb manual, E.2). */
export const enum PointKind {
    Software,
    Hardware,
    Write,
    Read,
    Access,
}

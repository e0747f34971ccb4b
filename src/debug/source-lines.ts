/** What line tables tell: which source line an address belongs to, and where a line's code is. */

/** A piece of code that belongs to one line: a row of a line table up to the next one. */
export interface SourceLine {
    /** As the debug information names the file, or where it was found on this machine. */
    readonly path: string;
    /** From 1. */
    readonly line: number;
    /** From 1; absent where the table does not say. */
    readonly column?: number;
    /** Linear addresses of its code: from `start` up to, not including, `end`. */
    readonly start: bigint;
    readonly end: bigint;
    /** A place that a debugger should stop at: the beginning of a statement. */
    readonly isStatement: boolean;
}

/** A call that the compiler has put the called function's code in the place of. */
export interface InlinedCall {
    /** Of the function. */
    readonly name?: string;
    /** Where it was called, as {@link SourceLine} has it. */
    readonly path?: string;
    readonly line?: number;
}

/** Lines of everything that has debug information; linear addresses of the guest as it runs, KASLR included. */
export interface SourceLines {
    /** The line that an address belongs to. */
    lineAt(address: bigint): Promise<SourceLine | undefined>;
    /**
     * Where to stop for a line: the beginnings of its code, inlined copies too. Without any, of the next line that has
     * code; `line` of the result tells.
     */
    locate(path: string, line: number, column?: number): Promise<readonly SourceLine[]>;
    /** The beginnings of statements in a range of lines, both ends included. */
    linesOf(path: string, first: number, last: number): Promise<readonly SourceLine[]>;
    /**
     * Where functions of a name begin, and inlined copies of them: static functions of several sources share a name, and
     * overloaded ones do. `ns::name` for those of C++ and Rust.
     */
    functionsNamed(name: string): Promise<readonly bigint[]>;
    /** The inlined calls that an address lies in, innermost first. */
    inlinedAt(address: bigint): Promise<readonly InlinedCall[]>;
    /** All files, as `path` of their lines. */
    files(): Promise<readonly string[]>;
}

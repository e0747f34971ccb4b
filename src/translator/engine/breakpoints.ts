/**
 * Code breakpoints. Code is found by physical address, so a breakpoint at a linear address is bound to the physical page
 * that its own page is mapped to whenever code is fetched there: through changes of mode, page tables and code. Where one
 * is bound, blocks end and begin, and the block that begins there starts with a check; other code pays nothing.
 */
import type { CodeBreakpoint } from '../../machine/breakpoint';
import { CheckCell, type CheckedBreakpoint, Verdict } from '../codegen/breakpoint-check';
import { FixedHandler } from '../codegen/handler-emitter';

const PAGE = 0x1000;

/** A breakpoint that is set. */
interface Entry {
    breakpoint: CodeBreakpoint;
    /** All that decides how its check is compiled. */
    readonly key: string;
    /** Address of its cell; 0: it has none, and asks each time. */
    readonly cell: number;
}

/** An address at which there are breakpoints. */
export interface Cut {
    readonly entries: readonly Entry[];
}

interface CodePage {
    /** Numbers of the linear pages with breakpoints that have been seen mapped here. */
    readonly linearPages: Set<number>;
    /** By offset in the page. */
    cuts: Map<number, Cut>;
}

/** What has to be forgotten after a change. */
export interface BreakpointChanges {
    /** Numbers of linear pages: look-ups there have to be made anew. */
    readonly linearPages: ReadonlySet<number>;
    /** Physical pages whose code has to be decoded anew. */
    readonly codePages: ReadonlySet<number>;
}

/** Compiled checks. */
export interface CheckCompiler {
    compile(breakpoints: readonly CheckedBreakpoint[]): number;
    release(tableIndex: number): void;
}

export class Breakpoints {
    private entries: Entry[] = [];
    /** By number of the linear page. */
    private linear = new Map<number, Entry[]>();
    /** By physical page. */
    private physical = new Map<number, Entry[]>();
    private readonly pages = new Map<number, CodePage>();
    /** Table indexes of checks, by the keys of the breakpoints they are about. */
    private readonly checks = new Map<string, { readonly index: number; readonly entries: readonly Entry[] }>();
    private readonly words: Uint32Array;
    private readonly freeCells: number[] = [];

    /** @param cells room for {@link CheckCell}s in the shared memory */
    constructor(
        buffer: ArrayBufferLike,
        cells: { readonly base: number; readonly size: number },
        private readonly compiler: CheckCompiler,
    ) {
        this.words = new Uint32Array(buffer);
        for (let at = cells.base + cells.size - CheckCell.size; at >= cells.base; at -= CheckCell.size) {
            this.freeCells.push(at);
        }
    }

    get isEmpty(): boolean {
        return this.entries.length === 0;
    }

    /** Replaces the breakpoints; those that stay the same keep their checks. */
    replace(breakpoints: readonly CodeBreakpoint[]): BreakpointChanges {
        const old = new Map(this.entries.map(entry => [entry.key, entry]));
        const kept = new Map<string, Entry>();
        const added: CodeBreakpoint[] = [];
        for (const breakpoint of breakpoints) {
            const key = keyOf(breakpoint);
            const entry = old.get(key);
            if (entry === undefined || entry.breakpoint.program?.counter !== breakpoint.program?.counter) {
                added.push(breakpoint);
            } else {
                entry.breakpoint = breakpoint;
                kept.set(key, entry);
                old.delete(key);
            }
        }
        const changed = [...old.values()];
        changed.forEach(entry => this.releaseCell(entry));
        const fresh = added.map(breakpoint => this.enter(breakpoint));
        changed.push(...fresh);
        this.entries = [...kept.values(), ...fresh];
        this.linear = groupBy(this.entries, 'linear', linearPage);
        this.physical = groupBy(this.entries, 'physical', physicalPage);
        return this.forget(changed);
    }

    /**
     * Code is fetched from a linear page: its breakpoints are from now on met in this physical page.
     *
     * @returns whether that is news: code of the physical page has to be decoded anew
     */
    bind(lo: number, hi: number, page: number): boolean {
        const number = pageNumber(lo, hi);
        if (!this.linear.has(number)) {
            return false;
        }
        let codePage = this.pages.get(page);
        if (codePage?.linearPages.has(number) === true) {
            return false;
        }
        if (codePage === undefined) {
            codePage = { linearPages: new Set(), cuts: new Map() };
            this.pages.set(page, codePage);
        }
        codePage.linearPages.add(number);
        this.cut(page, codePage);
        return true;
    }

    /** Offsets in a physical page at which blocks have to begin. */
    cutsIn(page: number): ReadonlyMap<number, Cut> | undefined {
        return this.pages.get(page)?.cuts;
    }

    /** Table index of the check of blocks that begin at a cut. */
    checkOf({ entries }: Cut): number {
        if (entries.every(({ cell }) => cell === 0)) {
            return FixedHandler.Breakpoint;
        }
        const key = entries.map(entry => entry.key).join('\n');
        let check = this.checks.get(key);
        if (check === undefined) {
            check = { index: this.compiler.compile(entries.map(checked)), entries };
            this.checks.set(key, check);
        }
        return check.index;
    }

    /** Breakpoints met by an instruction at this linear and physical address. */
    at(lo: number, hi: number, physical: number): readonly Entry[] {
        const offset = physical & (PAGE - 1);
        const entries = this.pages.get(physical - offset)?.cuts.get(offset)?.entries ?? [];
        return entries.filter(
            ({ breakpoint }) => breakpoint.space === 'physical' || (breakpoint.lo === lo && breakpoint.hi === hi),
        );
    }

    /** What the compiled check has found last. */
    verdict({ cell }: Entry): Verdict {
        return cell === 0 ? Verdict.Unknown : this.words[(cell + CheckCell.verdict) >>> 2];
    }

    private enter(breakpoint: CodeBreakpoint): Entry {
        const { program } = breakpoint;
        const cell = program === undefined ? 0 : (this.freeCells.pop() ?? 0);
        if (cell !== 0) {
            program!.counter.moveTo(this.words, (cell + CheckCell.count) >>> 2);
        }
        return { breakpoint, key: keyOf(breakpoint), cell };
    }

    private releaseCell({ breakpoint, cell }: Entry): void {
        if (cell !== 0) {
            breakpoint.program!.counter.moveBack();
            this.freeCells.push(cell);
        }
    }

    /** Unbinds the pages of breakpoints that have come or gone. */
    private forget(changed: readonly Entry[]): BreakpointChanges {
        const linearPages = new Set<number>();
        const codePages = new Set<number>();
        for (const { breakpoint } of changed) {
            if (breakpoint.space === 'physical') {
                codePages.add(physicalPage(breakpoint));
            } else {
                linearPages.add(linearPage(breakpoint));
            }
        }
        for (const [page, { linearPages: bound }] of this.pages) {
            for (const number of linearPages) {
                if (bound.delete(number)) {
                    codePages.add(page);
                }
            }
        }
        const gone = new Set(changed);
        for (const [key, { index, entries }] of this.checks) {
            if (entries.some(entry => gone.has(entry))) {
                this.compiler.release(index);
                this.checks.delete(key);
            }
        }
        for (const page of codePages) {
            const codePage = this.pages.get(page) ?? { linearPages: new Set(), cuts: new Map() };
            this.cut(page, codePage);
            if (codePage.cuts.size === 0) {
                this.pages.delete(page);
            } else {
                this.pages.set(page, codePage);
            }
        }
        return { linearPages, codePages };
    }

    private cut(page: number, codePage: CodePage): void {
        const cuts = new Map<number, { entries: Entry[] }>();
        const add = (entry: Entry): void => {
            const offset = entry.breakpoint.lo & (PAGE - 1);
            const cut = cuts.get(offset);
            if (cut === undefined) {
                cuts.set(offset, { entries: [entry] });
            } else {
                cut.entries.push(entry);
            }
        };
        this.physical.get(page)?.forEach(add);
        for (const number of codePage.linearPages) {
            this.linear.get(number)?.forEach(add);
        }
        codePage.cuts = cuts;
    }
}

function checked({ breakpoint: { space, lo, hi, program }, cell }: Entry): CheckedBreakpoint {
    return { linear: space === 'physical' ? undefined : { lo, hi }, program: cell === 0 ? undefined : program, cell };
}

/** Number of the page of a linear address. */
export function pageNumber(lo: number, hi: number): number {
    return hi * 0x100000 + (lo >>> 12);
}

function linearPage({ lo, hi }: CodeBreakpoint): number {
    return pageNumber(lo, hi);
}

function physicalPage({ lo, hi }: CodeBreakpoint): number {
    return hi * 0x100000000 + (lo - (lo & (PAGE - 1)));
}

function groupBy(
    entries: readonly Entry[],
    space: CodeBreakpoint['space'],
    key: (breakpoint: CodeBreakpoint) => number,
): Map<number, Entry[]> {
    const groups = new Map<number, Entry[]>();
    for (const entry of entries) {
        if ((entry.breakpoint.space ?? 'linear') === space) {
            const number = key(entry.breakpoint);
            const group = groups.get(number);
            if (group === undefined) {
                groups.set(number, [entry]);
            } else {
                group.push(entry);
            }
        }
    }
    return groups;
}

function keyOf({ id, space, lo, hi, program }: CodeBreakpoint): string {
    const asked = program && [program.condition, program.hitTest];
    const text = JSON.stringify(asked, (_name, value: unknown) =>
        typeof value === 'bigint' ? value.toString() : value,
    );
    return `${id} ${space ?? 'linear'} ${hi} ${lo} ${text}`;
}

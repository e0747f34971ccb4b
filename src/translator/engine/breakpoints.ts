/**
 * Code breakpoints. Code is found by physical address, so a breakpoint at a linear address is bound to the physical page
 * that its own page is mapped to whenever code is fetched there: through changes of mode, page tables and code. Where one
 * is bound, blocks end and begin, and the block that begins there starts with a check; other code pays nothing.
 */
import type { CodeBreakpoint, HitCounter } from '../../machine/breakpoint';
import { type CheckedBreakpoint, Verdict } from '../codegen/breakpoint-check';
import { FixedHandler } from '../codegen/handler-emitter';

const PAGE = 0x1000;
const WORD = 4;

/** A breakpoint that is set. */
interface Entry {
    breakpoint: CodeBreakpoint;
    /** All that decides how its check is compiled. */
    readonly key: string;
    /** Address of its check's verdict; 0: it has no check, and asks each time. */
    readonly verdict: number;
    /** Address of its count. */
    readonly counter: number;
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
    /** Addresses of free words. */
    private readonly freeWords: number[] = [];
    /** Counts in the shared memory: a breakpoint at several addresses has one. */
    private readonly counts = new Map<HitCounter, { readonly word: number; users: number }>();

    /** @param cells room for verdicts and counts in the shared memory */
    constructor(
        buffer: ArrayBufferLike,
        cells: { readonly base: number; readonly size: number },
        private readonly compiler: CheckCompiler,
    ) {
        this.words = new Uint32Array(buffer);
        for (let at = cells.base + cells.size - WORD; at >= cells.base; at -= WORD) {
            this.freeWords.push(at);
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
        changed.forEach(entry => this.leave(entry));
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
        if (entries.every(({ verdict }) => verdict === 0)) {
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
    verdict({ verdict }: Entry): Verdict {
        return verdict === 0 ? Verdict.Unknown : this.words[verdict / WORD];
    }

    private enter(breakpoint: CodeBreakpoint): Entry {
        const key = keyOf(breakpoint);
        const { program } = breakpoint;
        // Two words at most; more breakpoints than there is room for ask each time.
        if (program === undefined || this.freeWords.length < 2) {
            return { breakpoint, key, verdict: 0, counter: 0 };
        }
        let count = this.counts.get(program.counter);
        if (count === undefined) {
            count = { word: this.freeWords.pop()!, users: 0 };
            this.counts.set(program.counter, count);
            program.counter.moveTo(this.words, count.word / WORD);
        }
        count.users++;
        return { breakpoint, key, verdict: this.freeWords.pop()!, counter: count.word };
    }

    private leave({ breakpoint: { program }, verdict }: Entry): void {
        const count = program && this.counts.get(program.counter);
        if (verdict === 0 || count === undefined) {
            return;
        }
        this.freeWords.push(verdict);
        if (--count.users === 0) {
            program!.counter.moveBack();
            this.counts.delete(program!.counter);
            this.freeWords.push(count.word);
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

function checked({ breakpoint, verdict, counter }: Entry): CheckedBreakpoint {
    const { space, lo, hi, program } = breakpoint;
    return {
        linear: space === 'physical' ? undefined : { lo, hi },
        program: verdict === 0 ? undefined : program,
        verdict,
        counter,
    };
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

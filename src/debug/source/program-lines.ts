/** Source lines of programs with DWARF. */
import { HyperscopeError } from '../../common/errors';
import { commonTail, normalizePath } from '../../symbols/paths';
import type { Program, ProgramSet } from '../../symbols/program';
import type { InlinedCall, SourceLine, SourceLines } from '../source-lines';

/** Rewrites paths: those of the machine that compiled to those of this one, and back. */
export interface PathMapping {
    /** Where the debugging information's path is here. */
    toLocal(path: string): string;
    /** What the debugging information may call a path of this machine: candidates, the likeliest first. */
    toCompiled(path: string): readonly string[];
}

const UNCHANGED: PathMapping = { toLocal: path => path, toCompiled: path => [path] };

export class ProgramLines implements SourceLines {
    constructor(
        private readonly set: ProgramSet,
        private readonly mapping: PathMapping = UNCHANGED,
    ) {}

    async lineAt(address: bigint): Promise<SourceLine | undefined> {
        return this.lineOf(address);
    }

    /** As {@link lineAt}, at once. */
    lineOf(address: bigint): SourceLine | undefined {
        const program = this.set.at(address);
        const found = program && whatIsReadable(() => program.info.rowAt(program.linked(address)));
        if (program === undefined || found === undefined) {
            return undefined;
        }
        const { table, row } = found;
        const path = program.info.sources.pathOf(table.header, table.files[row]);
        if (path === '' || table.lines[row] === 0) {
            return undefined;
        }
        return {
            path: this.mapping.toLocal(path),
            line: table.lines[row],
            column: table.columns[row] || undefined,
            start: program.linear(table.addresses[row]),
            end: program.linear(table.endOf(row)),
            isStatement: table.isStatement(row),
        };
    }

    async locate(path: string, line: number, column?: number): Promise<readonly SourceLine[]> {
        const found: (SourceLine & { readonly common: number })[] = [];
        for (const program of this.set.programs) {
            for (const { common, ...location } of this.firstThatMatches(program, path, candidate =>
                program.info
                    .locate(candidate, line, column)
                    .map(one => ({ ...one, common: commonTail(one.path, normalizePath(candidate)) })),
            )) {
                for (const address of location.addresses) {
                    const start = program.linear(address);
                    const row = this.lineOf(start);
                    found.push({
                        common,
                        path: this.mapping.toLocal(location.path),
                        line: location.line,
                        column: location.column || undefined,
                        start,
                        end: row?.end ?? start + 1n,
                        isStatement: true,
                    });
                }
            }
        }
        // Programs have files of the same name: the path tells more. Of those, a later line than asked for is taken
        // from one program only if no other has the line itself.
        const most = found.reduce((best, { common }) => Math.max(best, common), 0);
        const alike = found.filter(({ common }) => common === most);
        const least = alike.reduce((best, place) => Math.min(best, place.line), Infinity);
        return alike.filter(place => place.line === least).map(({ common: _, ...place }) => place);
    }

    async linesOf(path: string, first: number, last: number): Promise<readonly SourceLine[]> {
        const found: SourceLine[] = [];
        for (const program of this.set.programs) {
            const places = this.firstThatMatches(program, path, candidate =>
                program.info.linesWithCode(candidate, first, last),
            );
            for (const { line, column, address } of places) {
                const start = program.linear(address);
                found.push({ path, line, column: column || undefined, start, end: start + 1n, isStatement: true });
            }
        }
        return found;
    }

    async functionsNamed(name: string): Promise<readonly bigint[]> {
        return this.set.programs.flatMap(program => [
            ...(whatIsReadable(() => program.functionsNamed(name)) ?? []),
            ...(whatIsReadable(() => program.inlinedCopies(name)) ?? []),
        ]);
    }

    async inlinedAt(address: bigint): Promise<readonly InlinedCall[]> {
        const program = this.set.at(address);
        const found = program && whatIsReadable(() => this.inlinedCalls(program, program.linked(address)));
        return found ?? [];
    }

    private inlinedCalls({ info }: Program, linked: number): InlinedCall[] {
        const calls = info.blocksAt(linked).filter(({ kind }) => kind === 'inlined');
        return calls.reverse().map(block => {
            const site = info.callSiteOf(block);
            return { name: info.nameOf(block), path: site && this.mapping.toLocal(site.path), line: site?.line };
        });
    }

    async files(): Promise<readonly string[]> {
        const paths = new Set<string>();
        for (const { info } of this.set.programs) {
            for (const path of whatIsReadable(() => info.sources.paths()) ?? []) {
                paths.add(this.mapping.toLocal(path));
            }
        }
        return [...paths].sort();
    }

    private firstThatMatches<T>(program: Program, path: string, find: (candidate: string) => T[]): T[] {
        for (const candidate of this.mapping.toCompiled(path)) {
            const found = whatIsReadable(() => find(candidate)) ?? [];
            if (found.length > 0) return found;
        }
        return [];
    }
}

/** Corrupt debugging information is none. */
export function whatIsReadable<T>(read: () => T): T | undefined {
    try {
        return read();
    } catch (error) {
        if (error instanceof HyperscopeError) return undefined;
        throw error;
    }
}

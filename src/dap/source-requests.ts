/** Requests about sources: listings of guest code, and files that line tables name. */
import { existsSync } from 'node:fs';
import path from 'node:path';
import type { DebugProtocol } from '@vscode/debugprotocol';
import { pattern } from '../debug/expression/value';
import type { DebugTarget, NamedFrame } from '../debug/target';
import { LISTING_EXTENSION, type ListingBody } from '../messages/listing';
import type { RequestArguments } from './arguments';
import { whatIsReadable } from '../debug/source/program-lines';
import { FetchedSources } from './fetched-sources';
import { type Listing, ListingStore } from './listings';
import { hex } from './presentation';
import type { RequestHandlers } from './protocol-session';
import { RequestError } from './request-error';
import type { SessionContext } from './session-context';

/** Lines that one request may ask about. */
const MOST_LINES = 100_000;
const MOST_FILES = 20_000;

/** A place in a source and where its code is. */
export interface LocatedLine {
    /** From 1; the line that has code, at or below the one asked for. */
    readonly line: number;
    readonly column?: number;
    /** Linear. */
    readonly addresses: readonly bigint[];
}

/** A source that a client speaks of: a listing, or a file. */
export interface NamedSource {
    /** The same for the same source. */
    readonly key: string;
    readonly source: DebugProtocol.Source;
    /** Its lines are all known: what is not there now will never be. */
    readonly isComplete: boolean;
    locate(target: DebugTarget, line: number, column?: number): Promise<LocatedLine | string>;
    /** Places with code in a range of lines, both ends included. */
    places(target: DebugTarget, first: number, last: number): Promise<readonly LocatedLine[]>;
}

export class SourceRequests {
    readonly handlers: RequestHandlers = {
        source: args => this.content(args),
        loadedSources: () => this.loadedSources(),
        breakpointLocations: args => this.breakpointLocations(args),
        'hyperscope/listing': args => this.listing(args),
    };

    private readonly listings = new ListingStore(
        listing => this.session.emitEvent('loadedSource', { reason: 'new', source: listing.source }),
        () => this.session.sharesFiles,
    );

    private readonly fetched = new FetchedSources(
        () => this.session.guest?.sourceCommand,
        file => this.buildIdOf(file),
    );
    private readonly filesThere = new Map<string, boolean>();
    private toldOfMissing = false;

    constructor(private readonly session: SessionContext) {}

    /**
     * What a frame is called and where it is: in a source file if debug information tells and the file is there to be
     * shown, otherwise in a listing.
     */
    async placeOf(
        target: DebugTarget,
        vcpu: number,
        { pc, symbol, source }: NamedFrame,
    ): Promise<Pick<DebugProtocol.StackFrame, 'name' | 'source' | 'line' | 'column'>> {
        const name = symbol ?? hex(pc);
        const shown = source && this.sourceOf(source.path);
        if (source !== undefined && shown !== undefined) {
            const column = source.column === undefined ? 0 : this.clientColumn(source.column);
            return { name, source: shown, line: this.clientLine(source.line), column };
        }
        const place = await this.listingPlace(target, vcpu, pc);
        return source === undefined
            ? { name, ...place }
            : { name: `${name} at ${path.basename(source.path)}:${source.line}`, ...place };
    }

    /** What shows a file of the debug information; undefined if nothing does. */
    sourceOf(file: string): DebugProtocol.Source | undefined {
        const canFetch = this.session.sharesFiles && this.session.guest?.sourceCommand !== undefined;
        if (canFetch && !existsSync(file)) {
            return this.fetched.source(file);
        }
        return this.isThere(file) ? fileSource(file) : undefined;
    }

    /** Of the program that was compiled from a file. */
    private buildIdOf(file: string): string | undefined {
        const { guest } = this.session;
        const programs = [...(guest?.modules ?? []), ...(guest?.kernelModules?.loaded ?? [])]
            .map(({ program }) => program)
            .filter(program => program !== undefined);
        const owner = programs.find(({ info }) => whatIsReadable(() => info.sources.matching(file))?.length);
        return owner?.elf.buildId;
    }

    /** A client on another machine has files of its own. Others than VS Code may have a use for the name alone. */
    private isThere(file: string): boolean {
        if (!this.session.sharesFiles || !this.session.client.isVsCode) return true;
        let there = this.filesThere.get(file);
        if (there === undefined) {
            there = existsSync(file);
            this.filesThere.set(file, there);
            if (!there && !this.toldOfMissing) {
                this.toldOfMissing = true;
                this.session.console(`${missingText(file)}\n`, 'important');
            }
        }
        return there;
    }

    private async listingPlace(
        target: DebugTarget,
        vcpu: number,
        pc: bigint,
    ): Promise<Pick<DebugProtocol.StackFrame, 'source' | 'line' | 'column'>> {
        const listing = await this.listings.at(target, vcpu, pc);
        const line = listing?.lineOf(pc);
        return listing === undefined || line === undefined
            ? { line: 0, column: 0 }
            : { source: listing.source, line: this.clientLine(line), column: this.clientColumn(1) };
    }

    /** Whether the innermost frame of a vCPU has a source. */
    async hasPlace(target: DebugTarget, vcpu: number): Promise<boolean> {
        const { value } = await target.evaluate(vcpu, 'pc', false);
        return (await this.listings.at(target, vcpu, pattern(value))) !== undefined;
    }

    /** The source that an object `source` of a request names. */
    async named(args: RequestArguments): Promise<NamedSource> {
        const source = args.object('source');
        const reference = source.optionalInteger('sourceReference', 0, 0);
        const name = source.optionalString('name');
        const file = source.optionalString('path');
        const listing = this.listings.find(reference) ?? (await this.listingByName(name ?? file));
        if (listing !== undefined) {
            return listingAsSource(listing);
        }
        const fetchedFile = this.fetched.fileOf(reference);
        if (fetchedFile !== undefined) {
            return {
                ...fileAsSource(fetchedFile),
                source: this.fetched.source(fetchedFile) ?? fileSource(fetchedFile),
            };
        }
        if (reference > 0) {
            this.listings.byId(reference);
        }
        if (file === undefined) {
            throw new RequestError('source has to have a path, or the sourceReference of a listing');
        }
        return fileAsSource(file);
    }

    /** A line as the client counts them. */
    clientLine(line: number): number {
        return line - 1 + this.session.client.firstLine;
    }

    clientColumn(column: number): number {
        return column - 1 + this.session.client.firstColumn;
    }

    /** A line of the client's, from 1. */
    ownLine(line: number): number {
        return line + 1 - this.session.client.firstLine;
    }

    ownColumn(column: number): number {
        return column + 1 - this.session.client.firstColumn;
    }

    /** A listing of an earlier session, which had another reference: its name tells where it begins. */
    private async listingByName(name: string | undefined): Promise<Listing | undefined> {
        const { guest, focus } = this.session;
        if (guest === undefined || name?.endsWith(LISTING_EXTENSION) !== true) {
            return undefined;
        }
        const known = this.listings.named(name);
        if (known !== undefined) {
            return known;
        }
        const place = path.basename(name, LISTING_EXTENSION);
        try {
            const { value } = await guest.target.evaluate(focus, place, false);
            return await this.listings.at(guest.target, focus, pattern(value));
        } catch {
            return undefined;
        }
    }

    private async content(args: RequestArguments): Promise<DebugProtocol.SourceResponse['body']> {
        const inside = args.has('source') ? args.object('source').optionalInteger('sourceReference', 0, 0) : 0;
        const reference = inside > 0 ? inside : args.integer('sourceReference', 0);
        if (reference === 0) {
            const file = args.has('source') ? args.object('source').optionalString('path') : undefined;
            throw new RequestError(
                file === undefined ? 'sourceReference 0 is a file, which the client reads itself' : missingText(file),
            );
        }
        const file = this.fetched.fileOf(reference);
        return { content: file === undefined ? this.listings.byId(reference).text : await this.fetched.content(file) };
    }

    private async loadedSources(): Promise<DebugProtocol.LoadedSourcesResponse['body']> {
        const files = (await this.session.guest?.target.sourceLines?.files()) ?? [];
        return {
            sources: [
                ...this.listings.all.map(listing => listing.source),
                ...files.slice(0, MOST_FILES).map(file => fileSource(file)),
            ],
        };
    }

    private async breakpointLocations(
        args: RequestArguments,
    ): Promise<DebugProtocol.BreakpointLocationsResponse['body']> {
        const first = this.ownLine(args.integer('line'));
        const last = args.has('endLine') ? this.ownLine(args.integer('endLine')) : first;
        if (last - first > MOST_LINES) {
            throw new RequestError(`endLine has to be at most ${MOST_LINES} lines below line`);
        }
        const source = await this.named(args);
        const places = await source.places(this.session.target, first, last);
        return {
            breakpoints: places.map(({ line, column }) => ({
                line: this.clientLine(line),
                column: column === undefined ? undefined : this.clientColumn(column),
            })),
        };
    }

    private async listing(args: RequestArguments): Promise<ListingBody> {
        const { target, focus } = this.session;
        const vcpu = args.optionalInteger('vcpu', focus, 0, target.vcpus - 1);
        const address = pattern((await target.evaluate(vcpu, args.string('address'), false)).value);
        const listing = await this.listings.at(target, vcpu, address);
        if (listing === undefined) {
            throw new RequestError(`there is no memory at ${hex(address)}`);
        }
        const current = await target.evaluate(vcpu, 'pc', false);
        return {
            sourceReference: listing.reference,
            name: listing.name,
            text: listing.text,
            lines: listing.lines,
            line: listing.lineOf(address) ?? 1,
            currentLine: listing.lineOf(pattern(current.value)),
        };
    }
}

function missingText(file: string): string {
    return (
        `the source file ${file} is not here: its code is shown as disassembly. ` +
        'The launch attribute \'sourceMap\' says where sources are, such as { ".": "/home/me/kernel" }'
    );
}

function fileSource(file: string): DebugProtocol.Source {
    return { name: path.basename(file), path: file };
}

function listingAsSource(listing: Listing): NamedSource {
    return {
        key: `listing ${listing.reference}`,
        source: listing.source,
        isComplete: true,
        locate: async (_target, line) => {
            const found = listing.instructionAt(line);
            return found === undefined
                ? `the listing has ${listing.lineCount} lines`
                : { line: found.line, addresses: [found.address] };
        },
        places: async (_target, first, last) => {
            const places: LocatedLine[] = [];
            for (let line = Math.max(1, first); line <= Math.min(last, listing.lineCount); line++) {
                const found = listing.instructionAt(line);
                if (found?.line === line) {
                    places.push({ line, addresses: [found.address] });
                }
            }
            return places;
        },
    };
}

function fileAsSource(file: string): NamedSource {
    return {
        key: `file ${file}`,
        source: fileSource(file),
        isComplete: false,
        locate: async ({ sourceLines }, line, column) => {
            if (sourceLines === undefined) {
                return 'source breakpoints need debug information: set them in a listing, by function or by address';
            }
            const found = await sourceLines.locate(file, line, column);
            return found.length === 0
                ? `no debug information that is loaded names code for line ${line} of this file`
                : { line: found[0].line, column: found[0].column, addresses: found.map(({ start }) => start) };
        },
        places: async ({ sourceLines }, first, last) =>
            ((await sourceLines?.linesOf(file, first, last)) ?? []).map(({ line, column, start }) => ({
                line,
                column,
                addresses: [start],
            })),
    };
}

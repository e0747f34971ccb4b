/** Requests of the Memory inspector. */
import { open } from 'node:fs/promises';
import path from 'node:path';
import { performance } from 'node:perf_hooks';
import { type Address, formatAddress } from '../debug/address';
import type { InspectionSource, SystemState } from '../debug/inspection-source';
import { linearAddress, viewMemory } from '../inspect/memory/memory-view';
import { expressionIn, parsePattern } from '../inspect/memory/pattern';
import { searchable, searchMemory, type SearchRequest } from '../inspect/memory/search';
import { isCanonical, pageTables, type PageTables } from '../inspect/paging/paging-format';
import { reverseMap } from '../inspect/paging/reverse-map';
import { walk } from '../inspect/paging/walk';
import type { MemorySpace } from '../messages/common';
import type {
    LoadMemoryBody,
    MemoryBody,
    MemoryMatch,
    MemoryPage,
    PageMappingItem,
    PageMappingsBody,
    SaveMemoryBody,
    SearchMemoryBody,
} from '../messages/memory';
import type { Activity } from './activity';
import type { RequestArguments } from './arguments';
import { choice, type InspectionContext } from './inspection-context';
import { hex } from './presentation';
import type { RequestHandlers } from './protocol-session';
import { RequestError } from './request-error';

const MOST_BYTES = 0x100000;
/** Bytes that a file may hold: what addresses of a PC's memory can say. */
const MOST_FILE_BYTES = 2 ** 40;
const FILE_PIECE = 0x100000;
/** Bytes searched between two turns for others: some 5 ms. */
const SEARCH_PIECE = 32 * 0x100000;
const MOST_MATCHES = 10_000;
const MOST_MAPPINGS = 4096;
const PAGE = 0x1000n;

export function memoryViewRequests(context: InspectionContext): RequestHandlers {
    return {
        'hyperscope/memory': args => memory(context, args),
        'hyperscope/searchMemory': (args, activity) => search(context, args, activity),
        'hyperscope/saveMemory': (args, activity) => save(context, args, activity),
        'hyperscope/loadMemory': (args, activity) => load(context, args, activity),
        'hyperscope/pageMappings': args => mappings(context, args),
    };
}

/** A place in memory: as the user says it, and as memory is addressed. */
interface Place {
    readonly vcpu: number;
    readonly space: MemorySpace;
    /** In that space. */
    readonly address: bigint;
    /** Linear or physical. */
    readonly at: Address;
}

async function placeOf(context: InspectionContext, args: RequestArguments): Promise<Place> {
    const vcpu = context.vcpu(args);
    const asked = choice(args, 'space', ['virtual', 'linear', 'physical'] as const) ?? 'linear';
    const found = await context.address(vcpu, args.string('address'));
    const offset = BigInt(args.optionalInteger('offset', 0));
    const address = BigInt.asUintN(64, found.offset + offset);
    const space = found.space === 'physical' ? 'physical' : asked;
    if (space !== 'virtual') {
        return { vcpu, space, address, at: { space, offset: address } };
    }
    const segment = args.optionalString('segment') ?? 'ds';
    const linear = await context.look(vcpu, ({ system }) => linearAddress(system, segment, address));
    return { vcpu, space, address, at: { space: 'linear', offset: linear } };
}

async function memory(context: InspectionContext, args: RequestArguments): Promise<MemoryBody> {
    const { vcpu, space, address, at } = await placeOf(context, args);
    const count = args.integer('count', 0, MOST_BYTES);
    const range = { space: at.space, address: at.offset, count };
    const isLinear = at.space === 'linear';
    const written = await context.target.writtenPages?.();
    const { symbol, bytes, pages, ...rest } = await context.look(vcpu, source => ({
        ...viewMemory(source, range, args.flag('annotate'), context.naming),
        symbol: isLinear ? source.symbol(at.offset) : undefined,
    }));
    return {
        space,
        address: hex(address),
        linear: isLinear ? hex(at.offset) : undefined,
        symbol,
        memoryReference: formatAddress(at),
        data: Buffer.from(bytes.buffer).toString('base64'),
        pages: written === undefined ? pages : pages.map(page => marked(page, written)),
        ...rest,
    };
}

/** A page, with whether it is among those that were written. */
function marked(page: MemoryPage, written: ReadonlySet<number>): MemoryPage {
    if (page.physical === undefined) return page;
    const physical = Number(page.physical);
    return written.has(physical - (physical % Number(PAGE))) ? { ...page, written: true } : page;
}

async function search(
    context: InspectionContext,
    args: RequestArguments,
    activity: Activity,
): Promise<SearchMemoryBody> {
    const vcpu = context.vcpu(args);
    const text = args.string('pattern');
    const expression = expressionIn(text);
    const number = expression === undefined ? undefined : (await context.address(vcpu, expression)).offset;
    const pattern = parsePattern(text, { ignoreCase: args.flag('ignoreCase'), number });
    const isPhysical = choice(args, 'space', ['linear', 'physical'] as const) === 'physical';
    const limit = args.optionalInteger('limit', 1000, 1, MOST_MATCHES);
    const budget = args.optionalInteger('budget', Number.MAX_SAFE_INTEGER, 1);
    const first = (await context.number(vcpu, args, 'first')) ?? 0n;
    const last = (await context.number(vcpu, args, 'last')) ?? BigInt.asUintN(64, -1n);
    const alignment = args.optionalInteger('alignment', pattern.alignment, 1, 2 ** 30);
    const request = (from: bigint, found: number, system: SystemState): SearchRequest => ({
        pattern,
        tables: isPhysical ? undefined : pageTables(system),
        first: from,
        last,
        alignment,
        limit: limit - found,
        bytes: SEARCH_PIECE,
    });
    const total = await context.look(vcpu, source => {
        if (isPhysical && source.regions === undefined) {
            throw new RequestError('this target does not tell where its memory is: search linear addresses');
        }
        return searchable(source, request(first, 0, source.system));
    });
    const end = performance.now() + budget;
    const matches: MemoryMatch[] = [];
    let searched = 0;
    let next: bigint | undefined = first;
    while (next !== undefined) {
        const from: bigint = next;
        const found = matches.length;
        const piece = await context.look(vcpu, source => searchMemory(source, request(from, found, source.system)));
        matches.push(...piece.matches);
        searched += piece.searched;
        next = piece.next;
        if (matches.length >= limit || performance.now() >= end) {
            break;
        }
        await activity.breathe('Searching memory', searched / Math.max(1, total));
    }
    const remaining = next === undefined ? 0 : Math.max(0, total - searched);
    return {
        matches,
        next: next === undefined ? undefined : hex(next),
        searched,
        remaining,
        length: pattern.values.length,
    };
}

function fileOf(args: RequestArguments): string {
    const file = args.string('file');
    if (!path.isAbsolute(file)) {
        throw new RequestError(`file has to be an absolute path, not '${file}'`);
    }
    return file;
}

async function withFile<T>(
    file: string,
    flags: string,
    use: (handle: Awaited<ReturnType<typeof open>>) => Promise<T>,
): Promise<T> {
    let handle: Awaited<ReturnType<typeof open>> | undefined;
    try {
        handle = await open(file, flags);
        return await use(handle);
    } catch (error) {
        const { code } = error as NodeJS.ErrnoException;
        if (typeof code !== 'string') throw error;
        const verb = flags === 'r' ? 'read' : 'written';
        throw new RequestError(`${file} cannot be ${verb}: ${code === 'ENOENT' ? 'no such file or folder' : code}`);
    } finally {
        await handle?.close();
    }
}

async function save(context: InspectionContext, args: RequestArguments, activity: Activity): Promise<SaveMemoryBody> {
    const file = fileOf(args);
    const { vcpu, at } = await placeOf(context, args);
    const count = args.integer('count', 1, MOST_FILE_BYTES);
    let unreadable = 0;
    await withFile(file, 'w', async handle => {
        for (let done = 0; done < count;) {
            const length = Math.min(FILE_PIECE, count - done);
            const address = BigInt.asUintN(64, at.offset + BigInt(done));
            const range = { space: at.space, address, count: length };
            const { bytes, pages } = await context.look(vcpu, source => viewMemory(source, range, false));
            for (const page of pages) {
                if (!page.readable) unreadable += page.length;
            }
            await handle.writeFile(bytes);
            done += length;
            await activity.breathe(`Saving memory to ${path.basename(file)}`, done / count);
        }
    });
    return { bytes: count, unreadable };
}

async function load(context: InspectionContext, args: RequestArguments, activity: Activity): Promise<LoadMemoryBody> {
    const file = fileOf(args);
    const { vcpu, at } = await placeOf(context, args);
    const { target } = context;
    const start = args.optionalInteger('fileOffset', 0, 0);
    let written = 0;
    await withFile(file, 'r', async handle => {
        const { size } = await handle.stat();
        if (start > size) {
            throw new RequestError(`fileOffset ${start} is behind the end of ${file}, which has ${size} bytes`);
        }
        const count = args.optionalInteger('count', size - start, 0, size - start);
        const buffer = new Uint8Array(FILE_PIECE);
        while (written < count) {
            const { bytesRead } = await handle.read(buffer, 0, Math.min(FILE_PIECE, count - written), start + written);
            if (bytesRead === 0) {
                break;
            }
            const offset = BigInt.asUintN(64, at.offset + BigInt(written));
            const done = await target.writeMemory(vcpu, { ...at, offset }, buffer.subarray(0, bytesRead));
            written += done;
            if (done < bytesRead) {
                const stopped = formatAddress({ ...at, offset: at.offset + BigInt(written) });
                context.memoryChanged(at, written);
                throw new RequestError(
                    `only ${written} of ${count} bytes were loaded: at ${stopped} there is no memory to write to`,
                );
            }
            await activity.breathe(`Loading ${path.basename(file)}`, written / count);
        }
    });
    context.memoryChanged(at, written);
    return { bytes: written };
}

async function mappings(context: InspectionContext, args: RequestArguments): Promise<PageMappingsBody> {
    const { vcpu, at } = await placeOf(context, args.object('place'));
    const limit = args.optionalInteger('limit', 256, 1, MOST_MAPPINGS);
    const chosen = await Promise.all(args.strings('cr3s').map(text => context.address(vcpu, text)));
    return context.look(vcpu, source => {
        const spaces = context.naming.addressSpaces?.(source) ?? [];
        const known = new Map(spaces.map(({ cr3, label }) => [cr3, label]));
        const tables = pageTables(source.system);
        const physical = at.space === 'physical' ? at.offset : physicalOf(source, tables, at.offset);
        const page = Number(physical - (physical % PAGE));
        const cr3s = chosen.length > 0 ? chosen.map(({ offset }) => offset) : [source.system.cr3, ...known.keys()];
        const items: PageMappingItem[] = [];
        const usedAs: string[] = [];
        let more = false;
        for (const cr3 of new Set(tables.mode === 'none' ? [] : cr3s)) {
            const found = reverseMap(source, pageTables(source.system, cr3), page, limit - items.length);
            more ||= found.more;
            usedAs.push(...found.usedAs.map(use => (cr3s.length === 1 ? use : `${use} (CR3 ${hex(cr3)})`)));
            for (const { linear, pageSize, permissions } of found.mappings) {
                const label = known.get(cr3);
                items.push({
                    cr3: hex(cr3),
                    linear: hex(linear),
                    pageSize,
                    permissions,
                    symbol: source.symbol(linear),
                    label,
                });
            }
            if (items.length >= limit) break;
        }
        return { physical: hex(BigInt(page)), mappings: items, more, usedAs };
    });
}

function physicalOf(source: InspectionSource, tables: PageTables, linear: bigint): bigint {
    if (tables.mode === 'none') {
        return BigInt.asUintN(32, linear);
    }
    const { mapping, problem } = isCanonical(tables, linear)
        ? walk(source, tables, linear)
        : { mapping: undefined, problem: 'the address is not canonical' };
    if (mapping === undefined) {
        throw new RequestError(`${hex(linear)} is mapped nowhere: ${problem}`);
    }
    return BigInt(mapping.physical);
}

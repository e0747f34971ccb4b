/** A kernel that is known by what it has in its own memory: a stock kernel without any symbol file. */
import type { DiscoveredKernel, KernelDiscovery } from '../debug/source/discovered-kernel';
import type { InspectionSource } from '../debug/inspection-source';
import { ListedSymbols } from '../symbols/listed-symbols';
import { SourceStack } from '../debug/source/source-stack';
import { type GlobalName, ProgramSet } from '../symbols/program';
import { OrcUnwinder } from '../symbols/orc';
import { IMAGE_FIRST } from '../symbols/kernel-range';
import { formatSymbolic } from '../symbols/symbol-table';
import type { CType } from '../symbols/types';
import type { UnwindSource } from '../symbols/unwind';
import { Btf, type BtfKeyword } from './btf';
import { buildIdIn } from './build-id';
import { BTF_MAGIC, BtfTables, readBtfHeader } from './btf-format';
import { optional } from './errors';
import { findKallsyms, type Kallsyms } from './kallsyms';
import type { Kernel, KernelFinder } from './kernel';
import { findImage, type Image, readImage, readLinear } from './kernel-image';
import { kernelSource } from './kernel-source';
import { readOrcTables } from './memory-orc';

const BANNER = /^Linux version (\S+)/;
const LONGEST_BANNER = 512;
const PAGE = 0x1000;
const MOST_NOTES = 0x10000;
/** BTF begins at a multiple of this. */
const BTF_ALIGNMENT = 8;
const BTF_HEADER = 24;

export class MemoryKernel implements Kernel, DiscoveredKernel {
    readonly origin: string;
    readonly description: string;
    readonly identity: string;
    readonly symbols: ListedSymbols;
    readonly unwinders: readonly UnwindSource[];
    readonly stacks = new SourceStack(new ProgramSet(), () => this.unwinders);
    /** Absent in kernels that were built without (CONFIG_DEBUG_INFO_BTF). */
    readonly btf: Btf | undefined;

    constructor(image: Image, kallsyms: Kallsyms) {
        this.symbols = new ListedSymbols(kallsyms, IMAGE_FIRST);
        this.btf = this.readBtf(image);
        this.unwinders = this.readUnwinders(image);
        const version = BANNER.exec(this.banner(image))?.[1];
        const name = version === undefined ? 'Linux' : `Linux ${version}`;
        const buildId = this.readBuildId(image);
        this.identity = buildId === undefined ? name : `${name}, build-id ${buildId}`;
        const found = [
            `${kallsyms.names.length.toLocaleString('en')} names`,
            ...(this.btf === undefined ? [] : ['types']),
            ...(this.unwinders.length === 0 ? [] : ['unwind tables']),
        ];
        this.origin = `the ${this.btf === undefined ? 'names' : 'names and types'} in the guest's memory`;
        this.description = `${name} has in its memory: ${found.join(', ')}`;
    }

    address(name: string): bigint | undefined {
        return this.symbols.named(name).at(0)?.address;
    }

    symbol(address: bigint): string | undefined {
        return formatSymbolic(this.symbols.at(address));
    }

    type(keyword: BtfKeyword | undefined, name: string): CType | undefined {
        return this.btf?.find(name, keyword);
    }

    findType(name: string, keyword: BtfKeyword | undefined): CType | undefined {
        return this.btf?.find(name, keyword);
    }

    findGlobal(name: string): GlobalName | undefined {
        const address = this.address(name);
        return this.btf?.global(name, address !== undefined && address >= IMAGE_FIRST ? address : undefined);
    }

    private banner(image: Image): string {
        const address = this.address('linux_banner');
        const bytes = address === undefined ? [] : readImage(image, Number(address - image.start), LONGEST_BANNER);
        return String.fromCharCode(...bytes).split('\n', 1)[0];
    }

    private readBuildId(image: Image): string | undefined {
        const [start, end] = ['__start_notes', '__stop_notes'].map(name => this.address(name));
        const size = start === undefined || end === undefined ? 0 : Number(end - start);
        const notes = size > 0 && size <= MOST_NOTES ? readLinear(image, start!, size) : undefined;
        return notes && buildIdIn(notes);
    }

    private readBtf(image: Image): Btf | undefined {
        const start = this.address('__start_BTF') ?? findBtf(image);
        const header =
            start === undefined ? undefined : readBtfHeader(readLinear(image, start, BTF_HEADER) ?? new Uint8Array(0));
        const bytes = header && readLinear(image, start!, header.size);
        return bytes && optional(() => new Btf(new BtfTables(bytes)));
    }

    private readUnwinders(image: Image): UnwindSource[] {
        const [ips, ipsEnd, entries, entriesEnd] = ['unwind_ip', 'unwind'].flatMap(table => [
            this.address(`__start_orc_${table}`),
            this.address(`__stop_orc_${table}`),
        ]);
        if (ips === undefined || ipsEnd === undefined || entries === undefined || entriesEnd === undefined) {
            return [];
        }
        const tables = readOrcTables((address, length) => readLinear(image, address, length), {
            ips,
            ipsEnd,
            entries,
            entriesEnd,
        });
        const end = image.start + BigInt(image.size);
        return tables === undefined
            ? []
            : [new OrcUnwinder(tables, address => address >= image.start && address < end)];
    }
}

/** Where BTF begins, by its magic number and a header that can be one: for kernels whose names do not tell. */
function findBtf(image: Image): bigint | undefined {
    for (let base = 0; base < image.size; base += PAGE) {
        const page = image.page(base);
        if (page === undefined) continue;
        for (let at = 0; at < PAGE; at += BTF_ALIGNMENT) {
            if ((page[at] | (page[at + 1] << 8)) !== BTF_MAGIC) continue;
            const header = readBtfHeader(readImage(image, base + at, BTF_HEADER));
            if (header === undefined || header.typesSize === 0 || header.stringsSize === 0) continue;
            // Types and strings follow each other, and the first string is empty.
            const follows = header.stringsAt === header.typesAt + header.typesSize;
            if (follows && readImage(image, base + at + header.stringsAt, 1)[0] === 0) {
                return image.start + BigInt(base + at);
            }
        }
    }
    return undefined;
}

/** Looks for the kernel in the guest's memory; found once, it stays until the guest begins anew. */
export class MemoryKernels implements KernelFinder, KernelDiscovery {
    private known: MemoryKernel | undefined;

    find(source: InspectionSource): Kernel | string {
        return this.discover(source) ?? "the guest's memory holds no names of a kernel";
    }

    discover(source: InspectionSource): MemoryKernel | undefined {
        if (this.known === undefined) {
            const image = findImage(kernelSource(source));
            const kallsyms = image && findKallsyms(image);
            this.known = image && kallsyms && new MemoryKernel(image, kallsyms);
        }
        return this.known;
    }

    restart(): void {
        this.known = undefined;
    }
}

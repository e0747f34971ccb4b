/** What a module tells of itself in the guest's memory: the names and unwind tables that the kernel keeps of it. */
import type { NameList } from '../symbols/listed-symbols';
import { OrcUnwinder } from '../symbols/orc';
import type { GlobalName, TypeKeyword, TypeSource } from '../symbols/program';
import type { CType } from '../symbols/types';
import type { UnwindSource } from '../symbols/unwind';
import { Btf } from './btf';
import { BtfTables } from './btf-format';
import { optional } from './errors';
import { readOrcTables } from './memory-orc';
import type { KernelModule } from './modules';
import { isKernelAddress, type Structure } from './structure';

/** `Elf64_Sym`. */
const SYMBOL_SIZE = 24;
const MOST_SYMBOLS = 0x10000;
const LONGEST_NAME = 512;
const MOST_ENTRIES = 0x100000;
const MOST_MODULES = 4096;
const LARGEST_BTF = 0x1000000;
/** Names of assemblers' labels, and of the kernel's own lists, tell nothing. */
const NO_NAME = /^(?:$|\.L|\$|__UNIQUE_ID_|__kstrtab|__ksymtab|__crc_)/;

/**
 * The names of a module (`struct mod_kallsyms`); undefined if the kernel keeps none.
 * @throws LinuxError if its tables cannot be read
 */
export function readModuleNames({ structure }: KernelModule): NameList | undefined {
    const tables = structure.has('kallsyms') ? structure.pointer('kallsyms') : undefined;
    const count = tables?.number('num_symtab') ?? 0;
    if (tables === undefined || count < 1 || count > MOST_SYMBOLS) {
        return undefined;
    }
    const { reader } = structure;
    const symbols = reader.bytes(tables.big('symtab'), count * SYMBOL_SIZE);
    const view = new DataView(symbols.buffer, symbols.byteOffset, symbols.byteLength);
    // Before 5.2 the letters of nm stood in the symbols themselves.
    const types = tables.has('typetab') ? reader.bytes(tables.big('typetab'), count) : undefined;
    const strings = tables.big('strtab');
    const found: { name: string; type: string; address: bigint }[] = [];
    for (let at = 0; at < symbols.length; at += SYMBOL_SIZE) {
        const address = view.getBigUint64(at + 8, true);
        if (view.getUint16(at + 6, true) === 0 || !isKernelAddress(address)) continue;
        const name = reader.string(strings + BigInt(view.getUint32(at, true)), LONGEST_NAME);
        if (NO_NAME.test(name)) continue;
        found.push({ name, type: String.fromCharCode(types?.[at / SYMBOL_SIZE] ?? symbols[at + 4]), address });
    }
    found.sort((a, b) => (a.address < b.address ? -1 : a.address > b.address ? 1 : 0));
    return {
        names: found.map(({ name }) => name),
        types: found.map(({ type }) => type),
        addresses: BigUint64Array.from(found, ({ address }) => address),
    };
}

/** How to find the callers of a module's functions; undefined if the kernel has no tables for it. */
export function readModuleUnwinder(module: KernelModule): UnwindSource | undefined {
    const { structure } = module;
    const count = structure.has('arch.num_orcs') ? structure.number('arch.num_orcs') : 0;
    if (count < 1 || count > MOST_ENTRIES) {
        return undefined;
    }
    const [ips, entries] = [structure.big('arch.orc_unwind_ip'), structure.big('arch.orc_unwind')];
    const read = (address: bigint, length: number): Uint8Array | undefined => {
        const { bytes } = structure.reader.memory.read(address, length);
        return bytes.length === length ? bytes : undefined;
    };
    const tables = readOrcTables(read, {
        ...{ ips, ipsEnd: ips + BigInt(4 * count) },
        ...{ entries, entriesEnd: entries + BigInt(6 * count) },
    });
    const code = [
        { base: module.base, size: BigInt(module.size) },
        ...range(structure, 'mem[4].base', 'mem[4].size'),
        ...range(structure, 'init_layout.base', 'init_layout.size'),
    ];
    return (
        tables &&
        new OrcUnwinder(tables, address => code.some(({ base, size }) => address >= base && address < base + size))
    );
}

/**
 * The types of a module that continue the kernel's: BTF, of which the kernel keeps a copy.
 * @param addressOf where its functions and variables are
 * @throws LinuxError if what it keeps cannot be read
 */
export function readModuleTypes(
    { structure }: KernelModule,
    addressOf: (name: string) => bigint | undefined,
): TypeSource | undefined {
    const { reader } = structure;
    const { btf, address } = { btf: reader.kernel.btf, address: reader.kernel.address('btf_modules') };
    if (btf === undefined || address === undefined) {
        return undefined;
    }
    const { items } = reader.list(address, 'btf_module', 'list', MOST_MODULES);
    const own = items.find(one => one.big('module') === structure.address)?.pointer('btf');
    const size = own?.number('data_size') ?? 0;
    return own === undefined || size < 1 || size > LARGEST_BTF
        ? undefined
        : new ModuleTypes(reader.bytes(own.big('data'), size), btf, addressOf);
}

/** Types of a module, decoded when somebody asks for the first one. */
class ModuleTypes implements TypeSource {
    private decoded: { readonly btf: Btf | undefined } | undefined;

    constructor(
        private readonly bytes: Uint8Array,
        private readonly base: Btf,
        private readonly addressOf: (name: string) => bigint | undefined,
    ) {}

    findType(name: string, keyword: TypeKeyword | undefined): CType | undefined {
        return this.btf?.find(name, keyword);
    }

    findGlobal(name: string): GlobalName | undefined {
        return this.btf?.global(name, this.addressOf(name));
    }

    private get btf(): Btf | undefined {
        const { bytes, base } = this;
        this.decoded ??= { btf: optional(() => new Btf(new BtfTables(bytes, base.tables), base)) };
        return this.decoded.btf;
    }
}

/** Where the code of the initialization lies, in the members of one version or another. */
function range(structure: Structure, base: string, size: string): { base: bigint; size: bigint }[] {
    return structure.has(base) && structure.has(size) ? [{ base: structure.big(base), size: structure.big(size) }] : [];
}

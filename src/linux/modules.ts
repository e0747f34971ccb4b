/** The modules that a kernel has loaded, and where it has put their sections (kernel/module/). */
import { bare, sizeOf } from '../symbols/types';
import { LinuxError } from './errors';
import { type KernelReader, type Listed, type Structure } from './structure';

/** `enum module_state`; `unformed` is one that is being put together, or taken apart. */
export type ModuleState = 'live' | 'coming' | 'going' | 'unformed';

const STATES: readonly ModuleState[] = ['live', 'coming', 'going', 'unformed'];
const MOST_MODULES = 4096;
const MOST_SECTIONS = 1024;
const LONGEST_NAME = 128;

export interface KernelModule {
    /** Linear address of its `struct module`. */
    readonly address: bigint;
    /** As the kernel has it, with underscores. */
    readonly name: string;
    readonly state: ModuleState;
    /** Linear address of its code, and bytes of what lies there. */
    readonly base: bigint;
    readonly size: number;
    readonly structure: Structure;
}

/**
 * The modules on the kernel's list, the one loaded last first.
 * @throws LinuxError if the kernel has no modules, or its structures are unlike any that are known
 */
export function readModules(reader: KernelReader): Listed<KernelModule> {
    const { items, problem } = reader.list(reader.address('modules'), 'module', 'list', MOST_MODULES);
    const modules: KernelModule[] = [];
    for (const structure of items) {
        try {
            modules.push(moduleAt(structure));
        } catch (error) {
            if (!(error instanceof LinuxError)) throw error;
            return { items: modules, problem: `a module cannot be read: ${error.message}` };
        }
    }
    return { items: modules, problem };
}

function moduleAt(structure: Structure): KernelModule {
    // One layout until 6.3, before 4.5 in members of the module itself; since 6.4 one for each kind of memory.
    const base = structure.either('mem[0].base', 'core_layout.base', 'module_core');
    const size = structure.either('mem[0].size', 'core_layout.size', 'core_size');
    const state = structure.number('state');
    return {
        address: structure.address,
        name: structure.string('name', LONGEST_NAME),
        state: STATES[state] ?? 'unformed',
        base: structure.big(base),
        size: structure.number(size),
        structure,
    };
}

/**
 * Linear addresses of a module's sections, by name, as `/sys/module/<name>/sections` tells them. Sections of its
 * initialization are among them, though they are gone once it is live.
 * @throws LinuxError for kernels that do not keep them (CONFIG_KALLSYMS, CONFIG_SYSFS)
 */
export function moduleSections({ structure }: KernelModule): Map<string, bigint> {
    const { reader } = structure;
    const attributes = structure.has('sect_attrs') ? structure.pointer('sect_attrs') : undefined;
    if (attributes === undefined) {
        throw new LinuxError('this kernel does not keep the addresses of the sections of a module');
    }
    const array = attributes.field('attrs').type;
    const element = array.kind === 'array' ? bare(array.element) : undefined;
    if (element?.kind !== 'record') {
        throw new LinuxError('struct module_sect_attrs has no array of attributes in this kernel');
    }
    const first = attributes.addressOf('attrs');
    // Since 6.14 only a list that ends with NULL tells how many there are.
    const count = attributes.has('nsections') ? attributes.number('nsections') : countOf(reader, attributes);
    if (count > MOST_SECTIONS) {
        throw new LinuxError(`a module claims to have ${count} sections`);
    }
    const stride = sizeOf(reader.layout.complete(element));
    const sections = new Map<string, bigint>();
    for (let index = 0; index < count; index++) {
        const one = reader.at(element, first + BigInt(index * stride));
        const name = one.string(one.either('battr.attr.name', 'attr.name', 'name'), LONGEST_NAME);
        if (name !== '' && !sections.has(name)) {
            sections.set(name, one.big(one.either('address', 'battr.private', 'private')));
        }
    }
    return sections;
}

function countOf(reader: KernelReader, attributes: Structure): number {
    const list = attributes.big(attributes.either('grp.bin_attrs', 'grp.bin_attrs_new'));
    for (let count = 0; count <= MOST_SECTIONS; count++) {
        if (reader.number(list + BigInt(8 * count), 8) === 0n) return count;
    }
    return MOST_SECTIONS + 1;
}

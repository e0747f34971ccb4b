/** Modules that the guest's kernel has loaded, with symbols out of files of the same name. */
import { HyperscopeError } from '../common/errors';
import type { InspectionSource } from '../debug/inspection-source';
import type { LoadablePrograms, Passage } from '../debug/program-knowledge';
import type { RunningKernel } from '../linux/kernel-source';
import { type KernelModule, moduleSections, readModules } from '../linux/modules';
import { readModuleNames, readModuleTypes, readModuleUnwinder } from '../linux/module-memory';
import type { Listed } from '../linux/structure';
import { ListedSymbols } from '../symbols/listed-symbols';
import { Program, type TypeSource } from '../symbols/program';
import type { UnwindSource } from '../symbols/unwind';
import type { ModuleFiles } from './module-files';
import { openModule } from './module-files';
import type { SymbolFiles } from './symbol-files';

/** Called when a module is in place and its own code has not run yet. */
const LOADED = 'do_init_module';
/** Called with what has ended, or failed to begin. */
const UNLOADED = 'free_module';

/** A module in the guest. */
export interface LoadedModule {
    readonly name: string;
    /** Linear address of its code, and bytes of all that is loaded. */
    readonly base: bigint;
    readonly size: number;
    /** The file that its symbols come from. */
    readonly file?: string;
    readonly program?: Program;
    /** What the kernel itself keeps of it, where there is no file. */
    readonly ownNames?: ListedSymbols;
    /** Why there are no symbols. */
    readonly problem?: string;
}

interface Known extends LoadedModule {
    readonly address: bigint;
    isInitialized: boolean;
    ownNames?: ListedSymbols;
    unwinder?: UnwindSource;
    types?: TypeSource;
    readonly close?: () => void;
}

export class KernelModules implements LoadablePrograms {
    private known: Known[] = [];

    /** @param log tells the user of files that do not fit */
    constructor(
        private readonly symbols: SymbolFiles,
        private readonly files: ModuleFiles,
        private readonly kernel: RunningKernel,
        private readonly log: (text: string) => void,
    ) {}

    get loaded(): readonly LoadedModule[] {
        return this.known;
    }

    get hasLines(): boolean {
        return this.files.areThere;
    }

    get reading(): Promise<unknown> | undefined {
        const indexing = this.symbols.indexing.filter(({ isRunning }) => isRunning);
        return indexing.length === 0 ? undefined : Promise.all(indexing.map(({ ended }) => ended));
    }

    places(): readonly bigint[] {
        return [this.placeOf(LOADED), this.placeOf(UNLOADED)].filter(place => place !== undefined);
    }

    refresh(source: InspectionSource, passage?: Passage): boolean {
        // Nothing is known of the kernel yet, and a search for it is not worth the time at every stop.
        const list = this.symbols.table.named('modules').length === 0 ? undefined : this.read(source);
        if (list === undefined) {
            return false;
        }
        const { items: modules, problem } = list;
        const leaving =
            passage !== undefined && passage.place === this.placeOf(UNLOADED) ? passage.argument : undefined;
        const there = modules.filter(({ address, state }) => address !== leaving && state !== 'unformed');
        const addresses = new Map(there.map(module => [module.address, module]));
        let hasChanged = false;
        this.known = this.known.filter(module => {
            const now = addresses.get(module.address);
            if (now?.name === module.name && now.base === module.base) return true;
            // A list that is being changed, or is damaged, does not tell what has gone.
            if (now === undefined && problem !== undefined && module.address !== leaving) return true;
            this.forget(module);
            hasChanged = true;
            return false;
        });
        for (const module of there) {
            const known = this.known.find(({ address }) => address === module.address);
            const isInitialized = module.state === 'live';
            if (known === undefined) {
                const loaded = this.load(module);
                if (loaded.program === undefined) this.takeOwnNames(loaded, module);
                this.takeTypes(loaded, module);
                this.known.push(loaded);
                hasChanged = true;
            } else if (isInitialized && !known.isInitialized) {
                // The kernel has freed what only the initialization needed.
                known.isInitialized = true;
                known.program?.unload(isOfInitialization);
                if (known.program === undefined) this.takeOwnNames(known, module);
                hasChanged = true;
            }
        }
        return hasChanged;
    }

    restart(): void {
        this.known.forEach(module => this.forget(module));
        this.known = [];
        this.kernel.restart();
    }

    private read(source: InspectionSource): Listed<KernelModule> | undefined {
        try {
            return readModules(this.kernel.reader(source));
        } catch (error) {
            // Early in a boot, and with kernels that have no modules.
            if (error instanceof HyperscopeError) return undefined;
            throw error;
        }
    }

    private load(module: KernelModule): Known {
        const { address, name, base, size, state } = module;
        const common = { address, name, base, size, isInitialized: state === 'live' };
        try {
            const sections = moduleSections(module);
            if (common.isInitialized) {
                for (const section of [...sections.keys()].filter(isOfInitialization)) sections.delete(section);
            }
            const problems: string[] = [];
            const found = this.find(module, sections, problems);
            if (found !== undefined) {
                return { ...common, ...found };
            }
            problems.forEach(problem => this.log(problem));
            return { ...common, problem: problems.at(0) ?? `no file ${name}.ko is in the folders of symbols` };
        } catch (error) {
            if (!(error instanceof HyperscopeError)) throw error;
            return { ...common, problem: error.message };
        }
    }

    /** The first file that belongs to the module, best one with debugging information. */
    private find(
        module: KernelModule,
        sections: ReadonlyMap<string, bigint>,
        problems: string[],
    ): Pick<Known, 'file' | 'program' | 'close'> | undefined {
        let best: Required<Pick<Known, 'file' | 'program' | 'close'>> | undefined;
        for (const file of this.files.of(module.name)) {
            try {
                const source = openModule(file);
                const close = (): void => source.close?.();
                const program = new Program(source, this.symbols.opener, sections);
                if (!isSameBuild(program, module)) {
                    close();
                    problems.push(`${file}: is not the module that is loaded: it is of another build`);
                    continue;
                }
                const isBetter = best === undefined || (program.info.isPresent && !best.program.info.isPresent);
                (isBetter ? best?.close : close)?.();
                if (isBetter) best = { file, program, close };
                if (program.info.isPresent) break;
            } catch (error) {
                if (!(error instanceof HyperscopeError)) throw error;
                problems.push(error.message);
            }
        }
        if (best !== undefined) this.symbols.addProgram(best.program);
        return best;
    }

    /** What the kernel keeps of a module itself, in the place of what it has kept before. */
    private takeOwnNames(known: Known, module: KernelModule): void {
        this.forgetOwnNames(known);
        try {
            const names = readModuleNames(module);
            if (names !== undefined) {
                known.ownNames = new ListedSymbols(names);
                this.symbols.table.addSource(known.ownNames);
            }
            known.unwinder = readModuleUnwinder(module);
            if (known.unwinder !== undefined) this.symbols.programs.unwinders.push(known.unwinder);
        } catch (error) {
            if (!(error instanceof HyperscopeError)) throw error;
        }
    }

    /** The types that the kernel keeps of a module, where no file tells them. */
    private takeTypes(known: Known, module: KernelModule): void {
        if (known.program?.info.isPresent === true) {
            return;
        }
        try {
            // Functions that were for the initialization alone are not among the names any more; types stay.
            const types = readModuleTypes(
                module,
                name => (known.ownNames ?? known.program?.symbols)?.named(name).at(0)?.address,
            );
            known.types = types;
            if (types !== undefined) this.symbols.programs.types.push(types);
        } catch (error) {
            if (!(error instanceof HyperscopeError)) throw error;
        }
    }

    private forgetOwnNames(known: Known): void {
        const { ownNames, unwinder } = known;
        if (ownNames !== undefined) this.symbols.table.removeSource(ownNames);
        if (unwinder !== undefined) {
            const { unwinders } = this.symbols.programs;
            unwinders.splice(unwinders.indexOf(unwinder), 1);
        }
        known.ownNames = undefined;
        known.unwinder = undefined;
    }

    private forget(known: Known): void {
        const { program, types, close } = known;
        this.forgetOwnNames(known);
        if (types !== undefined) {
            const all = this.symbols.programs.types;
            all.splice(all.indexOf(types), 1);
        }
        if (program !== undefined) this.symbols.removeProgram(program);
        close?.();
    }

    /** The symbol of a function, or of the copy of it that a compiler has specialized. */
    private placeOf(name: string): bigint | undefined {
        const [exact] = this.symbols.table.named(name);
        if (exact !== undefined) {
            return exact.address;
        }
        for (const { address, kind } of this.symbols.table.startingWith(`${name}.`)) {
            if (kind === 'function') return address;
        }
        return undefined;
    }
}

function isOfInitialization(section: string): boolean {
    return section.startsWith('.init');
}

/** By the build-id's note, which the kernel loads along; without one there is only the name. */
function isSameBuild({ elf }: Program, { structure }: KernelModule): boolean {
    const note = elf.loadedBuildIdNote();
    if (note === undefined || note.address === 0n) {
        return true;
    }
    const { bytes } = structure.reader.memory.read(note.address, note.bytes.length);
    return bytes.length < note.bytes.length || bytes.every((byte, index) => byte === note.bytes[index]);
}

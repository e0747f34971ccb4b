/**
 * What is known of a guest's programs, put to the vCPUs that run them: stacks, variables, expressions, and where
 * programs lie that have moved. Everything here looks at the guest at once: a target behind a wire has to have its
 * memory at hand.
 */
import type { PlainSymbols } from '../symbols/plain-symbols';
import { ProgramSet } from '../symbols/program';
import type { SymbolTable } from '../symbols/symbol-table';
import { hex } from '../machine/format';
import { codeSize } from './address';
import { type CodeRegion, codeRegion } from './code-region';
import { Expression } from './expression/expression';
import type { InspectionSource } from './inspection-source';
import { pattern, readsAsTyped } from './expression/value';
import { Gpr } from '../isa/x86/instruction';
import type { LoadablePrograms, LoadingPrograms, Passage, Relocation, SourceKnowledge } from './program-knowledge';
import { registerNames } from './registers/register-file';
import type { DiscoveredKernel, KernelDiscovery } from './source/discovered-kernel';
import { KernelSearch } from './source/kernel-search';
import { KernelLocator, type KernelPlace } from './source/kernel-locator';
import { type PathMapping, ProgramLines } from './source/program-lines';
import type { SourceFrame } from './source/source-stack';
import { SourceView } from './source/source-view';
import { stepPlace } from './source/step-place';
import type { VariableScope, VariableView } from './source/variable-view';
import type { SourceLines } from './source-lines';
import { type Frame, programCounter, walkStack } from './stack';
import type { Completion, EvaluationResult, NamedFrame } from './target';
import type { VcpuView } from './vcpu-view';

const MOST_COMPLETIONS = 200;

/** What is known of the guest's programs besides their symbols. */
export interface DebugInformation {
    readonly programs: ProgramSet;
    readonly mapping?: PathMapping;
    /** Lists of symbols that know nothing else. */
    readonly plain?: readonly PlainSymbols[];
    /** Finds what a kernel tells of itself, where no symbol file does. */
    readonly discovery?: KernelDiscovery;
    readonly loadable?: LoadablePrograms;
    readonly userCode?: UserCodeNaming;
}

/**
 * Names user code of the process that a vCPU executes, where no symbols do.
 * @param source as that vCPU sees the guest
 * @returns for the code at an address what the place is called; undefined if nothing is known of the process
 */
export type UserCodeNaming = (source: InspectionSource) => ((address: bigint) => string | undefined) | undefined;

export const NO_DEBUG_INFORMATION: DebugInformation = { programs: new ProgramSet() };

/** Who has to hear of programs that turn out to lie elsewhere. */
export interface MoveListener {
    /** Breakpoints in what has moved go along. */
    move(isMoved: (address: bigint) => boolean, by: bigint): void;
    relocated(): Promise<void>;
    /** A line for the user. */
    logged(text: string): void;
    /** The guest as a vCPU sees it; absent where that cannot be had at once. */
    inspection?(vcpu: number): InspectionSource;
}

export class GuestPrograms {
    readonly sourceLines: SourceLines | undefined;
    private readonly lines: ProgramLines;
    private readonly locator: KernelLocator;
    private readonly search: KernelSearch;
    /** Found, but not told yet. */
    private moves: KernelPlace[] = [];
    /** The kernel whose names are in use. */
    private adopted: DiscoveredKernel | undefined;
    private readonly sourceViews: readonly SourceView[];
    private readonly programs: ProgramSet;
    private readonly mapping: PathMapping | undefined;
    private readonly loadable: LoadablePrograms | undefined;
    private readonly userCode: UserCodeNaming | undefined;

    /** Gives the views the variables of their innermost frames. */
    constructor(
        private readonly views: readonly VcpuView[],
        private readonly symbols: SymbolTable,
        { programs, mapping, discovery, plain, loadable, userCode }: DebugInformation,
        private readonly listener: MoveListener,
    ) {
        this.programs = programs;
        this.mapping = mapping;
        this.loadable = loadable;
        this.userCode = userCode;
        this.lines = new ProgramLines(programs, mapping);
        const inspection = listener.inspection?.bind(listener);
        this.search = new KernelSearch(discovery, views, programs, inspection);
        this.sourceViews = views.map(
            (view, index) => new SourceView(view, programs, symbols, () => this.search.kernel, index),
        );
        this.renewContexts();
        this.locator = new KernelLocator(
            programs,
            (offset, length) => views[0].memory.read({ space: 'linear', offset }, length),
            plain,
        );
        const hasLines = programs.programs.some(({ info }) => info.isPresent) || loadable?.hasLines === true;
        this.sourceLines = hasLines ? this.lines : undefined;
    }

    // ---- programs that move --------------------------------------------------------------------------------------

    readonly relocation: Relocation = {
        restart: () => this.restart(),
        isSearching: () => this.locator.isSearching || this.search.isSearching,
        find: () => this.findKernels(),
        findQuickly: () => this.search.look(),
        apply: () => this.applyMoves(),
        mismatch: pc => this.mismatch(pc),
    };

    private mismatch(pc: bigint): string | undefined {
        const text = this.locator.mismatch(pc);
        const identity = text && this.search.identity;
        return identity === undefined ? text : `${text}. The guest runs ${identity}`;
    }

    /** The guest begins anew: its next boot may choose another place. */
    async restart(): Promise<void> {
        this.moves = this.locator.restart();
        this.search.restart();
        this.loadable?.restart();
        await this.applyMoves();
    }

    /** Whether a kernel has turned up whose place was not known. */
    private findKernels(): boolean {
        if (this.views.some(({ cpu }) => cpu.longMode)) {
            this.moves.push(...this.locator.find());
        }
        return this.search.look() || this.moves.length > 0;
    }

    private async applyMoves(): Promise<void> {
        const moved = this.moves.splice(0).filter(({ program, slide }) => program.slide !== slide);
        for (const { program, slide } of moved) {
            this.listener.move(address => program.hasCode(address), slide - program.slide);
            program.slide = slide;
        }
        const isNew = this.adoptKernel();
        this.invalidate();
        if (moved.length > 0 || isNew) {
            await this.listener.relocated();
        }
    }

    /** Takes over what the search has found, or lost; whether it has. */
    private adoptKernel(): boolean {
        const { kernel } = this.search;
        if (kernel === this.adopted) {
            return false;
        }
        if (this.adopted !== undefined) this.symbols.removeSource(this.adopted.symbols);
        this.adopted = kernel;
        if (kernel !== undefined) {
            // What runs goes before what a file says.
            this.symbols.addSource(kernel.symbols, true);
            this.listener.logged(kernel.description);
        }
        this.renewContexts();
        return true;
    }

    private renewContexts(): void {
        this.views.forEach((view, index) => {
            view.expressions = this.sourceViews[index].contextAt(0);
        });
    }

    /** Absent where nothing is known of programs that could be loaded. */
    get loading(): LoadingPrograms | undefined {
        const { loadable } = this;
        if (loadable === undefined) {
            return undefined;
        }
        /** Passages that could not be looked into yet. */
        let open: { vcpu: number; passage: Passage }[] = [];
        return {
            places: () => loadable.places(),
            passed: (vcpu, place) => {
                const passage = { place, argument: this.views[vcpu].cpu.gpr64(Gpr.Rdi) };
                if (loadable.reading === undefined) return this.refresh(loadable, vcpu, passage);
                open.push({ vcpu, passage });
                return true;
            },
            stopped: vcpu => this.refresh(loadable, vcpu),
            apply: async () => {
                const waiting = open;
                open = [];
                if (waiting.length > 0) await loadable.reading;
                for (const { vcpu, passage } of waiting) this.refresh(loadable, vcpu, passage);
                await this.listener.relocated();
            },
        };
    }

    private refresh(loadable: LoadablePrograms, vcpu: number, passage?: Passage): boolean {
        const source = this.listener.inspection?.(vcpu);
        const hasChanged = source !== undefined && loadable.refresh(source, passage);
        if (hasChanged) this.invalidate();
        return hasChanged;
    }

    // ---- stepping ------------------------------------------------------------------------------------------------

    readonly source: SourceKnowledge = {
        placeOf: vcpu => {
            const pc = programCounter(this.views[vcpu].cpu);
            const program = this.programs.at(pc);
            return program && stepPlace(program, pc);
        },
        callerOf: vcpu => this.callerOf(vcpu),
    };

    private callerOf(vcpu: number): Frame | undefined {
        const { cpu, memory, disassembler } = this.views[vcpu];
        return this.sourceViews[vcpu].caller ?? walkStack(cpu, memory, disassembler).at(1);
    }

    // ---- what views show -----------------------------------------------------------------------------------------

    /** Something was changed by hand. */
    invalidate(): void {
        this.sourceViews.forEach(view => view.invalidate());
    }

    isVariable(name: string, address: bigint): boolean {
        return this.sourceViews[0].isVariable(name, address);
    }

    codeRegion(vcpu: number, address: bigint): CodeRegion {
        return codeRegion(this.symbols, address, codeSize(this.views[vcpu].cpu));
    }

    stack(vcpu: number): NamedFrame[] {
        const { cpu, memory, disassembler } = this.views[vcpu];
        const frames = this.sourceViews[vcpu].frames;
        if (frames !== undefined) {
            const names = frames.some(({ physical }) => physical.state.user !== undefined)
                ? this.userCodeNames(vcpu)
                : undefined;
            return frames.map(frame => this.nameFrame(frame, names));
        }
        const userName = cpu.cpl === 3 ? this.userCodeNames(vcpu) : undefined;
        return walkStack(cpu, memory, disassembler).map((frame, depth) => {
            const symbol = depth === 0 ? this.symbols.format(frame.pc) : this.symbols.formatReturn(frame.pc);
            const name = symbol === undefined ? userName?.(frame.pc) : undefined;
            return {
                ...frame,
                symbol: name === undefined ? symbol : userFrame(name),
                source: this.lines.lineOf(depth === 0 ? frame.pc : frame.pc - 1n),
            };
        });
    }

    private userCodeNames(vcpu: number): ((address: bigint) => string | undefined) | undefined {
        const source = this.listener.inspection?.(vcpu);
        return source && this.userCode?.(source);
    }

    private nameFrame(
        { physical, isInlined, name, path, line, column }: SourceFrame,
        userName?: (address: bigint) => string | undefined,
    ): NamedFrame {
        const { state, numbering, origin } = physical;
        const { pc, isReturn, user } = state;
        const known = name ?? (isReturn ? this.symbols.formatReturn(pc) : this.symbols.format(pc));
        const source = path === undefined || !line ? undefined : { path, line, column };
        return {
            pc,
            stackPointer: state.registers[numbering.stackPointer] ?? 0n,
            symbol: known ?? (user === undefined ? undefined : userFrame(userName?.(pc) ?? hex(pc))),
            origin,
            inlined: isInlined || undefined,
            source: source && {
                path: this.mapping?.toLocal(source.path) ?? source.path,
                line: source.line,
                column: source.column || undefined,
                start: pc,
                end: pc + 1n,
                isStatement: true,
            },
        };
    }

    scopes(vcpu: number, depth: number): { scope: VariableScope; count: number }[] {
        return this.sourceViews[vcpu].scopes(depth);
    }

    list(vcpu: number, depth: number, scope: VariableScope): VariableView[] {
        return this.sourceViews[vcpu].list(depth, scope);
    }

    children(vcpu: number, depth: number, expression: string, start: number, count: number): VariableView[] {
        const source = this.sourceViews[vcpu];
        const value = new Expression(expression).evaluate(source.contextAt(depth));
        return source.presenter.children(value, expression, start, count);
    }

    evaluate(vcpu: number, expression: string, assignments: boolean, depth: number): EvaluationResult {
        const source = this.sourceViews[vcpu];
        const value = new Expression(expression).evaluate(source.contextAt(depth), { assignments });
        if (assignments) {
            this.invalidate();
        }
        if (readsAsTyped(value.type)) {
            return { value, view: source.presenter.view(expression, value, expression) };
        }
        return { value, symbol: value.space === 'linear' ? this.symbols.format(pattern(value)) : undefined };
    }

    complete(prefix: string): Completion[] {
        const found: Completion[] = [];
        for (const name of registerNames()) {
            if (name.startsWith(prefix.toLowerCase())) found.push({ text: name, kind: 'register' });
        }
        for (const { name } of this.symbols.startingWith(prefix)) {
            if (found.length >= MOST_COMPLETIONS) break;
            found.push({ text: name, kind: 'symbol' });
        }
        return found.slice(0, MOST_COMPLETIONS);
    }
}

/** How frames of user code are called that no symbols name. */
function userFrame(place: string): string {
    return `user mode: ${place}`;
}

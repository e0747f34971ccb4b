/**
 * The interpreter tier's handlers: generated when an instruction of a new shape is first met, several to a module.
 */
import { Attribute, type Instruction } from '../../isa/x86/instruction';
import { ModeKey } from '../../machine/state';
import {
    type FixedParameters,
    HandlerEmitter,
    FixedHandler,
    TranslatedModule,
    fixedHandler,
    withUnreachableEnd,
} from '../codegen/handler-emitter';
import { HandlerContext, shapeNumber } from '../lift/handler-context';
import { type SemanticTable } from '../lift/semantics';
import { systemSemantics } from '../lift/system';

/** Functions over the shared memory that translated code may call, by helper name. */
export type HelperFunctions = Readonly<Record<string, (...args: number[]) => number | void>>;

/** Mode bits that no handler depends on: privilege is checked by system operations, fetching by the dispatcher. */
const IRRELEVANT_MODE = 3 << ModeKey.CplShift;
/** Execution modes that handlers may be specialised on: a bound well above the combinations that CPUs have. */
const MODES = 4096;

/** Elements by which a small table grows. */
const GROWTH = 512;

/** The function table that all translated code shares, and free slots in it. */
export class CodeTable {
    /** No larger than it has to be: in Node 20 each instance that imports it has a copy, 20 bytes an element. */
    readonly table = new WebAssembly.Table({ element: 'anyfunc', initial: GROWTH });
    private next = 1;
    private readonly free: number[] = [];

    take(): number {
        const index = this.free.pop() ?? this.next++;
        if (index >= this.table.length) {
            this.table.grow(Math.max(GROWTH, this.table.length >> 2));
        }
        return index;
    }

    set(index: number, code: WebAssembly.ExportValue): void {
        this.table.set(index, code);
    }

    release(index: number): void {
        this.table.set(index, null);
        this.free.push(index);
    }
}

const WASM_PAGE = 0x10000;

/** An empty module over the shared memory. */
export function newModule(memory: WebAssembly.Memory): TranslatedModule {
    const pages = memory.buffer.byteLength / WASM_PAGE;
    return new TranslatedModule(pages, pages, 1);
}

/** How an instruction of this shape runs. */
export interface Handler {
    /** Table index. */
    readonly index: number;
    /** The handler hands over to the system operations: it ends a block. */
    readonly system: boolean;
}

interface PendingHandler {
    readonly index: number;
    readonly body: Uint8Array;
}

export class Handlers {
    private readonly known = new Map<number, Handler>();
    private readonly modes: number[] = [];
    private pending: PendingHandler[] = [];
    private module: TranslatedModule | undefined;
    /** Handlers generated and seconds spent on them, for statistics. */
    generated = 0;
    seconds = 0;

    constructor(
        private readonly memory: WebAssembly.Memory,
        readonly codeTable: CodeTable,
        private readonly semantics: SemanticTable,
        private readonly helpers: HelperFunctions,
        fixed: FixedParameters,
        private readonly now: () => number,
    ) {
        const target = this.target();
        for (let which = FixedHandler.Header; which < FixedHandler.First; which++) {
            this.pending.push({ index: this.codeTable.take(), body: fixedHandler(target, which, fixed) });
        }
        this.flush();
    }

    /** The handler for this instruction in this mode; generated if new (see {@link flush}). */
    find(instruction: Instruction, mode: number): Handler {
        const relevant = mode & ~IRRELEVANT_MODE;
        const key = shapeNumber(instruction) * MODES + this.modeNumber(relevant);
        let handler = this.known.get(key);
        if (handler === undefined) {
            handler = this.generate(instruction, relevant);
            this.known.set(key, handler);
        }
        return handler;
    }

    /** A small number for each mode that has been met. */
    private modeNumber(mode: number): number {
        const index = this.modes.indexOf(mode);
        if (index >= 0) {
            return index;
        }
        if (this.modes.length === MODES) {
            throw new Error(`more than ${MODES} execution modes`);
        }
        return this.modes.push(mode) - 1;
    }

    /** Compiles what {@link find} generated. To be called before any of it runs. */
    flush(): void {
        if (this.pending.length === 0) {
            return;
        }
        const start = this.now();
        const target = this.target();
        this.pending.forEach(({ body }, i) => target.module.addFunction(target.functionType, body, `f${i}`));
        const module = new WebAssembly.Module(target.module.encode());
        const instance = new WebAssembly.Instance(module, {
            env: { memory: this.memory, table: this.codeTable.table },
            helpers: this.helpers as WebAssembly.ModuleImports,
        });
        this.pending.forEach(({ index }, i) => this.codeTable.set(index, instance.exports[`f${i}`]));
        this.pending = [];
        this.module = undefined;
        this.seconds += (this.now() - start) / 1000;
    }

    /** Compiles one function of its own; returns its table index. */
    compile(emit: (target: TranslatedModule) => Uint8Array): number {
        const target = this.newModule();
        target.module.addFunction(target.functionType, emit(target), 'f');
        const instance = new WebAssembly.Instance(new WebAssembly.Module(target.module.encode()), {
            env: { memory: this.memory, table: this.codeTable.table },
            helpers: this.helpers as WebAssembly.ModuleImports,
        });
        const index = this.codeTable.take();
        this.codeTable.set(index, instance.exports.f);
        return index;
    }

    /** Imports of a new module of translated code. */
    newModule(): TranslatedModule {
        return newModule(this.memory);
    }

    private target(): TranslatedModule {
        this.module ??= this.newModule();
        return this.module;
    }

    private generate(instruction: Instruction, mode: number): Handler {
        const start = this.now();
        const context = new HandlerContext(mode);
        context.begin(instruction);
        const semantic = semanticOf(instruction, mode, this.semantics);
        if (semantic === undefined) {
            context.system();
        } else {
            semantic(context);
            context.finish();
        }
        const target = this.target();
        const emitter = new HandlerEmitter(target, (mode & ModeKey.FlatCode) !== 0);
        emitter.emitSequence(context.ir.ir);
        const index = this.codeTable.take();
        this.pending.push({ index, body: withUnreachableEnd(emitter) });
        this.generated++;
        this.seconds += (this.now() - start) / 1000;
        return { index, system: semantic === undefined };
    }
}

/** The semantic function that applies in this mode; undefined: the dispatcher runs (or refuses) the instruction. */
export function semanticOf(
    instruction: Instruction,
    mode: number,
    semantics: SemanticTable,
): SemanticTable[string] | undefined {
    const { attributes, mnemonic } = instruction.row;
    const realOrV86 = (mode & ModeKey.Protected) === 0 || (mode & ModeKey.Virtual8086) !== 0;
    if (
        // FWAIT looks at CR0.MP and TS itself.
        ((attributes & (Attribute.X87 | Attribute.Mmx)) !== 0 &&
            (mode & ModeKey.X87Usable) === 0 &&
            mnemonic !== 'FWAIT') ||
        ((attributes & Attribute.Sse) !== 0 && (mode & ModeKey.SseUsable) === 0) ||
        ((attributes & (Attribute.Vex | Attribute.ProtectedOnly)) !== 0 && realOrV86)
    ) {
        return undefined;
    }
    const table = (attributes & Attribute.System) !== 0 ? systemSemantics : semantics;
    return Object.prototype.hasOwnProperty.call(table, mnemonic) ? table[mnemonic] : undefined;
}

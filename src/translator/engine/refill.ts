/** Soft TLB refills without TypeScript (see `codegen/refill-emitter.ts`): what they need to know, and their code. */
import type { PageFlag, RamGeometry } from '../codegen/page-walk-emitter';
import { REFILL_HELPERS, emitRefill } from '../codegen/refill-emitter';
import { type HelperFunctions, newModule } from './handlers';

/** Where guest RAM is in the shared memory. */
export interface RamMap extends Omit<RamGeometry, 'codePages'> {
    /** Whether RAM is at the addresses that these figures say: not while the A20 gate is closed. */
    isPlain(): boolean;
}

const PAGE = 0x1000;
const HIGH_RAM_BASE = 0x1_0000_0000;

/** A byte for each page of RAM, in the shared memory: see {@link PageFlag}. */
export class CodePages implements RamGeometry {
    readonly base: number;
    readonly low: number;
    readonly high: number;
    readonly codePages: number;
    /** What is left of the arena. */
    readonly rest: { readonly base: number; readonly size: number };
    private readonly bytes: Uint8Array;

    constructor(buffer: ArrayBufferLike, arena: { readonly base: number; readonly size: number }, ram: RamMap) {
        this.base = ram.base;
        this.low = ram.low;
        this.high = ram.high;
        const count = (ram.low + ram.high) / PAGE;
        this.codePages = arena.base;
        this.bytes = new Uint8Array(buffer, arena.base, count);
        // Two records a cache line.
        const taken = Math.ceil(count / 64) * 64;
        this.rest = { base: arena.base + taken, size: arena.size - taken };
    }

    /** `page`: physical address. Pages that are not RAM are never entered without TypeScript. */
    set(page: number, flag: PageFlag, present: boolean): void {
        const offset = page < HIGH_RAM_BASE ? page : page - HIGH_RAM_BASE + this.low;
        const isRam = page < HIGH_RAM_BASE ? page < this.low : offset < this.low + this.high;
        if (isRam) {
            const at = offset / PAGE;
            this.bytes[at] = present ? this.bytes[at] | flag : this.bytes[at] & ~flag;
        }
    }
}

/** The helpers of translated code that do refills, each falling back to the one of its name in `slow`. */
export function refillHelpers(memory: WebAssembly.Memory, ram: RamGeometry, slow: HelperFunctions): HelperFunctions {
    const target = newModule(memory);
    emitRefill(target, ram);
    const { exports } = new WebAssembly.Instance(new WebAssembly.Module(target.module.encode()), {
        env: { memory, table: new WebAssembly.Table({ element: 'anyfunc', initial: 1 }) },
        helpers: slow as WebAssembly.ModuleImports,
    });
    return Object.fromEntries(REFILL_HELPERS.map(name => [name, exports[name] as HelperFunctions[string]]));
}

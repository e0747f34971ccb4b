/**
 * Soft TLB misses without leaving WebAssembly: the page walk of 4- and 5-level paging (SDM Vol. 3, 4.5) for accesses
 * that need nothing but the entry. A boot of Linux misses a million times; through TypeScript each costs as much as
 * some hundred guest instructions.
 *
 * Whatever is not ordinary is left to the MMU in TypeScript, which does all of it again: faults, accessed and dirty
 * flags to be set, other paging modes, accesses over a page's end, device registers, the legacy area below 1 MiB, stores
 * to pages with code, pages that are or may be watched, and everything while there is a `RefillObstacle`.
 */
import { StateOffset } from '../../machine/state';
import { Wasm } from '../../wasm/module';
import { Type } from '../ir/opcodes';
import { LOCAL_CPU, MEMORY_LOAD, MEMORY_STORE } from './function-writer';
import { HandlerEmitter, LOAD_MISS, STORE_MISS, type TranslatedModule, withUnreachableEnd } from './handler-emitter';
import { LOCAL_KIND, PageWalk, type RamGeometry, WRITES } from './page-walk-emitter';
import { REGION_MISS } from './region-emitter';

const VECTOR_ACCESS = 4;

const I32 = 0x7f;

/** Names under which {@link emitRefill} exports what replaces the helpers of the same names. */
export const REFILL_HELPERS = [LOAD_MISS.name, STORE_MISS.name, REGION_MISS.name] as const;

/** Adds the functions named in {@link REFILL_HELPERS}; each falls back to the imported helper of its name. */
export function emitRefill(target: TranslatedModule, ram: RamGeometry): void {
    const { module } = target;
    const loadMiss = target.helper(LOAD_MISS);
    const storeMiss = target.helper(STORE_MISS);
    const regionMiss = target.helper(REGION_MISS);
    const walk = module.addFunction(target.functionType, new PageWalk(target, ram).emit());
    const access = module.type([I32, I32], []);
    module.addFunction(access, loadBody(target, walk, loadMiss), LOAD_MISS.name);
    module.addFunction(access, storeBody(target, walk, storeMiss), STORE_MISS.name);
    module.addFunction(target.functionType, regionBody(target, walk, regionMiss), REGION_MISS.name);
}

/** Calls the page walk; leaves its result on the stack and in `host`. */
function emitWalk(e: HandlerEmitter, walk: number, host: number, writes: boolean): void {
    e.localGet(LOCAL_CPU);
    e.localGet(LOCAL_KIND);
    if (writes) {
        e.i32Const(WRITES);
        e.opcode(Wasm.I32Or);
    }
    e.out.byte(Wasm.Call);
    e.out.u32(walk);
    e.localTee(host);
}

function emitFallback(e: HandlerEmitter, helper: number): void {
    e.localGet(LOCAL_CPU);
    e.localGet(LOCAL_KIND);
    e.out.byte(Wasm.ReturnCall);
    e.out.u32(helper);
}

function regionBody(target: TranslatedModule, walk: number, fallback: number): Uint8Array {
    const e = new HandlerEmitter(target, true);
    const host = e.takeLocal(Type.I32);
    emitWalk(e, walk, host, false);
    e.openIf();
    e.localGet(host);
    e.out.byte(Wasm.Return);
    e.close();
    emitFallback(e, fallback);
    return withUnreachableEnd(e);
}

/** The value goes to `scratch`, narrow ones zero-extended to 32 bits. */
function loadBody(target: TranslatedModule, walk: number, fallback: number): Uint8Array {
    const e = new HandlerEmitter(target, true);
    const host = e.takeLocal(Type.I32);
    emitWalk(e, walk, host, false);
    e.openIf();
    const stores = [Wasm.I32Store, Wasm.I32Store, Wasm.I32Store, Wasm.I64Store, Wasm.V128Store];
    emitBySize(e, access => {
        e.localGet(LOCAL_CPU);
        e.localGet(host);
        e.memory(MEMORY_LOAD[access], 0);
        e.memory(stores[access], StateOffset.scratch);
    });
    e.close();
    emitFallback(e, fallback);
    return withUnreachableEnd(e);
}

/** The value is in `scratch`. */
function storeBody(target: TranslatedModule, walk: number, fallback: number): Uint8Array {
    const e = new HandlerEmitter(target, true);
    const host = e.takeLocal(Type.I32);
    emitWalk(e, walk, host, true);
    e.openIf();
    emitBySize(e, access => {
        e.localGet(host);
        e.localGet(LOCAL_CPU);
        e.memory(MEMORY_LOAD[access], StateOffset.scratch);
        e.memory(MEMORY_STORE[access], 0);
    });
    e.close();
    emitFallback(e, fallback);
    return withUnreachableEnd(e);
}

/** Does what `emit` says for the size in `kind`, and returns. */
function emitBySize(e: HandlerEmitter, emit: (access: number) => void): void {
    for (let access = 0; access <= VECTOR_ACCESS; access++) {
        e.localGet(LOCAL_KIND);
        e.i32Const(7);
        e.opcode(Wasm.I32And);
        e.i32Const(access);
        e.opcode(Wasm.I32Eq);
        e.openIf();
        emit(access);
        e.out.byte(Wasm.Return);
        e.close();
    }
}
